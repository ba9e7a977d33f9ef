import contextlib
import itertools
import random
import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from pipeline.cluster.cron import Cron

STAR_BIT = 1 << 63
BOUNDS = ((0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 6))


def parse_robfig(expression: str) -> list[int]:
    """The bit sets of robfig/cron 1.2's six fields; a `*` anywhere in a field sets its star bit."""
    fields = []
    for text, (low, high) in zip(expression.split(), BOUNDS, strict=True):
        bits = 0
        for part in text.split(","):
            span, _, step = part.partition("/")
            first, _, last = span.partition("-")
            start, end = (low, high) if first == "*" else (int(first), int(last or first))
            if step and first != "*" and not last:
                end = high
            assert low <= start <= end <= high
            for value in range(start, end + 1, int(step or 1)):
                bits |= 1 << value
            bits |= STAR_BIT if first == "*" else 0
        fields.append(bits)
    return fields


def robfig_day(fields: list[int], day: int, weekday: int) -> bool:
    day_fits, weekday_fits = bool(fields[3] >> day & 1), bool(fields[5] >> weekday & 1)
    return day_fits and weekday_fits if (fields[3] | fields[5]) & STAR_BIT else day_fits or weekday_fits


def robfig_matches(fields: list[int], moment: datetime) -> bool:
    values = (moment.second, moment.minute, moment.hour, None, moment.month)
    fits = all(value is None or bits >> value & 1 for bits, value in zip(fields, values, strict=False))
    return fits and robfig_day(fields, moment.day, moment.isoweekday() % 7)


def parse_standard(text: str, low: int, high: int) -> set[int]:
    """The values of a field as crontab(5) has them; 7 is 0 in the days of the week."""
    values: set[int] = set()
    for part in text.split(","):
        span, _, step = part.partition("/")
        first, _, last = span.partition("-")
        begin, end = (low, high) if span == "*" else (int(first), int(last or first))
        values.update(range(begin, end + 1, int(step or 1)))
    return {value % 7 for value in values} if high == 6 else values


def standard_day(fields: list[str], day: int, weekday: int) -> bool:
    """A day must match both fields if one begins with a star, else either."""
    day_fits, weekday_fits = day in parse_standard(fields[2], 1, 31), weekday in parse_standard(fields[4], 0, 6)
    both = fields[2].startswith("*") or fields[4].startswith("*")
    return day_fits and weekday_fits if both else day_fits or weekday_fits


def standard_matches(fields: list[str], moment: datetime) -> bool:
    values = (moment.minute, moment.hour, None, moment.month)
    return all(
        value is None or value in parse_standard(text, *bounds)
        for text, value, bounds in zip(fields, values, BOUNDS[1:], strict=False)
    ) and standard_day(fields, moment.day, moment.isoweekday() % 7)


def make_part(source: random.Random, low: int, high: int) -> str:
    first = source.randint(low, high)
    last = source.randint(first, high)
    step = source.randint(1, high)
    return source.choice(["*", f"*/{step}", str(first), f"{first}-{last}", f"{first}-{last}/{step}", f"{low}-{high}"])


def make_field(source: random.Random, low: int, high: int) -> str:
    return ",".join(make_part(source, low, high) for _ in range(source.choice([1, 1, 1, 2, 3])))


@pytest.mark.parametrize(
    ("expression", "zone", "cluster_zone", "kfp"),
    [
        ("0 3 * * 1", "UTC", "UTC", "0 0 3 * * 1"),
        ("0 3 * * 7", "Europe/Berlin", "Europe/Berlin", "0 0 3 * * 0"),
        ("0 3 * * MON", "Asia/Kolkata", "UTC", "0 30 21 * * 0"),  # 21:30 of the day before
        ("30 5 * * 1-5", "Asia/Tokyo", "UTC", "0 30 20 * * 0,1,2,3,4"),
        ("30 23 * * 6", "America/Bogota", "UTC", "0 30 4 * * 0"),
        ("0 9-17/4 1,15 JAN-MAR *", "UTC", "UTC", "0 0 9,13,17 1,15 1,2,3 *"),
        ("*/20 * * * *", "Asia/Tokyo", "UTC", "0 0,20,40 * * * *"),
        ("*/20 * * * *", "UTC", "UTC", "0 */20 * * * *"),
        ("0 3 */2 * 1", "UTC", "UTC", "0 0 3 */2 * 1"),  # odd days that are Mondays
        ("0 3 1-31 * 1", "UTC", "UTC", "0 0 3 * * *"),  # every day, or Monday
        ("0 3 1-31 * *", "UTC", "UTC", "0 0 3 * * *"),
        ("0 3 1,*/15 * 1", "UTC", "UTC", "0 0 3 1,16,31 * 1"),  # no star in front: these days, or Mondays
        ("0 3 * * 5/1", "UTC", "UTC", "0 0 3 * * 5,6"),
        ("0 3 * * 1", "Europe/Berlin", "Europe/Paris", "0 0 3 * * 1"),
    ],
)
def test_rendered_for_each_target(expression: str, zone: str, cluster_zone: str, kfp: str) -> None:
    cron = Cron(expression=expression, time_zone=zone)
    assert cron.render_kfp(cluster_zone) == kfp
    assert cron.render_vertex() == f"TZ={zone} {expression}"


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "0 3 * *",
        "0 0 3 * * 1",
        "60 3 * * 1",
        "0 24 * * 1",
        "0 3 0 * 1",
        "0 3 * 13 1",
        "0 3 * * 8",
        "0 3 * * x",
        "0 5-3 * * *",
        "*/0 * * * *",
        "@daily",
        "1_0 3 * * *",
        "\uff15 3 * * *",
        "0 3 1,,2 * *",
        "0 3 * * *-3",
    ],
)
def test_what_is_no_five_field_expression_is_refused(expression: str) -> None:
    with pytest.raises(ValueError, match=r"Expected .* Received: "):
        Cron(expression=expression)


