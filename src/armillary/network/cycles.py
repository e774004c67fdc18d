"""Kernel that finds what a cycle of dependencies keeps from starting (Kahn 1962). Needs numba."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(cache=True)
def blocked(waits, group, after_begin, after, group_begin, group_flows):  # type: ignore[no-untyped-def]
    """`[node]` whether it can never finish. waits : as `events.run` takes them; used up.

    A group's members wait for its opening, and the group finishes with its last member.
    """
    flows, nodes = len(group), len(waits)
    left = np.diff(group_begin)
    finished = np.zeros(nodes, np.bool_)
    free = np.empty(2 * nodes, np.int64)
    size = 0
    for node in range(nodes):
        waits[node] -= 1
        if waits[node] == 0:
            free[size] = node
            size += 1
    while size > 0:
        size -= 1
        node = free[size]
        if node >= flows and left[node - flows] > 0:
            for i in range(group_begin[node - flows], group_begin[node - flows + 1]):
                waits[group_flows[i]] -= 1
                if waits[group_flows[i]] == 0:
                    free[size] = group_flows[i]
                    size += 1
            continue
        finished[node] = True
        for i in range(after_begin[node], after_begin[node + 1]):
            waits[after[i]] -= 1
            if waits[after[i]] == 0:
                free[size] = after[i]
                size += 1
        if node < flows and group[node] >= 0:
            left[group[node]] -= 1
            if left[group[node]] == 0:
                free[size] = flows + group[node]
                size += 1
    return ~finished
