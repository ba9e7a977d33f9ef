import json

import pytest
from broken_lines import COLUMNS, SPLICES, mutate, read_events, read_json_by_hand
from hypothesis import example, given, settings
from hypothesis import strategies as st

from components.core.logs.columns import LogColumns, LogForm

OTTO = LogColumns(text=("session", "events.aid"), time="events.ts", form=LogForm(time_format="milliseconds"))
VALUES = st.sampled_from(
    ['"a"', '"\\u0041"', '"\\ud800"', '"\\u0000"', '""', "5", "-0", "-5", "007", "1.0", "1e3", "99999999999999999999",
     "null", "true", "[1]", '{"ItemId": 2}', "NaN", '"' + "x" * 300 + '"', "1441412644102", '"1441412644102"', '"é"']
)  # fmt: skip
LINES = [
    '{{"SessionId":{},"ItemId":{},"Time":{}}}\n',
    '{{"ItemId": {1}, "Time": {2}, "SessionId": {0}, "x": {{"a": [1]}}}}\r\n',
    '{{"SessionId":{},"ItemId":{},"ItemId":{}}}\n', '[{},{},{}]\n', '{{"SessionId":{},"ItemId":{}}}{}\n', "{}{}{}\n",
]  # fmt: skip
FIRST = b'{"SessionId":1,"ItemId":2,"Time":3}\n'


def compare(path, data):
    path.write_bytes(data)
    assert read_events(path, COLUMNS) == read_json_by_hand(data), data


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(LINES), VALUES, VALUES, VALUES), max_size=8), st.booleans())
@example([(LINES[0], '"a"', "-0", "5")], True)
def test_every_line_is_accepted_or_rejected_as_a_reading_by_hand_does(tmp_path_factory, lines, ends):
    text = "".join(line.format(*values) for line, *values in lines)
    data = FIRST + (text if ends else text.removesuffix("\n")).encode()
    compare(tmp_path_factory.mktemp("log") / "log.jsonl", data)


@pytest.mark.parametrize(
    "line", ['{"SessionId":"s%d","ItemId":%d,"Time":%d}\n', '{"ItemId":"%d","Time":%d,"SessionId":%d}\n']
)
@pytest.mark.parametrize("block_bytes", [1 << 21, 100])
def test_a_mutated_log_loses_nothing(tmp_path, monkeypatch, line, block_bytes):
    monkeypatch.setattr("components.core.logs.reader.BLOCK_BYTES", block_bytes)
    clean = "".join(line % (row // 3, row, row) for row in range(40)).encode()
    splices = [*SPLICES, b"{", b"}", b"}\n{", b"\\", b",", b'"Time":', b"null"]
    for seed in range(40):
        compare(tmp_path / "log.jsonl", FIRST + mutate(clean, seed, splices))


def test_a_session_a_line_with_its_events(tmp_path):
    lines = [
        {"session": 12, "events": [{"aid": 5, "ts": 10, "type": "clicks"}, {"aid": 6, "ts": 11, "type": "carts"}]},
        {"session": 13, "events": []},
        {"session": 14, "events": [{"aid": 7, "ts": 12}, {"aid": None, "ts": 13}, {"aid": 8, "ts": -1}, 3]},
        {"session": 15},
        {"session": "x", "events": [{"aid": "007", "ts": 14}]},
    ]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    accepted, rejected = read_events(tmp_path / "log.jsonl", OTTO)
    assert accepted == [("12", "5", 10), ("12", "6", 11), ("14", "7", 12), ("x", "007", 14)]
    assert [(line, reason) for line, reason, _ in rejected] == [
        (2, "empty events"), (3, "empty events.aid"), (3, "events.ts is negative"), (3, "empty events.aid"),
        (4, "no list events"),
    ]  # fmt: skip


def test_lists_of_events_over_blocks_are_read_fast_and_one_by_one_alike(tmp_path, monkeypatch):
    """The first file is valid; in the second, a broken line sends each block through the reading of single lines."""
    sessions = [
        {
            "session": row,
            "events": [{"aid": row * 7 % 50, "ts": row * 10 + k, "type": "clicks"} for k in range(1 + row % 4)],
        }
        for row in range(200)
    ]
    text = "".join(json.dumps(session, separators=(",", ":")) + "\n" for session in sessions)
    expected = [(str(s["session"]), str(e["aid"]), e["ts"]) for s in sessions for e in s["events"]]
    for block_bytes in (1 << 21, 500):
        monkeypatch.setattr("components.core.logs.reader.BLOCK_BYTES", block_bytes)
        (tmp_path / "log.jsonl").write_text(text)
        assert read_events(tmp_path / "log.jsonl", OTTO) == (expected, [])
        (tmp_path / "log.jsonl").write_text(text + "{\n")
        assert read_events(tmp_path / "log.jsonl", OTTO) == (expected, [(201, "invalid JSON", "{")])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"SessionId": 1, "item": 2}\n',
         r"Expected the keys \['SessionId', 'ItemId', 'Time'\].*\['SessionId', 'item'\]"),
        ('[{"SessionId": 1}]', "a JSON array; convert it"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_says_so(tmp_path, text, message):
    (tmp_path / "log.jsonl").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_events(tmp_path / "log.jsonl", COLUMNS)


def test_a_key_may_have_a_dot(tmp_path):
    columns = LogColumns(text=("user.id", "item.id"), time="Time", form=LogForm(time_format="milliseconds"))
    (tmp_path / "log").write_text('{"user.id": "u", "item": {"id": "i"}, "Time": 5}\n')
    assert read_events(tmp_path / "log", columns) == ([("u", "i", 5)], [])


@pytest.mark.parametrize("item", ["5.0", "1e3", "NaN", "12345678901234561000.0", "true"])
@pytest.mark.parametrize("is_first", [True, False])
def test_a_number_with_a_fraction_is_no_id(tmp_path, item, is_first):
    """Also if the first line has it, by which the fast reading chooses its types."""
    lines = [f'{{"SessionId":1,"ItemId":{item},"Time":5}}\n', '{"SessionId":1,"ItemId":9007199254740993,"Time":6}\n']
    (tmp_path / "log").write_text("".join(lines if is_first else lines[::-1]))
    accepted, rejected = read_events(tmp_path / "log", COLUMNS)
    assert accepted == [("1", "9007199254740993", 6)]
    assert [reason for _, reason, _ in rejected] == ["ItemId is neither text nor a whole number"]


def test_times_may_be_fractions_of_seconds(tmp_path):
    columns = LogColumns(text=("SessionId", "ItemId"), time="Time")
    times = [1396867869.277, 1396867870.5, 1396867871]
    (tmp_path / "log").write_text("".join(f'{{"SessionId":1,"ItemId":2,"Time":{time}}}\n' for time in times))
    expected = [("1", "2", round(time * 1000)) for time in times]
    assert read_events(tmp_path / "log", columns) == (expected, [])
