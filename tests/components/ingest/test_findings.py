import random
from collections import Counter
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from broken_lines import MILLISECONDS

from components.core.events import SPLITS, read_split
from components.core.intake.acceptance import ERRORS, Acceptance
from components.core.intake.null_texts import count_null_texts
from components.core.intake.ordering import SortedEvents
from components.ingest.bots import LongSessions
from components.ingest.step import IngestParameters, ingest

HEADER = "SessionId\tItemId\tTime\n"


def write(folder, name, sessions):
    """A file with the (session, item, time) rows."""
    path = folder / name
    path.write_text(HEADER + "".join("\t".join(map(str, row)) + "\n" for row in sessions))
    return path


def make_splits(folder, starts, prefixes="abc"):
    """Splits with one session of two events per start."""
    return {
        split: write(
            folder,
            f"{split}.tsv",
            [(f"{prefix}{n}", item, time + 5 * item) for n, time in enumerate(times) for item in range(2)],
        )
        for split, times, prefix in zip(SPLITS, starts, prefixes, strict=True)
    }


OLD, MIDDLE, NEW = range(1000, 2000, 5), range(2000, 3000, 5), range(3000, 4000, 5)


@pytest.mark.parametrize(
    ("starts", "message"),
    [
        (
            (NEW, MIDDLE, OLD),
            "valid begins before train ends: 200 of its 200 .* test begins before train and valid end",
        ),
        ((OLD, NEW, MIDDLE), "test begins before train and valid end: 200 of its 200 sessions start before 1970-01-01"),
        ((MIDDLE, OLD, NEW), "valid begins before train ends: 200 of its 200 sessions"),
        ((MIDDLE, NEW, OLD), "test begins before train and valid end"),
    ],
)
def test_splits_in_another_order_are_an_error_unless_allowed(tmp_path, starts, message):
    sources = make_splits(tmp_path, starts)
    with pytest.raises(ValueError, match=rf"{message}.*Are the files swapped\?.* allowed_findings=splits_out_of_order"):
        ingest(sources, tmp_path / "events", IngestParameters(form=MILLISECONDS))
    assert not (tmp_path / "events").exists()
    acceptance = Acceptance(allowed_findings=("splits_out_of_order",))
    report = ingest(sources, tmp_path / "events", IngestParameters(form=MILLISECONDS, acceptance=acceptance))
    assert report.findings["splits_out_of_order"] >= 200


@pytest.mark.parametrize(("num_early", "is_error"), [(2, False), (3, True)])
def test_a_few_sessions_may_start_before_the_split_before_them_ends(tmp_path, num_early, is_error):
    """1% of 200 is 2. The last session of train goes on until after the start of valid, which is no finding."""
    starts = ([*OLD[:-1], 1999], [*[1998] * num_early, *MIDDLE[num_early:]], NEW)
    sources = make_splits(tmp_path, starts)
    if is_error:
        with pytest.raises(ValueError, match=r"valid begins before train ends: 3 of its 200 sessions"):
            ingest(sources, tmp_path / "events", IngestParameters(form=MILLISECONDS))
    else:
        assert (
            ingest(sources, tmp_path / "events", IngestParameters(form=MILLISECONDS)).findings["splits_out_of_order"]
            == 2
        )
        strict = IngestParameters(form=MILLISECONDS, acceptance=Acceptance(data_errors=("splits_out_of_order",)))
        with pytest.raises(ValueError, match=r"none of the findings that are errors\. Received: 2 splits_out_of_order"):
            ingest(sources, tmp_path / "strict", strict)


def test_sessions_in_two_splits_are_an_error_unless_allowed(tmp_path):
    sources = make_splits(tmp_path, (OLD, MIDDLE, NEW), prefixes="aba")
    with pytest.raises(ValueError, match=r"200 sessions occur in two splits\..*=sessions_in_two_splits"):
        ingest(sources, tmp_path / "events", IngestParameters(form=MILLISECONDS))
    acceptance = Acceptance(allowed_findings=("sessions_in_two_splits",))
    report = ingest(sources, tmp_path / "events", IngestParameters(form=MILLISECONDS, acceptance=acceptance))
    assert report.findings["sessions_in_two_splits"] == 200


