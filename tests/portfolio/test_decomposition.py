"""Large programmes by rounds: bounds that hold, plans that are feasible, optima where they are known."""

from __future__ import annotations

from time import perf_counter

import numpy as np
import pytest
from markets import small
from portfolio_market import market

from armillary.portfolio import Risk, decomposition, highs, rounds, solve, solving
from armillary.portfolio.arrays import arrays
from armillary.portfolio.assembly import assemble
from armillary.portfolio.bounds import lagrange, proven
from armillary.portfolio.decomposition import decompose
from armillary.portfolio.dominance import undominated
from armillary.portfolio.draft import Kept
from armillary.portfolio.grouping import grouped
from armillary.portfolio.recourse import SHARED, by_future, holds, recourse
from armillary.portfolio.rounding import rounded
from armillary.portfolio.states import exact, states

CASES = {
    "plain": {},
    "share": {"share": 0.7},
    "risk": {"risk": Risk(0.5, 0.6)},
    "budget": {"budget": np.full(5, 1.6e8)},
}


@pytest.mark.parametrize("name", CASES)
def test_rounds_end_at_the_optimum_of_the_whole(name):
    programme = small(1, **CASES[name])
    scaled = arrays(programme)
    best = decompose(programme, scaled, 1e-4, perf_counter() + 60)
    whole = solve(programme, gap=1e-6)
    value = whole.objective / scaled.scales.money
    assert best is not None
    assert holds(best.assembly, best.x)
    assert best.bound <= value * (1 + 1e-6)
    assert value * (1 - 1e-6) <= best.value <= value * 1.002


@pytest.mark.parametrize("regime", ["volume", "tiny"])
def test_a_market_by_rounds_is_within_its_gap_of_the_whole(regime):
    programme = market(2, 2, 4, 6, 3, regime)
    scaled = arrays(programme)
    best = decompose(programme, scaled, 0.0025, perf_counter() + 60)
    whole = solve(programme, gap=1e-5)
    value = whole.objective / scaled.scales.money
    assert best is not None
    assert best.finished
    assert best.bound <= value * (1 + 1e-6)
    assert value * (1 - 1e-5) <= best.value <= best.bound / (1 - 0.0025)


def test_fewer_states_bound_from_below_and_more_bound_better():
    programme = market(2, 2, 4, 8, 6)
    scaled = arrays(programme)
    label = np.stack([grouped(scaled.demand[:, t].T, 3) for t in range(8)])
    found = []
    for labels in (np.zeros_like(label), label):
        matrix = assemble(programme, scaled, states(programme.futures, labels)).matrix
        found.append(highs.solve(matrix, relaxed=True).value)
    full = highs.solve(assemble(programme, scaled, exact(programme.futures)).matrix, relaxed=True).value
    assert found[0] < found[1] <= full * (1 + 1e-9)


def test_any_prices_prove_a_bound():
    programme = market(2, 2, 4, 8, 3)
    whole = assemble(programme, arrays(programme), exact(programme.futures))
    solved = highs.solve(whole.matrix, relaxed=True)
    assert proven(whole, solved.duals) == pytest.approx(solved.value, rel=1e-7)
    random = np.random.default_rng(0)
    for spread in (0.01, 0.3):
        moved = solved.duals * random.uniform(1 - spread, 1 + spread, len(solved.duals))
        assert lagrange(whole.matrix, moved) <= proven(whole, moved) < solved.value
    assert lagrange(whole.matrix, solved.duals) == pytest.approx(solved.value, rel=1e-7)


def test_dominated_offers_change_no_optimum():
    programme = market(2, 1, 5, 6, 1)
    scaled = arrays(programme)
    pairs, offers = undominated(programme, scaled)
    assert pairs.sum() < len(pairs)
    assert offers.sum() < len(offers)
    few = assemble(programme, scaled, exact(programme.futures)).matrix
    every = Kept(np.ones_like(pairs), np.ones_like(offers))
    full = assemble(programme, scaled, exact(programme.futures), every).matrix
    low = highs.solve(few, gap=1e-7).value
    assert low == pytest.approx(highs.solve(full, gap=1e-7).value, rel=1e-6)


def test_recourse_finds_the_cost_of_the_optimal_first_stage():
    programme = market(2, 2, 4, 8, 4)
    scaled = arrays(programme)
    whole = assemble(programme, scaled, exact(programme.futures))
    best = highs.solve(whole.matrix, gap=1e-6)
    futured = by_future(programme, whole)
    outcome = recourse(programme, scaled, whole, futured, best.x)
    assert outcome.feasible
    assert holds(whole, outcome.x)
    assert whole.matrix.cost @ outcome.x == pytest.approx(best.value, rel=1e-6)
    # What is not whole, or uses a closed site, does not hold.
    wrong = outcome.x.copy()
    wrong[whole.opened[whole.sites_opened]] = 0.0
    assert not holds(whole, wrong)


def test_what_is_shared_may_take_a_little_more_than_there_is():
    # Purchases of a solver fill a site's power to its tolerance, and a little beyond.
    programme = market(2, 2, 4, 8, 4)._replace(contracts=())
    free = tuple(one._replace(opening=0.0, standing=0.0) for one in programme.sites)
    programme = programme._replace(sites=free)
    scaled = arrays(programme)
    whole = assemble(programme, scaled, exact(programme.futures))
    m = whole.matrix
    best, futured = highs.solve(m, gap=1e-6), by_future(programme, whole)
    cap = m._replace(row_upper=m.row_upper.copy())
    shared = np.where(futured.column == SHARED, best.x, 0.0)
    filled = np.where((futured.row >= 0) & np.isneginf(m.row_lower), m.times(shared), 0.0)
    row = int(filled.argmax())
    taken = float(filled[row])
    assert taken > 1
    for by, feasible in ((1e-8, True), (1e-3, False)):
        cap.row_upper[row] = taken * (1 - by)
        outcome = recourse(programme, scaled, whole._replace(matrix=cap), futured, best.x)
        assert outcome.feasible is feasible


def test_rounds_that_end_early_leave_the_rest_to_the_search_of_the_whole(monkeypatch):
    programme = market(2, 2, 4, 6, 4, "tiny")
    optimum = solve(programme, gap=1e-5)
    monkeypatch.setattr(solving, "WHOLE", 0)
    monkeypatch.setattr(rounds, "STATES", (1,))
    plan = solve(programme, gap=1e-5, seconds=60)
    assert plan.objective == pytest.approx(optimum.objective, rel=3e-5)
    assert plan.bound <= optimum.objective * (1 + 1e-6)


@pytest.mark.parametrize("regime", ["volume", "tiny"])
def test_branching_over_means_raises_a_bound_that_holds(regime, monkeypatch):
    programme = market(2, 3, 4, 6, 4, regime)
    scaled = arrays(programme)
    optimum = solve(programme, gap=1e-5).objective / scaled.scales.money
    monkeypatch.setattr(decomposition, "LITTLE", -1.0)
    search = decomposition._Search(programme, scaled, 1e-4, perf_counter() + 60)
    coarse = search.assembled(search.sizes[0])
    point = rounded(programme, scaled, coarse, highs.solve(coarse.matrix, relaxed=True).x)
    search.refined(coarse, point)
    alone = highs.solve(coarse.matrix, relaxed=True).value
    search.branched(coarse, point)
    assert alone * (1 + 1e-4) < search.bound <= optimum * (1 + 1e-6)
    assert optimum * (1 - 1e-5) <= search.value
