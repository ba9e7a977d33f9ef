"""Blocks of lines with nothing to reject -> columns, by a CSV reader; the others are for `lines.scan_block`."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pc_csv

from components.core.logs.lines import MAX_DIGITS, TIME_LIMIT, Block, Layout

BYTE_ORDER_MARK = b"\xef\xbb\xbf"  # which the CSV reader would drop


def scan_clean(block: bytes, layout: Layout) -> Block | None:
    """Does what `lines.scan_block` does, several times as fast; None where a line may have to be rejected."""
    if b"\0" in block or block.startswith(BYTE_ORDER_MARK):
        return None
    if b"\r" in block and block.count(b"\r") != block.count(b"\r\n"):
        return None
    if not block.isascii():
        try:
            str(memoryview(block), "utf-8")
        except UnicodeDecodeError:
            return None
    names = [str(field) for field in range(layout.num_fields)]
    wanted = [names[field] for field in (*layout.text_fields, layout.time_field)]
    try:
        table = pc_csv.read_csv(
            pa.BufferReader(block),
            pc_csv.ReadOptions(use_threads=False, block_size=len(block) + 1, column_names=names),
            pc_csv.ParseOptions(delimiter=layout.delimiter, quote_char=False, ignore_empty_lines=False),
            pc_csv.ConvertOptions(
                check_utf8=False,
                column_types=dict.fromkeys(wanted, pa.string()),
                null_values=[],
                strings_can_be_null=False,
                include_columns=wanted,
            ),
        )
    except pa.ArrowInvalid:  # a wrong number of fields
        return None
    *texts, time = (column.combine_chunks() for column in table.columns)
    if not all(_has_lengths(text, layout.max_id_bytes) for text in texts):
        return None
    if not (_has_lengths(time, MAX_DIGITS) and _has_digits_only(time)):
        return None
    times = time.cast(pa.int64())
    if times.to_numpy().max(initial=0) >= TIME_LIMIT:
        return None
    return Block(num_lines=len(times), texts=texts, times=times, rejected=[])


def to_whole_numbers(texts: pa.StringArray) -> pa.Int64Array | None:
    """Texts as numbers that give the same texts again; None where one of them is no such number."""
    if not (_has_lengths(texts, MAX_DIGITS) and _has_digits_only(texts)):
        return None
    offsets, data = _buffers(texts)
    if ((data[offsets[:-1]] == ord("0")) & (np.diff(offsets) > 1)).any():
        return None
    return texts.cast(pa.int64())


def last_bytes(texts: pa.StringArray) -> npt.NDArray[np.int64]:
    """[num_texts] the last byte of each text, none of which is empty."""
    offsets, data = _buffers(texts)
    return data[offsets[1:] - 1].astype(np.int64)


def _has_lengths(texts: pa.StringArray, longest: int) -> bool:
    """Whether each text has 1 to `longest` bytes."""
    lengths = np.diff(_buffers(texts)[0])
    return bool(lengths.min(initial=1) >= 1 and lengths.max(initial=1) <= longest)


def _has_digits_only(texts: pa.StringArray) -> bool:
    """Whether no text has another byte than a decimal digit."""
    offsets, data = _buffers(texts)
    used = data[offsets[0] : offsets[-1]]
    return bool(used.min(initial=ord("0")) >= ord("0") and used.max(initial=ord("9")) <= ord("9"))


def _buffers(texts: pa.StringArray) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint8]]:
    """[num_texts + 1] where each text begins, and the bytes of all."""
    _, offsets, data = texts.buffers()
    begin = texts.offset
    bounds = np.frombuffer(offsets, np.int32)[begin : begin + len(texts) + 1] if len(texts) else np.zeros(1, np.int32)
    return bounds, np.frombuffer(data or b"", np.uint8)
