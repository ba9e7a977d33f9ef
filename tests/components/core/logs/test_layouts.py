import re

import pytest
from public_logs import SAMPLES

from components.core.logs.layout_table import LAYOUTS
from components.core.logs.layouts import describe_fit, get_layout, suggest
from components.sessionize.component import sessionize


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize(("begin", "end"), [("", ""), ("\ufeff", "\r\n"), ("", "\n")])
def test_the_first_line_of_each_log_suggests_its_layout(name, begin, end):
    first_line = SAMPLES[name].partition("\n")[0]
    assert suggest(f"{begin}{first_line}{end}") == name
    assert describe_fit(first_line) == f"This looks like the layout {name}: add --layout {name}"


@pytest.mark.parametrize("name", SAMPLES)
def test_a_first_line_fits_one_layout_alone(name):
    first_line = SAMPLES[name].partition("\n")[0]
    assert [layout.name for layout in LAYOUTS.values() if layout.fits(first_line)] == [name]


def test_each_layout_has_a_sample():
    assert SAMPLES.keys() == LAYOUTS.keys()


@pytest.mark.parametrize(
    "line",
    [
        "",
        "\0",
        "a,b,c",
        "userId,movieId,rating,timestamp,genre",
        "userId;movieId;rating;timestamp",
        "SessionId,ItemId,Time",
        "sessionid\titemid\ttime",
        "1,2014-04-07T10:51:09.277Z,214536502",
        "1,2,3,click,1511544070",
        "1577836800000,1,view,10,",
        '{"user_id": 1, "item": 2, "timestamp": 3}',
        '{"session": "a", "clicks": []}',
    ],
)
def test_another_first_line_suggests_nothing(line):
    assert suggest(line) == ""
    assert describe_fit(line) == ""


def test_a_header_in_quotes_fits():
    header = ",".join(f'"{name}"' for name in LAYOUTS["movielens"].header)
    assert suggest(header) == "movielens"


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_a_layout_describes_itself_in_one_line_and_names_its_source(layout):
    assert re.fullmatch(r"[^\n]{30,120}", layout.description)
    assert layout.source
    assert re.fullmatch(r"https?://\S+", layout.url)
    assert bool(layout.header) != bool(layout.line)
    if layout.header:
        assert layout.settings["delimiter"]


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_the_settings_are_parameters_of_sessionize_with_values_of_their_type(layout):
    kinds = {"String": str, "Integer": int, "Float": float, "Boolean": bool}
    inputs = sessionize.component_spec.inputs
    for name, value in layout.settings.items():
        assert type(value) is kinds.get(inputs[name].type, list), name


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_a_layout_names_each_column_that_sessionize_reads(layout):
    settings = layout.settings
    assert ("session_column" in settings) != ("visitor_column" in settings)
    assert {"item_column", "event_column", "time_column"} <= settings.keys()
    assert bool(settings["event_column"]) == bool(settings.get("event_types"))
    columns = set(settings.get("column_names", layout.header))
    if columns:
        assert {value for name, value in settings.items() if name.endswith("_column") and value} <= columns
    assert settings.get("has_header", True) == ("column_names" not in settings)


def test_an_unknown_layout_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"Expected a layout, one of retailrocket, gru4rec, .* Received: 'retail'"):
        get_layout("retail")
