"""The bound that any prices of a programme's rows prove. Only numpy."""

from __future__ import annotations

import numpy as np

from armillary.portfolio.assembly import Assembly
from armillary.portfolio.calendar import Floats, sums
from armillary.portfolio.matrix import Matrix

TOLERANCE = 1e-6
"""Reduced costs of columns without an upper bound below which they count as zero, in scaled money. [-]"""


def proven(assembly: Assembly, prices: Floats) -> float:
    """Lagrange's bound: what every plan costs at least, if `prices` were paid for the rows.

    It holds for any prices, so that a solver's tolerances or an early stop cannot make it wrong.
    """
    fixed, saved, reduced = _parts(assembly.matrix, prices)
    # Use of one stream in one state together serves no more than its demand.
    usage = assembly.usage
    place = usage.stream * assembly.states.size + usage.state
    each = sums(place, saved[usage.column], assembly.demand.size)
    rate = np.zeros(assembly.demand.size)
    np.minimum.at(rate, place, reduced[usage.column] / usage.work)
    joint = np.maximum(each, rate * assembly.demand.ravel())
    saved[usage.column] = 0.0
    return fixed + float(saved.sum() + joint.sum())


def lagrange(matrix: Matrix, prices: Floats) -> float:
    """The same of any matrix, without what an assembly says about its columns of use."""
    fixed, saved, _ = _parts(matrix, prices)
    return fixed + float(saved.sum())


def _parts(m: Matrix, prices: Floats) -> tuple[float, Floats, Floats]:
    """What the prices of rows give, what each column saves at most, and reduced costs of columns."""
    y = signed(m, prices)
    reduced = m.cost - m.back(y)
    with np.errstate(invalid="ignore"):
        fixed = np.where(y > 0, y * m.row_lower, y * m.row_upper)
        saved = np.where(reduced > 0, reduced * m.lower, reduced * m.upper)
    saved[~np.isfinite(saved) & (np.abs(reduced) <= TOLERANCE)] = 0.0
    saved[reduced == 0] = 0.0
    return float(np.where(y == 0, 0.0, fixed).sum()), saved, reduced


def signed(matrix: Matrix, prices: Floats) -> Floats:
    """Prices without the wrong signs that a tolerance leaves on rows with one side."""
    y = np.where((prices > 0) & np.isneginf(matrix.row_lower), 0.0, prices)
    return np.where((y < 0) & np.isposinf(matrix.row_upper), 0.0, y)
