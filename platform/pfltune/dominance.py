"""Accuracy against bytes: what is dominated, what stands out, and how much a set of points covers.

A point is (accuracy in [0, 1], MB): the higher accuracy and the fewer MB are the better. Points are
compared after :func:`pfltune.ties.settled`, so that equal ones are equal.
"""

from collections.abc import Mapping, Sequence

from pfltune.ties import settled

Point = tuple[float, float]


def dominates(one: Point, other: Point) -> bool:
    """Whether one point is no worse in both and better in one."""
    return one != other and one[0] >= other[0] and one[1] <= other[1]


def fronts(points: Sequence[Point]) -> list[list[int]]:
    """Places of the points by front: those that none dominates, then those without these, …

    Non-dominated sorting, as of NSGA-II (Deb, Pratap, Agarwal & Meyarivan 2002, IEEE Transactions
    on Evolutionary Computation 6(2)). Equal points are on one front.
    """
    known = [_settled(point) for point in points]
    left = list(range(len(known)))
    found = []
    while left:
        front = [n for n in left if not any(dominates(known[m], known[n]) for m in left)]
        found.append(front)
        left = [n for n in left if n not in front]
    return found


def ranked(points: Mapping[int, Point]) -> list[int]:
    """Keys of the points, the best first: front by front, and of one those far from others first.

    Within a front, points go one after the other where they are most crowded, by the distance of
    their two neighbours, which is measured anew after each (Kukkonen & Deb 2006, IEEE Congress on
    Evolutionary Computation: a front that is cut at once by the distances of NSGA-II loses whole
    crowds). So the most accurate point is the first, the one of fewest MB the second, and however
    many are taken from the beginning cover their front. One that equals another comes behind all
    others of its front. Ties go to the lower key.
    """
    keys = sorted(points)
    values = [_settled(points[key]) for key in keys]
    return [keys[n] for front in fronts(values) for n in _spread([values[n] for n in front], front)]


def hypervolume(points: Sequence[Point], most: float) -> float:
    """The mean, over budgets from 0 to ``most`` MB, of the highest accuracy within the budget.

    This is the hypervolume (Zitzler & Thiele 1999, IEEE Transactions on Evolutionary Computation
    3(4)) of the points below the reference point of accuracy 0 and ``most`` MB, as a share of the
    rectangle that accuracy 1 for 0 MB would cover. A budget that no point fits counts as 0.

    Args:
        points: any, dominated ones too.
        most: above 0. Where it is 0, since nothing is sent at all, the highest accuracy.
    """
    fitting = [(accuracy, mb) for accuracy, mb in points if mb <= most]
    if most == 0:
        return max((accuracy for accuracy, _ in fitting), default=0.0)
    covered, best = 0.0, 0.0
    for accuracy, mb in sorted(fitting, key=lambda point: point[1]):
        covered += max(0.0, accuracy - best) * (most - mb)
        best = max(best, accuracy)
    return covered / most


def _spread(values: Sequence[Point], places: Sequence[int]) -> list[int]:
    """The places of one front's points in the order of :func:`ranked`."""
    first: dict[Point, int] = {}
    for value, place in zip(values, places, strict=True):
        first.setdefault(value, place)
    again = [place for place in places if place not in first.values()]
    left = sorted(first, key=lambda point: point[1])  # and so by accuracy
    gone = []
    while len(left) > 2:
        distance = _distances(left, first)
        gone.append(left.pop(min(range(1, len(left) - 1), key=distance.__getitem__)))
    ends = left[::-1]
    return [*(first[point] for point in [*ends, *gone[::-1]]), *again]


def _distances(line: Sequence[Point], first: Mapping[Point, int]) -> list[tuple[float, int]]:
    """Of each point of a front by MB the distance of its neighbours, of the whole front's extent.

    The later of two that are as crowded goes first.
    """
    spans = [line[-1][axis] - line[0][axis] for axis in (0, 1)]

    def distance(n: int) -> float:
        if n in (0, len(line) - 1):
            return float("inf")
        return sum((line[n + 1][axis] - line[n - 1][axis]) / spans[axis] for axis in (0, 1))

    return [(settled(distance(n)), -first[point]) for n, point in enumerate(line)]


def _settled(point: Point) -> Point:
    return settled(point[0]), settled(point[1])
