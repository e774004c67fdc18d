"""The same optimum as an independent, naive formulation in linopy, over all that a programme can hold."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from markets import small
from oracle import optimum

from armillary.portfolio import Risk, highs, solve
from armillary.portfolio.arrays import arrays
from armillary.portfolio.assembly import assemble
from armillary.portfolio.states import exact

CASES = {
    "plain": {},
    "share": {"share": 0.7},
    "risk": {"risk": Risk(0.5, 0.6)},
    "budget": {"budget": np.full(5, 1.6e8)},
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("seed", range(3))
def test_the_optimum_is_the_oracles(name, seed):
    programme = small(seed, **CASES[name])
    plan = solve(programme, gap=1e-8)
    assert plan.objective == pytest.approx(optimum(programme), rel=1e-6)
    assert plan.bound == pytest.approx(plan.objective, rel=1e-6)
    assert plan.costs.total == pytest.approx(plan.expected)


def test_the_optimum_is_the_best_of_all_choices_of_sites_tiers_and_rights():
    programme = small(2, quarters=4)
    scaled = arrays(programme)
    whole = assemble(programme, scaled, exact(programme.futures))
    matrix = whole.matrix
    binaries = np.concatenate([whole.opened[whole.sites_opened], whole.committed.signed, whole.bought.rights])
    found = []
    for choice in itertools.product((0.0, 1.0), repeat=len(binaries)):
        lower, upper = matrix.lower.copy(), matrix.upper.copy()
        lower[binaries] = upper[binaries] = choice
        # Homes and running are left to HiGHS, one small search each.
        found.append(highs.solve(matrix, gap=1e-7, lower=lower, upper=upper).value)
    assert len(found) == 32
    assert np.isinf(found).any()  # two tiers of one contract
    assert solve(programme, gap=1e-7).objective / scaled.scales.money == pytest.approx(min(found), rel=1e-6)
