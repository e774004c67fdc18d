"""Sets of few sites: bounds that hold, parts that leave nothing out, and where they are not worth trying."""

from __future__ import annotations

from time import perf_counter

import numpy as np
import pytest
from portfolio_market import market

from armillary.portfolio import decomposition, highs, rounds, solve
from armillary.portfolio.arrays import arrays
from armillary.portfolio.assembly import assemble
from armillary.portfolio.branching import Tree
from armillary.portfolio.decomposition import decompose
from armillary.portfolio.few_sites import sets, worth_trying
from armillary.portfolio.states import exact


def tree(programme):
    scaled = arrays(programme)
    return Tree(programme, scaled, assemble(programme, scaled, exact(programme.futures)), 1e-4, np.inf, True)


@pytest.fixture(scope="module")
def tiny():
    return tree(market(3, 2, 4, 12, 2, "tiny"))


def cost(searched, node, relaxed):
    """Of what is in a part."""
    leaf = searched.matrix(node)
    return highs.solve(leaf, relaxed=relaxed, gap=1e-7).value


def test_no_plan_of_a_part_costs_less_than_its_bound(tiny):
    for one in sets(tiny, 10.0):
        assert one.bound <= cost(tiny, one, relaxed=tiny.settled(one)) * (1 + 1e-7)


def test_parts_leave_nothing_out(tiny):
    parts = sets(tiny, 10.0)
    whole = highs.solve(tiny.assembly.matrix, gap=1e-7)
    sites = len(tiny.assembly.sites_opened)
    assert whole.x[tiny.assembly.opened].sum() == pytest.approx(2.0)
    opened = {tuple(one.lower[tiny.opened]) for one in parts if tiny.settled(one)}
    # Of sites that are opened alone or in pairs, those that no plan can open are left out.
    assert len(opened) <= 1 + sites + sites * (sites - 1) // 2
    may_be = [one for one in parts if one.bound <= whole.value]
    assert min(cost(tiny, one, relaxed=False) for one in may_be) == pytest.approx(whole.value, rel=1e-6)
    rest = [one for one in parts if not tiny.settled(one)]
    assert [one.fewest for one in rest] == [3.0]


def test_sets_are_tried_where_sites_cost_much_to_open(tiny):
    volume = market(3, 2, 4, 6, 2, "volume")
    assert worth_trying(tiny.programme, tiny.arrays)
    assert not worth_trying(volume, arrays(volume))


def test_sets_are_not_tried_where_there_are_too_many(tiny, monkeypatch):
    monkeypatch.setattr("armillary.portfolio.few_sites.SETS", 10)
    assert not worth_trying(tiny.programme, tiny.arrays)


def test_every_set_that_may_be_cheaper_is_bounded_by_its_relaxation(tiny):
    parts = [one for one in sets(tiny, 10.0) if tiny.settled(one)]
    costs = np.sort([cost(tiny, one, relaxed=True) for one in parts])
    known = Tree(tiny.programme, tiny.arrays, tiny.assembly, 1e-4, float(costs[6:8].mean()), False)
    found = known.search(parts, perf_counter() + 60, every=True)
    assert [one.bound for one in sorted(found.open)] == pytest.approx(costs[:7], rel=1e-7)
    assert all(len(one.x) for one in found.open)
    assert found.bound == pytest.approx(costs[0], rel=1e-7)


@pytest.mark.parametrize("whole", [100_000, 0])  # columns up to which rounds keep what is at other sites
def test_rounds_of_sets_end_at_the_optimum(monkeypatch, whole):
    monkeypatch.setattr(rounds, "WHOLE", whole)
    programme = market(3, 2, 4, 8, 6, "tiny")
    scaled = arrays(programme)
    optimum = solve(programme, gap=1e-5).objective / scaled.scales.money
    monkeypatch.setattr(decomposition._Search, "bounded", lambda *_: pytest.fail("a round was begun"))
    best = decompose(programme, scaled, 1e-3, perf_counter() + 60)
    assert best is not None
    assert best.finished
    assert optimum * (1 - 1e-3) / (1 + 1e-5) <= best.bound <= optimum * (1 + 1e-6)
    assert optimum * (1 - 1e-5) <= best.value <= best.bound / (1 - 1e-3) * (1 + 1e-6)


def test_a_relaxation_stops_where_it_costs_enough(tiny):
    m = tiny.assembly.matrix
    whole = highs.solve(m, relaxed=True, presolve=False)
    early = highs.solve(m, relaxed=True, presolve=False, enough=whole.value / 2)
    late = highs.solve(m, relaxed=True, presolve=False, enough=whole.value * 2)
    assert (whole.status, early.status, late.status) == ("optimal", "enough", "optimal")
    assert late.value == pytest.approx(whole.value)
