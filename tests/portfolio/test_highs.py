"""Programmes that are solved one from the other have the optima that each has by itself."""

from __future__ import annotations

import numpy as np
import pytest

from armillary.portfolio import highs
from armillary.portfolio.matrix import Builder


def programme(columns, seed):
    """Serve demands from some columns at their costs: entries are in the same places whatever the seed."""
    random = np.random.default_rng(seed)
    build = Builder()
    x = build.columns("x", columns, upper=random.uniform(1, 3, columns))
    rows = build.rows("asked", 4, lower=random.uniform(0.5, 1.5, 4))
    for row in rows:
        build.put(row, x, random.uniform(0.5, 2.0, columns))
    build.charge(x, random.uniform(1, 2, columns))
    return build.build()


def test_programmes_alike_are_solved_as_by_themselves():
    alike, values = highs.Alike(), []
    for seed in range(8):
        matrix = programme(6, seed)
        mine, alone = alike.solve(matrix), highs.solve(matrix, relaxed=True)
        assert mine.status == alone.status == "optimal"
        assert mine.value == pytest.approx(alone.value, rel=1e-9)
        assert mine.duals == pytest.approx(alone.duals, abs=1e-7)
        values.append(mine.value)
    assert len(np.unique(np.round(values, 6))) == 8  # they do differ


def test_what_is_not_alike_is_solved_anew():
    alike = highs.Alike()
    for columns in (6, 9, 9, 5):
        matrix = programme(columns, columns)
        assert alike.solve(matrix).value == pytest.approx(highs.solve(matrix, relaxed=True).value, rel=1e-9)
    impossible = matrix._replace(row_lower=matrix.row_lower + 1e3)
    assert alike.solve(impossible).status == "infeasible"
    assert alike.solve(matrix).status == "optimal"
