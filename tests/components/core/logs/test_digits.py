import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.core.logs import digits
from components.core.logs.digits import read_integers

INTEGERS = st.one_of(st.integers(0, 10**16 - 1), st.integers(0, 16).map(lambda power: min(10**power, 10**16 - 1)))
CANONICAL = INTEGERS.map(str)
WRONG = st.sampled_from(
    ["007", "00", "", "+5", "-0", "1e5", "0x1", " 1", "1.", "12345678901234567", "\u0661", "\r", "\0"]
)


def read(lines, *, delimiter="\t", num_fields=3, fields=(0, 2), end="\n"):
    block = "\n".join(delimiter.join(line) for line in lines) + end
    columns = read_integers(block.encode(), num_fields, ord(delimiter), fields)
    return columns if columns is None else [column.tolist() for column in columns]


@given(
    st.lists(st.tuples(CANONICAL, CANONICAL, CANONICAL), min_size=1),
    st.sampled_from("\t,;|"),
    st.sampled_from(["\n", ""]),
)
def test_integers_are_read_as_they_are(lines, delimiter, end):
    expected = [[int(line[field]) for line in lines] for field in (0, 2)]
    assert read(lines, delimiter=delimiter, end=end) == expected


@given(st.lists(st.lists(CANONICAL, min_size=3, max_size=3), min_size=1), WRONG, st.data())
def test_anything_else_is_left_to_the_other_readers(lines, wrong, data):
    line = data.draw(st.integers(0, len(lines) - 1))
    lines[line][data.draw(st.sampled_from([0, 2]))] = wrong
    assert read(lines) is None


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"\n",
        b"1\t2\t3\n\n",
        b"1\t2\t3\n4\t5\n",
        b"1\t2\t3\n4\t5\t6\t7\n",
        b"1\t2\n3\t4\t5\t6\n",
        b"1\t2\t3\n4\t5,6\n",
    ],
)
def test_lines_with_another_number_of_fields_are_left_to_the_other_readers(block):
    assert read_integers(block, 3, ord("\t"), (0, 2)) is None


def test_a_block_of_several_pieces_is_read_as_one(monkeypatch):
    monkeypatch.setattr(digits, "PIECE_BYTES", 10)
    lines = [(str(number), "1", str(10 * number)) for number in range(100)]
    assert read(lines, end="") == [list(range(100)), list(range(0, 1000, 10))]
    assert read([*lines, ("07", "1", "1")]) is None


def test_a_field_that_is_not_read_may_be_empty_or_have_leading_zeros():
    assert read([("1", "", "10"), ("2", "007", "20"), ("3", "9" * 30, "30")]) == [[1, 2, 3], [10, 20, 30]]
