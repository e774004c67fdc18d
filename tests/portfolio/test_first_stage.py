"""A first stage of few purchases bounds as one of all does, between good first stages and the bound's."""

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
from armillary.portfolio.in_out import InOut
from armillary.portfolio.states import exact, states


class Market:
    """A market over means, its relaxation, and what it costs in all futures at least."""

    def __init__(self, seed, programme=None):
        self.programme = programme or market(2, 2, 5, 6, 4, "volume", seed=seed)
        self.arrays, self.tied = arrays(self.programme), programme is not None
        shape = self.programme.calendar.quarters, self.programme.futures.size
        self.means = assemble(
            self.programme, self.arrays, states(self.programme.futures, np.zeros(shape, int))
        )
        self.relaxed = highs.solve(self.means.matrix, relaxed=True, with_basis=True)
        self.label = np.tile(np.arange(shape[1]), (shape[0], 1))
        whole = assemble(self.programme, self.arrays, exact(self.programme.futures))
        self.optimum = highs.solve(whole.matrix, gap=1e-4, seconds=60)
        self.signed = np.round(self.optimum.x[whole.committed.signed])
        sites = whole.opened[whole.sites_opened]
        self.held = np.round(self.optimum.x[np.append(whole.home, sites)])  # homes, opened sites

    def least_signing(self, tier):
        """What plans that sign a tier cost at least."""
        whole = assemble(self.programme, self.arrays, exact(self.programme.futures))
        held = whole.matrix.lower.copy()
        held[whole.committed.signed[tier]] = 1.0
        return highs.solve(whole.matrix._replace(lower=held), gap=1e-4, seconds=60).value

    def cuts(self, prices):
        return Cuts(self.programme, self.arrays, self.means, prices, self.label, self.tied)

    def raised(self, first):
        first.begin(self.relaxed.x[first.cuts.first])
        return first.raised(perf_counter() + 60, slow=1e-6)


@pytest.fixture(scope="module", params=[0, 1])
def here(request):
    return Market(request.param)


def test_few_purchases_bound_as_all_do(here, monkeypatch):
    first = InOut(here.cuts(here.relaxed.duals), here.means.matrix)
    begun = int((first.buys & first.bought).sum())
    few = here.raised(first)
    assert begun < len(here.means.bought.columns) / 2
    monkeypatch.setattr(first_stage, "WORTH", 1e9)
    every = InOut(here.cuts(here.relaxed.duals), here.means.matrix)
    assert every.buys[every.bought].all()
    assert every.bought.sum() == len(here.means.bought.columns)
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
    assert not (first.buys & first.bought).any()
    bounds = [first.solved().bound for _ in range(6)]
    assert (first.buys & first.bought).any() == (bounds[0] < true * (1 - 1e-4))
    assert all(one <= true * (1 + 1e-6) for one in bounds)
    assert bounds[-1] == pytest.approx(true, rel=1e-6)


def test_use_costs_no_less_than_what_contracts_count_of_it(here):
    # A tier that is signed has a take, which spending that costs nothing would fill.
    tiers = here.means.committed.signed
    lower, upper = (side[tiers] for side in (here.means.matrix.lower, here.means.matrix.upper))
    tier = int(here.means.committed.least_paid.argmax())
    signed = np.where(np.arange(len(tiers)) == tier, 1.0, lower)
    bounds = []
    for tied in (True, False):
        first = InOut(here.cuts(here.relaxed.duals), here.means.matrix)
        whole = first.cuts.group >= first.cuts.groups
        assert whole.any()
        assert (first.cuts.constant[whole] == 0).all()
        if not tied:
            first.cuts.constant[whole] = -1e9
        here.raised(first)
        first.within(tiers, signed, upper)
        bounds.append(first.looked_at(perf_counter() + 60, math.inf))
    assert bounds[1] < bounds[0] * (1 - 1e-3)
    assert bounds[0] <= here.least_signing(tier) * (1 + 1e-6)


