"""Reads blocks of lines of decimal integers, eight digits at a time; `clean_lines` reads all other blocks."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from components.core.logs.texts import Longs

WORD_BYTES = 8
MAX_DIGITS = 2 * WORD_BYTES
PIECE_BYTES = 1 << 19  # larger arrays take longer, because they do not fit in the cache of a core

Words = npt.NDArray[np.uint64]


def _mask_last(num_digits: int) -> int:
    """Mask of the values of the last digits in a little-endian word of eight digits."""
    num_digits = min(max(num_digits, 0), WORD_BYTES)
    return int.from_bytes(bytes(WORD_BYTES - num_digits) + b"\x0f" * num_digits, "little")


# By number of digits: masks of the last eight digits and of those before them, and the least canonical integer.
LAST_DIGITS = np.array([_mask_last(length) for length in range(MAX_DIGITS + 1)], np.uint64)
FIRST_DIGITS = np.array([_mask_last(length - WORD_BYTES) for length in range(MAX_DIGITS + 1)], np.uint64)
LEAST = np.array([0, 0, *(10 ** (length - 1) for length in range(2, MAX_DIGITS + 1))], np.uint64)


def read_integers(block: bytes, num_fields: int, delimiter: int, fields: Sequence[int]) -> list[Longs] | None:
    """Reads columns of integers in canonical form, which is the shortest decimal text.

    Args:
        block: whole lines; the newline of the last one is optional.
        num_fields: number of fields of every line.
        delimiter: field delimiter, an ASCII code.
        fields: positions of the fields to read.

    Returns:
        The columns [num_lines], or None if a byte is neither a digit nor a delimiter nor a newline, a line has another
        number of fields, or an integer to read is not in canonical form or has more than MAX_DIGITS digits.
    """
    pieces: list[list[Longs]] = []
    begin = 0
    while begin < len(block):
        end = block.find(b"\n", begin + PIECE_BYTES) + 1 or len(block)
        columns = _read_piece(block[begin:end], num_fields, delimiter, fields)
        if columns is None:
            return None
        pieces.append(columns)
        begin = end
    return [np.concatenate(column) for column in zip(*pieces, strict=True)] or None


def _read_piece(block: bytes, num_fields: int, delimiter: int, fields: Sequence[int]) -> list[Longs] | None:
    first_line = block[: block.find(b"\n")]
    if not first_line.replace(bytes([delimiter]), b"").isdigit():
        return None
    if not block.endswith(b"\n"):
        block += b"\n"
    data = np.frombuffer(block, np.uint8)
    num_lines = int(np.count_nonzero(data == ord("\n")))
    stops = np.flatnonzero(data - np.uint8(ord("0")) > 9)
    if len(stops) != num_lines * num_fields or np.count_nonzero(data == delimiter) != len(stops) - num_lines:
        return None
    if not (data[stops[num_fields - 1 :: num_fields]] == ord("\n")).all():
        return None
    lengths = stops.copy()
    lengths[1:] -= stops[:-1] + 1
    digits = bytes(MAX_DIGITS) + block
    words: Words = np.ndarray(len(digits) - WORD_BYTES + 1, "<u8", digits, strides=1)  # one begins at each byte
    columns = [_read_column(words, stops[field::num_fields], lengths[field::num_fields]) for field in fields]
    found = [column for column in columns if column is not None]
    return found if len(found) == len(columns) else None


def _read_column(words: Words, stops: Longs, lengths: Longs) -> Longs | None:
    shortest, longest = lengths.min(), lengths.max()
    if shortest < 1 or longest > MAX_DIGITS:
        return None
    begin = stops + (MAX_DIGITS - WORD_BYTES)
    numbers = _parse(words[begin], LAST_DIGITS[lengths])
    if longest > WORD_BYTES:
        begin -= WORD_BYTES
        first = _parse(words[begin], FIRST_DIGITS[lengths])
        first *= np.uint64(10**WORD_BYTES)
        numbers += first
    return None if (numbers < LEAST[lengths]).any() else numbers.view(np.int64)


def _parse(words: Words, masks: Words) -> Words:
    """Parses eight digits per word in place, by D. Lemire, "Quickly parsing eight digits" (2018)."""
    words &= masks
    words *= np.uint64(1 + (10 << 8))
    words >>= np.uint64(8)
    words &= np.uint64(0x00FF00FF00FF00FF)
    words *= np.uint64(1 + (100 << 16))
    words >>= np.uint64(16)
    words &= np.uint64(0x0000FFFF0000FFFF)
    words *= np.uint64(1 + (10_000 << 32))
    words >>= np.uint64(32)
    return words
