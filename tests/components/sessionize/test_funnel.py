import json
import random
from dataclasses import asdict

import pytest
import sessionize_oracle as oracle

from components.core.events import SPLITS, read_split
from components.core.intake.acceptance import Acceptance
from components.core.intake.data_report import DataReport
from components.core.logs.columns import LogForm
from components.sessionize.step import SessionizeParameters, sessionize

HOUR_MS = 60 * 60 * 1000
DAY_MS = 24 * HOUR_MS
END = 1_442_545_200_000


def make_rows(rng, num_events, *, are_sessions):
    """Events with many ties, repeats and duplicates; some keys and items are numbers, others texts."""
    items = rng.choice([["7", "12", "007", "é", "ab", "zz"], ["7", "12", "3", "44"]])
    keys = [str(number) for number in range(1, 50 if are_sessions else 7)]
    # From some line on, ids are texts or exceed 32 bits: the shards that were written before are rewritten.
    late = rng.choice([[], ["key x"], [str(2**40)]])
    rows = []
    for number in range(num_events):
        key = rng.choice([*keys, *(late if number > num_events // 2 else [])])
        day = min(29, len(key) * int(key[-1], 36) % 28 + rng.randrange(2)) if are_sessions else rng.randrange(30)
        time = END - day * DAY_MS - rng.randrange(6) * HOUR_MS // 2
        rows.append((key, rng.choice(items), rng.choices(["view", "cart", "buy"], [6, 1, 1])[0], time))
    return rows


def make_parameters(rng, engine):
    return SessionizeParameters(
        session_column=rng.choice(["", "", "visitorid"]),
        event_column=rng.choice(["event", "event", ""]),
        event_types=rng.choice([("view",), ("view", "cart")]),
        drop_repeats=rng.random() < 0.6,
        tie_order=rng.choice(["item", "file"]),
        max_gap_minutes=rng.choice([30.0, 60.0, 300.0]),
        min_session_length=rng.choice([1, 2, 2, 3]),
        min_item_support=rng.choice([1, 5, 25]),
        max_visitor_events=rng.choice([0, 30, 60, 50_000]),
        max_session_events=rng.choice([0, 3, 6, 2000]),
        bot_action=rng.choice(["cut", "drop"]),
        as_of=rng.choice(["", "2015-09-17T12:00Z"]),
        window_days=rng.choice([0, 20]),
        sessionize_engine=engine,
        acceptance=Acceptance(max_rejected_share=1.0),
    )


def write(folder, rng, rows):
    """Several files, with rejected lines in between."""
    folder.mkdir()
    cuts = sorted(rng.sample(range(len(rows)), 2))
    num_bad = 0
    for number, (begin, end) in enumerate(zip([0, *cuts], [*cuts, len(rows)], strict=True)):
        lines = ["timestamp,visitorid,event,itemid"]
        for visitor, item, kind, time in rows[begin:end]:
            lines.append(f"{time},{visitor},{kind},{item}")
            if rng.random() < 0.05:
                lines.append(rng.choice(["bad", f"-5,{visitor},{kind},{item}"]))
                num_bad += 1
        (folder / f"{number}.csv").write_text("\n".join(lines) + "\n")
    return num_bad


def check(folder, seed, engine="duckdb"):
    folder.mkdir()
    rng = random.Random(seed)  # noqa: S311
    parameters = make_parameters(rng, engine)
    rows = make_rows(rng, rng.randrange(150, 400), are_sessions=bool(parameters.session_column))
    num_bad = write(folder / "log", rng, rows)
    end_ms = parameters.end_ms or max(time for *_, time in rows)
    splits, dropped, findings = oracle.prepare(rows, parameters, end_ms)
    if not all(splits.values()):
        with pytest.raises(ValueError, match="Expected at least one event in"):
            sessionize(str(folder / "log"), folder / "events", parameters)
        return None
    report = sessionize(str(folder / "log"), folder / "events", parameters)
    found = report.funnel["dropped"]
    assert {label: count for label, count in found.items() if "rejected" not in label} == dropped, parameters
    assert sum(count for label, count in found.items() if label.startswith("rejected: ")) == num_bad
    assert report.funnel["read"] == len(rows) + num_bad == sum(found.values()) + sum(report.funnel["kept"].values())
    for name in ("ties", "duplicates", "long_sessions", "busy_visitors"):
        assert report.findings[name] == findings[name], (name, parameters)
    for split in SPLITS:
        sessions = {}
        for row in read_split(folder / "events", split).to_pylist():
            sessions.setdefault(row["session_id"], []).append((row["item_id"], row["time"]))
        named = splits[split].items()
        assert sessions == {
            key if parameters.session_column else f"{key}-{start}": [(item, time) for _, item, _, time, _ in events]
            for (key, start), events in named
        }, parameters
    return report


@pytest.fixture
def small_pieces(monkeypatch):
    """Several parts, streams, batches and slices of a small log."""
    monkeypatch.setattr("components.sessionize.staged_log.PART_EVENTS", 50)
    monkeypatch.setattr("components.sessionize.staged_log.STAGED_EVENTS", 40)
    monkeypatch.setattr("components.sessionize.slices.SLICE_EVENTS", 16)


@pytest.mark.parametrize("seed", [29, 36, 39])
def test_the_funnel_and_the_sessions_are_those_of_plain_python(tmp_path, small_pieces, seed):
    assert check(tmp_path / "log", seed)


@pytest.mark.slow
def test_the_funnel_over_all_parameters(tmp_path, small_pieces):
    seeds = (*range(16), 22, 36, 39)  # some logs have an empty split; the last three have the rarest reasons
    reports = [report for seed in seeds if (report := check(tmp_path / str(seed), seed))]
    assert len(reports) > 7
    labels = {label.split(":")[0] for report in reports for label in report.funnel["dropped"]}
    assert labels == {
        "rejected", "event type", "outside the window", "repeats", "busy visitors", "long sessions",
        "sessions too short", "items too rare", "cut at a split boundary",
    }  # fmt: skip


@pytest.mark.spark
@pytest.mark.filterwarnings("ignore")  # pyspark 4.0 was written for pandas 2
@pytest.mark.parametrize("seed", [29, 36, 39])
def test_the_funnel_with_spark(tmp_path, spark, seed):
    assert check(tmp_path / "log", seed, engine="spark")


def write_log(path, rows, header="timestamp,visitorid,event,itemid"):
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")
    return str(path)


def sessions_of(events_dir, split):
    sessions = {}
    for row in read_split(events_dir, split).to_pylist():
        sessions.setdefault(row["session_id"], []).append(row["item_id"])
    return sessions


def test_sessions_that_are_there_already_are_kept(tmp_path):
    """With long gaps, with their ids, without visitors, and cut where a split begins."""
    days = [(20, "007"), (19, "s 1"), (9, "+5"), (1, "-0")]
    rows = [
        (END - day * DAY_MS + 5 * hour * HOUR_MS, name, item) for day, name in days for hour, item in enumerate("abc")
    ]
    rows += [(END - 14 * DAY_MS + hour * HOUR_MS, "cut", item) for hour, item in zip((-2, -1, 1), "abc", strict=True)]
    path = write_log(tmp_path / "log.csv", [*rows, (END, "-0", "d")], "Time,SessionId,ItemId")
    parameters = SessionizeParameters(
        session_column="SessionId", item_column="ItemId", time_column="Time", event_column="", min_item_support=1
    )
    report = sessionize(path, tmp_path / "events", parameters)
    assert {split: sessions_of(tmp_path / "events", split) for split in SPLITS} == {
        "train": {"007": [*"abc"], "s 1": [*"abc"], "cut": [*"ab"]},
        "valid": {"+5": [*"abc"]},
        "test": {"-0": [*"abcd"]},
    }
    kept = {"train": 8, "valid": 3, "test": 4}
    assert report.funnel == {"read": 16, "dropped": {"cut at a split boundary": 1}, "kept": kept}


def make_visits(items, num_days=30):
    """On each day, ten visitors view the items at midnight."""
    return [
        (END - day * DAY_MS, day * 10 + visitor, "view", item)
        for day in range(num_days)
        for visitor in range(10)
        for item in items
    ]


@pytest.mark.parametrize(
    ("tie_order", "expected"), [("file", "zebra mango kiwi apple"), ("item", "kiwi apple mango zebra")]
)
def test_events_at_equal_times_keep_the_order_of_the_file_or_of_the_items(tmp_path, tie_order, expected):
    path = write_log(tmp_path / "log.csv", make_visits(["zebra", "mango", "kiwi", "apple"]))
    report = sessionize(path, tmp_path / "events", SessionizeParameters(tie_order=tie_order))
    assert {" ".join(items) for items in sessions_of(tmp_path / "events", "train").values()} == {expected}
    assert report.findings["ties"] == 300
    assert report.findings["duplicates"] == 0


def test_the_file_order_survives_ids_that_become_texts_later(tmp_path):
    """Shards of numbers are written again as texts, behind those that were texts at once."""
    (tmp_path / "log").mkdir()
    items = ["9", "3", "x", "1"]
    for number, item in enumerate(items):
        rows = [(END - day * DAY_MS, day * 10, "view", item) for day in range(30)]
        write_log(tmp_path / "log" / f"{number}.csv", rows)
    parameters = SessionizeParameters(tie_order="file")
    sessionize(str(tmp_path / "log"), tmp_path / "events", parameters)
    assert {tuple(found) for found in sessions_of(tmp_path / "events", "train").values()} == {tuple(items)}


def test_event_types_that_do_not_occur_are_counted_and_refused_if_none_does(tmp_path):
    rows = [*make_visits("ab"), (END, 1, "addtocart", "a")]
    path = write_log(tmp_path / "log.csv", rows)
    with pytest.raises(ValueError, match=r"none of the 601 events is of type views; there are view 600, addtocart 1$"):
        sessionize(path, tmp_path / "events", SessionizeParameters(event_types=("views",)))
    report = sessionize(path, tmp_path / "events", SessionizeParameters(event_types=("view", "buy")))
    assert report.findings["missing_event_types"] == 1
    acceptance = Acceptance(data_errors=("missing_event_types",))
    with pytest.raises(ValueError, match="1 missing_event_types"):
        sessionize(path, tmp_path / "events", SessionizeParameters(event_types=("view", "buy"), acceptance=acceptance))


def test_event_types_beyond_twenty_share_a_label(tmp_path):
    rows = make_visits("ab") + [(END, 1, f"type {number:02}", "a") for number in range(30) for _ in range(number + 1)]
    report = sessionize(write_log(tmp_path / "log.csv", rows), tmp_path / "events", SessionizeParameters())
    types = {label: count for label, count in report.funnel["dropped"].items() if "type" in label}
    assert types == {f"event type: type {number}": number + 1 for number in range(10, 30)} | {"other event types": 55}


def test_types_without_end_are_not_counted_one_by_one(tmp_path, monkeypatch):
    monkeypatch.setattr("components.sessionize.staged_log.MAX_TYPES", 5)
    rows = [*((END, 1, f"type {number}", "a") for number in range(30)), *make_visits("ab")]
    report = sessionize(write_log(tmp_path / "log.csv", rows), tmp_path / "events", SessionizeParameters())
    types = [count for label, count in report.funnel["dropped"].items() if "type" in label]
    assert sorted(types) == [1] * (len(types) - 1) + [31 - len(types)]


def test_an_empty_split_says_why(tmp_path):
    rows = [(time // 1000, *rest) for time, *rest in make_visits("ab")] + [(END // 1000, 1, "cart", "a")]
    path = write_log(tmp_path / "log.csv", rows)
    parameters = SessionizeParameters(form=LogForm(time_format="milliseconds"))
    with pytest.raises(ValueError, match=r"Expected at least one event in valid\. Received: none\.") as error:
        sessionize(path, tmp_path / "events", parameters)
    for text in (
        "The 601 events read are from 1970-01-17 16:00:39 to 1970-01-17 16:42:25 UTC (these look like seconds).",
        "Event types: view 600, cart 1; those that count: view.",
        "The window is to 1970-01-17 16:42:25; train ends and valid begins at 1970-01-03 16:42:25, test begins at "
        "1970-01-10 16:42:25.",
        "Dropped: event type: cart 1. Parameters that decide this: test_days, valid_days",
    ):
        assert text in str(error.value)


def test_sessions_that_span_the_log_empty_the_later_splits_which_is_said(tmp_path):
    """Such as ids of users that are taken for those of sessions: of 30 days, the last 15 are valid and test."""
    rows = [(END - day * DAY_MS, user, "view", item) for user in range(10) for day in range(30) for item in "ab"]
    path = write_log(tmp_path / "log.csv", rows)
    with pytest.raises(ValueError, match=r"in test\. Received: none\..* Dropped: cut at a split boundary 300"):
        sessionize(path, tmp_path / "events", SessionizeParameters(session_column="visitorid"))


def test_a_window_beside_the_log_says_so(tmp_path):
    path = write_log(tmp_path / "log.csv", make_visits("ab"))
    with pytest.raises(
        ValueError,
        match=r"The window is from 2001-01-01 00:00:00 to .* Dropped: outside the window 600\. "
        r"Parameters that decide this: as_of, window_days, test_days, valid_days",
    ):
        sessionize(path, tmp_path / "events", SessionizeParameters(as_of="2001-01-31", window_days=30))


def test_the_report_shows_the_funnel_first(tmp_path):
    rows = [*make_visits("ab"), (END, 1, "a|b", "a")]
    report = sessionize(write_log(tmp_path / "log.csv", rows), tmp_path / "events", SessionizeParameters())
    text = (tmp_path / "events" / "report.md").read_text()
    assert text.startswith("# Data report\n\n## What became of each line\n\n|  | number of lines | share |\n")
    rows = ["read | 601 | 100.00%", "event type: a\\|b | 1 | 0.17%", "train | 300 | 49.92%", "valid | 140 | 23.29%"]
    assert "\n".join(f"| {row} |" for row in rows) in text
    assert DataReport.read(tmp_path / "events" / "report.json") == report
    assert json.loads(report.metadata()["funnel"]) == report.funnel


def test_a_report_of_an_older_version_is_a_previous_run(tmp_path):
    path = write_log(tmp_path / "log.csv", make_visits("ab"))
    sessionize(path, tmp_path / "before", SessionizeParameters())
    old = json.loads((tmp_path / "before" / "report.json").read_text())
    del old["funnel"], old["findings"]["ties"], old["findings"]["splits_out_of_order"]
    (tmp_path / "before" / "report.json").write_text(json.dumps(old))
    parameters = SessionizeParameters(acceptance=Acceptance(previous_events=str(tmp_path / "before")))
    report = sessionize(path, tmp_path / "events", parameters)
    assert [each["value"] for each in report.drift] == [0.0] * 4
    assert DataReport.read(tmp_path / "before" / "report.json").to_markdown()


def test_a_funnel_that_does_not_add_up_is_none(tmp_path):
    path = write_log(tmp_path / "log.csv", make_visits("ab"))
    values = asdict(sessionize(path, tmp_path / "events", SessionizeParameters()))
    values["funnel"]["read"] += 1
    with pytest.raises(ValueError, match="Expected the funnel to add up to the 601 lines read"):
        DataReport(**values)


@pytest.mark.parametrize("action", ["cut", "drop"])
def test_the_events_of_bots_are_cut_or_dropped(tmp_path, action):
    """A session of 2,500 events among those of people, which are left alone."""
    bot = [(END - 20 * DAY_MS + 1000 * number, "bot", "view", "ab"[number % 2]) for number in range(2500)]
    path = write_log(tmp_path / "log.csv", [*make_visits("ab"), *bot])
    report = sessionize(path, tmp_path / "events", SessionizeParameters(bot_action=action))
    lengths = {len(items) for items in sessions_of(tmp_path / "events", "train").values()}
    assert lengths == ({2, 2000} if action == "cut" else {2})
    assert report.funnel["dropped"] == {"long sessions": 500 if action == "cut" else 2500}
    assert (report.findings["long_sessions"], report.findings["busy_visitors"]) == (1, 0)


@pytest.mark.parametrize(
    "wrong", [{"tie_order": "time"}, {"bot_action": "keep"}, {"max_session_events": -1}, {"max_visitor_events": -1}]
)
def test_parameters_are_checked(wrong):
    with pytest.raises(ValueError, match=f"Expected {next(iter(wrong))}"):
        SessionizeParameters(**wrong)


def test_a_log_without_types_does_not_suffice_where_types_are_chosen(tmp_path):
    (tmp_path / "log.csv").write_text("timestamp,visitorid,itemid\n1420070400000,1,2\n")
    with pytest.raises(ValueError, match=r"Expected each of the columns .*'event'"):
        sessionize(str(tmp_path / "log.csv"), tmp_path / "events", SessionizeParameters(event_types=("cart",)))


def test_an_empty_split_names_the_parameters_that_emptied_it(tmp_path):
    path = write_log(tmp_path / "log.csv", make_visits("ab"))
    with pytest.raises(
        ValueError, match=r"items too rare 600\. Parameters that decide this: min_item_support, test_days"
    ):
        sessionize(path, tmp_path / "events", SessionizeParameters(min_item_support=1000))
    with pytest.raises(ValueError, match=r"sessions too short 600\. Parameters that decide this: min_session_length, "):
        sessionize(path, tmp_path / "events", SessionizeParameters(min_session_length=3))