def test_cuts_where_spending_is_worth_more_bound_what_a_tier_costs(here):
    # A take that is missed makes spending worth more than the discount that cuts are made with.
    tiers = here.means.committed.signed
    lower, upper = (side[tiers] for side in (here.means.matrix.lower, here.means.matrix.upper))
    tier = int(here.means.committed.least_paid.argmax())
    first = InOut(here.cuts(here.relaxed.duals), here.means.matrix)
    here.raised(first)
    first.within(tiers, np.where(np.arange(len(tiers)) == tier, 1.0, lower), upper)
    before = first.looked_at(perf_counter() + 60, math.inf)
    worth, priced = first.worth, -first.cuts.priced[first.cuts.listed]
    assert (worth > priced + 0.05).any()
    known = len(first.cuts.group)
    first.begin(first.stage)
    assert (first.cuts.group[known:] >= first.cuts.groups).any()
    after = first.raised(perf_counter() + 60, slow=1e-5)
    assert before < after <= here.least_signing(tier) * (1 + 1e-6)
    assert first.least == pytest.approx(after, rel=1e-2)


def test_a_bound_that_is_enough_ends_the_search(here):
    tiers = here.means.committed.signed
    lower, upper = (side[tiers] for side in (here.means.matrix.lower, here.means.matrix.upper))
    first = InOut(here.cuts(here.relaxed.duals), here.means.matrix)
    here.raised(first)
    first.within(tiers, np.where(np.arange(len(tiers)) == 2, 1.0, lower), upper)
    place = first.place
    whole = first.looked_at(perf_counter() + 60, math.inf)
    enough = 0.5 * (here.relaxed.value + whole)
    first.go_to(place)
    bound = first.looked_at(perf_counter() + 60, enough)
    assert enough <= bound <= whole * (1 + 1e-7)


def test_bounds_of_columns_are_changed_and_changed_back(here):
    tiers, m = here.means.committed.signed, here.means.matrix
    first = InOut(here.cuts(here.relaxed.duals), m)
    here.raised(first)
    before = settled(first)
    first.within(tiers, m.lower[tiers], np.zeros(len(tiers)))
    without = settled(first)
    assert without > before
    assert (first.stage[np.searchsorted(first.cuts.first, tiers)] == 0).all()
    first.within(tiers, m.lower[tiers], m.upper[tiers])
    assert settled(first) == pytest.approx(before, rel=1e-6)


def settled(first):
    """The bound by all cuts that there are."""
    return max(first.looked_at(perf_counter() + 60, math.inf) for _ in range(8))


def test_columns_are_made_whole_one_after_the_other(here):
    m = here.means.matrix
    places, charged = (np.arange(m.blocks[name].start, m.blocks[name].stop) for name in ("home", "opened"))
    first = InOut(here.cuts(here.relaxed.duals), m)
    bound = here.raised(first)
    inside = np.searchsorted(first.cuts.first, np.append(places, charged))
    parts = first.stage[inside]
    assert (np.abs(parts - np.round(parts)) > 1e-3).any()
    assert first.whole(places, charged, perf_counter() + 60)
    held = first.stage[inside]
    assert np.allclose(held, np.round(held), atol=1e-6)
    first.begin(first.stage)
    assert bound <= first.raised(perf_counter() + 60) * (1 + 1e-6)
    assert first.least >= bound
    # What was whole by itself is held, too: more cuts would open a part of it.
    assert np.array_equal(first.part.lower[inside], np.round(held))
    assert np.array_equal(first.part.upper[inside], np.round(held))
    assert np.allclose(first.good[inside], held, atol=1e-6)


