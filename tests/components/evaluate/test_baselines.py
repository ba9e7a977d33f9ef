import numpy as np
import pytest

from components.core.sequences import Sessions, target_events
from components.evaluate import baselines
from components.evaluate.baselines import cosine_similarity, followers, make_baselines, split_long_sessions
from components.evaluate.prefixes import Prefixes
from components.evaluate.session_neighbours import SessionNeighbours

A, B, C, D = 1, 2, 3, 4
BASELINES = ["popularity", "session_popularity", "markov", "sequential_rules", "item_knn", "v_sknn", "stan"]


def make(*sessions: list[int]) -> Sessions:
    return Sessions(
        session_ids=np.arange(len(sessions)),  # type: ignore[arg-type]
        items=np.concatenate(sessions).astype(np.int32),
        offsets=np.cumsum([0, *map(len, sessions)]),
    )


TRAIN = make([A, B, A, B], [A, B, C], [D, C])


def first_row(name: str, prefixes: Prefixes) -> np.ndarray:
    scores = make_baselines(TRAIN, prefixes, num_items=4)[name]()
    return scores.shared + scores.added(slice(0, 64)).toarray()[0]


def scores(name: str, session: list[int]) -> np.ndarray:
    """Scores of a, b, c, d for the target behind the session."""
    sessions = make([*session, A])
    prefixes = Prefixes.before(sessions, target_events(sessions, min_prefix=len(session)), max_length=100)
    row = first_row(name, prefixes)
    # Counts a 3, b 3, c 2, d 1 break ties; they are worth at most 1e-4.
    return np.where(row > 1e-3, row, 0.0)


def test_prefixes_leave_unknown_items_out():
    sessions = make([A, 0, B, C], [D, A])
    prefixes = Prefixes.before(sessions, target_events(sessions, min_prefix=1), max_length=100)
    query, items, back = prefixes.tile(slice(0, 4))
    assert query.tolist() == [0, 1, 2, 2, 3]
    assert items.tolist() == [0, 0, 0, 1, 3]
    assert back.tolist() == [0, 0, 1, 0, 0]


def test_prefixes_hold_the_newest_events_and_an_unknown_one_counts():
    sessions = make([D, C], [A, B, 0, C, D])
    prefixes = Prefixes.before(sessions, np.array([1, 6]), max_length=3)
    query, items, back = prefixes.tile(slice(0, 2))
    assert query.tolist() == [0, 1, 1]
    assert items.tolist() == [3, 1, 2]
    assert back.tolist() == [0, 1, 0]
    assert prefixes.newest(slice(0, 2), 4).toarray().tolist() == [[0, 0, 0, 1], [0, 0, 1, 0]]


def test_prefixes_of_one_long_session_take_the_memory_of_its_events():
    sessions = make([A, B] * 25_000)
    events = target_events(sessions, min_prefix=1)
    prefixes = Prefixes.before(sessions, events, max_length=256)
    assert sum(each.nbytes for each in vars(prefixes).values()) <= 3 * 8 * len(sessions.items)
    assert len(prefixes.tile(slice(40_000, 40_256))[1]) == 256 * 256


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_reads_the_newest_events_alone(name):
    rng = np.random.default_rng(3)
    trained = make(*(rng.integers(0, 5, rng.integers(1, 7)) for _ in range(40)))
    session = rng.integers(0, 5, 30)
    long, short = make(session), make(*(session[max(0, end - 6) : end + 1] for end in range(1, 30)))
    whole = Prefixes.before(long, np.arange(1, 30), max_length=6)
    alone = Prefixes.before(short, short.offsets[1:] - 1, max_length=100)
    rows = [
        make_baselines(trained, prefixes, num_items=4)[name]().added(slice(0, 29)).toarray()
        for prefixes in (whole, alone)
    ]
    assert np.array_equal(*rows)


def test_session_popularity():
    assert scores("session_popularity", [B, A, B]) == pytest.approx([1, 2, 0, 0], abs=1e-3)


def test_markov_counts_what_follows_the_newest_item():
    assert scores("markov", [C, A]) == pytest.approx([0, 3, 0, 0], abs=1e-3)
    assert scores("markov", [A, B]) == pytest.approx([1, 0, 1, 0], abs=1e-3)


def test_sequential_rules_weigh_by_distance():
    # After a: b at 1 (three times), b at 3 (once), a at 2 (once), c at 2 (once).
    assert scores("sequential_rules", [A]) == pytest.approx([1 / 2, 3 + 1 / 3, 1 / 2, 0], abs=1e-3)


def test_followers_stay_in_their_session():
    assert followers(TRAIN, 4, max_steps=1).toarray()[B - 1, D - 1] == 0


def test_item_knn_by_hand():
    # a and b share 2 sessions, of 2 and 2; b and c share 1, of 2 and 2; c and d 1, of 2 and 1.
    similarity = cosine_similarity(TRAIN, 4, regularization=0.0).toarray()
    assert similarity[A - 1] == pytest.approx([0, 2 / 2, 1 / 2, 0])
    assert similarity[C - 1] == pytest.approx([1 / 2, 1 / 2, 0, 1 / np.sqrt(2)])


