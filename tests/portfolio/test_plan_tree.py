"""Parts by tiers hold all plans between them, and bound them, the more so the more of them."""

from __future__ import annotations

import math
from time import perf_counter

import numpy as np
import pytest
from test_first_stage import Market as Staged

from armillary.portfolio import highs
from armillary.portfolio.assembly import assemble
from armillary.portfolio.in_out import InOut
from armillary.portfolio.plan_tree import PlanTree
from armillary.portfolio.quarter_use import Whole
from armillary.portfolio.states import exact
from armillary.portfolio.tier_moves import moved, near_by
from armillary.portfolio.tier_parts import Bounds, nested, priced


class Market(Staged):
    """A market with the plan that is its optimum, and a tree of all plans."""

    def __init__(self, seed, programme=None):
        super().__init__(seed, programme)
        committed, m = self.means.committed, self.means.matrix
        lower, upper = (side[committed.signed].copy() for side in (m.lower, m.upper))
        self.every = Bounds(lower, upper, np.zeros(2))
        # The first and the second half of all tiers; of each set a part may ask for one at least.
        self.sets = np.arange(2)[:, None] == 2 * np.arange(len(lower)) // len(lower)

    def tree(self, parts=None, homes=True):
        prices = priced(self.programme, self.means, self.arrays.factor, self.relaxed.duals, self.every)
        first = InOut(self.cuts(prices), self.means.matrix, self.sets)
        first.put(self.relaxed.x[first.cuts.first])
        parts = parts or [self.every]
        tree = PlanTree(self.means, first, parts, self.sets, -math.inf, homes)
        tree.begin(self.every, perf_counter() + 60, 3e-4)
        return tree

    def is_in(self, part):
        """Whether the optimum signs what a part does."""
        inside = (part.lower <= self.signed).all() and (self.signed <= part.upper).all()
        return inside and ((self.sets * self.signed).sum(1) >= part.signed).all()


@pytest.fixture(scope="module", params=[0, 1])
def here(request):
    return Market(request.param)


def test_every_part_bounds_its_plans_and_all_together_all(here):
    tree, bounds, parts = here.tree(), [], 0
    for _ in range(25):
        if tree.over or tree.bound >= here.optimum.value * 1.05:
            break
        tree.step(perf_counter() + 30, here.optimum.value * 1.05)
        bounds.append(tree.bound)
        parts = max(parts, len(tree.open))
        assert any(here.is_in(one.bounds) for one in tree.open)  # no plan is lost
    assert parts > 1
    assert bounds == sorted(bounds)
    assert bounds[0] * (1 + 1e-5) < bounds[-1] <= here.optimum.value * (1 + 1e-6)


def test_tiers_of_a_first_stage_are_within_its_part(here):
    tree = here.tree()
    for _ in range(12):
        tree.step(perf_counter() + 30)
    made = [one for one in tree.open if one.rounds]
    assert made
    for part in made:
        assert len(part.good) == len(tree.first.cuts.first)
        assert (part.signed <= part.bounds.upper).all()
        assert (part.signed >= part.bounds.lower).all()


def test_parts_that_cost_enough_are_kept_with_their_bound(here):
    tree = here.tree()
    enough = here.relaxed.value * 0.5
    part = tree.step(perf_counter() + 30, enough)
    assert len(tree.open) == 1
    assert enough <= part.bound <= here.optimum.value * (1 + 1e-6)


def test_homes_part_plans_where_no_tier_is_left(here):
    # With the optimum's tiers, and its home in one part whatever is parted by.
    tree = here.tree([Bounds(here.signed, here.signed, np.zeros(2))])
    bounds = []
    for _ in range(30):
        if tree.over:
            break
        tree.step(perf_counter() + 30, here.optimum.value * 1.05)
        bounds.append(tree.bound)
        with_it = [one for one in tree.open if one.held is None
                   or (np.isnan(one.held) | (one.held == here.held)).all()]  # fmt: skip
        assert with_it
        assert min(one.bound for one in with_it) <= here.optimum.value * (1 + 1e-6)
    home = tree.first.stage[tree._held[: tree._runs]]
    assert any(one.held is not None for one in tree.open) or home == pytest.approx(np.round(home), abs=1e-6)
    assert bounds == sorted(bounds)
    whole = here.tree([Bounds(here.signed, here.signed, np.zeros(2))], homes=False)
    for _ in range(30):
        if whole.over:
            break
        whole.step(perf_counter() + 30, here.optimum.value * 1.05)
        assert all(one.by != "home" for one in whole.open)


