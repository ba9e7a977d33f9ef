import bz2
import gzip
import io
import lzma
import sqlite3
import tarfile
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from broken_lines import COLUMNS, HEADER, read

from components.core.logs.files import find_files
from components.core.logs.gzip_stream import GzipStream
from components.core.logs.parts import inspect
from components.core.logs.reader import read_log

LINES = HEADER + b"a\tx\t5\n"
EVENTS = pa.table({"SessionId": ["a"], "ItemId": ["x"], "Time": [5]})


def make_zip(files, compression=zipfile.ZIP_DEFLATED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def make_tar():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        info = tarfile.TarInfo("log.tsv")
        info.size = len(LINES)
        archive.addfile(info, io.BytesIO(LINES))
    return buffer.getvalue()


def make_parquet():
    buffer = io.BytesIO()
    pq.write_table(EVENTS, buffer)
    return buffer.getvalue()


def make_arrow():
    buffer = io.BytesIO()
    with pa.ipc.new_file(buffer, EVENTS.schema) as writer:
        writer.write_table(EVENTS)
    return buffer.getvalue()


def make_database():
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE log (a)")
    return connection.serialize()


def zstd(data):
    return pa.compress(data, codec="zstd", asbytes=True)


def in_frames(data):
    """zstd as its parallel tools write it: a skippable frame before each frame."""
    skippable = b"\x50\x2a\x4d\x18\x04\0\0\0size"
    return b"".join(skippable + zstd(part) for part in (data[:9], data[9:]))


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("log.tsv", LINES),
        ("log.TSV.GZ", gzip.compress(LINES)),
        ("log.tsv.Zst", zstd(LINES)),
        ("log.tsv", gzip.compress(LINES)),
        ("log.tsv", zstd(LINES)),
        ("log.tsv.zst", in_frames(LINES)),
        ("log.tsv.gz", zstd(LINES)),
        ("log.tsv.gz", LINES),
        ("log", gzip.compress(LINES)),
        ("log.tsv.gz", gzip.compress(LINES) + bytes(600_000)),  # as a tape pads it
        ("log.tsv.gz", gzip.compress(LINES[:9]) + bytes(9) + gzip.compress(LINES[9:]) + bytes(9)),
        ("log.csv.GZ", gzip.compress(LINES.replace(b"\t", b","))),
        ("log.CSV", gzip.compress(LINES.replace(b"\t", b","))),
        ("log.parquet", make_parquet()),
        ("log.PQ", make_parquet()),
        ("log.tsv", make_parquet()),
        ("log.tsv.bz2", bz2.compress(LINES)),
        ("log", bz2.compress(LINES[:9]) + bz2.compress(LINES[9:])),  # as its parallel tools write it
        ("log.tsv.zip", make_zip({"log.tsv": LINES})),
        ("log", make_zip({"__MACOSX/._log.csv": b"x", "a/": b"", "a/log.csv": LINES.replace(b"\t", b",")})),
        ("log.ZIP", make_zip({"log.tsv": LINES}, zipfile.ZIP_BZIP2)),
        ("log.tsv", HEADER.replace(b"\n", b"\r") + b"a\tx\t5"),
        ("log.tsv", HEADER.replace(b"\n", b"\r") + b"a\tx\t5\r"),
        ("log.tsv.gz", gzip.compress(HEADER.replace(b"\n", b"\r") + b"a\tx\t5\n")),
    ],
)
def test_the_content_says_what_a_file_is_and_not_its_name(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    [events] = [batch.events for batch in read_log(find_files(str(tmp_path / name)), COLUMNS)]
    assert events.to_pylist() == [{"SessionId": "a", "ItemId": "x", "Time": 5}]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (lzma.compress(LINES), "xz; unpack it first"),
        (pa.compress(LINES, codec="lz4", asbytes=True), "LZ4; unpack it first"),
        (make_tar(), "a tar archive; unpack it first"),
        (make_arrow(), "Arrow IPC; convert it to Parquet or to UTF-8 text"),
        (make_database(), "an SQLite database; convert it to Parquet or to UTF-8 text"),
        (b"Obj\x01\x04\x14avro.codec\x08null", "Avro; convert it to Parquet or to UTF-8 text"),
        (b"ORC\n\x03\x00\x00\n\x12", "ORC; convert it to Parquet or to UTF-8 text"),
        (gzip.compress(make_tar()), "a tar archive inside gzip; unpack it first"),
        (gzip.compress(make_parquet()), "Parquet inside gzip; unpack it first"),
        (zstd(gzip.compress(LINES)), "gzip inside zstd; unpack it first"),
        (make_zip({"log.tsv.gz": gzip.compress(LINES)}), "gzip inside zip; unpack it first"),
    ],
)
@pytest.mark.parametrize("name", ["log.tsv", "log.parquet", "log.tsv.gz"])
def test_other_formats_are_named(tmp_path, name, data, message):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ValueError, match=f"Expected .*{name} to be Parquet, or UTF-8 text.* Received: {message}$"):
        read(tmp_path / name)


