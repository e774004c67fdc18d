"""Columns of a programme that are sums of others, put into the rows where they are used. Only numpy.

What purchases draw at a site, and what is free of them in a pool, are columns of their own, as thousands of
states of use share them. A programme over the first stage alone is solved in half the time without them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from armillary.portfolio.calendar import Floats, Integers, sums
from armillary.portfolio.matrix import Bools, Matrix


class Sums(NamedTuple):
    """What each column is the sum of, itself where it is no sum: `value` times `column`, from `start` on."""

    start: Integers
    column: Integers
    value: Floats

    def of(self, columns: Integers) -> tuple[Integers, Integers, Floats]:
        """Of some columns: which of them, and the columns that it is a sum of, with what."""
        which, place = ranges(self.start[columns], self.start[columns + 1])
        return which, self.column[place], self.value[place]

    def point(self, x: Floats) -> Floats:
        """With sums made right."""
        column = np.repeat(np.arange(len(x)), np.diff(self.start))
        return sums(column, self.value * x[self.column], len(x))

    def back(self, cost: Floats) -> Floats:
        """Cost of columns with that of the sums that they are in; of sums 0."""
        column = np.repeat(np.arange(len(cost)), np.diff(self.start))
        return sums(self.column, self.value * cost[column], len(cost))

    def within(self, place: Integers) -> Sums:
        """Of columns that have a place of their own elsewhere (-1: none), by these places."""
        there = place[self.column] >= 0
        start = np.concatenate([[0], np.cumsum(there)])[self.start]
        return Sums(start, place[self.column[there]], self.value[there])


def ranges(start: Integers, end: Integers) -> tuple[Integers, Integers]:
    """All numbers from starts to before ends, one range after the other: which range, and the number."""
    sizes = end - start
    which = np.repeat(np.arange(len(start)), sizes)
    return which, np.arange(len(which)) - (np.cumsum(sizes) - sizes - start)[which]


def substituted(part: Matrix, made: Bools, rows: Integers) -> tuple[Matrix, Sums]:
    """A matrix without some columns, each of which one of some rows makes a sum of others.

    Parameters
    ----------
    part : Matrix
    made : array
        Which columns; those that no row makes are left as they are. Their own bounds are given up: what is
        left is the same programme where these never bind, and a relaxation elsewhere.
    rows : array
        Of at most 0, where that costs least with equality. They are left out.

    Returns
    -------
    tuple
        The matrix, with all columns and rows, but nothing in those that are left out; and the sums.
    """
    count, height = len(part.cost), len(part.row_lower)
    column = np.repeat(np.arange(count), np.diff(part.start))
    defining = np.zeros(height, bool)
    defining[rows] = True
    of_row = np.full(height, -1)
    pivot = np.flatnonzero(defining[part.row] & made[column])
    of_row[part.row[pivot]] = column[pivot]
    scale = np.ones(height)
    scale[part.row[pivot]] = -1.0 / part.value[pivot]
    inside = np.flatnonzero(defining[part.row] & ~made[column] & (of_row[part.row] >= 0))
    total, term = of_row[part.row[inside]], column[inside]
    value = part.value[inside] * scale[part.row[inside]]
    whole = np.ones(count, bool)
    whole[column[pivot]] = False
    total, term = np.append(total, np.flatnonzero(whole)), np.append(term, np.flatnonzero(whole))
    value = np.append(value, np.ones(int(whole.sum())))
    order = np.argsort(total, kind="stable")
    known = Sums(np.searchsorted(total[order], np.arange(count + 1)), term[order], value[order])
    kept = ~(defining & (of_row >= 0))[part.row]
    which, to, times = known.of(column[kept])
    key, place = np.unique(to * height + part.row[kept][which], return_inverse=True)
    entries = sums(place, part.value[kept][which] * times, len(key))
    gone = defining & (of_row >= 0)
    return part._replace(
        cost=known.back(part.cost), start=np.searchsorted(key // height, np.arange(count + 1)),
        row=key % height, value=entries,
        row_lower=np.where(gone, -np.inf, part.row_lower), row_upper=np.where(gone, np.inf, part.row_upper),
    ), known  # fmt: skip
