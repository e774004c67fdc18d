from math import lcm

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from armillary.machine import ranks_inside


def smallest_piece(ring: int, group: int, stride: int) -> int:
    """Enumerate groups that tile a line of rings; fewest ranks of one group that share a ring."""
    total = lcm(ring, group * stride)
    pieces = []
    for block in range(0, total, group * stride):
        for first in range(stride):
            rings = [(block + first + i * stride) // ring for i in range(group)]
            pieces += [rings.count(r) for r in set(rings)]
    return min(pieces)


@given(st.integers(1, 12), st.integers(1, 24), st.integers(1, 8))
def test_agrees_with_enumeration_where_the_stride_divides_the_ring(per_ring, group, stride):
    assert ranks_inside(per_ring * stride, group, stride) == smallest_piece(per_ring * stride, group, stride)


@given(st.integers(1, 600), st.integers(1, 600), st.integers(1, 600))
def test_pieces_divide_the_group_and_fit_the_ring(ring, group, stride):
    inside = int(ranks_inside(ring, group, stride))
    assert group % inside == 0
    assert inside == 1 or inside * stride <= ring


def test_broadcasts():
    assert ranks_inside(72, np.array([[8], [64]]), np.array([1, 8])).tolist() == [[8, 1], [8, 1]]