def test_v_sknn_by_hand():
    # The query d, b: b weighs 1, d 1/2. Sessions 1 and 2 share b (similarity 1, no step back);
    # session 3 shares d (similarity 1/2, one step back: times 0.9).
    expected = [1 + 1, 1 + 1, 1 + 0.45, 0.45]
    assert scores("v_sknn", [D, B]) == pytest.approx(expected, abs=1e-3)


def test_v_sknn_counts_a_repeated_item_once_where_it_is_newest():
    # The query b, a, b: b weighs 1, a 2/3. Session 1 and 2 hold both.
    assert scores("v_sknn", [B, A, B])[:3] == pytest.approx([2 * 5 / 3, 2 * 5 / 3, 5 / 3], abs=1e-3)


def test_v_sknn_asks_the_newest_and_of_those_the_most_similar():
    sessions = make([A, C], [A, B, D], [A, B], [B, C])
    test = make([A, B, A])
    prefixes = Prefixes.before(test, np.array([2]), max_length=100)
    # Sessions 2 to 4 are the newest three with a or b; 2 and 3 hold both.
    neighbours = SessionNeighbours(sessions, 4, num_recent=3, num_neighbours=2)
    row = neighbours.v_sknn(prefixes)(slice(0, 1)).toarray()[0]
    # b weighs 1, a 1/2, and b is the newest item: both neighbours vote 1.5.
    assert row.tolist() == [3.0, 3.0, 0.0, 1.5]


def test_stan_by_hand():
    # The query d, b: b weighs 1, d exp(-1/2). Sessions 1 and 2 share b, last at their positions 3 and 1; 3 shares d.
    one, two, three = 1 / np.sqrt(4), 1 / np.sqrt(3), np.exp(-1 / 2) / np.sqrt(2)
    near, far, farther = np.exp(-1 / 2), np.exp(-1), np.exp(-3 / 2)
    votes = [one * (farther + near) + two * near, one * (far + 1) + two, (two + three) * near, three]
    # The largest vote is that of session 2 for b.
    assert scores("stan", [D, B]) == pytest.approx(np.array(votes) / two, abs=1e-3)


def test_stan_goes_by_the_newest_shared_item_and_leaves_small_votes_out():
    sessions = make([A, B, *[C] * 20, D], [D, D])
    neighbours = SessionNeighbours(sessions, 4)
    test = make([A, B, A])
    row = neighbours.stan(Prefixes.before(test, np.array([2]), max_length=100))(slice(0, 1)).toarray()[0]
    # Steps from b: a 1, b 0, c 1 to 20, d 21, which weighs exp(-10.5).
    assert row[:2] == pytest.approx([np.exp(-1 / 2), 1.0])
    assert row[2] == pytest.approx(sum(np.exp(-steps / 2) for steps in range(1, 14)), abs=1e-6)
    assert row[3] == 0.0


def ask_one_by_one(name: str, sessions: list[list[int]], query: list[int], num_recent: int, num_neighbours: int):
    """Scores of a, b, c, d by the papers' formulas, a neighbour at a time."""
    known = [item for item in query if item]
    backs = {item: steps for steps, item in reversed(list(enumerate(reversed(known))))}
    found = []
    for number, session in enumerate(sessions):
        shared = {item: steps for item, steps in backs.items() if item in session}
        if not shared:
            continue
        if name == "v_sknn":
            similarity = sum(1 - steps / len(known) for steps in shared.values())
        else:
            similarity = sum(np.exp(-steps / 3.0) for steps in shared.values()) / np.sqrt(len(session))
        found.append((number, similarity, min(shared.values()), session))
    found = sorted(found[-num_recent:], key=lambda each: (round(each[1], 9), each[0]))[-num_neighbours:]
    scores = np.zeros(5)
    for _, similarity, steps, session in found:
        if name == "v_sknn":
            for item in set(session):
                scores[item] += similarity * max(1 - 0.1 * steps, 0)
        else:
            [newest] = [item for item in session if backs.get(item) == steps][:1]
            last = max(place for place, item in enumerate(session) if item == newest)
            for place, item in enumerate(session):
                scores[item] += similarity * np.exp(-abs(place - last) / 1.5)
    return scores[1:]


