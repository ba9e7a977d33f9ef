import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from components.core.logs.texts import find_invalid, find_invalid_values, gather, show, show_all

PIECES = st.sampled_from(
    [b"a", b"\n", b"\0", b"\xc3\xa9", b"\xc3", b"\xa9", b"\xe6\x97\xa5", b"\xe6\x97", b"\xe0\x80\x80", b"\xed\xa0\x80",
     b"\xed\x9f\xbf", b"\xf0\x9f\x98\x80", b"\xf0\x9f\x98", b"\xf0\x80\x80\x80", b"\xf4\x90\x80\x80", b"\xc0\x80",
     b"\xff"]
)  # fmt: skip
VALUES = st.lists(st.one_of(st.binary(max_size=9), st.lists(PIECES, max_size=6).map(b"".join)), max_size=8)


def show_by_hand(value):
    return value.decode(errors="backslashreplace").replace("\0", "\\x00")


def is_valid(value):
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


@given(VALUES)
@example([b"\xc3", b"\xa9"])
def test_values_are_shown_and_checked_one_by_one(values):
    column = pa.array([b"cut off", *values], pa.binary())[1:]
    assert show_all(column).to_pylist() == [show_by_hand(value) for value in values]
    assert find_invalid_values(column).tolist() == [not is_valid(value) for value in values]


@given(st.one_of(st.binary(), st.lists(PIECES).map(b"".join)))
def test_invalid_bytes_are_those_that_a_decoder_leaves_out(data):
    kept = np.delete(np.frombuffer(data, np.uint8), find_invalid(np.frombuffer(data, np.uint8))).tobytes()
    assert kept == data.decode(errors="ignore").encode()


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (b"x" * 4096, "x" * 4096),
        (b"x" * 4097, "x" * 4096 + "... (4097 bytes)"),
        (b"x" * 4095 + "é".encode(), "x" * 4095 + "\\xc3... (4097 bytes)"),
    ],
)
def test_long_values_are_cut(value, shown):
    assert show(value) == shown
    assert show_all(pa.array([b"\0", value, b"b"])).to_pylist() == ["\\x00", shown, "b"]


def test_slices_are_gathered_without_the_gaps():
    data = np.frombuffer(b"ab\xffcd\0e", np.uint8)
    begin, stop = np.array([0, 3, 4, 5, 6], np.int32), np.array([2, 3, 5, 5, 7], np.int32)
    assert gather(data, begin, stop).to_pylist() == ["ab", "", "d", "", "e"]
    assert gather(data, begin[:0], stop[:0]).to_pylist() == []
