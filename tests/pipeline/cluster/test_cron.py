import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.cluster.cron import Cron


def matches(fields: list[str], moment: datetime) -> bool:
    """Reads numbers, lists, ranges, steps and stars, written anew and slowly; the fields begin with the minute."""
    values = (moment.minute, moment.hour, moment.day, moment.month, (moment.weekday() + 1) % 7)
    fit = []
    for text, value in zip(fields, values, strict=True):
        allowed: set[int] = set()
        for part in text.split(","):
            span, _, step = part.partition("/")
            first, _, last = span.partition("-")
            low, high = (0, 59) if span == "*" else (int(first), int(last or first))
            allowed.update(range(low, high + 1, int(step or 1)))
        fit.append(value in allowed or (text is fields[4] and value == 0 and 7 in allowed))
    days = (fit[2] or fit[4]) if "*" not in (fields[2][0], fields[4][0]) else (fit[2] and fit[4])
    return fit[0] and fit[1] and fit[3] and days


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
    ],
)
def test_what_is_no_five_field_expression_is_refused(expression: str) -> None:
    with pytest.raises(ValueError, match=r"Expected .* Received: "):
        Cron(expression=expression)


def test_unknown_zones_are_refused() -> None:
    for zone in ("Mars/Olympus", "../etc/passwd", ""):
        with pytest.raises(ValueError, match="Expected a time zone"):
            Cron(expression="0 3 * * 1", time_zone=zone)


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


@settings(max_examples=40, deadline=None)
@given(
    minute=st.sampled_from(["0", "15", "*/15", "7,52"]),
    hour=st.sampled_from(["*", "0", "3", "23", "*/6", "9-12"]),
    weekday=st.sampled_from(["*", "0", "7", "1-5", "2,6"]),
    zone=st.sampled_from(["UTC", "Asia/Tokyo", "Asia/Kathmandu", "America/Bogota", "Etc/GMT+12"]),
)
def test_both_renderings_mean_the_same_moments(minute: str, hour: str, weekday: str, zone: str) -> None:
    cron = Cron(expression=f"{minute} {hour} * * {weekday}", time_zone=zone)
    try:
        seconds, *fields = cron.render_kfp().split()
    except ValueError:
        return
    assert seconds == "0"
    start = datetime(2026, 2, 27, tzinfo=UTC)
    for steps in range(8 * 24 * 4):
        for minutes in (0, 7):
            moment = start + timedelta(minutes=15 * steps + minutes)
            assert matches(fields, moment) == matches(cron.expression.split(), moment.astimezone(ZoneInfo(zone)))
