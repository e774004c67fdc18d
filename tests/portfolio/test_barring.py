"""Tiers that are barred are in no plan that is cheaper than the known one; those of such plans are not."""

from __future__ import annotations

from time import perf_counter

import numpy as np
import pytest
from portfolio_market import market

from armillary.portfolio import decomposition, highs, solve
from armillary.portfolio.arrays import arrays
from armillary.portfolio.assembly import assemble
from armillary.portfolio.barring import LARGE, large, least_with
from armillary.portfolio.states import states


class Market:
    """A market, its optimum, and what it costs over means with that as a cutoff."""

    def __init__(self, seed):
        self.programme = market(2, 2, 4, 20, 2, "volume", seed=seed)
        self.arrays = arrays(self.programme)
        self.plan = solve(self.programme, gap=1e-3)
        self.optimum = self.plan.objective / self.arrays.scales.money
        shape = self.programme.calendar.quarters, self.programme.futures.size
        grouped = states(self.programme.futures, np.zeros(shape, int))
        self.means = assemble(self.programme, self.arrays, grouped, None, self.optimum)
        self.basis = highs.solve(self.means.matrix, relaxed=True, with_basis=True).basis

    def cost(self, contract, tier):
        """Least cost with a tier of a contract signed, another programme."""
        contracts = list(self.programme.contracts)
        one = contracts[contract]
        contracts[contract] = one._replace(tiers=(one.tiers[tier],), signed=True)
        return solve(self.programme._replace(contracts=tuple(contracts)), gap=1e-2).bound


@pytest.fixture(scope="module", params=[0, 1])
def here(request):
    return Market(request.param)


def test_tiers_that_cost_enough_are_in_no_cheaper_plan(here):
    tiers = large(here.means, here.optimum)
    least = least_with(here.means, here.basis, tiers, here.optimum, perf_counter() + 60)
    out = tiers[least >= here.optimum]
    assert 0 < len(out) < len(here.means.committed.signed)
    assert set(out) <= set(tiers)
    alone = least_with(here.means, here.basis, tiers, here.optimum, perf_counter() + 60, workers=1)
    assert ((alone >= here.optimum) == (least >= here.optimum)).all()
    committed = here.means.committed
    assert (here.means.matrix.upper[out] == 1).all()  # what has to be paid alone does not say so
    for place in np.flatnonzero(np.isin(committed.signed, out)):
        assert here.cost(committed.contract[place], committed.tier[place]) >= here.plan.bound


def test_tiers_that_cheaper_plans_sign_are_not_barred(here):
    # Next to a plan that costs much more, any tier is in a cheaper plan but those that cost as much.
    dear = assemble(here.programme, here.arrays, here.means.states)
    value = here.optimum * 1.5
    tiers = large(dear, value)
    least = least_with(dear, here.basis, tiers, value, perf_counter() + 60)
    out = np.isin(dear.committed.signed, tiers[least >= value])
    for place in np.flatnonzero(~out & (dear.committed.least_paid < value)):
        lower = dear.matrix.lower.copy()
        lower[dear.committed.signed[place]] = 1.0
        cheap = highs.solve(dear.matrix, relaxed=True, lower=lower).value < value
        assert cheap or dear.committed.least_paid[place] < LARGE * value


def test_without_time_nothing_is_barred(here):
    tiers = large(here.means, here.optimum)
    assert len(tiers)
    assert (least_with(here.means, None, tiers, here.optimum, perf_counter()) == -np.inf).all()


def test_rounds_leave_barred_tiers_out():
    programme = market(2, 2, 4, 6, 4, "volume")
    rounds = decomposition._Search(programme, arrays(programme), 0.0025, perf_counter() + 60)
    rounds.barred[-1] = True
    found = rounds.assembled(rounds.sizes[0])
    assert (found.matrix.upper[found.committed.signed] == ~rounds.barred).all()