@pytest.mark.parametrize("name", ["v_sknn", "stan"])
@pytest.mark.parametrize(("num_recent", "num_neighbours"), [(1000, 500), (12, 5), (4, 4)])
@pytest.mark.parametrize("max_pairs", [1 << 22, 10])
def test_neighbours_of_many_queries_are_those_of_each_alone(name, num_recent, num_neighbours, max_pairs, monkeypatch):
    monkeypatch.setattr("components.evaluate.session_neighbours.MAX_PAIRS", max_pairs)
    rng = np.random.default_rng(5)
    # 0 is an unknown item, and d is rare, so that its sessions are mostly not among the newest.
    draw = lambda most: rng.choice(5, rng.integers(1, most), p=[0.1, 0.3, 0.3, 0.27, 0.03]).tolist()  # noqa: E731
    trained = [draw(7) for _ in range(40)]
    queries = [draw(9) for _ in range(30)] + [[0, 0], [D], [D, 0, A]]
    tested = make(*([*query, A] for query in queries))
    prefixes = Prefixes.before(tested, tested.offsets[1:] - 1, max_length=100)
    neighbours = SessionNeighbours(make(*trained), 4, num_recent=num_recent, num_neighbours=num_neighbours)
    asked = (
        neighbours.v_sknn(prefixes)
        if name == "v_sknn"
        else neighbours.stan(prefixes, query_decay=3.0, neighbour_decay=1.5)
    )
    rows = asked(slice(0, len(queries))).toarray()
    for query, row in zip(queries, rows, strict=True):
        expected = ask_one_by_one(name, trained, query, num_recent, num_neighbours)
        if name == "stan" and row.any():
            row, expected = row / row.max(), expected / expected.max()
        assert row == pytest.approx(expected, abs=5e-3), query


@pytest.mark.parametrize("name", ["v_sknn", "stan"])
def test_the_newest_sessions_are_found_however_they_are_spread(name):
    # The newest sessions share all items of the query, so that few sessions make many pairs; those before share one.
    trained = [[A], [B], [C], [D], *[[A, D], [0], [B, C]] * 6, *[[0]] * 50, *[[A, B, C, D]] * 3]
    query = [A, B, C, D]
    test = make([*query, A])
    for num_recent in (2, 3, 4, 5, 9, 15, 19, 30):
        neighbours = SessionNeighbours(make(*trained), 4, num_recent=num_recent, num_neighbours=500)
        prefixes = Prefixes.before(test, np.array([4]), max_length=100)
        asked = (
            neighbours.v_sknn(prefixes)
            if name == "v_sknn"
            else neighbours.stan(prefixes, query_decay=3.0, neighbour_decay=1.5)
        )
        row, expected = asked(slice(0, 1)).toarray()[0], ask_one_by_one(name, trained, query, num_recent, 500)
        assert row / row.max() == pytest.approx(expected / expected.max(), abs=5e-3), num_recent


def test_a_query_of_many_items_looks_at_few_more_sessions_than_it_is_compared_with():
    rng = np.random.default_rng(4)
    num_items = 200
    neighbours = SessionNeighbours(
        make(*(rng.integers(1, num_items + 1, 5) for _ in range(20_000))), num_items, num_recent=100
    )
    items = np.arange(num_items)
    begin = neighbours._begin_recent(np.zeros(num_items, np.int64), items)
    end = neighbours.last_position.indptr[1:]
    sessions = [neighbours.last_position.indices[first:last] for first, last in zip(begin, end, strict=True)]
    assert len(np.unique(np.concatenate(sessions))) >= 100
    assert sum(map(len, sessions)) < 5 * 4 * 100  # 5 items a session, which looking back twice as far may double twice


def test_long_training_sessions_are_cut():
    cut = split_long_sessions(make([A, B, C], [A, B, C, D, A, B, C], [D]), max_length=3)
    assert cut.offsets.tolist() == [0, 3, 6, 9, 10, 11]
    assert cut.session_ids.tolist() == [0, 1, 1, 1, 2]


def test_item_knn_pairs_no_more_items_of_a_long_session_than_of_many(monkeypatch):
    monkeypatch.setattr(baselines, "MAX_TRAINING_LENGTH", 10)
    crawl = make(np.arange(1, 5_001))
    prefixes = Prefixes.before(crawl, np.array([4, 15]), max_length=100)
    rows = make_baselines(crawl, prefixes, num_items=5_000)["item_knn"]().added(slice(0, 2)).toarray()
    assert [np.flatnonzero(row).tolist() for row in rows] == [
        [0, 1, 2, *range(4, 10)],
        [*range(10, 14), *range(15, 20)],
    ]


def test_an_old_item_far_back_in_a_long_query_still_finds_its_sessions():
    test = make([A, *[B] * 4000, C])
    neighbours = SessionNeighbours(make([A, D]), 4)
    row = neighbours.stan(Prefixes.before(test, np.array([4001]), max_length=5_000))(slice(0, 1)).toarray()[0]
    assert row.tolist() == [0.0, 0.0, 0.0, 0.0]  # its weight is too small for a number
    near = make([A, *[B] * 1000, C])
    row = neighbours.stan(Prefixes.before(near, np.array([1001]), max_length=5_000))(slice(0, 1)).toarray()[0]
    assert row == pytest.approx([1.0, 0.0, 0.0, np.exp(-1 / 2)])


@pytest.mark.parametrize("name", BASELINES)
def test_a_session_of_unknown_items_gets_popularity(name):
    sessions = make([0, A])
    prefixes = Prefixes.before(sessions, np.array([1]), max_length=100)
    row = first_row(name, prefixes)
    assert row[0] == row[1] > row[2] > row[3] > 0
