import json
import re
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from broken_lines import read_events

from components.core.logs.columns import LogColumns, LogForm
from components.core.logs.files import find_files
from components.core.logs.reader import read_log

T = 1_441_412_644_102


def make(text=("s", "i"), time="t", optional=(), **form):
    return LogColumns(text=text, time=time, optional=optional, form=LogForm(**form))


@pytest.mark.parametrize(
    ("name", "data", "columns"),
    [
        ("log.csv", f"s,i,t\n1,2,{T}\n", make()),
        ("log.txt", f"s,i,t\n1,2,{T}\n", make()),
        ("log.csv", f"s;i;t\n1;2;{T}\n", make()),
        ("log.dat", f"t|s|i|\n{T}|1|2|\n", make()),
        ("log.tsv", f"s\ti,j\tt\ti\n1\t9\t{T}\t2\n", make()),
        ("log.csv", f"s::i::t\n1::2::{T}\n", make(delimiter="::")),
        ("log.csv", f"1,2,x,{T}\n", make(text=("1", "2"), time="4", has_header=False)),
        ("log.dat", f"\ufeff1,{T},2,0\r\n", make(column_names=("s", "t", "i", "category"))),
        ("log", f"1 2 {T}\n", make(text=("1", "2"), time="3", has_header=False, delimiter=" ")),
        ("log.dat", f"1::2::5::{T}\n", make(column_names=("s", "i", "rating", "t"), delimiter="::")),
    ],
)  # fmt: skip
def test_files_with_and_without_a_header(tmp_path, name, data, columns):
    (tmp_path / name).write_text(data, newline="")
    assert read_events(tmp_path / name, columns) == ([("1", "2", T)], [])


@pytest.mark.parametrize(
    ("data", "columns", "message"),
    [
        (f"1,2,{T}\n", make(column_names=("s", "i", "t", "x")), "to have s, i, t, x.* Received: 3 fields in the line"),
        (f"1,2,{T}\n", make(text=("1", "2"), time="4", has_header=False), "fields with the numbers 1, 2, 4"),
        ("", make(has_header=False), "an empty file"),
        (f"1,2,{T}\n", make(), "set column_names to the names of all columns"),
        (f"s,i,t\r1,2,{T}\n1,2,{T}\n", make(), "Received: .* The line ends are mixed, .* convert them"),
        (f"s,i,t\r1,2,{T}\r\n1,2,{T}\r\n", make(), "Received: .* The line ends are mixed, .* convert them"),
        (
            f"1,2,{T}\r1,2,{T}\n1,2,{T}\n",
            make(text=("1", "2"), time="3", column_names=("1", "2", "3")),
            "5 fields.* are mixed",
        ),
    ],
)
def test_a_first_line_without_the_columns_says_so(tmp_path, data, columns, message):
    (tmp_path / "log.csv").write_text(data)
    with pytest.raises(ValueError, match=message):
        read_log(find_files(str(tmp_path / "log.csv")), columns)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("log.csv", "," * 1_000_000, r"Received: \['', .* and 999,981 more\]\. Set the "),
        ("log.csv", ",".join(f"name{number}" for number in range(1_000)), r"'name19', ... and 980 more\]\. Set the "),
        ("log.csv", "x" * 5_000 + ",y", r"Received: \['x{80}\.\.\.', 'y'\]\. Set the "),
        ("log.json", json.dumps(dict.fromkeys(map(str, range(1_000)), 1)), r"'19', ... and 980 more\]\. Set the "),
        ("log.csv", ",".join(["s", "i", "t", *(f"event{number}" for number in range(1_000))]), "and 980 more may have"),
    ],
)
def test_a_message_about_many_columns_is_short(tmp_path, name, text, expected):
    (tmp_path / name).write_text(f"{text}\n1,2,3\n")
    with pytest.raises(ValueError, match=expected) as failure:
        read_log(find_files(str(tmp_path / name)), make(("s", "i", "event"), optional=("event",)))
    assert len(str(failure.value)) < 1_000


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("user,product,when\nu,p,1\n", "Set the parameters with the names of columns"),
        ("S,I,T\nu,p,1\n", "Case and spaces count. Set the parameters with the names of columns"),
        ("s::i::t\nu::p::1\n", "The line is a single field: set delimiter to what separates the fields of the file"),
        ("sep=;\ns;i;t\nu;p;1\n", "Remove the first line, a note for spreadsheets, and set delimiter=;"),
        ("s,i,t,s\nu,p,1,u\n", "s stands there more than once: rename the others"),
    ],
)
def test_a_message_about_missing_columns_says_what_to_do(tmp_path, text, advice):
    (tmp_path / "log.csv").write_text(text)
    with pytest.raises(ValueError, match=re.escape(f"]. {advice}") + r"[^.]*$"):
        read_log(find_files(str(tmp_path / "log.csv")), LogColumns(text=("s", "i"), time="t"))


