import io
import os

import pytest
from rich.console import Console

from pipeline.report import print_items, print_metrics

DOCUMENT = {
    "model": {"recall@20": 0.5, "mrr@20": 0.25, "recall@7": 0.4},
    "baselines": {"popularity": {"recall@20": 0.125, "mrr@20": 0.0625, "recall@7": 0.1}},
    "num_targets": 1_000,
    "num_targets_in_split": 1_000,
    "num_unknown_targets": 12,
    "num_items": 2_000,
    "parameters": {"query_tower": "gru"},
    "training": {"seconds": 61.2, "epochs": 3.0, "targets_per_second": 12_345.6, "peak_memory_bytes": 3 * 2**29},
}


def printed(document):
    stream = io.StringIO()
    print_metrics(document, Console(file=stream, width=120))
    return " ".join(stream.getvalue().split())


def test_the_model_stands_beside_its_baselines_with_the_metrics_that_were_asked_for():
    text = printed(DOCUMENT)
    assert text.startswith("1,000 targets of the test sessions, ranked among 2,000 items")
    assert "┃ ┃ recall@20 ┃ mrr@20 ┃" in text
    assert "│ model (gru) │ 0.5000 │ 0.2500 │" in text
    assert "│ popularity │ 0.1250 │ 0.0625 │" in text
    assert text.endswith(
        "12 targets are items that do not occur in training; they count as misses. "
        "Training took 61 s for 3 epochs, 12,346 targets/s, 1.5 GiB."
    )


def test_a_sample_of_the_targets_is_said():
    assert printed({**DOCUMENT, "num_targets_in_split": 5_000}).startswith(
        "1,000 targets of the test sessions (sampled from 5,000), ranked among 2,000 items"
    )


ITEMS = [("é漢😀", 1.5), ("\x1b[31mred\u202e", 0.25), ("tab\tnewline\nreturn\r", -1.0)]


def test_a_pipe_gets_the_ids_as_they_are_a_line_each():
    pipe = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    print_items(ITEMS, pipe)
    assert pipe.buffer.getvalue() == (
        "é漢😀\t1.500000\n\x1b[31mred\u202e\t0.250000\ntab\\tnewline\\nreturn\r\t-1.000000\n".encode()
    )


@pytest.mark.parametrize(("encoding", "first"), [("utf-8", "é漢😀"), ("latin-1", "é\\u6f22\\U0001f600")])
def test_a_terminal_gets_no_character_that_it_would_obey(encoding, first):
    master, slave = os.openpty()
    with os.fdopen(slave, "w", encoding=encoding) as terminal:
        print_items(ITEMS, terminal)
        printed = b""
        while printed.count(b"\n") < len(ITEMS):  # each line is a write of its own
            printed += os.read(master, 1_000)
        lines = printed.decode(encoding).split("\r\n")
    os.close(master)
    assert lines == [
        f"{first}\t1.500000",
        r"\x1b[31mred\u202e" + "\t0.250000",
        r"tab\tnewline\nreturn\r" + "\t-1.000000",
        "",
    ]
