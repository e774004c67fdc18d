"""The search over tiers, sites and homes: the solver's own optimum, bounds that hold, sets of few sites."""

from __future__ import annotations

from time import perf_counter

import numpy as np
import pytest
from markets import small
from portfolio_market import market

from armillary.portfolio import Risk, branching, highs
from armillary.portfolio.arrays import arrays
from armillary.portfolio.assembly import assemble
from armillary.portfolio.branching import Tree
from armillary.portfolio.recourse import holds
from armillary.portfolio.rounding import narrowed
from armillary.portfolio.states import exact

MARKETS = {
    "volume": lambda: market(2, 2, 4, 6, 3, "volume"),
    "tiny": lambda: market(2, 3, 4, 6, 3, "tiny"),
    "whole options, rebates": lambda: small(3),
    "risk": lambda: small(4, risk=Risk(0.5, 0.6)),
}


def tree(programme, gap=1e-6, value=np.inf):
    scaled = arrays(programme)
    whole = assemble(programme, scaled, exact(programme.futures))
    return Tree(programme, scaled, whole, gap, value, True)


@pytest.mark.parametrize("name", MARKETS)
def test_the_search_ends_at_the_solvers_own_optimum(name):
    searched = tree(MARKETS[name]())
    optimum = highs.solve(searched.assembly.matrix, gap=1e-7)
    found = searched.search([searched.root()], perf_counter() + 60)
    assert holds(searched.assembly, found.x)
    assert found.value == pytest.approx(optimum.value, rel=5e-6)
    assert found.bound <= optimum.value * (1 + 1e-7)
    assert found.bound == pytest.approx(optimum.value, rel=5e-6)
    assert not found.open


def test_sets_of_sites_are_not_passed_over(monkeypatch):
    programme = market(2, 3, 4, 6, 2, "tiny")
    bounds = []
    for few in (0, 2):  # branching alone, and sets of up to two sites
        monkeypatch.setattr(branching, "FEW", few)
        searched = tree(programme)
        bounds.append(searched.search([searched.root()], perf_counter() + 60).bound)
    assert bounds[0] == pytest.approx(bounds[1], rel=5e-6)


def test_bounds_of_sets_hold_for_what_the_sets_cost():
    searched = tree(market(2, 3, 4, 6, 2, "tiny"))
    searched.until = perf_counter() + 60
    m, root = searched.assembly.matrix, searched.root()
    found = highs.solve(m, relaxed=True)
    parent = searched._with(root, found.value, found.x, found.reduced)
    sets = searched._sets(parent, parent._replace(fewest=0.0, most=2.0))
    sites = len(searched.assembly.sites_opened)
    assert len(sets) == 1 + sites + sites * (sites - 1) // 2
    for one in sets:
        assert searched.settled(one)
        lower, upper = m.lower.copy(), m.upper.copy()
        opened = searched.assembly.opened[searched.assembly.sites_opened]
        lower[opened] = upper[opened] = one.lower[searched.opened]
        cost = highs.solve(m, relaxed=True, lower=lower, upper=upper).value
        assert parent.bound <= one.bound <= cost * (1 + 1e-7)
        part, _ = narrowed(searched.programme, searched.arrays, searched.assembly, lower, upper)
        assert len(part.cost) < len(m.cost)
        assert highs.solve(part, relaxed=True).value == pytest.approx(cost, rel=1e-7)


def test_a_search_that_is_stopped_bounds_from_below_and_goes_on_from_its_open_parts():
    programme = market(2, 3, 4, 6, 3, "tiny")
    searched = tree(programme)
    optimum = highs.solve(searched.assembly.matrix, gap=1e-7).value
    stopped = searched.search([searched.root()], perf_counter())
    assert stopped.bound <= optimum
    assert len(stopped.open) == 1
    again = searched.search(stopped.open, perf_counter() + 60)
    assert again.bound == pytest.approx(optimum, rel=5e-6)


def test_what_costs_more_than_is_known_is_left():
    programme = market(2, 2, 4, 6, 3, "volume")
    searched = tree(programme)
    optimum = highs.solve(searched.assembly.matrix, gap=1e-7).value
    known = tree(programme, gap=0.05, value=optimum)
    found = known.search([known.root()], perf_counter() + 60)
    assert optimum * 0.95 * (1 - 1e-9) <= found.bound <= optimum
    assert known.number < 5


def test_relaxations_solved_from_where_the_one_before_was_are_those_solved_anew():
    searched = tree(market(2, 2, 4, 6, 3, "volume"))
    m = searched.assembly.matrix
    model = highs.Relaxation(m)
    opened = searched.assembly.opened[searched.assembly.sites_opened]
    random = np.random.default_rng(0)
    for _ in range(4):
        upper = np.append(random.integers(0, 2, len(opened) - 1).astype(float), 1.0)
        found = model.solve(opened, upper * 0, upper, (searched.row, 0.0, 3.0))
        high, most = m.upper.copy(), m.row_upper.copy()
        high[opened], most[searched.row] = upper, 3.0
        anew = highs.solve(m._replace(row_upper=most), relaxed=True, upper=high)
        assert found.value == pytest.approx(anew.value, rel=1e-7)
    anew = model.solve(opened, upper * 0, upper * 0 + 1, (searched.row, 0.0, 3.0))
    closed = model.solve(opened, upper * 0, upper * 0, (searched.row, 0.0, 3.0))
    model.solve(opened, upper * 0, upper * 0 + 1, (searched.row, 0.0, 3.0))
    enough = (anew.value + closed.value) / 2
    early = model.solve(opened, upper * 0, upper * 0, ((searched.row, 0.0, 3.0)), enough)
    assert early.status == "enough"
