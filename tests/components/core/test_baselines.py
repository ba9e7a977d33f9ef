import numpy as np
import pytest

from components.core.baselines import cosine_similarity, followers, make_baselines
from components.core.prefixes import Prefixes
from components.core.sequences import Sessions, target_events
from components.core.session_neighbours import SessionNeighbours

A, B, C, D = 1, 2, 3, 4


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
    prefixes = Prefixes.before(sessions, target_events(sessions, min_prefix=len(session)))
    row = first_row(name, prefixes)
    # Counts a 3, b 3, c 2, d 1 break ties; they are worth at most 1e-4.
    return np.where(row > 1e-3, row, 0.0)


def test_prefixes_leave_unknown_items_out():
    sessions = make([A, 0, B, C], [D, A])
    prefixes = Prefixes.before(sessions, target_events(sessions, min_prefix=1))
    query, items, back = prefixes.tile(slice(0, 4))
    assert query.tolist() == [0, 1, 2, 2, 3]
    assert items.tolist() == [0, 0, 0, 1, 3]
    assert back.tolist() == [0, 0, 1, 0, 0]


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
    prefixes = Prefixes.before(test, np.array([2]))
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
    row = neighbours.stan(Prefixes.before(test, np.array([2])))(slice(0, 1)).toarray()[0]
    # Steps from b: a 1, b 0, c 1 to 20, d 21, which weighs exp(-10.5).
    assert row[:2] == pytest.approx([np.exp(-1 / 2), 1.0])
    assert row[2] == pytest.approx(sum(np.exp(-steps / 2) for steps in range(1, 14)), abs=1e-6)
    assert row[3] == 0.0


@pytest.mark.parametrize(
    "name", ["popularity", "session_popularity", "markov", "sequential_rules", "item_knn", "v_sknn", "stan"]
)
def test_a_session_of_unknown_items_gets_popularity(name):
    sessions = make([0, A])
    prefixes = Prefixes.before(sessions, np.array([1]))
    row = first_row(name, prefixes)
    assert row[0] == row[1] > row[2] > row[3] > 0