def test_one_file_for_all_splits_is_an_error_under_any_name(tmp_path):
    path = write(tmp_path, "log.tsv", [("a", "x", 1), ("a", "y", 2), ("b", "x", 3)])
    (tmp_path / "link.tsv").symlink_to(path)
    for other in (path, tmp_path / "link.tsv", tmp_path / "." / "l*.tsv"):
        with pytest.raises(
            ValueError, match=r"Expected different files for each split\. Received: .*log\.tsv for train"
        ):
            ingest(
                {"train": path, "valid": other, "test": other}, tmp_path / "events", IngestParameters(form=MILLISECONDS)
            )
    copies = {split: write(tmp_path, f"{split}.tsv", [("a", "x", 1), ("b", "x", 3)]) for split in SPLITS}
    with pytest.raises(ValueError, match="set allowed_findings=splits_out_of_order,sessions_in_two_splits"):
        ingest(copies, tmp_path / "events", IngestParameters(form=MILLISECONDS))
    ingest(
        copies, tmp_path / "events", IngestParameters(form=MILLISECONDS, acceptance=Acceptance(allowed_findings=ERRORS))
    )


@pytest.mark.parametrize("wrong", [{"allowed_findings": ("ties",)}, {"data_errors": ("no such",)}])
def test_findings_are_checked(wrong):
    with pytest.raises(ValueError, match=f"Expected {next(iter(wrong))} to be among"):
        Acceptance(**wrong)


def test_a_finding_is_an_error_or_allowed():
    with pytest.raises(ValueError, match=r"Received in both: splits_out_of_order"):
        Acceptance(data_errors=("splits_out_of_order",), allowed_findings=("splits_out_of_order",))


@pytest.mark.parametrize("wrong", [{"bot_action": "keep"}, {"max_session_events": -1}])
def test_parameters_are_checked(wrong):
    with pytest.raises(ValueError, match=f"Expected {next(iter(wrong))}"):
        IngestParameters(**wrong)


def test_sessions_with_ties_are_counted(tmp_path):
    sources = make_splits(tmp_path, (OLD, MIDDLE, NEW))
    rows = [("t", item, 1000) for item in "zyx"] + [("u", "x", 1000), ("u", "y", 1001), ("u", "z", 1001)]
    write(tmp_path, "train.tsv", rows)
    report = ingest(sources, tmp_path / "events", IngestParameters(form=MILLISECONDS))
    assert report.findings["ties"] == 2
    items = read_split(tmp_path / "events", "train")["item_id"].to_pylist()
    assert items == [*"zyx", *"xyz"]


@pytest.mark.parametrize("seed", range(8))
def test_the_funnel_is_that_of_plain_python(tmp_path, seed):
    rng = random.Random(seed)  # noqa: S311
    maximum, action = rng.choice([0, 3, 5]), rng.choice(["cut", "drop"])
    unit, fraction = rng.choice(["sessions", "events"]), rng.choice([1.0, 0.5])
    sources, kept, dropped, num_long, num_lines = {}, {}, Counter(), 0, 0
    for number, split in enumerate(SPLITS):
        begin = 10_000 * number
        rows = [(f"{split}{rng.randrange(12)}", rng.randrange(5), begin + rng.randrange(40)) for _ in range(60)]
        bad = ["bad", "a\tb", f"x\ty\t-{rng.randrange(1, 9)}"] * rng.randrange(3)
        sources[split] = write(tmp_path, f"{split}.tsv", [*rows, *((line,) for line in bad)])
        num_lines += len(rows) + len(bad)
        dropped["rejected: wrong number of fields, not 3"] += len(bad) // 3 * 2
        dropped["rejected: Time is negative"] += len(bad) // 3
        if fraction == 1.0:
            lengths = Counter(session for session, _, _ in rows)
            left = {session: min(length, maximum or 60) for session, length in lengths.items()}
            if maximum and action == "drop":
                left = {session: length for session, length in lengths.items() if length <= maximum}
            kept[split] = sum(left.values())
            num_long += sum(length > maximum > 0 for length in lengths.values())
            dropped["long sessions"] += len(rows) - kept[split]
    parameters = IngestParameters(
        form=MILLISECONDS,
        sample_fraction=fraction,
        sample_unit=unit,
        max_session_events=maximum,
        bot_action=action,
        acceptance=Acceptance(max_rejected_share=1.0, allowed_findings=ERRORS),
    )
    report = ingest(sources, tmp_path / "events", parameters)
    funnel = report.funnel
    written = {split: read_split(tmp_path / "events", split).num_rows for split in SPLITS}
    assert funnel["kept"] == written
    assert funnel["read"] == num_lines == sum(funnel["dropped"].values()) + sum(written.values())
    if fraction == 1.0:
        assert written == kept
        assert funnel["dropped"] == {label: count for label, count in dropped.items() if count}
        assert report.findings["long_sessions"] == num_long
    else:
        assert funnel["dropped"]["sampled out"] > 60


