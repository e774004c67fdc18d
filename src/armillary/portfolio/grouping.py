"""Which futures of a quarter are taken as one state at their mean. Only numpy.

What a relaxation over means loses is, in each group, about how far demand and its prices move together.
Groups are parted where that is most, over all quarters: late quarters, in which futures are far apart, get
more states than early ones.
"""

from __future__ import annotations

import heapq

import numpy as np

from armillary.portfolio.arrays import Arrays
from armillary.portfolio.calendar import Floats, Integers
from armillary.portfolio.records import Programme

NEAR = 0.1
"""Weight of how far demand alone is apart, where prices are known. [-]"""
ALIKE = 1e-12
"""Relative distance from the mean up to which values are the mean. [-]"""


def labelled(programme: Programme, arrays: Arrays, size: int, prices: Floats | None = None) -> Integers:
    """Labels `[quarter, future]` of at most `size` states in all (of at least one a quarter).

    Where risk counts, futures are grouped as a whole: what they cost is summed over quarters.

    Parameters
    ----------
    programme, arrays
    size : int
    prices : array or None
        Of demand, `[stream, quarter, future]`, discounted, where a plan is known. [scaled money/unit]
    """
    worth = np.where(arrays.value > 0, arrays.value, arrays.penalty)
    money = worth[:, None, None] * arrays.demand * arrays.factor[None, :, None]
    quarters = programme.calendar.quarters
    if programme.risk.weight > 0:
        return np.tile(grouped(money.reshape(-1, money.shape[2]).T, size // quarters), (quarters, 1))
    alike = [len(np.unique(row)) == 1 for row in programme.futures.node]
    money[:, alike] = money[:, alike].mean(2, keepdims=True)
    return parted(money, size, arrays.demand, prices)


def grouped(points: Floats, size: int) -> Integers:
    """Labels of points `[point, feature]` in at most `size` groups."""
    label: Integers = parted(points.T[:, None, :], size)[0]
    return label


def parted(money: Floats, size: int, demand: Floats | None = None, prices: Floats | None = None) -> Integers:
    """Labels `[quarter, future]` of at most `size` groups: the widest is parted at its mean, again and again.

    Parameters
    ----------
    money : array
        What demand is worth, `[stream, quarter, future]`.
    size : int
    demand, prices : array or None
        As `money`; a group in which either is the same all over is wide by `NEAR` of what it is worth alone.
    """
    _, quarters, futures = money.shape

    def wide(quarter: int, mine: Integers) -> float:
        alone = float((_spread(money[:, quarter, mine]) * np.sqrt(len(mine))).sum())
        if demand is None or prices is None:
            return alone
        joint = _spread(demand[:, quarter, mine]) * _spread(prices[:, quarter, mine])
        return float(joint.sum()) + NEAR * alone

    label = np.zeros((quarters, futures), np.int64)
    every = np.arange(futures)
    groups = [(-wide(t, every), t, 0, every) for t in range(quarters)]
    heapq.heapify(groups)
    sizes = [1] * quarters
    while sum(sizes) < size and -groups[0][0] > 0:
        _, t, name, mine = heapq.heappop(groups)
        here = money[:, t, mine]
        along = here[_spread(here).argmax()]
        up = along > along.mean()
        label[t, mine[up]] = sizes[t]
        for key, half in ((name, mine[~up]), (sizes[t], mine[up])):
            heapq.heappush(groups, (-wide(t, half), t, key, half))
        sizes[t] += 1
    return label


def _spread(values: Floats) -> Floats:
    """Root of the sum of squared distances from the mean, by row."""
    mean = values.mean(1, keepdims=True)
    away = np.where(np.abs(values - mean) > ALIKE * np.abs(mean), values - mean, 0.0)
    return np.asarray(np.sqrt((away**2).sum(1)))