def test_unknown_zones_are_refused() -> None:
    for zone in ("Mars/Olympus", "../etc/passwd", ""):
        with pytest.raises(ValueError, match="Expected a time zone"):
            Cron(expression="0 3 * * 1", time_zone=zone)
        with pytest.raises(ValueError, match="Expected a time zone"):
            Cron(expression="0 3 * * 1").render_kfp(zone)


@pytest.mark.parametrize(
    ("expression", "zone"),
    [
        ("0 3 * * 1", "Europe/Berlin"),  # an hour off for half of the year
        ("0 3 1 * *", "Asia/Tokyo"),  # the last of a month of unknown length
        ("0 3,12 * * 1", "Asia/Tokyo"),  # Sunday and Monday
        ("0,30 3 * * *", "Asia/Kolkata"),  # 21:30 and 22:00
    ],
)
def test_what_one_expression_cannot_say_in_the_cluster_s_zone_is_refused(expression: str, zone: str) -> None:
    with pytest.raises(ValueError, match=r"Expected .* Received: .*" + re.escape(zone)):
        Cron(expression=expression, time_zone=zone).render_kfp()


def list_accepted(source: random.Random, number: int, zone: str) -> list[tuple[list[str], list[int]]]:
    """Random expressions that are not refused, and the bit sets of what KFP gets."""
    accepted = []
    for _ in range(number):
        fields = [make_field(source, *bounds) for bounds in (*BOUNDS[1:5], (0, 7))]
        try:
            rendered = Cron(expression=" ".join(fields), time_zone=zone).render_kfp()
        except ValueError:
            continue
        accepted.append((fields, parse_robfig(rendered)))
    return accepted


def test_kfp_starts_runs_on_the_days_that_the_expression_means() -> None:
    accepted = list_accepted(random.Random(0), 2_000, "UTC")  # noqa: S311
    assert len(accepted) > 1_500
    for fields, bits in accepted:
        for place, (low, high) in enumerate(BOUNDS[1:3]):
            assert {v for v in range(low, high + 1) if bits[place + 1] >> v & 1} == parse_standard(
                fields[place], low, high
            ), fields
        days, weekdays = parse_standard(fields[2], 1, 31), parse_standard(fields[4], 0, 6)
        both = fields[2].startswith("*") or fields[4].startswith("*")
        for day, weekday in itertools.product(range(1, 32), range(7)):
            fits = (day in days) + (weekday in weekdays)
            assert robfig_day(bits, day, weekday) == (fits == 2 if both else fits > 0), (fields, day, weekday)


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "Asia/Kolkata", "America/Bogota"])
def test_moved_to_another_zone_it_means_the_same_moments(zone: str) -> None:
    source = random.Random(1)  # noqa: S311
    accepted = list_accepted(source, 300, zone)
    for minute, hour, weekday in itertools.product(["0", "*/15", "0-59"], ["3", "22", "*"], ["*", "0-7", "1", "*/2"]):
        for day in ("*", "1-31"):
            expression = f"{minute} {hour} {day} * {weekday}"
            with contextlib.suppress(ValueError):
                rendered = Cron(expression=expression, time_zone=zone).render_kfp()
                accepted.append((expression.split(), parse_robfig(rendered)))
    assert len(accepted) > 40
    start = datetime(2026, 2, 27, tzinfo=UTC)
    for fields, bits in accepted:
        for _ in range(60):
            moment = start + timedelta(minutes=source.randrange(400 * 24 * 60))
            local = moment.astimezone(ZoneInfo(zone))
            assert robfig_matches(bits, moment) == standard_matches(fields, local), (fields, moment)


@pytest.mark.parametrize("expression", ["0 3 31 2 *", "0 3 30 2 */2", "0 3 31 4,6,9,11 *", "0 3 31 2 */7"])
def test_times_that_never_come_are_refused(expression: str) -> None:
    with pytest.raises(ValueError, match=r"Expected times at most five years apart\. Received: '0 3 3"):
        Cron(expression=expression)


def test_a_leap_day_comes_often_enough_but_not_on_one_day_of_the_week() -> None:
    assert Cron(expression="0 3 29 2 *").render_kfp() == "0 0 3 29 2 *"
    assert Cron(expression="0 3 31 2 1").render_kfp() == "0 0 3 31 2 1"  # Mondays of February
    with pytest.raises(ValueError, match="at most five years apart"):
        Cron(expression="0 3 29 2 */6")  # a leap day on a weekend: up to 12 years between two
