"""Parts by tiers bound all plans, and more so the more of them; spending is worth the discount signed."""

from __future__ import annotations

import math
from time import perf_counter

import numpy as np
import pytest
from test_first_stage import Market as Staged

from armillary.portfolio import tier_tree
from armillary.portfolio.in_out import InOut
from armillary.portfolio.tier_tree import Discounts, Part, TierTree


class Market(Staged):
    """A market with the plan that is its optimum, and what spending is worth in its relaxation."""

    def __init__(self, seed):
        super().__init__(seed)
        self.discounts = Discounts(self.programme, self.means, self.arrays.factor, self.relaxed.duals)
        tiers = self.means.committed.signed
        self.lower, self.upper = (side[tiers] for side in (self.means.matrix.lower, self.means.matrix.upper))

    def tree(self):
        first = InOut(self.cuts(self.discounts.prices(self.lower, self.upper)), self.means.matrix)
        stage = self.relaxed.x[first.cuts.first]
        first.begin(stage)
        bound = first.raised(perf_counter() + 60)
        root = Part(bound, 0, self.lower, self.upper, first, stage, looked_at=True, own=True)
        return TierTree(self.means, self.discounts, lambda _, prices: self.cuts(prices), root)


@pytest.fixture(scope="module", params=[0, 1])
def here(request):
    return Market(request.param)


def test_every_part_bounds_its_plans_and_all_together_all(here):
    tree, bounds, parts = here.tree(), [], 0
    for _ in range(25):
        if tree.over:
            break
        tree.step(here.optimum.value * 1.05, perf_counter() + 30)
        bounds.append(tree.bound)
        parts = max(parts, len(tree.open))
        # No plan is lost: the optimum is in a part that is open.
        held = [(one.lower <= here.signed) & (here.signed <= one.upper) for one in tree.open]
        assert any(one.all() for one in held)
    assert parts > 1
    assert bounds == sorted(bounds)
    assert bounds[0] * (1 + 1e-5) < bounds[-1] <= here.optimum.value * (1 + 1e-6)


def test_cuts_of_its_own_bound_a_part_no_less(here, monkeypatch):
    monkeypatch.setattr(tier_tree, "MUCH", math.inf)  # no part is parted before
    tree = here.tree()
    own = [part for _ in range(12) if (part := tree.step(math.inf, perf_counter() + 30)) and part.own]
    assert own
    for part in own:
        assert part.bound <= part.first.least * (1 + 1e-6)
        prices = here.discounts.prices(part.lower, part.upper)
        assert (part.first.cuts.prices[part.first.cuts.listed] == prices[part.first.cuts.listed]).all()


def test_parts_that_cost_enough_are_left_out(here):
    tree = here.tree()
    while not tree.over:
        tree.step(here.relaxed.value * 0.5, perf_counter() + 30)
    assert not tree.open
    assert tree.bound == math.inf


def test_without_time_no_part_is_lost(here):
    tree = here.tree()
    for _ in range(4):
        before = tree.bound
        tree.step(math.inf, perf_counter() - 1)
        assert tree.bound >= before
        held = [(one.lower <= here.signed) & (here.signed <= one.upper) for one in tree.open]
        assert any(one.all() for one in held)


def test_plans_that_are_added_are_looked_at(here):
    tree = here.tree()
    lower = here.lower.copy()
    lower[0] = 1.0
    tree.add(Part(-math.inf, 0, lower, here.upper, tree.first, tree.stage, looked_at=True))
    assert tree.bound == -math.inf
    part = tree.step(math.inf, perf_counter() + 30)
    assert (part.lower == lower).all()
    assert math.isfinite(part.bound)
    assert tree.bound > -math.inf


def test_what_is_spent_is_worth_the_discount_of_what_is_signed(here):
    committed, m, factor = here.means.committed, here.means.matrix, here.arrays.factor
    none = np.zeros(len(committed.signed))
    closed = here.discounts.prices(none, none)
    free = here.discounts.prices(here.lower, here.upper)
    assert (free == here.relaxed.duals).all()
    for i, (c, k) in enumerate(zip(committed.contract, committed.tier, strict=True)):
        one = here.programme.contracts[c]
        provider = list(dict.fromkeys(site.provider for site in here.programme.sites)).index(one.provider)
        rows = m.row_blocks[f"list price {provider}"]
        assert (closed[rows] == 0).all()
        signed = none.copy()
        signed[i] = 1.0
        worth = -here.discounts.prices(signed, signed)[rows]
        term = slice(one.start, one.start + 4 * one.years)
        assert (worth[term] >= one.tiers[k].discount * factor[term] * (1 - 1e-12)).all()
        assert (worth < factor[: len(worth)]).all()
