import json
from html.parser import HTMLParser

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from pipeline.__main__ import cli
from pipeline.comparison import compare, read_run

NEVER = np.iinfo(np.int64).max


@pytest.fixture
def write(tmp_path):
    """Writes the metrics and the ranks of a run."""

    def write(name, ranks, *, sessions=None, run=None, ks=(20,)):
        folder = tmp_path / name
        folder.mkdir()
        ranks = np.array(ranks)
        sessions = np.arange(len(ranks)) if sessions is None else np.array(sessions)
        model = {f"recall@{k}": float((ranks <= k).mean()) for k in ks}
        model |= {f"mrr@{k}": float(np.where(ranks <= k, 1 / ranks, 0).mean()) for k in ks}
        document = {"model": model, "num_targets": len(ranks), "test": {"num_sessions": len(set(sessions.tolist()))}}
        (folder / "metrics.json").write_text(json.dumps({**document, **({"run": run} if run else {})}))
        table = {"session": sessions, "position": np.ones(len(ranks), np.int32), "model": ranks}
        pq.write_table(pa.table(table), folder / "ranks.parquet")
        return folder

    return write


def test_a_run_differs_from_itself_by_nothing(write):
    first = write("a", [1, 30, NEVER, 4])
    found = compare([read_run(first), read_run(first)])
    assert found.values["recall@20"] == [0.5, 0.5]
    assert found.intervals == {"recall@20": [[0.0, 0.0]], "mrr@20": [[0.0, 0.0]]}
    assert (found.differences, found.warnings) == ({}, [])


def test_the_interval_is_paired_and_resamples_sessions(write):
    """Half of the sessions are hit by one run alone: the paired interval excludes 0 where separate ones overlap."""
    rng = np.random.default_rng(0)
    hit = rng.random(4_000) < 0.5
    better = hit | (rng.random(4_000) < 0.02)
    first = write("a", np.where(hit, 1, NEVER))
    second = write("b", np.where(better, 1, NEVER))
    low, high = compare([read_run(first), read_run(second)]).intervals["recall@20"][0]
    # The standard error of the mean of the differences, which are 0 or 1, by the textbook's formula.
    share = (better & ~hit).mean()
    error = np.sqrt(share * (1 - share) / len(hit))
    assert low == pytest.approx(share - 1.96 * error, abs=5e-4)
    assert high == pytest.approx(share + 1.96 * error, abs=5e-4)
    assert low > 0


def test_targets_of_one_session_count_as_one(write):
    """Each session repeated a hundred times says no more than once."""
    gains = [1, NEVER, 1, 1, NEVER, 1, NEVER, 1]
    alone = compare([read_run(write("a", [NEVER] * 8)), read_run(write("b", gains))])
    often = {"sessions": np.repeat(np.arange(8), 100)}
    repeated = compare(
        [read_run(write("c", [NEVER] * 800, **often)), read_run(write("d", np.repeat(gains, 100), **often))]
    )
    assert repeated.intervals["recall@20"] == alone.intervals["recall@20"]


@pytest.mark.parametrize("sessions", [[0, 1, 2, 9], [0, 1, 2]])
def test_other_sessions_have_a_warning_and_no_interval(write, sessions):
    first, second = write("a", [1, 2, 3, 4]), write("b", [1, 2, 3, 4][: len(sessions)], sessions=sessions)
    found = compare([read_run(first), read_run(second)])
    assert found.intervals["recall@20"] == [None]
    assert "they were tested on different sessions" in found.warnings[0]


def test_a_run_without_ranks_has_a_warning(write):
    first, second = write("a", [1, 2]), write("b", [1, 2])
    (second / "ranks.parquet").unlink()
    assert "ranks.parquet is missing" in compare([read_run(first), read_run(second)]).warnings[0]


