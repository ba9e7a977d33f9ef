"""Vectorised text functions: slicing bytes into columns, validating UTF-8, escaping invalid bytes."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

MAX_TEXT_BYTES = 4096  # maximum length of the text of a rejected line
HEX_DIGITS = np.frombuffer(b"0123456789abcdef", np.uint8)

Bytes = npt.NDArray[np.uint8]
Positions = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


def gather(data: Bytes, begin: Positions, stop: Positions) -> pa.StringArray:
    """Copies slices of the bytes into a column of strings; the caller checks that they are valid UTF-8.

    Args:
        data: [num_bytes] the bytes.
        begin: [num_slices] position of the first byte of each slice, not before the end of the previous slice.
        stop: [num_slices] position after the last byte of each slice.
    """
    if not len(begin):
        return pa.array([], pa.string())
    # The slices and the gaps between them form one column over the same bytes; every second value is a slice.
    bounds = np.column_stack([begin, stop]).ravel()
    num_pieces = len(bounds) - 1
    pieces = pa.StringArray.from_buffers(num_pieces, pa.py_buffer(bounds), pa.py_buffer(data))
    return pieces.take(pa.array(np.arange(0, num_pieces, 2, dtype=np.int32)))


def get_buffers(texts: pa.StringArray | pa.BinaryArray) -> tuple[Positions, Bytes]:
    """Offsets [num_texts + 1] of the texts, and the bytes that they refer to."""
    _, offsets, data = texts.buffers()
    begin = texts.offset
    bounds = np.frombuffer(offsets, np.int32)[begin : begin + len(texts) + 1] if len(texts) else np.zeros(1, np.int32)
    return bounds, np.frombuffer(data or b"", np.uint8)


def to_mask(values: pa.BooleanArray) -> Mask:
    """Converts booleans without nulls to NumPy."""
    mask: Mask = values.to_numpy(zero_copy_only=False)
    return mask


def is_utf8(data: bytes) -> bool:
    """Whether the bytes are valid UTF-8."""
    if data.isascii():
        return True
    try:
        str(memoryview(data), "utf-8")
    except UnicodeDecodeError:
        return False
    return True


def find_invalid(data: Bytes) -> Longs:
    """Positions of the bytes that are not part of a well-formed UTF-8 sequence (Unicode 16.0, table 3-7)."""
    high = np.flatnonzero(data >= 0x80)
    padded = np.append(data, np.zeros(3, np.uint8))
    lead, second = padded[high], padded[high + 1]
    has_second, has_third, has_fourth = ((padded[high + place] & 0xC0) == 0x80 for place in (1, 2, 3))
    two = (lead >= 0xC2) & (lead <= 0xDF) & has_second
    three = ((lead & 0xF0) == 0xE0) & has_second & has_third
    three &= ~((lead == 0xE0) & (second < 0xA0)) & ~((lead == 0xED) & (second > 0x9F))
    four = (lead >= 0xF0) & (lead <= 0xF4) & has_second & has_third & has_fourth
    four &= ~((lead == 0xF0) & (second < 0x90)) & ~((lead == 0xF4) & (second > 0x8F))
    is_invalid = np.zeros(len(data), np.bool_)
    is_invalid[high] = True
    for is_lead, num_bytes in ((two, 2), (three, 3), (four, 4)):
        for place in range(num_bytes):
            is_invalid[high[is_lead] + place] = False
    return np.flatnonzero(is_invalid)


def find_invalid_values(values: pa.BinaryArray) -> Mask:
    """Mask [num_values] of the values that are not valid UTF-8."""
    mask = np.zeros(len(values), np.bool_)
    try:
        values.cast(pa.string())
    except pa.ArrowInvalid:
        bounds, data = get_buffers(_end_with_newlines(values))
        mask[np.searchsorted(bounds, find_invalid(data), side="right") - 1] = True
    return mask


def show_all(values: pa.StringArray | pa.BinaryArray) -> pa.StringArray:
    r"""Escapes bytes that are not valid UTF-8 as \xNN and NUL as \x00, and truncates values longer than 4,096 bytes."""
    values = values.cast(pa.binary())
    lengths = pc.binary_length(values)
    is_long = pc.greater(lengths, MAX_TEXT_BYTES)
    if pc.any(is_long).as_py():
        notes = pc.binary_join_element_wise("... (", lengths.cast(pa.string()), " bytes)", "").cast(pa.binary())
        cut = pc.binary_slice(values, 0, MAX_TEXT_BYTES)
        values = pc.if_else(is_long, pc.binary_join_element_wise(cut, notes, b""), values)
    bounds, data = get_buffers(values)
    used = data[bounds[0] : bounds[-1]]
    if not used.all():
        return _escape(values)
    try:
        return values.cast(pa.string())
    except pa.ArrowInvalid:
        return _escape(values)


def show(value: bytes) -> str:
    """Applies `show_all` to one value."""
    if len(value) <= MAX_TEXT_BYTES and b"\0" not in value and is_utf8(value):
        return value.decode()
    text: str = show_all(pa.array([value], pa.binary()))[0].as_py()
    return text


def _end_with_newlines(values: pa.BinaryArray) -> pa.BinaryArray:
    """Appends a newline to each value, so no UTF-8 sequence spans two values."""
    return pc.binary_join_element_wise(values, b"", b"\n")


def _escape(values: pa.BinaryArray) -> pa.StringArray:
    bounds, data = get_buffers(_end_with_newlines(values))
    hidden = np.sort(np.concatenate([np.flatnonzero(data == 0), find_invalid(data)]), kind="stable")
    num_copies = np.ones(len(data), np.intp)
    num_copies[hidden] = 4
    escaped = np.repeat(data, num_copies)
    place, code = hidden + 3 * np.arange(len(hidden)), data[hidden]
    for offset, digits in enumerate((ord("\\"), ord("x"), HEX_DIGITS[code >> 4], HEX_DIGITS[code & 15])):
        escaped[place + offset] = digits
    bounds = (bounds + 3 * np.searchsorted(hidden, bounds)).astype(np.int32)
    return gather(escaped, bounds[:-1], bounds[1:] - 1)
