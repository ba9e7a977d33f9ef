"""The demo page, and what it asks for."""

import functools
import re
import socket
import threading

import numpy as np
import pytest
from browser import browse
from factories import HOSTILE_IDS
from running_server import save_index, serve

from components.serve import demo, queries

HOSTILE = ["<script>document.title = 'owned'</script>", "<img src=x onerror=alert(1)>", *HOSTILE_IDS]


def recommend(server, session, **values):
    return server.post("/demo/recommend", {"session": session, **values})


def test_recommendations_come_with_titles_and_reasons(server):
    answer = recommend(server, ["i1", "i5", "new"], k=4).json()
    (row,) = server.predict(
        {
            "signature_name": "recommend",
            "instances": [{"item_ids": ["i1", "i5", "new"], "k": 4, "exclude_ids": ["i1", "i5"]}],
        }
    )["predictions"]
    assert [each["id"] for each in answer["items"]] == row["item_ids"]
    assert [each["score"] for each in answer["items"]] == pytest.approx(row["scores"])
    assert answer["unknown"] == ["new"]
    assert (answer["version"], answer["milliseconds"] > 0) == (1, True)
    for each in answer["items"]:
        columns = {"item_ids": [["i1", "i5"]], "other_ids": [[each["id"]]]}
        similarity = server.predict({"signature_name": "similarity", "inputs": columns})["outputs"][0][0]
        pairs = sorted(zip(similarity, ["i1", "i5"], strict=True), reverse=True)
        assert [(pytest.approx(score), item_id) for score, item_id in pairs if score > 0] == [
            (reason["similarity"], reason["id"]) for reason in each["because"]
        ]
        assert each["title"] == {"i3": "Third <b>", "i4": "Vierte"}.get(each["id"], "")


def test_items_of_the_session_are_left_out_unless_wished(server):
    without = {each["id"] for each in recommend(server, ["i1", "i5"], k=30).json()["items"]}
    assert not {"i1", "i5"} & without
    everything = recommend(server, ["i1", "i5"], k=30, exclude_seen=False).json()["items"]
    assert len(everything) == 30


def test_without_a_session_the_most_popular_items_come(server):
    answer = recommend(server, [], k=3).json()
    assert [(each["id"], each["because"]) for each in answer["items"]] == [("i0", []), ("i1", []), ("i2", [])]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, "Expected item_ids of a session to be a list of item ids. Received: None"),
        ({"session": "i1"}, "Expected item_ids of a session to be a list of item ids. Received: 'i1'"),
        ({"session": [1]}, "Expected item_ids to be texts. Received: 1"),
        ({"session": [], "k": 10**9}, "Expected k to be an integer from 1 to 30"),
    ],
)
def test_malformed_requests_are_refused(server, document, message):
    answer = server.post("/demo/recommend", document)
    assert (answer.status_code, message in answer.json()["error"]) == (400, True)


def test_as_many_similarities_are_computed_as_the_interface_allows(server, monkeypatch):
    monkeypatch.setattr(queries, "MAX_SIMILARITIES", 12)
    session = [f"i{number}" for number in range(4)]
    assert len(recommend(server, [*session, "i0"], k=3).json()["items"]) == 3
    answer = recommend(server, session, k=4)
    message = "Expected at most 12 similarities in an answer. Received: 16"
    assert (answer.status_code, answer.json()["error"]) == (400, message)


def test_reasons_are_chosen_where_batches_are_computed(server, monkeypatch):
    threads = []
    monkeypatch.setattr(demo, "find_nearest", functools.partial(call_elsewhere, threads, demo.find_nearest))
    assert recommend(server, ["i1", "i5"], k=4).ok
    assert [each.partition("_")[0] for each in threads] == ["compute"]


def call_elsewhere(threads, function, *arguments):
    threads.append(threading.current_thread().name)
    return function(*arguments)


def test_the_nearest_are_the_largest_positive_ones():
    similarity = np.array([[0.5, -0.1, 0.9, 0.7], [-1.0, 0.0, -0.5, 0.25]], np.float32)
    assert demo.find_nearest(similarity, ["a", "b", "c", "d"]) == [
        [(pytest.approx(0.9), "c"), (pytest.approx(0.7), "d")], [(0.25, "d")],
    ]  # fmt: skip


def test_a_search_counts_as_a_request(index_dir):
    with serve(index_dir, max_concurrency=1) as running:
        running.wait_for(lambda: running.get("/v2/health/ready").ok)
        head = b"POST /demo/recommend HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n"
        with socket.create_connection(("127.0.0.1", running.port)) as waiting:
            waiting.sendall(head)
            running.wait_for(lambda: running.metric("two_tower_requests_in_flight") == 2)
            assert running.get("/demo/items?q=i1").status_code == 429
        running.wait_for(lambda: running.get("/demo/items?q=i1").ok)


