"""Setting a threshold: the trade-off worked by hand, and what holds of every one."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sake_registry.routing.calibration import Nearest, Point, Scores, best, curve

# Two paraphrases come to their own edit, one to another's; two neighbours, one of them close.
FOUND = (
    Nearest(1.0, True),
    Nearest(3.0, True),
    Nearest(2.0, False),
    Nearest(2.5, None),
    Nearest(5.0, None),
)


def test_the_trade_off_by_hand() -> None:
    assert curve(FOUND, [0.5, 1.0, 2.0, 2.5, 3.0, 5.0]) == [
        Point(0.5, 0.0, 1.0),
        Point(1.0, 1 / 3, 1.0),  # at the threshold is in scope
        Point(2.0, 1 / 3, 1.0),  # the nearest of this one is another edit: never served
        Point(2.5, 1 / 3, 0.5),
        Point(3.0, 2 / 3, 0.5),
        Point(5.0, 2 / 3, 0.0),
    ]


def test_the_best_point_has_the_largest_sum() -> None:
    low, high = Point(1.0, 0.2, 1.0), Point(3.0, 0.9, 0.8)
    assert best([low, high]) == best([high, low]) == high


def test_of_equal_points_the_smallest_threshold_is_the_best() -> None:
    """1/3 + 1 at 1.0 and 2.0, 2/3 + 1/2 at 3.0: the first is as good as the second."""
    points = curve(FOUND, [2.0, 1.0, 3.0])
    assert best(points).threshold == best(points[::-1]).threshold == 1.0


@pytest.mark.parametrize(
    "found", [[], [Nearest(1.0, True), Nearest(2.0, False)], [Nearest(1.0, None)]],
    ids=["nothing", "none out of scope", "none in scope"],
)  # fmt: skip
def test_without_prompts_of_either_kind_there_is_no_trade_off(found: list[Nearest]) -> None:
    with pytest.raises(ValueError, match="in scope and out of scope"):
        curve(found, [1.0])


distances = st.floats(0, 20, allow_nan=False)
nearest = st.builds(Nearest, distances, st.sampled_from([True, False, None]))


@given(
    st.lists(nearest).map(lambda some: [*some, Nearest(4.0, True), Nearest(6.0, None)]),
    st.lists(distances, min_size=1),
)
def test_a_larger_threshold_serves_no_fewer_and_leaves_no_more_alone(
    found: list[Nearest], thresholds: list[float]
) -> None:
    points = curve(found, sorted(thresholds))
    for before, after in pairwise(points):
        assert before.served <= after.served
        assert before.left_alone >= after.left_alone
    for point in points:
        assert 0 <= point.served <= 1
        assert 0 <= point.left_alone <= 1
    chosen = best(points)
    assert chosen in points
    for point in points:
        assert point.served + point.left_alone <= chosen.served + chosen.left_alone


@given(st.lists(nearest), distances)
def test_a_router_to_the_wrong_edit_alone_never_serves(found: list[Nearest], at: float) -> None:
    wrong = [Nearest(n.distance, None if n.right is None else False) for n in found]
    (point,) = curve([*wrong, Nearest(1.0, False), Nearest(1.0, None)], [at])
    assert point.served == 0


# -- a threshold within a rate -------------------------------------------------------------------

NEEDS = Scores(
    {"holdout": [0.1, 0.3, 0.5, math.inf]},
    {"near": [0.2, 0.4, math.inf, math.inf], "far": [math.inf, 0.6]},
)


def test_false_fires_are_the_mean_over_the_kinds() -> None:
    assert NEEDS.false_fires(0.1) == 0
    assert NEEDS.false_fires(0.2) == (1 / 4 + 0) / 2  # at the threshold it fires
    assert NEEDS.false_fires(0.6) == (2 / 4 + 1 / 2) / 2
    assert NEEDS.served(0.3) == 2 / 4
    assert Scores({}, {"none": []}).false_fires(1.0) == Scores({}, {}).served(1.0) == 0


@pytest.mark.parametrize(
    ("rate", "threshold"),
    [(0.0, 0.199), (0.1, 0.199), (0.125, 0.399), (0.25, 0.599), (0.49, 0.599), (0.5, 0.6)],
)
def test_the_largest_threshold_within_a_rate(rate: float, threshold: float) -> None:
    """Where nothing exceeds the rate, a larger threshold makes no difference."""
    assert NEEDS.within(rate) == threshold


def test_a_rate_that_no_threshold_keeps_is_refused() -> None:
    with pytest.raises(ValueError, match="at any threshold"):
        Scores({"holdout": [0.5]}, {"near": [-0.1, math.inf]}).within(0.4)
    with pytest.raises(ValueError, match="none of the prompts"):
        Scores({"holdout": [math.inf]}, {"near": [math.inf]}).within(0.4)


needs = st.lists(st.one_of(st.floats(0.01, 2), st.just(math.inf)), min_size=1, max_size=30)


@given(needs, needs, needs, st.floats(0, 0.9))
def test_the_rate_is_kept_and_hardly_more_would_be_kept(
    inside: list[float], first: list[float], second: list[float], rate: float
) -> None:
    scores = Scores({"in": [*inside, 1.0]}, {"first": first, "second": second})
    chosen = scores.within(rate)
    assert chosen > 0
    assert scores.false_fires(chosen) <= rate + 1e-9
    most = max(need for need in (*scores.inside["in"], *first, *second) if need < math.inf)
    assert chosen >= most or scores.false_fires(chosen + 0.0011) > rate
    assert scores.within(min(1.0, rate + 0.1)) >= chosen
