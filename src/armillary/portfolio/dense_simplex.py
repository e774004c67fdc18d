"""Kernel: the simplex method on a small dense table. Needs numba."""

from __future__ import annotations

import numba
import numpy as np

SMALL = 1e-9
"""Reduced cost that is none. [-]"""
PIVOT = 1e-7
"""Least entry that is pivoted on. [-]"""
PIVOTS = 500
"""Most pivots in one go. [-]"""


@numba.njit(cache=True, nogil=True)
def minimised(table, basis, height, width):  # type: ignore[no-untyped-def]
    """The simplex method on a table whose last row is reduced cost, and whose column 0 is what there is."""
    for _ in range(PIVOTS):
        column, least = -1, -SMALL
        for c in range(1, width):
            if table[height, c] < least:
                column, least = c, table[height, c]
        if column < 0:
            return
        row, step = -1, np.inf
        for r in range(height):
            if table[r, column] > PIVOT and max(table[r, 0], 0.0) < step * table[r, column]:
                row, step = r, max(table[r, 0], 0.0) / table[r, column]
        if row < 0:
            return
        entry = table[row, column]
        for c in range(width):
            table[row, c] /= entry
        for r in range(height + 1):
            factor = table[r, column]
            if r != row and factor != 0:
                for c in range(width):
                    table[r, c] -= factor * table[row, c]
        basis[row] = column