def test_choices_near_by_differ_by_a_step_in_one_contract(here):
    contract, tier = here.means.committed.contract, here.means.committed.tier
    none = np.zeros(len(tier))

    def steps(signed):
        return np.array([
            int((signed * (tier + 1))[contract == c].sum()) for c in np.unique(contract)
        ])  # fmt: skip

    for signed in (none, (tier == 0).astype(float), (tier == tier.max()).astype(float)):
        found = near_by(here.means, signed)
        assert found
        for one in found:
            assert np.abs(steps(one) - steps(signed)).sum() == 1
        assert len({one.tobytes() for one in found}) == len(found)
    assert len(near_by(here.means, none)) == len(np.unique(contract))


def test_tiers_are_moved_to_what_is_cheaper(here):
    tree, contract, tier = here.tree(), here.means.committed.contract, here.means.committed.tier
    whole = assemble(here.programme, here.arrays, exact(here.programme.futures))

    def cost(signed):
        m = whole.matrix
        lower, upper = m.lower.copy(), m.upper.copy()
        lower[whole.committed.signed] = upper[whole.committed.signed] = signed
        return highs.solve(m._replace(lower=lower, upper=upper), gap=1e-4, seconds=60).value

    # The largest tier of one contract is far too large.
    large = ((contract == 0) & (tier == tier.max())).astype(float)
    found = moved(tree, large, perf_counter() + 30)
    assert cost(found) < cost(large) * (1 - 2e-3)
    # What is best is left as it is; and so is anything without time.
    best = moved(tree, here.signed, perf_counter() + 30)
    assert cost(best) <= here.optimum.value * (1 + 2e-3)
    assert moved(tree, large, perf_counter() - 1) is large


def test_without_time_no_part_is_lost(here):
    tree = here.tree()
    tree.step(perf_counter() + 30)
    for _ in range(4):
        before = tree.bound
        tree.step(perf_counter() - 1)
        assert tree.bound >= before
        assert any(here.is_in(one.bounds) for one in tree.open)


def test_one_of_a_set_is_signed_where_a_part_asks_for_it(here):
    # The relaxation would sign less than one; the tier that it signs most of the set parts it first.
    asked = here.every._replace(signed=np.array([0.0, 1.0]))
    tree = here.tree([asked])
    part = tree.step(perf_counter() + 30, here.optimum.value * 2)
    free = here.tree().step(perf_counter() + 30)
    stage = tree.first.stage[np.searchsorted(tree.first.cuts.first, here.means.committed.signed)]
    assert stage[here.sets[1]].sum() >= 1 - 1e-6
    assert part.bound > free.bound
    # Where one is signed whole it goes by what tiers save; else the set comes first.
    signed = stage[here.sets[1]].max()
    assert (part.saved == math.inf) == (signed < 1 - 1e-6)
    if part.saved == math.inf:
        assert part.by == "tier"
        assert here.sets[1][part.which]
        assert stage[part.which] == signed
    # Of all plans that sign one of the set, none costs less.
    least = min(here.least_signing(tier) for tier in np.flatnonzero(here.sets[1]))
    assert part.bound <= least * (1 + 1e-6)
    # Asked for nothing, the same cuts say less.
    tree.within(here.every)
    assert tree.first.looked_at(perf_counter() + 30, math.inf) < part.bound
    for _ in range(10):
        tree.step(perf_counter() + 30, here.optimum.value * 2)
    assert tree.bound <= least * (1 + 1e-6)


def test_halves_are_gone_on_with_by_themselves(here):
    tree = here.tree()
    assert tree.halved(math.inf) is None  # there is one part
    while len(tree.open) < 5:
        tree.step(perf_counter() + 30)
    numbers, made = {one.number for one in tree.open}, len(tree.first.cuts.constant)
    assert tree.halved(tree.bound) is None  # no part is below that
    other = tree.halved(math.inf)
    mine, its = ({one.number for one in side.open} for side in (tree, other))
    assert mine | its == numbers
    assert not mine & its
    assert abs(len(mine) - len(its)) <= 1
    assert tree.bound <= other.bound
    bounds = [tree.bound, other.bound]
    for _ in range(8):
        for side in (other, tree):
            if not side.over and side.bound < here.optimum.value * 1.05:
                side.step(perf_counter() + 30, here.optimum.value * 1.05)
        assert any(here.is_in(one.bounds) for side in (tree, other) for one in side.open)  # no plan is lost
    assert tree.bound >= bounds[0]
    assert other.bound >= bounds[1]
    assert min(tree.bound, other.bound) <= here.optimum.value * (1 + 1e-6)
    # Each has cuts of its own.
    cuts = tree.first.cuts, other.first.cuts
    assert all(len(one.constant) > made for one in cuts)
    assert (cuts[0].constant[:made] == cuts[1].constant[:made]).all()