def test_a_path_in_parquet_is_explained(tmp_path):
    table = pa.table({"s": ["u"], "items": pa.array([[{"id": "p"}]]), "t": [1]})
    pq.write_table(table, tmp_path / "log.parquet")
    with pytest.raises(ValueError, match=r"Paths such as items\.id are read in JSON lines only: export those"):
        read_log(find_files(str(tmp_path / "log.parquet")), LogColumns(text=("s", "items.id"), time="t"))


def test_a_message_about_parquet_is_short(tmp_path):
    columns = {f"name{number}": pa.array([1]) for number in range(1_000)}
    path = tmp_path / "log.parquet"
    pq.write_table(pa.table(columns), path)
    with pytest.raises(ValueError, match=r"'name19', ... and 980 more\]\. Set the "):
        read_log(find_files(str(path)), make())
    pq.write_table(pa.table({"i": [1], "t": [T], "s": pa.array([dict.fromkeys(columns, 1)])}), path)
    with pytest.raises(ValueError, match=r"in the column s of .*Received: struct<name0: int64, .*\.\.\.$") as failure:
        read_log(find_files(str(path)), make())
    assert len(str(failure.value)) < 1_000


def test_a_message_about_many_files_in_an_archive_is_short(tmp_path):
    with zipfile.ZipFile(tmp_path / "log.zip", "w") as archive:
        for number in range(30):
            archive.writestr(f"{number}{'x' * 1_000}", "x")
    with pytest.raises(ValueError, match=r"Received: 0x{79}\.\.\., 1x.* and 10 more\. Unpack it"):
        read_log(find_files(str(tmp_path / "log.zip")), make())


def test_the_first_line_without_a_header_has_the_number_1(tmp_path):
    (tmp_path / "log.csv").write_text(f"1,2\n1,2,{T}\n3,4,x\n" + f"1,2,{T}\n" * 10)
    columns = make(text=("1", "2"), time="3", has_header=False, delimiter=",")
    with pytest.raises(ValueError, match="Received: 2 fields"):
        read_log(find_files(str(tmp_path / "log.csv")), columns)
    (tmp_path / "log.csv").write_text(f"1,2,{T}\n3,4,x\n" + f"1,2,{T}\n" * 10)
    accepted, rejected = read_events(tmp_path / "log.csv", columns)
    assert len(accepted) == 11
    assert [(line, text) for line, _, text in rejected] == [(2, "3,4,x")]


def test_a_long_delimiter_is_shown_and_its_stand_in_is_no_delimiter(tmp_path):
    lines = [f"1::2::{T}"] * 5 + [f"1\x1f2\x1f{T}", "1::2", f"1:2::3::{T}"]
    (tmp_path / "log.dat").write_text("\n".join(lines) + "\n")
    columns = make(text=("1", "2"), time="3", has_header=False, delimiter="::")
    accepted, rejected = read_events(tmp_path / "log.dat", columns)
    assert accepted == [("1", "2", T)] * 5 + [("1:2", "3", T)]
    assert rejected == [
        (6, "NUL byte", f"1\\x002\\x00{T}"), (7, "wrong number of fields, not 3", "1::2"),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["log.csv", "log.parquet", "log.jsonl"])
def test_folders_of_a_path_give_columns(tmp_path, name):
    for date, event in (("2015-05-01", "view"), ("2015-05-02", "add%20to cart")):
        path = tmp_path / f"date={date}" / f"event={event}" / name
        path.parent.mkdir(parents=True)
        if name == "log.csv":
            path.write_text("s,i\n1,2\n")
        elif name == "log.jsonl":
            path.write_text('{"s": 1, "i": 2}\n')
        else:
            pq.write_table(pa.table({"s": [1], "i": [2]}), path)
    rows = [tuple(row.values()) for batch in read_log(find_files(str(tmp_path)), make(("s", "i", "event"), "date"))
            for row in batch.events.cast(pa.schema([*((n, pa.string()) for n in ("s", "i", "event")), ("date", pa.int64())])).to_pylist()]  # noqa: E501  # fmt: skip
    assert rows == [("1", "2", "view", 1430438400000), ("1", "2", "add to cart", 1430524800000)]


def test_a_column_of_the_file_comes_before_one_of_its_path(tmp_path):
    (tmp_path / "s=9").mkdir()
    (tmp_path / "s=9" / "log.csv").write_text(f"s,i,t\n1,2,{T}\n")
    assert read_events(tmp_path / "s=9" / "log.csv", make())[0] == [("1", "2", T)]


def test_an_optional_column_may_be_missing(tmp_path):
    (tmp_path / "1.csv").write_text(f"s,i,event,t\n1,2,view,{T}\n")
    (tmp_path / "2.csv").write_text(f"s,i,eventdate,t\n3,4,x,{T}\n")
    with_event, without = read_log(find_files(str(tmp_path)), make(("s", "i", "event"), optional=("event",)))
    assert (with_event.events.schema.names, with_event.missing) == (["s", "i", "event", "t"], ())
    assert (without.events.schema.names, without.missing) == (["s", "i", "t"], ("event",))


