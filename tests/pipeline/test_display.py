import io
import re

import pytest
from rich.console import Console

from pipeline.display import Detail, Display


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def make():
    def make(detail=Detail.STEPS, **options):
        stream, clock = io.StringIO(), Clock()
        display = Display(Console(file=stream, width=60, **options), detail, clock=clock)
        display.plan(["ingest", "train", "export"])
        return display, stream, clock

    return make


def run(display, clock):
    display.start("ingest")
    display.show("a line of KFP")
    clock.now += 4
    display.describe("12 events of a log whose line is longer than the console is wide, which does not matter")
    display.finish("ingest", succeeded=True)
    display.reuse("train")
    display.start("export")
    for _ in range(100):
        clock.now += 1
        display.advance("item 7")
    display.finish("export", succeeded=False)


def test_a_pipe_gets_a_line_per_step_and_sparse_lines_within(make):
    display, stream, clock = make()
    run(display, clock)
    assert stream.getvalue().splitlines() == [
        "[1/3] ingest  12 events of a log whose line is longer than the console is wide, which does not matter  4 s",
        "[2/3] train   done by the attempt before",
        *["[3/3] export  item 7"] * 3,
        "[3/3] export  failed after 2 min",
    ]
    assert display.seconds == {"ingest": 4, "export": 100}
    assert display.place("export") == "3 of 3"


def test_a_step_that_failed_keeps_its_number_when_others_run_after_it(make):
    display, stream, _ = make()
    display.start("ingest")
    display.finish("ingest", succeeded=False)
    display.start("notify")
    display.finish("notify", succeeded=True)
    assert [line[:5] for line in stream.getvalue().splitlines()] == ["[1/3]", "[2/3]"]
    assert (display.place("ingest"), display.place("notify")) == ("1 of 3", "2 of 3")


@pytest.mark.parametrize(("detail", "lines"), [(Detail.QUIET, []), (Detail.ALL, ["a line of KFP"])])
def test_how_much_is_shown_is_chosen(make, detail, lines):
    display, stream, clock = make(detail)
    run(display, clock)
    assert stream.getvalue().splitlines() == lines


@pytest.mark.parametrize("no_color", [False, True])
def test_a_terminal_shows_the_step_in_place_and_keeps_one_line_of_it(make, no_color):
    display, stream, clock = make(force_terminal=True, no_color=no_color)
    assert display.task_seconds == 1.0
    run(display, clock)
    text = re.sub(r"\x1b\[\?25[lh]|\x1b\[\d*[A-K]|\r", "", stream.getvalue())
    assert ("\x1b[1;31m" in text) is not no_color
    kept = [line for line in re.sub(r"\x1b\[[\d;]*m", "", text).splitlines() if "failed" in line]
    assert kept
    assert kept[-1].endswith("[3/3] export  failed after 2 min")


def test_what_a_step_prints_cannot_command_the_terminal(make):
    display, stream, _ = make()
    display.start("ingest")
    display.describe("item \x1b[31m[bold]red")
    display.finish("ingest", succeeded=True)
    assert stream.getvalue() == "[1/3] ingest  item \\x1b[31m[bold]red  1 s\n"
