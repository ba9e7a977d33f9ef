import pytest
from broken_lines import COLUMNS, SPLICES, mutate, read_events, read_quoted_by_hand
from hypothesis import example, given, settings
from hypothesis import strategies as st

from components.core.logs import quotes
from components.core.logs.files import find_files
from components.core.logs.reader import read_log

HEADER = b"SessionId,ItemId,Time\n"
PIECES = st.sampled_from(
    [b'"', b'""', b",", b"\n", b"\r\n", b"\r", b"a", b"\xc3\xa9", b"\xff", b"\0", b"1441412644102", b's,i,5\n',
     b'"s","i",5\n', b'"s,""\n",i,"5"\r\n', b's,5" pipe,5\n', b'"x' * 3]
)  # fmt: skip
LINES = [
    b's%d,i%d,%d\n', b'"s%d","i%d","%d"\n', b'"s%d\n""x","i,%d",%d\r\n', b'"%d",%d,%d\n',
]  # fmt: skip


def compare(path, data):
    path.write_bytes(data)
    assert read_events(path, COLUMNS) == read_quoted_by_hand(data), data


@settings(max_examples=150, deadline=None)
@given(st.lists(PIECES, max_size=25))
@example([b'"s","i",5\r'])
@example([b'"s","i\r\n"",",5\r\n'])
@example([b'"s""","""i",5\n'])
@example([b's,i,"5" \n', b"s,i,5\n"])
@example([b'"s,i,5\n', b's,"i",5\n'])
def test_every_record_is_read_or_rejected_as_a_reading_by_hand_does(tmp_path_factory, pieces):
    compare(tmp_path_factory.mktemp("log") / "log.csv", HEADER + b"".join(pieces))


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("block_bytes", [1 << 21, 100])
def test_a_mutated_log_loses_nothing(tmp_path, monkeypatch, line, block_bytes):
    monkeypatch.setattr("components.core.logs.reader.BLOCK_BYTES", block_bytes)
    clean = b"".join(line % (row // 3, row % 7, 1441412644102 + row) for row in range(40))
    for seed in range(30):
        compare(tmp_path / "log.csv", HEADER + mutate(clean, seed, [*SPLICES, b",", b'""', b'",', b',"']))


def test_a_quote_that_never_ends_costs_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(quotes, "MAX_RECORD_BYTES", 1000)
    monkeypatch.setattr("components.core.logs.reader.BLOCK_BYTES", 300)
    lines = [b"s,i,%d\n" % row for row in range(2000)]
    lines[500] = b's,"i,500\n'
    (tmp_path / "log.csv").write_bytes(HEADER + b"".join(lines))
    accepted, rejected = read_events(tmp_path / "log.csv", COLUMNS)
    assert [time for _, _, time in accepted] == [row for row in range(2000) if row != 500]
    assert rejected == [(502, "quote inside of a field", 's,"i,500')]


@pytest.mark.parametrize("size", [900, 1100])
def test_a_record_over_several_lines_is_at_most_so_long(tmp_path, monkeypatch, size):
    monkeypatch.setattr(quotes, "MAX_RECORD_BYTES", 1000)
    text = b"\n".join([b"x" * 9] * (size // 10))
    (tmp_path / "log.csv").write_bytes(b'Note,SessionId,ItemId,Time\n"' + text + b'",s,i,5\n,s,i,6\n')
    accepted, _ = read_events(tmp_path / "log.csv", COLUMNS)
    assert accepted == [("s", "i", 5), ("s", "i", 6)][size > 1000 :]


@pytest.mark.parametrize(
    ("name", "quoting", "item"),
    [
        ("log.csv", "auto", 'a"b'), ("log.csv", "none", '"a""b"'),
        ("log.tsv", "auto", '"a""b"'), ("log.tsv", "rfc4180", 'a"b'),
    ],
)  # fmt: skip
def test_the_delimiter_says_whether_quotes_enclose_fields(tmp_path, name, quoting, item):
    from dataclasses import replace

    text = 'SessionId,ItemId,Time\ns,"a""b",5\n'
    (tmp_path / name).write_text(text.replace(",", "\t") if name == "log.tsv" else text)
    columns = replace(COLUMNS, form=replace(COLUMNS.form, quoting=quoting))
    assert read_events(tmp_path / name, columns) == ([("s", item, 5)], [])


def test_names_in_the_header_may_have_quotes(tmp_path):
    (tmp_path / "log.csv").write_text('"Time";"SessionId";"a;b";"ItemId"\n"5";s;x;"1;2"\n')
    assert read_events(tmp_path / "log.csv", COLUMNS) == ([("s", "1;2", 5)], [])


@pytest.mark.parametrize(
    ("lines", "num_rejected"),
    [
        ([b's,"i,5\n', *[b"s,i,5\n"] * 5_000], 1),
        ([b's,i"i,5\n', *[b"s,i,5\n"] * 5_000, b's,i"i,5\n'], 2),
        ([b'"\n', *[b'""\n'] * 5_000], 5_001),  # a field that does not end
    ],
)
def test_few_lines_are_split_one_by_one(tmp_path, monkeypatch, lines, num_rejected):
    split, sizes = quotes.split_fields, []

    def split_and_count(record, delimiter):
        sizes.append(len(record))
        return split(record, delimiter)

    data = HEADER + b"s,i,5\n" + b"".join(lines)
    (tmp_path / "log.csv").write_bytes(data)
    files = find_files(str(tmp_path / "log.csv"))
    batches = read_log(files, COLUMNS)
    monkeypatch.setattr(quotes, "split_fields", split_and_count)
    assert sum(len(batch.rejected) for batch in batches if batch.rejected is not None) == num_rejected
    assert sum(sizes) <= len(data)
    assert len(sizes) <= 2 + data.count(b'"')


def test_lines_between_records_with_stray_quotes_keep_their_order(tmp_path):
    lines = [b"s,i,%d\n" % row for row in range(300)]
    lines[::7] = [b's,"i\n""",%d\n' % row for row in range(0, 300, 7)]
    lines[::5] = [b's,i"i,%d\n' % row for row in range(0, 300, 5)]
    lines[3::50] = [b"s,,%d\n" % row for row in range(3, 300, 50)]
    compare(tmp_path / "log.csv", HEADER + b"".join(lines))
