import numpy as np
import pytest

from components.report.catalogue import choose_marked, choose_points, find_neighbours, project


def test_points_in_a_plane_are_shown_as_they_are():
    rng = np.random.default_rng(0)
    plane = rng.normal(size=(50, 2)) * [5.0, 2.0]
    axes = np.linalg.qr(rng.normal(size=(8, 8)))[0][:2]
    place, share = project((plane @ axes + 3.0).astype(np.float32))
    assert share == pytest.approx(1.0)
    # A projection onto the plane keeps all distances.
    for points in (plane, place):
        points -= points.mean(axis=0)
    expected = np.linalg.norm(plane[:, None] - plane, axis=2)
    np.testing.assert_allclose(np.linalg.norm(place[:, None] - place, axis=2), expected, atol=1e-3)


def test_the_share_of_the_variance_by_hand():
    # Variances 9, 4, 1 and 1 along the axes, with no correlation.
    points = np.concatenate([np.diag([3.0, 2.0, 1.0, 1.0]), -np.diag([3.0, 2.0, 1.0, 1.0])]).astype(np.float32)
    place, share = project(points)
    assert share == pytest.approx((9 + 4) / 15)
    np.testing.assert_allclose(np.abs(place[:2]), [[3, 0], [0, 2]], atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 4), (3, 1), (2, 2)])
def test_small_catalogues_have_a_map(shape):
    place, share = project(np.ones(shape, np.float32))
    assert place.shape == (shape[0], 2)
    assert np.isfinite(place).all()
    assert share == 0.0


def test_neighbours_are_those_of_brute_force():
    vectors = np.random.default_rng(1).normal(size=(40, 6)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    found = find_neighbours(vectors, np.array([3, 17]), 5)
    for row, others in zip((3, 17), found.tolist(), strict=True):
        expected = sorted(
            (other for other in range(40) if other != row), key=lambda other: -vectors[row] @ vectors[other]
        )
        assert others == expected[:5]
    assert find_neighbours(vectors[:3], np.array([0]), 5).shape == (1, 2)


def test_the_items_of_the_list_are_common_ones():
    # Half of the 200 events are of the first three items, but eight are shown.
    assert choose_marked(np.array([50, 30, 20, 10, *[1] * 90])).tolist() == list(range(8))
    assert choose_marked(np.array([5, 1])).tolist() == [0, 1]
    # Of 1,000 equal items, 500 make up half: rows 0 to 499, of which eight are 499 / 7 = 71.3 rows apart.
    assert choose_marked(np.full(1_000, 3)).tolist() == [0, 71, 142, 213, 285, 356, 427, 499]
    # Nine items of 11 events are 99 of 198; the tenth is not needed.
    assert choose_marked(np.array([*[11] * 9, *[1] * 99])).tolist() == [0, 1, 2, 3, 4, 5, 6, 8]


def test_the_points_are_all_items_or_an_even_choice():
    assert choose_points(3).tolist() == [0, 1, 2]
    shown = choose_points(100_000)
    assert (len(shown), shown[0], shown[-1]) == (1_500, 0, 99_999)
    assert set(np.diff(shown)) <= {66, 67}