def test_items_are_searched(server):
    found = server.get("/demo/items?q=vierte").json()
    assert found == {"items": [{"id": "i4", "title": "Vierte"}], "num_items": 40}
    assert [each["id"] for each in server.get("/demo/items").json()["items"]][:3] == ["i0", "i1", "i2"]
    assert server.get("/demo/items?q=%FF%00").json()["items"] == []


def test_the_page_needs_nothing_but_the_server(server):
    answer = server.get("/")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["connect-src"] == "'self'"
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert re.findall(r"""(?:src|href)=["']?([^"' >]*)""", answer.text) == ["data:,"]
    assert "://" not in answer.text


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    save_index(HOSTILE, folder / "index")
    with serve(folder, titles={"plain": "<u>under</u>"}) as running:
        running.wait_for(lambda: running.get("/v2/health/ready").ok)
        yield running


@pytest.mark.slow
def test_the_page_shows_hostile_ids_as_text(hostile, tmp_path):
    with browse(tmp_path) as page:
        page.open(hostile.url)
        page.wait_for("document.querySelectorAll('#best li').length === 12")
        page.wait_for("document.querySelectorAll('#found li').length === 24")
        shown = page.evaluate("document.body.innerText")
        for text in ("<script>document.title = 'owned'</script>", "<img src=x onerror=alert(1)>", "<u>under</u>"):
            assert text in shown
        page.evaluate("document.querySelector('#search').value = 'gnirts'")
        page.evaluate("document.querySelector('#search').dispatchEvent(new Event('input'))")
        page.wait_for("document.querySelectorAll('#found li').length === 1")
        assert page.evaluate("document.querySelector('#found button').textContent") == r"+ \u202egnirts"
        assert page.evaluate("document.title") == "two-tower: recommendations for a session"
        assert page.evaluate("document.querySelectorAll('script, u, img').length") == 1


@pytest.mark.slow
def test_a_click_changes_the_session_and_the_list(hostile, tmp_path):
    with browse(tmp_path) as page:
        page.open(hostile.url)
        page.wait_for("document.querySelectorAll('#found li').length === 24")
        assert page.evaluate("document.querySelectorAll('#session li').length") == 0
        page.evaluate("document.querySelectorAll('#found button')[2].click()")  # the item `plain`
        page.wait_for("document.querySelector('#best .because')?.textContent.includes('<u>under</u> (')")
        (found,) = hostile.predict(
            {
                "signature_name": "recommend",
                "instances": [{"item_ids": ["plain"], "k": 12, "exclude_ids": ["plain"]}],
            }
        )["predictions"]
        shown = page.evaluate("[...document.querySelectorAll('#best .name')].map((each) => each.textContent)")
        assert len(shown) == len(found["item_ids"])
        assert [text for text in shown if text.isascii() and "\\" not in text] == [
            item_id
            for item_id in found["item_ids"]
            if item_id.isascii() and item_id.isprintable() and "\\" not in item_id
        ]
        page.evaluate("document.querySelector('#best .add').click()")
        page.wait_for("document.querySelectorAll('#session li').length === 2")
        page.evaluate("document.querySelector('#search').value = 'STRASSE'")
        page.evaluate("document.querySelector('#search').dispatchEvent(new Event('input'))")
        page.wait_for("document.querySelectorAll('#found li').length === 1")
        page.evaluate("document.querySelector('#clear').click()")
        page.wait_for("document.querySelectorAll('#session li').length === 0")


@pytest.mark.slow
@pytest.mark.parametrize("width", [320, 390, 1280])
def test_nothing_sticks_out_and_every_control_has_a_name(hostile, tmp_path, width):
    with browse(tmp_path, width=width) as page:
        page.open(hostile.url)
        page.wait_for("document.querySelectorAll('#best li').length === 12")
        page.evaluate("document.querySelectorAll('#found button')[3].click()")
        page.wait_for("document.querySelectorAll('#session li').length === 1")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        tree = page.call("Accessibility.getFullAXTree")["nodes"]
        controls = [each for each in tree if each.get("role", {}).get("value") in ("button", "searchbox", "checkbox")]
        assert len(controls) > 30
        assert all(each["name"]["value"].strip() for each in controls)
        assert page.evaluate("Math.min(...[...document.querySelectorAll('button')].filter((each) => !each.hidden)"
                             ".map((each) => each.getBoundingClientRect().height))") >= 40  # fmt: skip