@pytest.mark.parametrize("size", [1, 9, 5_000, 1 << 20])
@pytest.mark.parametrize("text", [b"", b"\0" * 3_000_000, np.random.default_rng(0).bytes(600_000)])
def test_gzip_is_unpacked_up_to_its_end(text, size):
    packed = gzip.compress(text)
    stream = GzipStream(io.BytesIO(packed))
    found = b"".join(iter(lambda: stream.read(max(size, len(text) // 1_000)), b""))
    assert found == text
    for cut in (1, 8, len(packed) // 2):
        with pytest.raises(OSError, match="gzip: the stream is truncated"):
            GzipStream(io.BytesIO(packed[:-cut])).read(len(text) + 1)
    with pytest.raises(OSError, match=r"gzip: .*incorrect header check"):
        GzipStream(io.BytesIO(packed + bytes(9) + b"junk")).read(len(text) + 1)


@pytest.mark.parametrize("text", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, zstd, lambda text: make_zip({"log.tsv": text})])
def test_an_empty_file_is_called_so_whether_compressed_or_not(tmp_path, text, pack):
    (tmp_path / "log.tsv").write_bytes(pack(text))
    with pytest.raises(ValueError, match=r"Received: an empty file$"):
        read(tmp_path / "log.tsv")
    (tmp_path / "log.tsv").write_bytes(pack(text + b"\n" + LINES))
    with pytest.raises(ValueError, match=r"Received: a blank first line; remove it$"):
        read(tmp_path / "log.tsv")


@pytest.mark.parametrize("encoding", ["UTF-16LE", "UTF-16BE", "UTF-32LE", "UTF-32BE"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_wide_encodings_are_named(tmp_path, encoding, mark, pack):
    (tmp_path / "log.tsv").write_bytes(pack((mark + LINES.decode()).encode(encoding)))
    with pytest.raises(
        ValueError, match=f"Expected UTF-8 text in .* Received: {encoding}; convert it.*iconv -f {encoding}"
    ):
        read(tmp_path / "log.tsv")


@pytest.mark.parametrize("end", [b"", b"\r", b"\n"])
@pytest.mark.parametrize("num_lines", [1, 50_000])
def test_lines_may_end_in_carriage_returns_alone(tmp_path, end, num_lines):
    (tmp_path / "log.tsv").write_bytes(HEADER.replace(b"\n", b"\r") + b"\r".join([b"a\tx\t5"] * num_lines) + end)
    accepted, rejected = read(tmp_path / "log.tsv")
    assert accepted == [(line, "a", "x", 5) for line in range(2, 2 + num_lines)]
    assert not rejected


@pytest.mark.parametrize(
    "column", ["PK", "BZh9", "PAR1", "Obj", "7z", "Rar!", "ARROW1", "SQLite format 3", "sNaPpY", "ustar" * 60]
)
def test_a_header_is_not_taken_for_a_format(tmp_path, column):
    (tmp_path / "log.tsv").write_bytes(f"{column}\tTime\tSessionId\tItemId\n\0\t5\ta\tx\n1\t6\ta\ty\n".encode())
    accepted, _ = read(tmp_path / "log.tsv")
    assert accepted == [(3, "a", "y", 6)]


def test_every_file_is_looked_into_before_one_is_read(tmp_path):
    """A file at the end that cannot be read is refused before the step has read the others."""
    (tmp_path / "1.tsv").write_bytes(LINES)
    (tmp_path / "2.tsv").write_bytes(b"SessionId\tItem\tTime\n")
    with pytest.raises(ValueError, match=r"once in .*2\.tsv"):
        read_log(find_files(str(tmp_path)), COLUMNS)


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("log", bytes),
        ("log.gz", gzip.compress),
        ("log.zst", zstd),
        ("log.bz2", bz2.compress),
        ("log.zip", lambda data: make_zip({"log": data})),
    ],
)
@pytest.mark.parametrize("line", [b"1\t2\t3\n", b"11\t22\t1441412644102\n"])
def test_no_file_holds_more_than_its_bound(tmp_path, name, pack, line):
    """The lines are the shortest ones that are accepted, and as alike as they can be."""
    data = HEADER + line * 300_000
    (tmp_path / name).write_bytes(pack(data))
    [file] = find_files(str(tmp_path / name))
    part = inspect(file, COLUMNS)
    assert part.max_lines >= 300_000
    assert part.max_bytes >= len(data)
    if line == b"1\t2\t3\n" and part.codec is None:
        assert part.max_lines <= 300_000 + len(HEADER)
