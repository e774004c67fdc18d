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
    """A market over means and in all futures, its optimum and the tiers that it signs."""

    def __init__(self, seed):
        self.programme = market(2, 2, 4, 6, 3, "volume", seed=seed)
        scaled = arrays(self.programme)
        shape = self.programme.calendar.quarters, self.programme.futures.size
        self.means = assemble(self.programme, scaled, states(self.programme.futures, np.zeros(shape, int)))
        self.columns = self.means.committed.signed
        self.whole = assemble(self.programme, scaled, exact(self.programme.futures))
        found = highs.solve(self.whole.matrix, gap=1e-5)
        self.optimum, self.signed = found.value, found.x[self.whole.committed.signed] > 0.5

    def cost(self, tier):
        """Least cost with a tier signed."""
        lower = self.whole.matrix.lower.copy()
        lower[self.whole.committed.signed[tier]] = 1.0
        return highs.solve(self.whole.matrix, gap=1e-3, lower=lower).bound


@pytest.fixture(scope="module", params=[0, 1])
def here(request):
    return Market(request.param)


def test_barred_tiers_are_in_no_cheaper_plan(here):
    basis = highs.solve(here.means.matrix, relaxed=True, with_basis=True).basis
    for value in (here.optimum, here.optimum * 1.1):
        out = barred(here.means, basis, value, perf_counter() + 60)
        assert set(out) <= set(large(here.means, value))
        assert not here.signed[np.isin(here.columns, out)].any()
    out = barred(here.means, basis, here.optimum, perf_counter() + 60)
    assert len(out)
    for tier in np.flatnonzero(np.isin(here.columns, out)):
        assert here.cost(tier) >= here.optimum * (1 - 1e-3)


def test_without_time_nothing_is_barred(here):
    assert len(large(here.means, here.optimum))
    assert not len(barred(here.means, None, here.optimum, perf_counter()))


def test_rounds_leave_barred_tiers_out():
    programme = market(2, 2, 4, 6, 4, "volume")
    rounds = decomposition._Search(programme, arrays(programme), 0.0025, perf_counter() + 60)
    rounds.barred[-1] = True
    found = rounds.assembled(rounds.sizes[0])
    assert (found.matrix.upper[found.committed.signed] == ~rounds.barred).all()
