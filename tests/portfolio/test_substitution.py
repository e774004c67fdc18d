"""A programme without its sums is the same programme."""

from __future__ import annotations

import numpy as np
import pytest
from test_first_stage import Market

from armillary.portfolio import highs
from armillary.portfolio.matrix import Matrix
from armillary.portfolio.substitution import ranges, substituted


def matrix(rows, cost, upper):
    """Rows of at most 0 but the last, of at least 1; columns of at least 0."""
    rows = np.array(rows, float)
    row, column = np.nonzero(rows)
    order = np.lexsort((row, column))
    none = np.full(len(rows), -np.inf)
    low, high = none.copy(), np.zeros(len(rows))
    low[-1], high[-1] = 1.0, np.inf
    count = len(cost)
    return Matrix(
        np.array(cost, float), np.zeros(count), np.array(upper, float), np.zeros(count, bool), low, high,
        np.searchsorted(column[order], np.arange(count + 1)), row[order], rows[row, column][order], {}, {},
    )  # fmt: skip


def test_sums_are_put_where_they_are_used():
    # What is drawn (column 2) is 2 a + 3 b and at most 4 c; a + b serve.
    part = matrix([[2, 3, -1, 0], [0, 0, 1, -4], [1, 1, 0, 0]], [1, 1.1, 0.5, 2], [0.6, 9, 9, 9])
    less, sums = substituted(part, np.array([False, False, True, False]), np.array([0]))
    assert less.start[2] == less.start[3]
    assert less.cost.tolist() == [2.0, 2.6, 0.0, 2.0]
    assert np.isinf(less.row_upper[0])
    found, same = highs.solve(part, relaxed=True), highs.solve(less, relaxed=True)
    assert found.value == pytest.approx(0.6 + 0.44 + 0.5 * 2.4 + 2 * 0.6)
    assert same.value == pytest.approx(found.value)
    assert sums.point(same.x) == pytest.approx(found.x)
    # Cost of a sum is that of what it is of; a column that is no sum is its own.
    assert sums.back(np.array([0, 0, 1.0, 0])).tolist() == [2.0, 3.0, 0.0, 0.0]
    which, column, value = sums.of(np.array([2, 3]))
    assert (which.tolist(), column.tolist(), value.tolist()) == ([0, 0, 1], [0, 1, 3], [2.0, 3.0, 1.0])


def test_sums_of_columns_that_are_left_out_have_less_in_them():
    part = matrix([[2, 3, -1, 0], [0, 0, 1, -4], [1, 1, 0, 0]], [1, 1.1, 0.5, 2], [0.6, 9, 9, 9])
    _, sums = substituted(part, np.array([False, False, True, False]), np.array([0]))
    few = sums.within(np.array([-1, 0, -1, 1]))
    which, column, value = few.of(np.array([0, 1, 2, 3]))
    assert (which.tolist(), column.tolist(), value.tolist()) == ([1, 2, 3], [0, 0, 1], [1.0, 3.0, 1.0])


def test_ranges_are_one_after_the_other():
    which, number = ranges(np.array([5, 2, 9]), np.array([7, 2, 12]))
    assert which.tolist() == [0, 0, 2, 2, 2]
    assert number.tolist() == [5, 6, 9, 10, 11]


@pytest.mark.parametrize("seed", [0, 1])
def test_what_a_market_costs_is_the_same_without_sums(seed):
    here = Market(seed)
    m = here.means.matrix._replace(integer=np.zeros(len(here.means.matrix.cost), bool))
    made, by = np.zeros(len(m.cost), bool), np.zeros(len(m.row_lower), bool)
    made[m.blocks["power of purchases"]] = True
    by[m.row_blocks["power bought"]] = True
    less, sums = substituted(m, made, np.flatnonzero(by))
    assert (np.diff(less.start)[made] == 0).all()
    same = highs.solve(less, relaxed=True)
    assert same.value == pytest.approx(here.relaxed.value, rel=1e-7)
    x = sums.point(same.x)
    rows = m.times(x)
    slack = 1e-6 * (1 + np.abs(rows))
    assert ((rows >= m.row_lower - slack) & (rows <= m.row_upper + slack)).all()
