"""Cron expressions: the ordinary five fields in a time zone, rendered for each kind of cluster.

Vertex takes five fields and a time zone. KFP takes six, seconds first, and knows no time zone: its controller reads
all expressions in one zone of its own, UTC unless its CRON_SCHEDULE_TIMEZONE says otherwise.
"""

import re
import zoneinfo
from dataclasses import dataclass
from datetime import datetime, timedelta

# Name, lowest and highest value, and names of values of each field.
_FIELDS = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of month", 1, 31, ()),
    ("month", 1, 12, ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")),
    ("day of week", 0, 7, ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")),
)
_PART = re.compile(r"(?:(?P<star>\*)|(?P<first>\w+)(?:-(?P<last>\w+))?)(?:/(?P<step>\d+))?")
_DAY_MINUTES = 24 * 60


@dataclass(frozen=True, kw_only=True)
class Cron:
    """A set of times.

    Attributes:
        expression: minute, hour, day of month, month, day of week; 0 and 7 are Sunday.
        time_zone: IANA name of the zone that they are in.

    Raises:
        ValueError: the expression or the zone is none.
    """

    expression: str
    time_zone: str = "UTC"

    def __post_init__(self) -> None:
        self._parse()
        try:
            zoneinfo.ZoneInfo(self.time_zone)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(f"Expected a time zone such as Europe/Berlin. Received: {self.time_zone!r}") from error

    def render_vertex(self) -> str:
        """Renders it for Vertex: five fields after the zone."""
        return f"TZ={self.time_zone} {' '.join(self.expression.split())}"

    def render_kfp(self, cluster_time_zone: str = "UTC") -> str:
        """Renders it for KFP: six fields, in the zone of the cluster's controller.

        Args:
            cluster_time_zone: CRON_SCHEDULE_TIMEZONE of the cluster's scheduled-workflow controller.

        Raises:
            ValueError: no single expression in the cluster's zone means the same, as where only one of the two zones
                has daylight saving.
        """
        fields = self._parse()
        minutes = _offset_minutes(self.time_zone, cluster_time_zone)
        if minutes is None:
            raise ValueError(
                f"Expected a time zone whose clock keeps its distance from the cluster's, {cluster_time_zone}; for "
                f"another set the controller's CRON_SCHEDULE_TIMEZONE. Received: {self.time_zone}"
            )
        return " ".join(["0", *(_render(values, *bounds[1:3]) for values, bounds in self._shift(fields, minutes))])

    def _parse(self) -> list[frozenset[int]]:
        parts = self.expression.split()
        if len(parts) != len(_FIELDS):
            names = ", ".join(name for name, *_ in _FIELDS)
            raise ValueError(f"Expected the {len(_FIELDS)} cron fields {names}. Received: {self.expression!r}")
        return [_parse_field(part, *field) for part, field in zip(parts, _FIELDS, strict=True)]

    def _shift(self, fields: list[frozenset[int]], minutes: int) -> list[tuple[frozenset[int], tuple[str, int, int]]]:
        """Moves the times by so many minutes, over midnight where need be."""
        bounds = [field[:3] for field in _FIELDS]
        moments = [hour * 60 + minute + minutes for hour in fields[1] for minute in fields[0]]
        hours = frozenset(moment % _DAY_MINUTES // 60 for moment in moments)
        minutes_of_hours = frozenset(moment % 60 for moment in moments)
        days = {moment // _DAY_MINUTES for moment in moments}
        every_day = all(len(_parse_field("*", *_FIELDS[i])) == len(fields[i]) for i in (2, 3, 4))
        every_date = all(len(_parse_field("*", *_FIELDS[i])) == len(fields[i]) for i in (2, 3))
        is_grid = len(hours) * len(minutes_of_hours) == len(moments)
        if not is_grid or not (days == {0} or every_day or (every_date and len(days) == 1)):
            raise ValueError(
                f"Expected times that one expression holds in the cluster's time zone too. Received: "
                f"{self.expression!r} in {self.time_zone}"
            )
        day = days.pop() if len(days) == 1 else 0
        week = frozenset((weekday + day) % 7 for weekday in fields[4])
        return list(zip([minutes_of_hours, hours, fields[2], fields[3], week], bounds, strict=True))


def _parse_field(text: str, name: str, low: int, high: int, names: tuple[str, ...]) -> frozenset[int]:
    """Gives the values that a field stands for; of the days of the week 0 to 6."""
    values: set[int] = set()
    for part in text.split(","):
        match = _PART.fullmatch(part)
        try:
            if match is None:
                raise ValueError(part)
            if match["star"]:
                first, last = low, high - (name == "day of week")
            else:
                first = _parse_value(match["first"], low, names)
                last = _parse_value(match["last"], low, names) if match["last"] else (high if match["step"] else first)
            step = int(match["step"] or 1)
            if not (low <= first <= last <= high and step >= 1):
                raise ValueError(part)
        except ValueError as error:
            raise ValueError(f"Expected the cron field {name} to be within {low}-{high}. Received: {text!r}") from error
        values.update(range(first, last + 1, step))
    return frozenset(value % 7 for value in values) if name == "day of week" else frozenset(values)


def _parse_value(text: str, low: int, names: tuple[str, ...]) -> int:
    return names.index(text.upper()) + low if text.upper() in names else int(text)


def _render(values: frozenset[int], low: int, high: int) -> str:
    """Writes values as a field; KFP's cron knows a 7th day no more than a list of all values by another name."""
    highest = 6 if (low, high) == (0, 7) else high
    return "*" if len(values) == highest - low + 1 else ",".join(str(value) for value in sorted(values))


def _offset_minutes(time_zone: str, cluster_time_zone: str) -> int | None:
    """Gives what to add to a time in the one zone for the other, if that is the same all year round."""
    if time_zone == cluster_time_zone:
        return 0
    here, there = zoneinfo.ZoneInfo(time_zone), zoneinfo.ZoneInfo(cluster_time_zone)
    start = datetime.now(tz=there)
    offsets = set()
    for days in range(0, 366, 7):
        moment = start + timedelta(days=days)
        difference = moment.astimezone(there).utcoffset(), moment.astimezone(here).utcoffset()
        offsets.add(int(((difference[0] or timedelta()) - (difference[1] or timedelta())).total_seconds() // 60))
    return offsets.pop() if len(offsets) == 1 else None
