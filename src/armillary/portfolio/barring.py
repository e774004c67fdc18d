"""Tiers of contracts that no plan signs that is cheaper than one that is known.

A relaxation signs a part of a large tier: its discount is had on all that is spent, at a part of what it
commits to. With the tier signed whole, the relaxation over means says what it would cost.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from time import perf_counter

import numpy as np

from armillary.portfolio import highs
from armillary.portfolio.assembly import Assembly
from armillary.portfolio.bounds import proven
from armillary.portfolio.calendar import Integers
from armillary.portfolio.recourse import WORKERS

LARGE = 0.25
"""Of what the known plan costs, what has to be paid under a tier at least for it to be looked at. [-]"""


def large(assembly: Assembly, value: float) -> Integers:
    """Columns of tiers under which much has to be paid, next to what a known plan costs."""
    committed, m = assembly.committed, assembly.matrix
    undecided = m.upper[committed.signed] > m.lower[committed.signed]
    return committed.signed[undecided & (committed.least_paid >= LARGE * value)]


def barred(assembly: Assembly, basis: highs.Basis | None, value: float, until: float) -> Integers:
    """Large tiers, as columns, without which there is still every plan that is cheaper than a known one.

    Parameters
    ----------
    assembly : Assembly
        Over means.
    basis : tuple or None
        Of its relaxation.
    value : float
        What the known plan costs. [scaled money]
    until : float
        Time limit, of the performance counter; what was not looked at by then is not barred. [s]
    """
    m, tiers = assembly.matrix, large(assembly, value)
    models: SimpleQueue[highs.Relaxation] = SimpleQueue()
    for _ in range(min(WORKERS, len(tiers))):
        models.put(highs.Relaxation(m, basis))

    def dear(tier: int) -> bool:
        left = until - perf_counter()
        if left <= 0:
            return False
        lower, upper = m.lower.copy(), m.upper.copy()
        lower[tier] = upper[tier] = 1.0
        model = models.get()
        found = model.solve(tiers, lower[tiers], upper[tiers], enough=value, seconds=left)
        models.put(model)
        if found.status == "infeasible":
            return True
        held = assembly._replace(matrix=m._replace(lower=lower, upper=upper))
        return len(found.duals) > 0 and proven(held, found.duals) >= value

    with ThreadPoolExecutor(WORKERS) as both:
        out: Integers = tiers[np.array(list(both.map(dear, tiers.tolist())), bool)]
    return out