@pytest.mark.parametrize("action", ["cut", "drop"])
def test_sessions_beyond_the_maximum_are_cut_or_dropped(action):
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 9, 50)
    lengths[[3, 30]] = 100
    sessions = np.repeat(np.arange(50, dtype=np.int32), lengths)
    num = len(sessions)
    events = SortedEvents(
        sessions=sessions,
        session_ids=pa.array([f"s{number}" for number in range(50)]),
        items=rng.integers(0, 9, num).astype(np.int32),
        item_ids=pa.array([f"i{number}" for number in range(9)]),
        times=np.arange(num),
        rows=np.arange(num),
    )
    long_sessions = LongSessions(8, action)
    [found] = long_sessions.cut([events])
    expected = []
    for number, length in enumerate(lengths):
        rows = events.to_table().slice(int(lengths[:number].sum()), length).to_pylist()
        expected += rows if length <= 8 else rows[:8] if action == "cut" else []
    assert found.to_table().to_pylist() == expected
    assert np.unique(found.sessions).tolist() == list(range(len(found.session_ids)))
    assert (long_sessions.num_sessions, long_sessions.num_dropped) == (2, 200 - (16 if action == "cut" else 0))
    assert list(LongSessions(8, "drop").cut([events] * 0)) == []


def test_a_split_of_bots_alone_is_empty(tmp_path):
    sources = make_splits(tmp_path, (OLD, MIDDLE, NEW))
    write(tmp_path, "test.tsv", [("bot", number, 4000 + number) for number in range(2001)])
    with pytest.raises(ValueError, match=r"at least one event in test\..* Dropped: long sessions 2,001"):
        ingest(sources, tmp_path / "events", IngestParameters(form=MILLISECONDS, bot_action="drop"))


def test_ids_that_are_probably_missing_values_are_counted_and_kept(tmp_path):
    sources = make_splits(tmp_path, (OLD, MIDDLE, NEW))
    rows = [("null", "NULL", 4001), ("null", "x", 4002), ("s", r"\N", 4003), ("nullable", "NaN", 4004)]
    with sources["test"].open("a") as file:
        file.writelines("\t".join(map(str, row)) + "\n" for row in rows)
    parameters = IngestParameters(form=MILLISECONDS)
    report = ingest(sources, tmp_path / "events", parameters)
    assert report.findings["null_texts"] == 5
    assert report.null_texts == {"session or visitor null": 2, "item NULL": 1, r"item \N": 1, "item NaN": 1}
    assert {"NULL", r"\N", "NaN"} <= set(read_split(tmp_path / "events", "test")["item_id"].to_pylist())
    assert "| id item NULL | 1 |" in (tmp_path / "events" / "report.md").read_text()
    with pytest.raises(ValueError, match="Received: 5 null_texts"):
        ingest(sources, tmp_path / "events", replace(parameters, acceptance=Acceptance(data_errors=("null_texts",))))


def test_null_texts_of_plain_texts_and_of_numbers():
    texts = pa.record_batch([["None", "1", "None"], ["a", "undefined", "N/A"]], names=["visitor", "item"])
    expected = {"session or visitor None": 2, "item undefined": 1, "item N/A": 1}
    assert count_null_texts(texts) == expected
    numbers = pa.record_batch([pa.array([1, 2]), pa.array([3, 4])], names=["visitor", "item"])
    assert count_null_texts(numbers) == {}
