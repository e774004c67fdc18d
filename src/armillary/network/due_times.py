"""Kernels that order flows by the time they are due: a heap of the next ones, a horizon for the others."""

from __future__ import annotations

import numba
import numpy as np

SAMPLE = 1024
"""Flows looked at to choose a horizon. [-]"""


@numba.njit(cache=True)
def heap_down(heap, place, due, root, size):  # type: ignore[no-untyped-def]
    """Restore the heap of flows by `due` below `root`; `place` is where each flow stands."""
    f = heap[root]
    key = due[f]
    while True:
        child = 2 * root + 1
        if child >= size:
            break
        if child + 1 < size and due[heap[child + 1]] < due[heap[child]]:
            child += 1
        if not due[heap[child]] < key:
            break
        heap[root] = heap[child]
        place[heap[root]] = root
        root = child
    heap[root] = f
    place[f] = root


@numba.njit(cache=True)
def heap_up(heap, place, due, at):  # type: ignore[no-untyped-def]
    """Restore the heap of flows by `due` above `at`."""
    f = heap[at]
    key = due[f]
    while at > 0:
        parent = (at - 1) >> 1
        if not key < due[heap[parent]]:
            break
        heap[at] = heap[parent]
        place[heap[at]] = at
        at = parent
    heap[at] = f
    place[f] = at


@numba.njit(cache=True)
def behind(flows, alive, due, sample):  # type: ignore[no-untyped-def]
    """Choose a horizon that about one of 64 flows is due before, and at least one."""
    least = np.inf
    for i in range(alive):
        least = min(least, due[flows[i]])
    if alive <= len(sample):
        return np.inf
    for i in range(len(sample)):
        sample[i] = due[flows[i * alive // len(sample)]]
    return max(least, np.sort(sample)[len(sample) // 64])
