"""The same optimum as an independent, naive formulation in linopy, over all that a programme can hold."""

from __future__ import annotations

import numpy as np
import pytest
from markets import small
from oracle import optimum

from armillary.portfolio import Risk, solve

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
