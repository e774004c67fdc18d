"""Quarters, and futures that part from each other over them. Only numpy."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from armillary.errors import InputError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

QUARTER = 365.25 * 86400 / 4
"""Length of every quarter. [s]"""


def sums(place: Integers, values: Floats, size: int) -> Floats:
    """Sum of the values at each place, `[size]`."""
    return np.asarray(np.bincount(place, values, size), float)


class Calendar(NamedTuple):
    """The quarters of a plan.

    year, quarter : the first one, as people count (quarter 1 to 4). quarters : how many [-].
    discount : rate of a year; payments of a quarter are discounted to the start of the first [-].
    """

    year: int
    quarter: int
    quarters: int
    discount: float = 0.0

    def name(self, index: int) -> str:
        """Name of a quarter by its index.

        Examples
        --------
        >>> Calendar(2025, 4, 28).name(1)
        '2026Q1'
        """
        since = self.year * 4 + self.quarter - 1 + index
        return f"{since // 4}Q{since % 4 + 1}"

    def factors(self) -> Floats:
        """What a dollar of each quarter is worth today, `[quarter]`."""
        return np.asarray((1.0 + self.discount) ** (-np.arange(self.quarters) / 4))


class Futures(NamedTuple):
    """Possible futures, and from when on they can be told apart.

    probability : `[future]` sums to 1 [-].
    node : `[quarter, future]` futures with the same number in a quarter are one and the same so far: nothing
    decided in that quarter may differ between them. Once apart they stay apart.
    """

    probability: Floats
    node: Integers

    @property
    def size(self) -> int:
        """How many. [-]"""
        return len(self.probability)


def fan(count: int, quarters: int, parted: int = 0) -> Futures:
    """Equally likely futures that are one until quarter `parted` and all different from then on."""
    node = np.tile(np.arange(count), (quarters, 1))
    node[:parted] = 0
    return Futures(np.full(count, 1.0 / count), node)


def tree(branches: dict[int, int], quarters: int) -> Futures:
    """A tree with equally likely branches: at quarter q each node parts in `branches[q]`.

    Examples
    --------
    >>> tree({1: 2, 3: 2}, 4).node
    array([[0, 0, 0, 0],
           [0, 0, 1, 1],
           [0, 0, 1, 1],
           [0, 1, 2, 3]])
    """
    counts = np.cumprod([branches.get(t, 1) for t in range(quarters)])
    leaves = int(counts[-1])
    node = np.stack([np.arange(leaves) // (leaves // int(count)) for count in counts])
    return Futures(np.full(leaves, 1.0 / leaves), node)


def growing(
    start: float, growth: float, spread: float, futures: Futures, seed: int, fall: float = 0.0
) -> Floats:
    """A quantity that grows with lognormal steps, the same for futures that are one so far.

    Parameters
    ----------
    start : float
        Median in the first quarter, of any unit.
    growth : float
        Of the median in a year, e.g. 2.0 for a doubling. [-]
    spread : float
        Standard deviation of the logarithm of a year's growth. [-]
    futures : Futures
    seed : int
    fall : float
        Share of the distance to the median's path that is made up in a year: 0 is a random walk. [-]

    Returns
    -------
    array
        `[quarter, future]` in the unit of `start`.
    """
    if start < 0 or growth <= 0 or spread < 0 or not 0 <= fall <= 1:
        raise InputError(
            "growth of demand: start and spread must be at least 0, growth above 0, fall between 0 and 1. "
            f"Got start {start:g}, growth {growth:g}, spread {spread:g}, fall {fall:g} instead."
        )
    quarters, count = futures.node.shape
    random = np.random.default_rng(seed)
    kept = (1.0 - fall) ** 0.25
    away = np.zeros(count)
    path = np.empty((quarters, count))
    for t in range(quarters):
        steps: Floats = np.asarray(random.normal(size=count) * spread / 2)
        first = np.unique(futures.node[t], return_index=True, return_inverse=True)
        away = kept * away + steps[first[1]][first[2]]
        path[t] = start * growth ** (t / 4) * np.exp(away)
    return path