def test_a_part_is_gone_on_with_from_where_it_was(here):
    tree = here.tree()
    tree.step(perf_counter() + 30)
    part = tree.open[0]
    place = part.point.place
    tree.within(here.every._replace(upper=np.zeros(len(here.every.upper))))
    tree.first.looked_at(perf_counter() + 30, math.inf)
    assert not np.array_equal(tree.first.stage, part.point.stage)
    tree.within(part.bounds)
    tree.first.go_to(place)
    assert np.array_equal(tree.first.stage, part.point.stage)
    assert tree.first.looked_at(perf_counter() + 30, math.inf) >= part.bound * (1 - 1e-7)


@pytest.mark.parametrize("wanted", [[], [0], [1], [2], [1, 4], [0, 5], [3, 4]])
def test_parts_by_large_tiers_have_every_plan_once(here, wanted):
    # What is wanted may be a bad guess: whatever a plan signs, it is in one part.
    count = len(here.every.lower)
    held = np.isin(np.arange(count), wanted)
    parts = nested(here.means, held)
    all_parts = [parts.near, *parts.others]
    assert len(all_parts) == 1 if not wanted else len(all_parts) > 1
    assert (parts.near.lower <= held).all()
    tiers, contract = here.means.committed.tier, here.means.committed.contract
    choices = np.array(np.meshgrid(*[range(-1, tiers.max() + 1)] * len(set(contract)))).reshape(
        len(set(contract)), -1
    )
    for choice in choices.T:
        signed = (choice[contract] == tiers).astype(float)
        inside = [
            (one.lower <= signed).all()
            and (signed <= one.upper).all()
            and ((parts.sets * signed).sum(1) >= one.signed).all()
            for one in all_parts
        ]
        assert sum(inside) == 1
        if inside[0]:
            assert (parts.wide.lower <= signed).all()
            assert (signed <= parts.wide.upper).all()


def test_what_is_spent_is_worth_the_discount_of_what_is_signed(here):
    committed, m, factor = here.means.committed, here.means.matrix, here.arrays.factor
    none = np.zeros(len(committed.signed))

    def worth(part, every):
        return priced(here.programme, here.means, factor, here.relaxed.duals, part, every)

    closed = worth(Bounds(none, none, none), every=True)
    free = worth(here.every, every=False)
    assert (free == here.relaxed.duals).all()
    for i, (c, k) in enumerate(zip(committed.contract, committed.tier, strict=True)):
        one = here.programme.contracts[c]
        provider = list(dict.fromkeys(site.provider for site in here.programme.sites)).index(one.provider)
        rows = m.row_blocks[f"list price {provider}"]
        assert (closed[rows] == 0).all()
        signed = none.copy()
        signed[i] = 1.0
        part = Bounds(signed, signed, none)
        term = slice(one.start, one.start + 4 * one.years)
        saved = one.tiers[k].discount * factor[term]
        assert -worth(part, every=True)[rows][term] == pytest.approx(saved)
        assert (-worth(part, every=False)[rows][term] >= saved * (1 - 1e-12)).all()


def test_a_leaf_has_the_plans_that_its_tree_has_no_more(here):
    one = np.zeros(len(here.every.lower))
    one[-2] = 1.0
    for signed in (here.signed, np.zeros(len(one)), one):
        tree = here.tree()
        leaf = tree.leaf(signed)
        assert not any(
            (part.bounds.lower <= signed).all() and (signed <= part.bounds.upper).all() for part in tree.open
        )
        assert [part.bounds.lower.tolist() for part in leaf.open] == [signed.tolist()]
        assert leaf.bound == max(part.bound for part in tree.open)
        contract = here.means.committed.contract
        others = [
            near
            for near in near_by(here.means, signed)
            if all(near[contract == c].sum() <= 1 for c in np.unique(contract))
        ]
        assert others
        for near in others:  # each in one part of the tree
            inside = [
                (part.bounds.lower <= near).all() and (near <= part.bounds.upper).all() for part in tree.open
            ]
            assert sum(inside) == 1


