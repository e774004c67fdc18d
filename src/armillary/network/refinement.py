"""Kernels of colour refinement on flows and links, colours as 64-bit hashes. Needs numba; see `symmetry`."""

from __future__ import annotations

import numba
import numpy as np

_A, _B, _C = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31 = np.uint64(30), np.uint64(27), np.uint64(31)


@numba.njit(cache=True)
def mixed(value):  # type: ignore[no-untyped-def]
    """Finaliser of splitmix64 (Steele, Lea and Flood 2014)."""
    value = value + _A
    value = (value ^ (value >> _S30)) * _B
    value = (value ^ (value >> _S27)) * _C
    return value ^ (value >> _S31)


@numba.njit(cache=True)
def recolour_links(offsets, links, usage, flow_colour, seed, link_colour):  # type: ignore[no-untyped-def]
    """Colour of a link: its seed and, in any order, the colours of its flows with their usages."""
    link_colour[:] = 0
    plain = len(usage) == 0
    for f in range(len(offsets) - 1):
        for e in range(offsets[f], offsets[f + 1]):
            part = flow_colour[f] if plain else flow_colour[f] ^ mixed(usage[e])
            link_colour[links[e]] += mixed(part)
    for link in range(len(link_colour)):
        link_colour[link] = mixed(link_colour[link] ^ seed[link])


@numba.njit(cache=True)
def recolour_flows(offsets, links, usage, before, after, link_colour, seed, old, flow_colour):  # type: ignore[no-untyped-def]
    """Colour of a flow: its seed, those of its links with its usages, and those of what it waits for."""
    plain = len(usage) == 0
    for f in range(len(offsets) - 1):
        total = np.uint64(0)
        for e in range(offsets[f], offsets[f + 1]):
            part = link_colour[links[e]] if plain else link_colour[links[e]] ^ mixed(usage[e])
            total += mixed(part)
        flow_colour[f] = mixed(total) ^ seed[f]
    for i in range(len(before)):
        flow_colour[after[i]] += mixed(old[before[i]] ^ _C)
    for f in range(len(flow_colour)):
        flow_colour[f] = mixed(flow_colour[f])


@numba.njit(cache=True)
def numbered(colour, kinds, first):  # type: ignore[no-untyped-def]
    """Number colours by first appearance into `kinds`, the item that shows each into `first`; their count."""
    size = 16
    while size < 2 * len(colour):
        size *= 2
    mask = np.uint64(size - 1)
    slots = np.full(size, -1, np.int32)
    count = 0
    for i in range(len(colour)):
        at = np.int64(colour[i] & mask)
        while slots[at] >= 0 and colour[first[slots[at]]] != colour[i]:
            at = (at + 1) & (size - 1)
        if slots[at] < 0:
            slots[at] = count
            first[count] = i
            count += 1
        kinds[i] = slots[at]
    return count