@pytest.mark.parametrize("other", ["event_type", "action", "behavior", "Interaction", "type"])
def test_an_optional_column_that_may_have_another_name_is_refused(tmp_path, other):
    (tmp_path / "log.csv").write_text(f"s,i,{other},t\n1,2,view,{T}\n")
    with pytest.raises(ValueError, match=f"has no column event, but {other} may have .* event_column={other}"):
        read_log(find_files(str(tmp_path / "log.csv")), make(("s", "i", "event"), optional=("event",)))


def test_a_zip_archive_with_several_files_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "log.zip", "w") as archive:
        archive.writestr("a.csv", "x")
        archive.writestr("b.csv", "x")
    with pytest.raises(ValueError, match=r"Expected one file in the zip archive .*log\.zip\. Received: a\.csv, b\.csv"):
        read_log(find_files(str(tmp_path / "log.zip")), make())


def test_a_damaged_zip_archive_says_so(tmp_path):
    with zipfile.ZipFile(tmp_path / "log.zip", "w") as archive:
        archive.writestr("a.csv", "s,i,t\n" + f"1,2,{T}\n" * 9)
    data = bytearray((tmp_path / "log.zip").read_bytes())
    data[60] ^= 1
    (tmp_path / "log.zip").write_bytes(data)
    with pytest.raises(ValueError, match=r"Expected to read the zip archive .*log\.zip to its end"):
        list(read_log(find_files(str(tmp_path / "log.zip")), make()))
    (tmp_path / "log.zip").write_bytes(data[:80])
    with pytest.raises(ValueError, match=r"Expected to read the zip archive .*log\.zip to its end"):
        read_log(find_files(str(tmp_path / "log.zip")), make())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"\ns,i,t\n1,2,{T}\n", "a blank first line; remove it"),
        (f"S, i ,t\n1,2,{T}\n", "Case and spaces count"),
        (f"s:i:t\n1:2:{T}\n", r"Expected each of the columns"),
    ],
)
def test_a_header_that_nearly_fits_says_what_differs(tmp_path, text, message):
    (tmp_path / "log.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_log(find_files(str(tmp_path / "log.csv")), make())


def test_a_given_delimiter_that_is_another_one_says_so(tmp_path):
    (tmp_path / "log.csv").write_text(f"s;i;t\n1;2;{T}\n")
    with pytest.raises(ValueError, match="The delimiter of the file is ';': set delimiter=;"):
        read_log(find_files(str(tmp_path / "log.csv")), make(delimiter=","))
    (tmp_path / "log.csv").write_text(f"s\ti\tt\n1\t2\t{T}\n")
    assert read_events(tmp_path / "log.csv", make(delimiter=r"\t"))[0] == [("1", "2", T)]


def test_empty_files_among_others_are_left_out(tmp_path):
    (tmp_path / "1.csv").write_text("")
    with pytest.raises(ValueError, match="an empty file"):
        read_log(find_files(str(tmp_path)), make())
    (tmp_path / "2.csv").write_text(f"s,i,t\n1,2,{T}\n")
    assert read_events(tmp_path, make())[0] == [("1", "2", T)]


def test_a_spreadsheet_and_an_empty_archive_are_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "log.xlsx", "w") as archive:
        archive.writestr("[Content_Types].xml", "")
        archive.writestr("xl/workbook.xml", "")
    with pytest.raises(ValueError, match="an Office file, such as Excel's; save it as CSV"):
        read_log(find_files(str(tmp_path / "log.xlsx")), make())
    zipfile.ZipFile(tmp_path / "empty.zip", "w").close()
    (tmp_path / "short.zip").write_bytes(b"PK\x03\x04")
    for name in ("empty.zip", "short.zip"):
        with pytest.raises(ValueError, match=f"zip archive .*{name}"):
            read_log(find_files(str(tmp_path / name)), make())


def test_a_pipe_is_refused(tmp_path):
    import os

    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="a pipe or a device; save it as a file"):
        find_files(str(tmp_path / "pipe"))


def test_a_column_that_is_there_twice_is_not_blamed_on_case(tmp_path):
    (tmp_path / "log.csv").write_text(f"s,i,t,t\n1,2,{T},{T}\n")
    with pytest.raises(ValueError, match=r"once in .*Received: \['s', 'i', 't', 't'\]\. t stands there more"):
        read_log(find_files(str(tmp_path / "log.csv")), make())


def test_a_column_that_is_read_is_no_event_type(tmp_path):
    """Whatever its name: only a column that nobody asked for may have the type of the events."""
    (tmp_path / "log.csv").write_text(f"s,item_type,t\n1,2,{T}\n")
    [batch] = read_log(find_files(str(tmp_path / "log.csv")), make(("s", "item_type", "event"), optional=("event",)))
    assert batch.missing == ("event",)