def test_many_cuts_that_are_missed_are_added_bit_by_bit(here, monkeypatch):
    added, missed, bounds, most = [], FirstStage._missed, [], []

    def missing(self):
        which, more = missed(self)
        added.append(np.bincount(self.cuts.group[which]).max(initial=0))
        return which, more

    monkeypatch.setattr(FirstStage, "_missed", missing)
    monkeypatch.setattr(first_stage, "AT_ONCE", 1)
    for many in (1e9, 0.0):
        monkeypatch.setattr(first_stage, "MANY", many)
        first = InOut(here.cuts(here.relaxed.duals), here.means.matrix)
        while first.missing:
            first.solved()
        for part in (1.0, 0.9, 0.8, 0.7, 0.6, 0.5):
            first.cuts.made(part * here.relaxed.x[first.cuts.first])
        added.clear()
        bounds.append(settled(first))
        most.append(max(added))
    assert bounds[1] == pytest.approx(bounds[0], rel=1e-6)
    assert most[1] == 1 < most[0]


def test_both_ways_are_looked_at_for_what_is_charged_as_a_whole(here, monkeypatch):
    # A little of a site is not closed because it is little, but where the rest costs more.
    m = here.means.matrix
    charged = np.arange(m.blocks["opened"].start, m.blocks["opened"].stop)
    first = InOut(here.cuts(here.relaxed.duals), m)
    here.raised(first)
    inside = np.searchsorted(first.cuts.first, charged)
    parts = first.stage[inside]
    little = (parts > 1e-6) & (parts < 1 - 0.2)
    solved, looks = InOut.solved, []

    def looking(self, *rest):
        looks.append((self.part.lower[inside].copy(), self.part.upper[inside].copy()))
        return solved(self, *rest)

    monkeypatch.setattr(InOut, "solved", looking)
    assert little.any()
    assert first.whole(charged[:0], charged, perf_counter() + 60)
    shut, opened = (np.array([side[k] for side in looks]) for k in (1, 0))
    tried = (shut == 0).any(0) & (opened == 1).any(0)
    assert (tried | (parts <= 1e-6) | (parts > 1 - 0.2))[parts == parts[little].max()].all()
    assert tried.any()


def test_what_is_about_contracts_alone_is_put_right(here):
    # Units that are bought stay; a tier that has to be signed is, with its take.
    tiers, m = here.means.committed.signed, here.means.matrix
    first = InOut(here.cuts(here.relaxed.duals), m)
    stage = here.relaxed.x[first.cuts.first]
    first.begin(stage)
    cheap = first.least
    lower = m.lower[tiers].copy()
    lower[-1] = 1.0
    first.within(tiers, lower, m.upper[tiers])
    first.begin(stage)
    bought = np.searchsorted(first.cuts.first, here.means.bought.columns)
    assert (first.good[bought] == stage[bought]).all()
    assert first.good[np.searchsorted(first.cuts.first, tiers[-1])] == pytest.approx(1.0)
    assert first.least > cheap
    first.within(tiers, np.ones(len(tiers)), m.upper[tiers])  # two tiers of a contract
    first.begin(stage)
    assert not len(first.good)
    assert first.least == math.inf


def test_a_solver_that_loses_its_way_begins_anew(here, monkeypatch):
    cuts = here.cuts(here.relaxed.duals)
    cuts.made(here.relaxed.x[cuts.first])
    true = FirstStage(cuts, here.means.matrix).solved()
    solved, lost = highs.Growing.solved, []

    def losing(model, *rest):
        found = solved(model, *rest)
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
    lower = m.lower.copy()
    lower[m.blocks["paid to 0"].stop - 1] = 1e-3  # something has to be bought
    monkeypatch.setattr(first_stage, "WORTH", -1e9)
    first = FirstStage(here.cuts(here.relaxed.duals), m._replace(lower=lower))
    assert not (first.buys & first.bought).any()
    assert first.solved().status == "optimal"
    assert (first.buys == first.bought).all()
    # Two tiers of a contract at once: no plan at all.
    lower = m.lower.copy()
    lower[here.means.committed.signed[:2]] = 1.0
    assert FirstStage(here.cuts(here.relaxed.duals), m._replace(lower=lower)).solved().bound == math.inf
