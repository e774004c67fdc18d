"""Tiers of contracts that no plan signs that is cheaper than one that is known.

A relaxation signs a part of a large tier: its discount is had on all that is spent, at a part of what it
commits to. With the tier signed whole, the relaxation over means says what it would cost.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter

import numpy as np

from armillary.portfolio import highs
from armillary.portfolio.assembly import Assembly
from armillary.portfolio.bounds import proven
from armillary.portfolio.calendar import Floats, Integers
from armillary.portfolio.recourse import WORKERS

LARGE = 0.25
"""Of what plans cost, what has to be paid under a tier at least for it to be looked at. [-]"""


def large(assembly: Assembly, value: float) -> Integers:
    """Columns of tiers under which much has to be paid, next to what plans cost."""
    committed, m = assembly.committed, assembly.matrix
    undecided = m.upper[committed.signed] > m.lower[committed.signed]
    return committed.signed[undecided & (committed.least_paid >= LARGE * value)]


def least_with(
    assembly: Assembly,
    basis: highs.Basis | None,
    tiers: Integers,
    enough: float,
    until: float,
    workers: int = WORKERS,
) -> Floats:
    """What plans that sign each of some tiers cost at least; -inf where nothing was proven in time.

    Parameters
    ----------
    assembly : Assembly
        Over means.
    basis : tuple or None
        Of its relaxation: each tier is looked at from there, as what one asks for says nothing of the next.
    tiers : array
        Columns. Each is signed, and others may be.
    enough : float
        Cost from which more is of no interest. [scaled money]
    until : float
        Time limit, of the performance counter. [s]
    workers : int
        How many are looked at at once.
    """
    m = assembly.matrix

    def least(tier: int) -> float:
        left = until - perf_counter()
        if left <= 0:
            return -math.inf
        lower, upper = m.lower.copy(), m.upper.copy()
        lower[tier] = upper[tier] = 1.0
        model = highs.Relaxation(m, basis)
        found = model.solve(tiers, lower[tiers], upper[tiers], enough=enough, seconds=left)
        if found.status == "infeasible":
            return math.inf
        held = assembly._replace(matrix=m._replace(lower=lower, upper=upper))
        return proven(held, found.duals) if len(found.duals) else -math.inf

    with ThreadPoolExecutor(workers) as both:
        return np.array(list(both.map(least, tiers.tolist())), float)
