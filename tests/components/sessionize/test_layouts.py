"""Each layout, on a small file in the shape that its source documents: in, splits out, worked by hand."""

import inspect
import re
from datetime import UTC, datetime

import pytest
from public_logs import SAMPLES

from components.core.events import SPLITS, read_split
from components.core.logs.layouts import get_layout
from components.core.parameters import make_parameters
from components.sessionize.component import sessionize as component
from components.sessionize.step import SessionizeParameters, sessionize

DOGS, WEIRD_AL = "The Dogs D'Amour", '"Weird Al" Yankovic'
# The end of the window, where the published log has times that are years later.
AS_OF = {"taobao": "2017-12-04T00:00+08:00", "lastfm-1k": "2009-05-06"}
# For each layout: the items of the only session of train, valid and test; the time of the first event of train; the
# number of events that are dropped for each reason.
EXPECTED = {
    "retailrocket": (
        [["10", "20"], ["10", "20"], ["20", "10"]],
        "2020-01-01T00:00:00Z",
        {"event type: addtocart": 1, "event type: transaction": 1, "repeats": 1, "sessions too short": 1},
    ),
    # Repeats are kept, and the two events at the same time are in the order of the file.
    "gru4rec": (
        [["214536502", "214536500", "214536500"], ["214536500", "214536502"], ["214536502", "214536500"]],
        "2020-01-01T00:00:00.277Z",
        {},
    ),
    "yoochoose": (
        [["214536502", "214536500"], ["214662742", "214825110"], ["214536502", "214662742"]],
        "2014-04-07T10:51:09.277Z",
        {"repeats": 1},
    ),
    # The order is that of timeframe, 243.569 s before 526.309 s before 1031.018 s.
    "diginetica": (
        [["32118", "81766", "31331"], ["81766", "31331"], ["32118", "81766"]],
        "2016-05-09T00:04:03.569Z",
        {},
    ),
    "otto": (
        [["0", "1"], ["1", "0"], ["1855602", "0"]],
        "2020-01-01T00:00:00Z",
        {"event type: carts": 1, "event type: orders": 1},
    ),
    "rees46": (
        [["44600062", "3900821"], ["3900821", "44600062"], ["44600062", "3900821"]],
        "2019-10-01T00:00:00Z",
        {"event type: cart": 1, "event type: purchase": 1},
    ),
    # The event of the year 2037 is outside the window.
    "taobao": (
        [["2268318", "2333346"], ["2333346", "2268318"], ["2268318", "2333346"]],
        "2017-11-24T17:21:10Z",
        {"event type: buy": 1, "event type: cart": 1, "event type: fav": 1, "outside the window": 1},
    ),
    # 3 of the events have the same time; the repeat is one in the order of the file alone.
    "trivago": (
        [["666856", "109038"], ["109038", "666856"], ["666856", "109038"]],
        "2018-11-01T01:58:42Z",
        {"event type: search for poi": 1, "event type: filter selection": 1, "repeats": 1},
    ),
    # 12:31 to 20:30 is within 8 hours. The event of 2013 is outside the window.
    "lastfm-1k": (
        [[DOGS, WEIRD_AL], [DOGS, WEIRD_AL], [WEIRD_AL, DOGS]],
        "2009-04-01T12:30:00Z",
        {"repeats": 1, "outside the window": 1},
    ),
    # The third check-in of user 2 is a second too late for the session.
    "gowalla": (
        [["420315", "22847"], ["22847", "420315"], ["420315", "22847"]],
        "2010-09-01T10:00:00Z",
        {"sessions too short": 1},
    ),
    "movielens": ([["306", "296", "307"], ["296", "306"], ["307", "296"]], "2020-01-01T00:00:00Z", {}),
    "amazon-reviews": (
        [["B00YQ6X8EO", "B097R46CSY"], ["B097R46CSY", "B00YQ6X8EO"], ["B00YQ6X8EO", "B097R46CSY"]],
        "2020-01-01T00:00:00.277Z",
        {},
    ),
    # Purchases of one day are in the order of the items.
    "hm": (
        [["0541518023", "0663713001", "0505221004"], ["0541518023", "0663713001"], ["0505221004", "0541518023"]],
        "2018-09-20T00:00:00Z",
        {},
    ),
}


def make(layout, **settings):
    """The parameters of the step with the settings of a layout. Every item is frequent enough."""
    signature = inspect.signature(component.python_func).parameters
    defaults = {name: parameter.default for name, parameter in signature.items()}
    window = {"as_of": AS_OF.get(layout, "")}
    arguments = {**defaults, **get_layout(layout).settings, **window, "min_item_support": 1, **settings}
    return make_parameters(SessionizeParameters, arguments)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_log_of_each_layout_becomes_the_splits_that_it_holds(name, tmp_path):
    items, first_time, dropped = EXPECTED[name]
    log = tmp_path / "log"  # nothing depends on the suffix
    log.write_text(SAMPLES[name])
    report = sessionize(str(log), tmp_path / "events", make(name))
    splits = [read_split(tmp_path / "events", split).to_pydict() for split in SPLITS]
    assert [split["item_id"] for split in splits] == items
    assert [len(set(split["session_id"])) for split in splits] == [1, 1, 1]
    assert splits[0]["time"][0] == round(datetime.fromisoformat(first_time).timestamp() * 1000)
    assert report.num_rejected == 0
    kept = dict(zip(SPLITS, map(len, items), strict=True))
    assert report.funnel == {"read": sum(dropped.values()) + sum(kept.values()), "dropped": dropped, "kept": kept}


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPECTED)
def test_lines_that_end_in_carriage_returns_are_the_same(name, tmp_path):
    for number, newline in enumerate(("\n", "\r\n")):
        log = tmp_path / "log"
        log.write_text(SAMPLES[name], newline=newline)
        sessionize(str(log), tmp_path / str(number), make(name))
    for split in SPLITS:
        assert read_split(tmp_path / "0", split).equals(read_split(tmp_path / "1", split))


@pytest.mark.parametrize("name", ["retailrocket", "otto", "amazon-reviews", "gru4rec"])
def test_a_copy_with_times_in_another_unit_has_the_same_days(name, tmp_path):
    log = tmp_path / "log"
    text = SAMPLES[name]
    seconds = re.sub(r"\b(\d{10})\d{3}\b", r"\1", text)
    log.write_text(re.sub(r"\b(\d{10})\.\d+", r"\g<1>000", text) if seconds == text else seconds)
    assert log.read_text() != text
    sessionize(str(log), tmp_path / "events", make(name, drop_repeats=False))
    times = read_split(tmp_path / "events", "train")["time"].to_pylist()
    assert {f"{datetime.fromtimestamp(time / 1000, UTC):%Y-%m}" for time in times} == {"2020-01"}


def test_a_setting_overrides_the_layout(tmp_path):
    log = tmp_path / "log"
    log.write_text(SAMPLES["yoochoose"])
    report = sessionize(str(log), tmp_path / "events", make("yoochoose", drop_repeats=False))
    assert report.funnel["kept"] == {"train": 2, "valid": 3, "test": 2}
