"""Cron expressions: the standard five fields in a time zone, converted for each kind of cluster.

Vertex takes five fields and a time zone. KFP takes six fields, seconds first, and no time zone: its controller
evaluates all expressions in its CRON_SCHEDULE_TIMEZONE, by default UTC.

Day of month and day of week: if one of the two fields begins with `*`, a day must match both fields, otherwise either.
KFP's parser (robfig/cron 1.2) has the same rule, but looks for `*` anywhere in a field. So these fields are written
with `*` or `*/n` only if the days must match both.
"""

import functools
import re
import zoneinfo
from dataclasses import dataclass
from datetime import date, datetime, timedelta

# Name, minimum and maximum, and names of the values of each field.
_FIELDS = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of month", 1, 31, ()),
    ("month", 1, 12, ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")),
    ("day of week", 0, 7, ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")),
)
_VALUE = "[0-9]+|[A-Za-z]{3}"
_PART = re.compile(rf"(?:(?P<star>\*)|(?P<first>{_VALUE})(?:-(?P<last>{_VALUE}))?)(?:/(?P<step>[0-9]+))?")
_DAY_MINUTES = 24 * 60
# KFP's controller searches only five years ahead. The calendar repeats every 28 years (1901 to 2099).
_MAX_GAP_DAYS = 5 * 365
_CYCLE_DAYS = 28 * 365 + 7


@dataclass(frozen=True, kw_only=True)
class _Field:
    """A parsed field.

    Attributes:
        low: minimum of the field.
        high: maximum of the field; 6 for the day of the week.
        values: the values that match.
        star_step: n if the field begins with `*/n`, 1 if it begins with `*`, 0 otherwise.
    """

    low: int
    high: int
    values: frozenset[int]
    star_step: int = 0

    @property
    def is_full(self) -> bool:
        return len(self.values) == self.high - self.low + 1

    def render(self) -> str:
        """Writes the field with a leading star if it was parsed from one, and as a list otherwise."""
        starred = frozenset(range(self.low, self.high + 1, self.star_step)) if self.star_step else frozenset()
        star = {0: [], 1: ["*"]}.get(self.star_step, [f"*/{self.star_step}"])
        return ",".join(star + [str(value) for value in sorted(self.values - starred)])

    def fill(self) -> "_Field":
        """Returns the field `*`."""
        return _Field(low=self.low, high=self.high, values=frozenset(range(self.low, self.high + 1)), star_step=1)


@dataclass(frozen=True, kw_only=True)
class Cron:
    """A cron expression in a time zone.

    Attributes:
        expression: minute, hour, day of month, month, day of week; 0 and 7 are Sunday.
        time_zone: IANA name of the time zone.

    Raises:
        ValueError: the expression is invalid, its times never occur or are more than five years apart, or the time zone
            is unknown.
    """

    expression: str
    time_zone: str = "UTC"

    def __post_init__(self) -> None:
        fields = self._parse()
        _load_zone(self.time_zone)
        if not _comes_often(*fields[2:]):
            raise ValueError(f"Expected times at most five years apart. Received: {self.expression!r}")

    def render_vertex(self) -> str:
        """Returns the expression for Vertex: the time zone, then five fields."""
        return f"TZ={self.time_zone} {' '.join(self.expression.split())}"

    def render_kfp(self, cluster_time_zone: str = "UTC") -> str:
        """Returns the expression for KFP: six fields, in the time zone of the cluster's controller.

        Args:
            cluster_time_zone: CRON_SCHEDULE_TIMEZONE of the cluster's scheduled-workflow controller.

        Raises:
            ValueError: the time zone is unknown, or no single expression in it has the same times, for instance because
                only one of the two zones has daylight saving time.
        """
        minutes = _offset_minutes(self.time_zone, cluster_time_zone)
        if minutes is None:
            raise ValueError(
                f"Expected a time zone with a constant offset from {cluster_time_zone}, the cluster's; for others, "
                f"set CRON_SCHEDULE_TIMEZONE of the controller. Received: {self.time_zone}"
            )
        return " ".join(["0", *(field.render() for field in self._shift(_simplify(self._parse()), minutes))])

    def _parse(self) -> list[_Field]:
        parts = self.expression.split()
        if len(parts) != len(_FIELDS):
            names = ", ".join(name for name, *_ in _FIELDS)
            raise ValueError(f"Expected the {len(_FIELDS)} cron fields {names}. Received: {self.expression!r}")
        return [_parse_field(part, *field) for part, field in zip(parts, _FIELDS, strict=True)]

    def _shift(self, fields: list[_Field], minutes: int) -> list[_Field]:
        """Shifts the times by a number of minutes, across midnight if necessary."""
        if not minutes:
            return fields
        minute, hour, day_of_month, month, day_of_week = fields
        moments = [60 * h + m + minutes for h in hour.values for m in minute.values]
        shifted_minute = _move(minute, {moment % 60 for moment in moments})
        shifted_hour = _move(hour, {moment % _DAY_MINUTES // 60 for moment in moments})
        days = {moment // _DAY_MINUTES for moment in moments}
        every_date = day_of_month.is_full and month.is_full
        is_grid = len(shifted_hour.values) * len(shifted_minute.values) == len(moments)
        if not is_grid or not (days == {0} or (every_date and (day_of_week.is_full or len(days) == 1))):
            raise ValueError(
                f"Expected times that a single expression in the cluster's time zone can express. Received: "
                f"{self.expression!r} in {self.time_zone}"
            )
        if days != {0} and not day_of_week.is_full:
            (shift,) = days
            day_of_week = _move(day_of_week, {(weekday + shift) % 7 for weekday in day_of_week.values})
        return [shifted_minute, shifted_hour, day_of_month, month, day_of_week]


def _parse_field(text: str, name: str, low: int, high: int, names: tuple[str, ...]) -> _Field:
    is_weekday = name == "day of week"
    last_value = 6 if is_weekday else high
    values: set[int] = set()
    for part in text.split(","):
        match = _PART.fullmatch(part)
        try:
            if match is None:
                raise ValueError(part)
            if match["star"]:
                first, last = low, last_value
            else:
                first = _parse_value(match["first"], low, names)
                last = _parse_value(match["last"], low, names) if match["last"] else first
                if match["step"] and not match["last"]:
                    last = last_value
            step = int(match["step"] or 1)
            if not (low <= first <= last <= high and step >= 1):
                raise ValueError(part)
        except ValueError as error:
            raise ValueError(f"Expected the cron field {name} to be within {low}-{high}. Received: {text!r}") from error
        values.update(value % 7 if is_weekday else value for value in range(first, last + 1, step))
    begin = _PART.match(text)
    star_step = int(begin["step"] or 1) if begin and begin["star"] else 0
    return _Field(low=low, high=last_value, values=frozenset(values), star_step=star_step)


def _parse_value(text: str, low: int, names: tuple[str, ...]) -> int:
    return names.index(text.upper()) + low if text.upper() in names else int(text)


def _matches_both(day_of_month: _Field, day_of_week: _Field) -> bool:
    """Returns whether a day must match both fields, rather than either."""
    return bool(day_of_month.star_step or day_of_week.star_step)


@functools.cache
def _list_calendar() -> list[tuple[int, int, int, int]]:
    """Lists the days of a cycle: number, day of month, month, and day of the week (0 is Sunday)."""
    days = (date(2000, 1, 1) + timedelta(days=number) for number in range(_CYCLE_DAYS))
    return [(number, day.day, day.month, day.isoweekday() % 7) for number, day in enumerate(days)]


def _comes_often(day_of_month: _Field, month: _Field, day_of_week: _Field) -> bool:
    """Returns whether matching days exist and are at most five years apart."""
    if day_of_month.is_full or not _matches_both(day_of_month, day_of_week):
        return True  # matches in every week of some month
    dates, months, weekdays = day_of_month.values, month.values, day_of_week.values
    days = [number for number, d, m, w in _list_calendar() if m in months and d in dates and w in weekdays]
    following = [*days[1:], *(first + _CYCLE_DAYS for first in days[:1])]
    return bool(days) and all(after - day <= _MAX_GAP_DAYS for day, after in zip(days, following, strict=True))


def _simplify(fields: list[_Field]) -> list[_Field]:
    """Replaces full fields by stars; the day fields only if the rule for two fields then selects the same days."""
    minute, hour, day_of_month, month, day_of_week = fields
    full_days = (day_of_month.is_full, day_of_week.is_full)
    if any(full_days) and not _matches_both(day_of_month, day_of_week):
        full_days = (True, True)
    minute, hour, month = (field.fill() if field.is_full else field for field in (minute, hour, month))
    day_of_month = day_of_month.fill() if full_days[0] else day_of_month
    day_of_week = day_of_week.fill() if full_days[1] else day_of_week
    return [minute, hour, day_of_month, month, day_of_week]


def _move(field: _Field, values: set[int]) -> _Field:
    moved = _Field(low=field.low, high=field.high, values=frozenset(values))
    return moved.fill() if moved.is_full else moved


def _load_zone(name: str) -> zoneinfo.ZoneInfo:
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"Expected a time zone such as UTC or Asia/Kolkata. Received: {name!r}") from error


def _offset_minutes(time_zone: str, cluster_time_zone: str) -> int | None:
    """Returns the minutes to add to a time in the first zone, or None if they change during the year."""
    here, there = _load_zone(time_zone), _load_zone(cluster_time_zone)
    if time_zone == cluster_time_zone:
        return 0
    start = datetime.now(tz=there)
    offsets = set()
    for days in range(0, 366, 7):
        moment = start + timedelta(days=days)
        difference = moment.astimezone(there).utcoffset(), moment.astimezone(here).utcoffset()
        offsets.add(int(((difference[0] or timedelta()) - (difference[1] or timedelta())).total_seconds() // 60))
    return offsets.pop() if len(offsets) == 1 else None
