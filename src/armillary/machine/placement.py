"""Where the ranks of a strided group sit on nested rings. Only numpy."""

from __future__ import annotations

from typing import Any

import numpy as np

Numeric = Any


def ranks_inside(ring_size: Numeric, group_size: Numeric, stride: Numeric) -> Numeric:
    r"""How many neighbouring ranks of a group meet in one instance of a ring, whichever group it is.

    Parameters
    ----------
    ring_size : numeric of int
        Accelerators in one instance of the ring. [-]
    group_size : numeric of int
        Ranks of the group. [-]
    stride : numeric of int
        Distance of neighbouring ranks, in accelerators; groups tile the machine. [-]

    Notes
    -----
    Where the stride divides the ring, an instance holds :math:`k = R/s` ranks of each stride class, and
    groups of :math:`g` ranks cut it into aligned pieces of :math:`\gcd(k, g)`: a group of 64 on rings of
    72 meets in pieces of 8. A stride that does not divide the ring leaves at least ``R // s`` ranks only
    where groups happen to align, so the common divisor is taken of what surely fits.

    Examples
    --------
    >>> int(ranks_inside(72, 8, 1)), int(ranks_inside(72, 64, 1)), int(ranks_inside(8, 16, 4))
    (8, 8, 2)
    """
    per_ring = np.maximum(np.asarray(ring_size) // np.asarray(stride), 1).astype(np.int64)
    return np.gcd(per_ring, np.asarray(group_size).astype(np.int64))
