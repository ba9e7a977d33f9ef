"""Detects file formats by their first bytes: supported formats, and unsupported ones to name in an error."""

import re

GZIP, ZSTD, BZIP2, ZIP, PARQUET = "gzip", "zstd", "bz2", "zip", "Parquet"
COMPRESSED = (GZIP, ZSTD, BZIP2, ZIP)
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
HEAD_BYTES = 512  # enough for every signature

# No header of a text log matches: all but bzip2's block mark have a control character or a non-UTF-8 byte.
MARKS = {
    GZIP: rb"\x1f\x8b",
    ZSTD: rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18",  # a frame or a skippable frame
    BZIP2: rb"BZh[1-9](1AY&SY|\x17rE8P\x90)",
    ZIP: rb"PK(\x03\x04|\x05\x06|\x07\x08)",
    PARQUET: rb"PAR1\x15",  # the magic number and the first byte of a page header or footer
    "a tar archive": rb"(?s)(?=[^\0]+\0).{257}ustar",
    "a 7-Zip archive": rb"7z\xbc\xaf\x27\x1c",
    "a RAR archive": rb"Rar!\x1a\x07",
    "xz": rb"\xfd7zXZ\0",
    "LZ4": rb"\x04\x22\x4d\x18",
    "Snappy": rb"\xff\x06\0\0sNaPpY",
    "compress (.Z)": rb"\x1f\x9d",
    "Avro": rb"Obj\x01",
    "ORC": rb"(?s)ORC[^\r]{1,5}[\0-\x08\x0e-\x1f]",
    "Arrow IPC": rb"ARROW1\0\0",
    "an SQLite database": rb"SQLite format 3\0",
    "an Excel file": rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
}
CONVERT = ("Avro", "ORC", "Arrow IPC", "an SQLite database", "an Excel file")
BYTE_ORDER_MARKS = {  # UTF-32 first, since the mark of UTF-32LE begins with that of UTF-16LE
    b"\xff\xfe\0\0": "UTF-32LE",
    b"\0\0\xfe\xff": "UTF-32BE",
    b"\xff\xfe": "UTF-16LE",
    b"\xfe\xff": "UTF-16BE",
}
# Positions, modulo 4, of the NUL bytes of ASCII characters.
NUL_PLACES = {(1, 3): "UTF-16LE", (0, 2): "UTF-16BE", (1, 2, 3): "UTF-32LE", (0, 1, 2): "UTF-32BE"}


def find_format(head: bytes) -> str:
    """Detects the format of a file from its first HEAD_BYTES bytes; empty for text."""
    return next((name for name, mark in MARKS.items() if re.match(mark, head)), "")


def advise(name: str) -> str:
    """Advice for the user of an unsupported format."""
    return "convert it to Parquet or to UTF-8 text" if name in CONVERT else "unpack it first"


def find_wide_encoding(header: bytes) -> str:
    """Detects UTF-16 and UTF-32 in a header line; empty for another encoding.

    Without a byte order mark, the encoding is detected from the positions of the NUL bytes of ASCII characters.
    """
    for mark, name in BYTE_ORDER_MARKS.items():
        if header.startswith(mark):
            return name
    columns = [header[place::4] for place in range(4)]
    return NUL_PLACES.get(tuple(place for place, column in enumerate(columns) if 2 * column.count(0) > len(column)), "")