@pytest.mark.parametrize(
    ("columns", "received"),
    [
        ({"item": ["i1"], "title": ["one"]}, r"the columns item \(string\), title \(string\)"),
        ({"session": [1], "position": [1]}, r"the columns session \(int64\), position \(int64\)"),
        ({"session": [1], "position": [1], "model": ["i1"]}, r"the columns .*, model \(string\)"),
    ],
)
def test_another_parquet_file_is_refused(write, columns, received):
    path = write("a", [1, 2]) / "ranks.parquet"
    pq.write_table(pa.table(columns), path)
    with pytest.raises(ValueError, match=f"Expected .*ranks.parquet to be the ranks of a run, .* Received: {received}"):
        read_run(path.parent)


def test_ranks_that_are_no_parquet_are_refused(write):
    path = write("a", [1, 2]) / "ranks.parquet"
    path.write_text("session,position,model\n")
    with pytest.raises(ValueError, match=r"Expected .*ranks.parquet to be a Parquet file. .* Restore it, or remove it"):
        read_run(path.parent)


def test_a_page_in_a_folder_that_is_missing_is_refused_before_the_comparison(write, tmp_path):
    command = ["compare", str(write("a", [1])), str(write("b", [2])), "--html", str(tmp_path / "pages" / "a.html")]
    result = CliRunner().invoke(cli, command)
    assert str(result.exception) == (
        f"Expected --html to be a file in a folder that exists. Received: {tmp_path / 'pages'}, which does not; create "
        "it, or choose another folder"
    )
    assert result.output == ""


def test_what_differs_is_named(write):
    runs = [
        {"parameters": {"loss": loss, "max_epochs": 8}, "preset": "default", "data": {"train_path": {"sha256": digest}}}
        for loss, digest in (("sampled", "1" * 64), ("full", "2" * 64))
    ]
    first, second = write("a", [1], run=runs[0]), write("b", [1], run=runs[1])
    assert compare([read_run(first), read_run(second)]).differences == {
        "loss": ["sampled", "full"], "contents of train_path": ["1" * 12, "2" * 12],
    }  # fmt: skip


def test_runs_without_a_common_metric_are_refused(write):
    with pytest.raises(ValueError, match="Expected runs with a metric in common"):
        compare([read_run(write("a", [1], ks=(5,))), read_run(write("b", [1], ks=(7,)))])


class Page(HTMLParser):
    """Collects the tags, the attributes and the texts of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.texts = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]

    def handle_data(self, data):
        self.texts.append(data)


def test_the_page_holds_the_numbers_needs_nothing_else_and_obeys_no_name(write, tmp_path):
    hostile = "<script>alert(1)</script>"
    first = write("a", [1, 30, NEVER, 4], run={"parameters": {"item_column": hostile}})
    second = write("b", [1, 1, 1, 1], run={"parameters": {"item_column": "b"}})
    path = tmp_path / "page.html"
    result = CliRunner().invoke(cli, ["compare", str(first), str(second), "--html", str(path)])
    assert result.exit_code == 0, result.output
    text = path.read_text()
    page = Page(text)
    assert {"0.5000", "1.0000", "+0.5000"} <= {part.split(" ")[0] for part in page.texts}
    assert hostile in page.texts
    assert not {"script", "img", "link", "iframe"} & set(page.tags)
    assert not {"src", "href", "onclick", "onload"} & set(page.attributes)
    assert "http" not in text
    assert "url(" not in text
    assert "0.5000" in result.output


def test_json_has_all_of_it(write):
    result = CliRunner().invoke(cli, ["compare", str(write("a", [1])), str(write("b", [2])), "--json"])
    assert json.loads(result.output)["values"]["recall@20"] == [1.0, 1.0]


def test_three_runs_are_compared_with_the_first(write):
    found = compare([read_run(write(name, ranks)) for name, ranks in (("a", [30]), ("b", [1]), ("c", [2]))])
    assert found.values["mrr@20"] == [0.0, 1.0, 0.5]
    assert found.intervals["mrr@20"] == [[1.0, 1.0], [0.5, 0.5]]


def test_names_of_parameters_are_shown_as_they_are(write):
    first, second = (write(name, [1], run={"parameters": {"[bold]x\x1b[2J": name}}) for name in "ab")
    result = CliRunner().invoke(cli, ["compare", str(first), str(second)])
    assert r"[bold]x\x1b[2J" in result.output