def test_what_is_spent_is_priced_at_what_tiers_of_a_part_make_it_worth(here):
    tree = here.tree()
    before, cuts = tree.first.cuts.priced.copy(), tree.first.cuts
    part, none = tree.open[0], np.zeros(len(here.every.lower))
    assert tree.overpriced(part) == pytest.approx(0.0, abs=1e-9)  # any tier may be signed
    closed = part._replace(bounds=here.every._replace(lower=none, upper=none))
    more = tree.overpriced(closed)
    assert more == pytest.approx(float(-before[cuts.listed] @ cuts.spent))
    assert more > 0
    other = tree.repriced(closed)
    assert other.overpriced(closed) == 0
    assert not other.first.cuts.priced.any()
    assert (cuts.priced == before).all()  # the tree's own are as they were
    # What contracts claim of use is counted by the difference where cuts know of it, and nowhere else.
    stage = np.append(tree.first.good, np.zeros(len(cuts.spent)))
    claimed = np.maximum(cuts.matrix.times(_whole(here, tree))[cuts.listed], 0.0)
    stage[len(cuts.first) :] = claimed
    lower, of = -before[cuts.listed] * claimed, cuts.quarter[cuts.listed]
    assert lower.any()
    for old, new, group in zip(cuts.at(stage), other.first.cuts.at(stage), cuts.group, strict=True):
        whole = group >= cuts.groups
        more = lower[np.isin(of, cuts.quarters_of(Whole(int(group), 0.0, of, lower)))].sum() if whole else 0.0
        assert new - old == pytest.approx(more, abs=1e-9 * (1 + abs(old)))
    assert (cuts.group >= cuts.groups).any()


def test_bounds_hold_at_any_lower_price(here):
    # Also where tiers may be signed, and what is spent is worth more than it is priced at.
    tree = here.tree()
    for part in (0.5, 0.0):
        cuts = tree.first.cuts
        first = tree.first.repriced(-part * cuts.priced[cuts.listed])
        for _ in range(6):
            bound = first.looked_at(perf_counter() + 30, math.inf)
            assert bound <= here.optimum.value * (1 + 1e-6)
            first.cut(first.point, np.zeros(0), math.inf)
        assert bound > here.relaxed.value * 0.5


def _whole(here, tree):
    point = np.zeros(len(here.means.matrix.cost))
    point[tree.first.cuts.first] = tree.first.good
    return point


def test_cuts_that_are_priced_anew_bound_their_part_better(here):
    none = np.zeros(len(here.every.lower))
    closed = here.every._replace(lower=none, upper=none)
    whole = assemble(here.programme, here.arrays, exact(here.programme.futures))
    upper = whole.matrix.upper.copy()
    upper[whole.committed.signed] = 0.0
    optimum = highs.solve(whole.matrix._replace(upper=upper), gap=1e-4, seconds=60).value
    bounds = []
    for anew in (False, True):
        tree = here.tree()
        if anew:
            tree = tree.repriced(tree.open[0]._replace(bounds=closed))
        tree.within(closed)
        first = tree.first
        bounds.append(first.looked_at(perf_counter() + 30, math.inf))
        for _ in range(8):
            first.cuts.made(first.stage)
            bounds[-1] = max(bounds[-1], first.looked_at(perf_counter() + 30, math.inf))
        assert bounds[-1] <= optimum * (1 + 1e-6)
    assert bounds[1] > bounds[0] * (1 + 1e-4)


def test_a_part_without_plans_leaves_no_purchases_behind(here):
    tree = here.tree()
    contract = here.means.committed.contract
    both = (contract == contract[0]).astype(float)  # tiers of one contract exclude each other
    before = tree.first.buys.copy()
    tree.within(here.every._replace(lower=both))
    assert tree.first.looked_at(perf_counter() + 30, math.inf) == math.inf
    assert (tree.first.buys == before).all()
    tree.within(here.every)
    assert math.isfinite(tree.first.looked_at(perf_counter() + 30, math.inf))
