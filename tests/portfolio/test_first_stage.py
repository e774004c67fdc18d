"""A first stage of few purchases bounds as one of all does; parts by tiers bound all plans, and more so."""

from __future__ import annotations

import math
from time import perf_counter

import numpy as np
import pytest
from portfolio_market import market

from armillary.portfolio import first_stage, highs
from armillary.portfolio.arrays import arrays
from armillary.portfolio.assembly import assemble
from armillary.portfolio.cuts import Cuts
from armillary.portfolio.first_stage import FirstStage
from armillary.portfolio.states import exact, states
from armillary.portfolio.tier_tree import TierTree


class Market:
    """A market over means, its relaxation, and what it costs in all futures at least."""

    def __init__(self, seed):
        self.programme = market(2, 2, 5, 6, 4, "volume", seed=seed)
        self.arrays = arrays(self.programme)
        shape = self.programme.calendar.quarters, self.programme.futures.size
        self.means = assemble(
            self.programme, self.arrays, states(self.programme.futures, np.zeros(shape, int))
        )
        self.relaxed = highs.solve(self.means.matrix, relaxed=True, with_basis=True)
        self.label = np.tile(np.arange(shape[1]), (shape[0], 1))
        whole = assemble(self.programme, self.arrays, exact(self.programme.futures))
        self.optimum = highs.solve(whole.matrix, gap=1e-4, seconds=60)
        self.signed = np.round(self.optimum.x[whole.committed.signed])

    def cuts(self, prices):
        return Cuts(self.programme, self.arrays, self.means, prices, self.label)

    def raised(self, first):
        first.begin(self.relaxed.x)
        return first.raised(perf_counter() + 60)[1]


@pytest.fixture(scope="module", params=[0, 1])
def here(request):
    return Market(request.param)


def test_few_purchases_bound_as_all_do(here, monkeypatch):
    first = FirstStage(here.cuts(here.relaxed.duals), here.means.matrix)
    begun = int(first.buys.sum())
    few = here.raised(first)
    assert begun < len(here.means.bought.columns) / 2
    monkeypatch.setattr(first_stage, "WORTH", 1e9)
    every = FirstStage(here.cuts(here.relaxed.duals), here.means.matrix)
    assert every.buys.sum() == len(here.means.bought.columns)
    assert few == pytest.approx(here.raised(every), rel=2e-3)
    assert few <= here.optimum.value * (1 + 1e-6)


def test_purchases_that_are_missing_are_found_and_the_bound_holds_without_them(here, monkeypatch):
    # Of the same cuts, the optimum with all purchases: no bound with few is above it, and it is reached.
    cuts = here.cuts(here.relaxed.duals)
    for part in (1.0, 0.5):
        cuts.made(part * here.relaxed.x[cuts.first])
    monkeypatch.setattr(first_stage, "WORTH", 1e9)
    true = FirstStage(cuts, here.means.matrix).solved().value
    monkeypatch.setattr(first_stage, "WORTH", -1e9)
    first = FirstStage(cuts, here.means.matrix)
    assert not first.buys.any()
    bounds = [first.solved().bound for _ in range(6)]
    assert first.buys.any() == (bounds[0] < true * (1 - 1e-4))
    assert all(one <= true * (1 + 1e-6) for one in bounds)
    assert bounds[-1] == pytest.approx(true, rel=1e-6)


def test_every_part_by_tiers_bounds_its_plans_and_all_together_all(here):
    root = FirstStage(here.cuts(here.relaxed.duals), here.means.matrix)
    tree = TierTree(root, -math.inf, here.cuts, lambda m: highs.solve(m, relaxed=True).x, here.relaxed.basis)
    enough = here.optimum.value * 1.05
    bounds, parts = [], 0
    for _ in range(9):
        if tree.over:
            break
        tree.step(enough, math.inf, perf_counter() + 30, apart=True)
        bounds.append(tree.bound)
        parts = max(parts, len(tree.open))
        # No plan is lost: the optimum is in a part that is open.
        held = [(one.lower <= here.signed) & (here.signed <= one.upper) for one in tree.open]
        assert any(one.all() for one in held)
    assert parts > 1
    assert bounds == sorted(bounds)
    assert bounds[0] * (1 + 1e-5) < bounds[-1] <= here.optimum.value * (1 + 1e-6)
    inside = [one for one in tree.open if one.looked_at]
    assert all(one.bound < enough for one in inside)


def test_parts_that_cost_enough_are_left_out(here):
    root = FirstStage(here.cuts(here.relaxed.duals), here.means.matrix)
    tree = TierTree(root, -math.inf, here.cuts, lambda m: highs.solve(m, relaxed=True).x, here.relaxed.basis)
    stage = tree.step(here.relaxed.value * 0.5, math.inf, perf_counter() + 30, apart=True)
    assert tree.over
    assert not tree.open
    assert tree.bound == math.inf
    assert not len(stage)


def test_without_time_a_part_stays_as_it_is(here):
    root = FirstStage(here.cuts(here.relaxed.duals), here.means.matrix)
    tree = TierTree(root, -math.inf, here.cuts, lambda m: highs.solve(m, relaxed=True).x, here.relaxed.basis)
    for _ in range(2):
        tree.step(math.inf, math.inf, perf_counter() + 30, apart=True)
    assert len(tree.open) == 2
    before = {one.number for one in tree.open}
    tree.step(math.inf, math.inf, perf_counter() - 1, apart=True)
    assert {one.number for one in tree.open} == before
    assert not any(one.begun for one in tree.open)


def test_a_solver_that_loses_its_way_begins_anew(here, monkeypatch):
    cuts = here.cuts(here.relaxed.duals)
    cuts.made(here.relaxed.x[cuts.first])
    true = FirstStage(cuts, here.means.matrix).solved()
    solved, lost = highs.Growing.solved, []

    def losing(model, seconds=math.inf):
        found = solved(model, seconds)
        if len(lost) < fails:
            lost.append(found)
            return found._replace(status="unknown")
        return found

    monkeypatch.setattr(highs.Growing, "solved", losing)
    fails = 1
    first = FirstStage(cuts, here.means.matrix)
    assert first.solved().value == pytest.approx(true.value, rel=1e-6)
    assert not first.failed
    fails = 3
    first = FirstStage(cuts, here.means.matrix)
    assert first.solved().bound == -math.inf
    assert first.failed


def test_what_is_infeasible_with_few_purchases_is_tried_with_all(here, monkeypatch):
    m = here.means.matrix
    row_lower = m.row_lower.copy()
    row_lower[m.row_blocks["power bought"]] = 0.0  # no more than what purchases draw may be drawn
    lower = m.lower.copy()
    lower[m.blocks["power of purchases"].stop - 1] = 1e-3
    monkeypatch.setattr(first_stage, "WORTH", -1e9)
    first = FirstStage(here.cuts(here.relaxed.duals), m._replace(row_lower=row_lower, lower=lower))
    assert not first.buys.any()
    assert first.solved().status == "optimal"
    assert first.buys.sum() == len(here.means.bought.columns)
    # Two tiers of a contract at once: no plan at all.
    lower = m.lower.copy()
    lower[here.means.committed.signed[:2]] = 1.0
    assert FirstStage(here.cuts(here.relaxed.duals), m._replace(lower=lower)).solved().bound == math.inf
