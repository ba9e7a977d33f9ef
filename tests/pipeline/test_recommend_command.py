import io
import json

import click
import pyarrow.parquet as pq
import pytest
from running_server import save_index

from components.core.progress import SECONDS_VARIABLE
from pipeline.__main__ import cli
from pipeline.recommend_options import parse_line

ITEM_IDS = [f"i{number}" for number in range(40)]


@pytest.fixture(scope="module")
def index_dir(tmp_path_factory):
    return save_index(ITEM_IDS, tmp_path_factory.mktemp("saved") / "index")


@pytest.fixture
def run(capsys):
    def run(*arguments):
        cli.main(["recommend", *map(str, arguments)], standalone_mode=False)
        return capsys.readouterr()

    return run


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("who,what,when\n" + "a,i1,1700000000\na,i2,1700000001\nb,none,1700000000\n")
    return path


COLUMNS = ["--set", "session_column=who", "--set", "item_column=what", "--set", "time_column=when"]


@pytest.mark.slow
def test_each_way_to_ask_gives_the_same_answer(run, index_dir, log, tmp_path, monkeypatch):
    lines = [line.split("\t") for line in run("--index", index_dir, "--session", "i1,i2", "-k", 3).out.splitlines()]
    expected = [(item, pytest.approx(float(score), abs=1e-5)) for item, score in lines]
    assert len(expected) == 3

    def pairs(document):
        return [(each["item_id"], each["score"]) for each in document["items"]]

    answer = json.loads(run("--index", index_dir, "--item", "i1", "--item", "i2", "-k", 3, "--json").out)
    assert pairs(answer) == expected
    assert answer["unknown"] == []
    monkeypatch.setattr("sys.stdin", iter(['["i1", "i2"]\n', "\n", '["none", "none"]\n']))
    answers = [json.loads(line) for line in run("--index", index_dir, "--stdin", "-k", 3).out.splitlines()]
    assert pairs(answers[0]) == expected
    assert (answers[1]["unknown"], len(answers[1]["items"])) == (["none"], 3)
    shown = run("--index", index_dir, "--sessions", log, *COLUMNS, "-k", 3, "--output", tmp_path / "out").out
    rows = pq.read_table(tmp_path / "out").to_pylist()
    assert [(row["item_id"], row["score"]) for row in rows if row["session_id"] == "a"] == expected
    assert shown == (
        "2 sessions with 3 events, 6 items recommended. The most popular ones were recommended for 1 session without "
        "an item that the index knows.\nThe index does not know 1 item of 1 event, most often 'none' (1).\n"
        f"The recommendations are in {tmp_path / 'out'}.\n"
    )
    report = json.loads(
        run("--index", index_dir, "--sessions", log, *COLUMNS, "-k", 3, "--output", tmp_path / "out", "--json").out
    )
    assert (report["num_sessions"], report["num_rows"]) == (2, 6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Expected one of --session or --item, --stdin, --sessions. Received: none"),
        (["--session", "i1", "--stdin"], "Received: --session or --item and --stdin"),
        (["--session", "i1"], "Expected --index or --serving. Received: neither"),
        (["--session", "i1", "--index", ".", "--serving", "."], "Received: both"),
        (["--session", "i1", "--index", ".", "--output", "x"], "Expected --sessions with --output"),
        (["--session", "i1", "--index", ".", "--set", "x=y"], "Expected --sessions with --set"),
        (["--sessions", "log", "--index", "."], "Expected --output, a folder"),
    ],
)
def test_usage_errors_say_what_is_missing(run, arguments, message):
    with pytest.raises(click.UsageError) as error:
        run(*arguments)
    assert message in error.value.message


def test_wrong_values_are_refused(run, index_dir, tmp_path):
    with pytest.raises(ValueError, match="Expected k to be at least 1"):
        run("--index", index_dir, "--session", "i1", "-k", 0)
    options = ("--index", index_dir, "--sessions", "log", "--output", tmp_path / "out", "--set")
    for name, option in (("recommend_k", "-k"), ("sessions_path", "--sessions"), ("exclude_seen", "--exclude-seen")):
        with pytest.raises(click.UsageError, match=f"Expected the option {option} instead. Received: --set {name}="):
            run(*options, f"{name}=5")
    with pytest.raises(ValueError, match=r"Expected a parameter of recommend, one of .* Received: 'flavour'"):
        run(*options, "flavour=x")


def test_lines_of_many_items_and_of_text_that_is_none(run, index_dir, monkeypatch):
    monkeypatch.setattr("sys.stdin", iter(['["i1"]\n']))
    answer = json.loads(run("--index", index_dir, "--stdin", "-k", 3_000_000_000).out)
    assert len(answer["items"]) == len(ITEM_IDS)
    monkeypatch.setattr("sys.stdin", iter(['["i1"]\n', '["i1", "\\ud800"]\n']))
    with pytest.raises(ValueError, match=r"item ids in line 2 of stdin to be valid Unicode. Received: '\\ud800'"):
        run("--index", index_dir, "--stdin")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b'["i1"]\n["\xff"]\n'), "utf-8"))
    with pytest.raises(ValueError, match=r"Expected stdin to be UTF-8. Received: .*0xff"):
        run("--index", index_dir, "--stdin")


def test_progress_does_not_mix_with_the_answer(run, index_dir, log, tmp_path, monkeypatch):
    monkeypatch.setenv(SECONDS_VARIABLE, "0")
    printed = run("--index", index_dir, "--sessions", log, *COLUMNS, "--output", tmp_path / "out", "--json")
    assert json.loads(printed.out)["num_sessions"] == 2
    assert "[progress 100%] 2 of 2 sessions" in printed.err


def test_parameters_of_the_record_are_not_set_here(run, index_dir, tmp_path):
    with pytest.raises(ValueError, match=r"Expected a parameter of recommend, .* Received: 'records_uri'"):
        run("--index", index_dir, "--sessions", "x", "--output", tmp_path / "out", "--set", "records_uri=x")


@pytest.mark.parametrize("line", ["i1,i2", "{}", '["i1", 2]', '[""]', "[", '"i1"', "[" * 100_000, "[" + "1" * 5_000])
def test_a_line_that_is_no_list_of_ids_is_refused(line):
    with pytest.raises(ValueError, match=r'Expected line 3 of stdin to be a JSON list .* \["i7", "i8"\]'):
        parse_line(line, 3)


def test_a_published_version_answers(run, index_dir, tmp_path):
    from served import DETAILS

    from components.core.serving.location import open_location
    from components.core.serving.manifest import Draft, list_folder

    draft = Draft(
        publication_key="run", index_files=list_folder(index_dir), model_files=list_folder(index_dir), details=DETAILS
    )
    open_location(str(tmp_path / "serving")).publish(draft)
    published = run("--serving", tmp_path / "serving", "--session", "i1", "-k", 2).out
    assert published == run("--index", index_dir, "--session", "i1", "-k", 2).out
