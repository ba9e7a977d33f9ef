"""Detects the format of the times of a log and converts times to milliseconds since 1970."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from components.core.logs.texts import Bytes, Longs, Mask, Positions, gather, get_buffers, to_mask
from components.core.presentation import shorten

TIME_LIMIT = 7_289_654_400_000  # 2201-01-01 UTC in milliseconds
# 1995-01-01 in milliseconds. From here to TIME_LIMIT a number is a time in one unit only, and counts from other starts
# (.NET ticks, Windows file times, seconds since 2001) are times in none.
EARLIEST_DETECTED = 788_918_400_000
NANOSECONDS = {"seconds": 10**9, "milliseconds": 10**6, "microseconds": 10**3, "nanoseconds": 1}
ISO, AUTO = "iso", "auto"
TIME_FORMATS = (AUTO, *NANOSECONDS, ISO)
MAX_DIGITS = 19  # every number of 19 digits fits in a uint64
MAX_SECONDS_DIGITS, MAX_MILLISECONDS_DIGITS = 10, 3
MAX_FRACTION = 9  # digits after the decimal point that are read
MAX_MIXED_SHARE = 0.01  # of the times by which a format is detected

_NUMBER = re.compile(r"\d{1,19}(\.\d+)?")
# YYYYMMDD, maybe with hour, minute and second. As seconds since 1970, those with an hour are after 2033.
_DIGITS_OF_DATE = re.compile(
    r"(199\d|20\d\d)(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(([01]\d|2[0-3])([0-5]\d([0-5]\d)?)?)?"
)
_ISO = r"\d{4}-\d\d-\d\d([T ]\d\d(:\d\d(:\d\d(\.\d{1,9})?)?)?(Z|[+-]\d\d(:?\d\d)?| UTC)?)?"
_ZONE = re.compile(r".{11}.*(Z|[+-][\d:]+| UTC)")

Failed = list[tuple[str, Mask]]


@dataclass(frozen=True, kw_only=True)
class TimeFormat:
    """The format of the times of a file.

    Attributes:
        name: a unit in NANOSECONDS, or ISO.
        has_zone: whether each ISO 8601 time has a time zone; without one, times are in UTC.
        earliest: earliest time that is accepted, in milliseconds since 1970.
    """

    name: str = "milliseconds"
    has_zone: bool = False
    earliest: int = 0

    def describe(self) -> str:
        """Name of the format for people."""
        if self.name != ISO:
            return f"{self.name} since 1970"
        return "ISO 8601 with time zone" if self.has_zone else "ISO 8601 without time zone (UTC assumed)"

    @property
    def is_number(self) -> bool:
        """Whether the times are numbers."""
        return self.name != ISO

    def to_milliseconds(self, numbers: Longs) -> Longs:
        """Converts integers in the unit of this format, rounded down; values out of range keep out of range."""
        nanoseconds = NANOSECONDS[self.name]
        if nanoseconds > 10**6:
            return np.clip(numbers, -TIME_LIMIT, TIME_LIMIT) * (nanoseconds // 10**6)
        return numbers // (10**6 // nanoseconds) if nanoseconds < 10**6 else numbers

    def check(self, times: Longs, name: str) -> Failed:
        """Finds the times out of range: the reasons with masks [num_times].

        Args:
            times: milliseconds since 1970.
            name: name of the time column.
        """
        failed = []
        if (early := times < self.earliest).any():
            if self.earliest:
                failed.append((f"{name} is before 1995 in {self.name}", early))
            else:
                failed.append((f"{name} is negative" if self.name != ISO else f"{name} is before 1970", early))
        if (late := times >= TIME_LIMIT).any():
            failed.append((f"{name} is beyond the year 2200", late))
        return failed

    def parse(self, texts: pa.StringArray, name: str) -> tuple[Longs, Failed]:
        """Parses times.

        Args:
            texts: [num_times] the times.
            name: name of the time column.

        Returns:
            Milliseconds since 1970 [num_times], and the reasons with masks [num_times] of the times that failed. Each
            time fails for one reason at most.
        """
        times, wrong = _parse_iso(texts, has_zone=self.has_zone) if self.name == ISO else self._parse_numbers(texts)
        failed: Failed = []
        if wrong.any():
            empty = wrong & (np.diff(get_buffers(texts)[0]) == 0)
            negative = wrong & to_mask(pc.match_substring_regex(texts, r"\A-\d+(\.\d+)?\z")) & self.is_number
            zone = "with" if self.has_zone else "without"
            example = "2015-05-01T01:41:00Z" if self.has_zone else "2015-05-01T01:41:00"
            kind = f"a number of {self.name}" if self.is_number else f"a time {zone} time zone such as {example}"
            found = [
                (f"empty {name}", empty),
                (f"{name} is negative", negative),
                (f"{name} is not {kind}", wrong & ~empty & ~negative),
            ]
            failed = [(reason, mask) for reason, mask in found if mask.any()]
            times[wrong] = EARLIEST_DETECTED
        return times, failed + self.check(times, name)

    def _parse_numbers(self, texts: pa.StringArray) -> tuple[Longs, Mask]:
        offsets, data = get_buffers(texts)
        lengths = np.diff(offsets)
        used = data[offsets[0] : offsets[-1]]
        has_only_digits = used.min(initial=ord("0")) >= ord("0") and used.max(initial=ord("0")) <= ord("9")
        if has_only_digits and lengths.min(initial=1) >= 1 and lengths.max(initial=1) <= MAX_DIGITS:
            return self.to_milliseconds(_to_longs(texts)), np.zeros(len(texts), np.bool_)
        is_digit = (used - ord("0")) <= 9
        place = np.flatnonzero(~is_digit) + offsets[0]
        if self.name == "seconds" and _are_decimals(data, offsets, place):
            return np.rint(texts.cast(pa.float64()).to_numpy() * 1000).astype(np.int64), np.zeros(len(texts), np.bool_)
        others = np.searchsorted(offsets, place, side="right") - 1
        num_others = np.bincount(others, minlength=len(texts))
        point = np.zeros(len(texts), np.int32)
        point[others] = place
        is_decimal = (num_others == 1) & (point > offsets[:-1]) & (point < offsets[1:] - 1)
        if is_decimal.any():
            is_decimal &= data[np.minimum(point, len(data) - 1)] == ord(".")
        stops = np.where(is_decimal, point, offsets[1:]).astype(np.int32)
        whole = stops - offsets[:-1]
        right = ((num_others == 0) | is_decimal) & (whole >= 1) & (whole <= MAX_DIGITS)
        times = np.zeros(len(texts), np.int64)
        times[right] = self.to_milliseconds(_to_longs(gather(data, offsets[:-1][right], stops[right])))
        if self.name == "seconds" and (kept := right & is_decimal).any():
            begin = point[kept] + 1
            stop = np.minimum(offsets[1:][kept], begin + MAX_FRACTION).astype(np.int32)
            nanoseconds = _to_longs(gather(data, begin, stop)) * 10 ** (MAX_FRACTION - (stop - begin)).astype(np.int64)
            times[kept] += (nanoseconds + 500_000) // 1_000_000  # to the nearest, because decimals come from floats
        return times, ~right

    @classmethod
    def detect(cls, texts: Iterable[str], name: str, source: str) -> "TimeFormat":
        """Detects the format from some times of a file. It is the only one that fits, or an error.

        Args:
            texts: some times of the file; without any, milliseconds from 1995 on are assumed.
            name: name of the time column, for the error message.
            source: name of the file, for the error message.

        Raises:
            ValueError: no format fits, several formats fit, or the times have several formats.
        """
        found: Counter[str] = Counter()
        examples: dict[str, str] = {}
        for text in texts:
            kind = _classify(text)
            found[kind] += 1
            examples.setdefault(kind, text)
        known = Counter({kind: count for kind, count in found.items() if kind in _KINDS})
        if not found:
            return cls(earliest=EARLIEST_DETECTED)
        if not known:
            kind, count = found.most_common(1)[0]
            raise ValueError(
                f"The format of the times in the column {name} of {source} is unclear: {count:,} of the first "
                f"{found.total():,} times are {kind}, such as {shorten(examples[kind])!r}. {_ADVICE[kind]}"
            )
        kind, count = known.most_common(1)[0]
        if known.total() - count > MAX_MIXED_SHARE * known.total():
            mixed = "; ".join(
                f"{num:,} x {each}, such as {shorten(examples[each])}" for each, num in known.most_common()
            )
            raise ValueError(
                f"The times in the column {name} of {source} have several formats: {mixed}. "
                "Convert the file to one format, or set time_format to accept one and reject the other times."
            )
        return _KINDS[kind]


_KINDS = {
    **{name: TimeFormat(name=name, earliest=EARLIEST_DETECTED) for name in NANOSECONDS},
    "ISO 8601 with time zone": TimeFormat(name=ISO, has_zone=True),
    "ISO 8601 without time zone": TimeFormat(name=ISO),
}
_CALENDAR = "dates written as numbers"
_SMALL, _UNKNOWN = "numbers that are no times from 1995 on in any unit", "neither plain numbers nor times that are read"
_ADVICE = {
    _CALENDAR: "Write them in ISO 8601, such as 2015-05-01 or 2015-05-01T13:30.",
    _SMALL: "If they are numbers of events or times from another start, set time_format=milliseconds; if they are "
    "offsets to a column of dates, name that column in time_column and this one in time_offset_column.",
    _UNKNOWN: "Expected seconds, milliseconds, microseconds or nanoseconds since 1970, such as 1396867869.277, or "
    "ISO 8601 with hyphens, colons and a decimal point, such as 2015-05-01, 2015-05-01T01:41:00Z or "
    "2015-05-01 01:41:00.277+02:00.",
}


def _classify(text: str) -> str:
    if _DIGITS_OF_DATE.fullmatch(text):
        return _CALENDAR
    if match := _NUMBER.fullmatch(text):
        number = int(text.removesuffix(match[1] or ""))
        for name, nanoseconds in NANOSECONDS.items():
            if EARLIEST_DETECTED <= number * nanoseconds // 10**6 < TIME_LIMIT:
                return name
        return _SMALL
    if re.fullmatch(_ISO, text):
        return f"ISO 8601 {'with' if _ZONE.fullmatch(text) else 'without'} time zone"
    return _UNKNOWN


def make_fixed(name: str, texts: Iterable[str]) -> TimeFormat:
    """Creates a format that the user chose; whether ISO 8601 times have a zone is read from some times of the file."""
    return TimeFormat(name=name, has_zone=name == ISO and any(_ZONE.fullmatch(text) for text in texts))


def _parse_iso(texts: pa.StringArray, *, has_zone: bool) -> tuple[Longs, Mask]:
    ends_with_utc = pc.ends_with(texts, " UTC")
    if has_zone and pc.any(ends_with_utc).as_py():
        with_z = pc.binary_join_element_wise(pc.utf8_slice_codeunits(texts, 0, -4), "Z", "")
        texts = pc.if_else(ends_with_utc, with_z, texts)
    kind = pa.timestamp("ns", "UTC" if has_zone else None)
    try:
        return _cast(texts, kind), np.zeros(len(texts), np.bool_)
    except pa.ArrowInvalid:
        right = to_mask(pc.match_substring_regex(texts, rf"\A{_ISO}\z"))
    times = np.zeros(len(texts), np.int64)
    rows = np.flatnonzero(right)
    pending = [rows] if len(rows) else []
    while pending:  # halves the rows until the times that do not exist, such as 2015-02-30, stand alone
        rows = pending.pop()
        try:
            times[rows] = _cast(texts.take(pa.array(rows)), kind)
        except pa.ArrowInvalid:
            if len(rows) == 1:
                times[rows], right[rows] = _cast_far(texts[int(rows[0])], has_zone=has_zone)
            else:
                pending += np.array_split(rows, 2)
    return times, ~right


def _cast(texts: pa.StringArray, kind: pa.DataType) -> Longs:
    nanoseconds: Longs = texts.cast(kind).cast(pa.int64()).to_numpy()
    return nanoseconds // 10**6


def _cast_far(text: pa.Scalar, *, has_zone: bool) -> tuple[int, bool]:
    """Casts a time that may be beyond the range of nanoseconds; returns milliseconds and whether the time exists."""
    try:
        seconds = pa.array([text.as_py()]).cast(pa.timestamp("us", "UTC" if has_zone else None))
    except pa.ArrowInvalid:
        return 0, False
    return seconds.cast(pa.int64())[0].as_py() // 1000, True


def _are_decimals(data: Bytes, offsets: Positions, place: Longs) -> bool:
    """Whether each text is a decimal whose milliseconds a float64 represents exactly: 1 to 10 digits, a point, 1 to 3.

    Args:
        data: bytes of the texts.
        offsets: [num_texts + 1] of the texts.
        place: positions of all bytes that are not digits.
    """
    if len(place) != len(offsets) - 1 or not (data[place] == ord(".")).all():
        return False
    whole, fraction = place - offsets[:-1], offsets[1:] - place - 1
    return bool(
        whole.min() >= 1
        and whole.max() <= MAX_SECONDS_DIGITS
        and fraction.min() >= 1
        and fraction.max() <= MAX_MILLISECONDS_DIGITS
    )


def _to_longs(texts: pa.StringArray) -> Longs:
    """Converts texts of 1 to MAX_DIGITS digits; values beyond int64 become its maximum."""
    if np.diff(get_buffers(texts)[0]).max(initial=0) < MAX_DIGITS:
        longs: Longs = texts.cast(pa.int64()).to_numpy()
        return longs
    numbers: npt.NDArray[np.uint64] = texts.cast(pa.uint64()).to_numpy()
    return np.minimum(numbers, np.uint64(2**63 - 1)).astype(np.int64)
