"""Plans near a relaxation: the best with binaries held, tiers that save, exchanges, what a cutoff leaves."""

from __future__ import annotations

from time import perf_counter

import numpy as np
import pytest
from portfolio_market import market

from armillary.portfolio import decomposition, highs, rounds
from armillary.portfolio.arrays import arrays
from armillary.portfolio.assembly import assemble
from armillary.portfolio.bounds import proven
from armillary.portfolio.recourse import holds
from armillary.portfolio.rounding import FIRST, best, exchanged, rounded
from armillary.portfolio.states import exact


@pytest.fixture(scope="module", params=["volume", "tiny"])
def searched(request):
    """A market, its arrays and assembly, and its optimum."""
    programme = market(2, 2, 4, 6, 3, request.param)
    scaled = arrays(programme)
    whole = assemble(programme, scaled, exact(programme.futures))
    return programme, scaled, whole, highs.solve(whole.matrix, gap=1e-6)


def binaries(assembly, x):
    return {name: np.round(x[assembly.matrix.blocks[name]]) for name in FIRST}


def test_the_best_with_the_optimum_held_is_the_optimum(searched):
    programme, scaled, whole, optimum = searched
    found = best(programme, scaled, whole, binaries(whole, optimum.x))
    assert holds(whole, found)
    assert whole.matrix.cost @ found == pytest.approx(optimum.value, rel=2e-6)


def test_a_rounded_relaxation_holds_all_rows_and_exchanges_make_it_no_dearer(searched):
    programme, scaled, whole, optimum = searched
    relaxed = highs.solve(whole.matrix, relaxed=True)
    point = rounded(programme, scaled, whole, relaxed.x)
    assert holds(whole, point)
    other = exchanged(programme, scaled, whole, point, relaxed.x, 20.0)
    assert holds(whole, other)
    cost = whole.matrix.cost
    assert optimum.value * (1 - 1e-6) <= cost @ other <= cost @ point
    assert cost @ other < 1.02 * optimum.value


def test_exchanges_leave_a_plan_at_the_wrong_sites(searched):
    programme, scaled, whole, optimum = searched
    held = binaries(whole, optimum.x)
    del held["home"]
    closed = int(held["opened"].argmax())
    held["opened"][closed] = 0.0
    held["opened"][(closed + 1) % len(held["opened"])] = 1.0
    wrong = best(programme, scaled, whole, held)
    found = exchanged(programme, scaled, whole, wrong, wrong, 20.0)
    cost = whole.matrix.cost
    assert cost @ wrong > 1.01 * optimum.value
    assert cost @ found < 1.01 * optimum.value
    # What was tried and did no good is not tried again.
    tried: set[bytes] = set()
    exchanged(programme, scaled, whole, found, found, 20.0, tried)
    began, known = perf_counter(), len(tried)
    again = exchanged(programme, scaled, whole, found, found, 20.0, tried)
    assert again is found
    assert len(tried) == known
    assert perf_counter() - began < 20.0


def test_a_cutoff_leaves_the_optimum_and_cuts_tiers_that_cost_more(searched):
    programme, scaled, whole, optimum = searched
    cut = assemble(programme, scaled, exact(programme.futures), cutoff=optimum.value * 1.001)
    assert highs.solve(cut.matrix, gap=1e-6).value == pytest.approx(optimum.value, rel=2e-6)
    affordable = cut.matrix.upper[cut.committed.signed]
    assert (affordable <= whole.matrix.upper[whole.committed.signed]).all()
    paid = np.array([c.tiers[-1].least for c in programme.contracts]) / scaled.scales.money
    assert affordable[2] == 0 or paid[0] * 0.9 * scaled.factor[-1] < optimum.value
    loose = highs.solve(whole.matrix, relaxed=True).value
    assert highs.solve(cut.matrix, relaxed=True).value >= loose * (1 - 1e-9)


def test_parts_of_sites_give_parts_of_what_is_scarce(searched):
    _, _, whole, optimum = searched
    m = whole.matrix
    block = m.row_blocks["scarce if opened"]
    without = m._replace(row_upper=m.row_upper.copy())
    without.row_upper[block] = np.inf
    # The rows change no optimum of whole sites, and no relaxation is lower with them.
    assert highs.solve(without, gap=1e-6).value == pytest.approx(optimum.value, rel=2e-6)
    assert highs.solve(m, relaxed=True).value >= highs.solve(without, relaxed=True).value * (1 - 1e-9)


def test_a_relaxation_that_is_stopped_still_bounds(searched):
    _, _, whole, _ = searched
    full = highs.solve(whole.matrix, relaxed=True).value
    stopped = highs.solve(whole.matrix, relaxed=True, seconds=0.02, presolve=False)
    assert len(stopped.duals)
    assert proven(whole, stopped.duals) <= full * (1 + 1e-7)


def test_a_part_of_a_matrix_is_what_its_rows_and_columns_say(searched):
    _, _, whole, _ = searched
    m, random = whole.matrix, np.random.default_rng(0)
    columns = np.sort(random.choice(len(m.cost), len(m.cost) // 3, replace=False))
    rows = random.random(len(m.row_lower)) < 0.5
    x = np.zeros(len(m.cost))
    x[columns] = random.random(len(columns))
    part = m.part(columns, rows)
    np.testing.assert_allclose(part.times(x[columns]), m.times(x)[rows], rtol=1e-12, atol=1e-9)
    assert part.cost @ x[columns] == pytest.approx(m.cost @ x)


@pytest.mark.parametrize("regime", ["volume", "tiny"])
def test_plans_over_their_own_sites_are_plans_of_the_whole(regime, monkeypatch):
    programme = market(2, 2, 4, 6, 4, regime)
    scaled = arrays(programme)
    monkeypatch.setattr(rounds, "WHOLE", 0)
    monkeypatch.setattr(decomposition, "SEARCHED", 0)
    found = decomposition.decompose(programme, scaled, 0.0025, perf_counter() + 30)
    assert found is not None
    assert not found.every
    assert holds(found.assembly, found.x)
    whole = assemble(programme, scaled, exact(programme.futures))
    optimum = highs.solve(whole.matrix, gap=1e-4, seconds=60)
    assert found.bound <= optimum.value * (1 + 1e-6)
    assert optimum.bound * (1 - 1e-6) <= found.value <= 1.05 * optimum.value
