"""Tiers that are barred are in no plan that is cheaper than the known one; those of such plans are not."""

from __future__ import annotations

from time import perf_counter

import numpy as np
import pytest
from portfolio_market import market

from armillary.portfolio import decomposition, highs
from armillary.portfolio.arrays import arrays
from armillary.portfolio.assembly import assemble
from armillary.portfolio.barring import barred, large
from armillary.portfolio.states import exact, states


class Market:
    """A market over means and in all futures, and the least that it costs with each tier signed."""

    def __init__(self, seed):
        self.programme = market(2, 2, 4, 6, 4, "volume", seed=seed)
        scaled = arrays(self.programme)
        shape = self.programme.calendar.quarters, self.programme.futures.size
        self.means = assemble(self.programme, scaled, states(self.programme.futures, np.zeros(shape, int)))
        whole = assemble(self.programme, scaled, exact(self.programme.futures))
        m = whole.matrix
        self.optimum = highs.solve(m, gap=1e-6).value
        self.signed = np.full(len(whole.committed.signed), np.inf)
        for tier, column in enumerate(whole.committed.signed):
            lower = m.lower.copy()
            lower[column] = 1.0
            self.signed[tier] = highs.solve(m, gap=1e-4, lower=lower).value


@pytest.mark.parametrize("seed", [0, 1])
def test_barred_tiers_are_in_no_cheaper_plan(seed):
    here = Market(seed)
    basis = highs.solve(here.means.matrix, relaxed=True, with_basis=True).basis
    columns = here.means.committed.signed
    for value in (here.optimum, here.optimum * 1.1):
        out = np.isin(columns, barred(here.means, basis, value, perf_counter() + 60))
        assert set(columns[out]) <= set(large(here.means, value))
        assert (here.signed[out] >= value * (1 - 1e-3)).all()
    out = np.isin(columns, barred(here.means, basis, here.optimum, perf_counter() + 60))
    assert out.any()
    assert not out[here.signed <= here.optimum * (1 + 1e-3)].any()


def test_without_time_nothing_is_barred():
    here = Market(0)
    assert len(large(here.means, here.optimum))
    assert not len(barred(here.means, None, here.optimum, perf_counter()))


def test_rounds_leave_barred_tiers_out():
    programme = market(2, 2, 4, 6, 4, "volume")
    rounds = decomposition._Search(programme, arrays(programme), 0.0025, perf_counter() + 60)
    rounds.barred[-1] = True
    found = rounds.assembled(rounds.sizes[0])
    assert (found.matrix.upper[found.committed.signed] == ~rounds.barred).all()
