"""Tori: distances against breadth-first search, ties, meshes, what is down."""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest

from armillary.errors import InputError
from armillary.network.simulated import simulate_collective
from armillary.network.torus import torus


def neighbours(shape, wrap):
    """Adjacency by coordinates, written apart from the router: accelerator to (neighbour, link name)."""
    found = {}
    for place in np.ndindex(*shape):
        number = int(np.ravel_multi_index(place, shape))
        found[number] = {}
        for k, size in enumerate(shape):
            for step, way in ((1, "up"), (-1, "down")):
                other = list(place)
                other[k] += step
                if size == 1 or (not wrap and not 0 <= other[k] < size):
                    continue
                other[k] %= size
                name = f"accelerator {number} dimension {k} {way}"
                found[number][name] = int(np.ravel_multi_index(other, shape))
    return found


def distances(graph, start):
    seen, queue = {start: 0}, deque([start])
    while queue:
        here = queue.popleft()
        for other in graph[here].values():
            if other not in seen:
                seen[other] = seen[here] + 1
                queue.append(other)
    return seen


@pytest.mark.parametrize("shape", [(4, 4), (3, 5), (2, 3, 4), (8,), (1, 4, 2)])
@pytest.mark.parametrize("wrap", [True, False])
def test_paths_are_connected_and_as_short_as_can_be(shape, wrap):
    f = torus(shape, 50e9, 1e-6, wrap)
    graph = neighbours(shape, wrap)
    n = f.endpoints
    source, target = np.nonzero(~np.eye(n, dtype=bool))
    routes = f.routes(source, target)
    usage = np.ones(len(routes.links)) if routes.usage is None else routes.usage
    far = [distances(graph, a) for a in range(n)]
    for flow in range(routes.flows):
        mine = slice(routes.offsets[flow], routes.offsets[flow + 1])
        names = [f.link_name(int(i)) for i in routes.links[mine]]
        shares = usage[mine]
        assert sum(shares) == pytest.approx(far[source[flow]][target[flow]])
        # What enters each accelerator leaves it, but for the ends.
        balance = np.zeros(n)
        for name, share in zip(names, shares, strict=True):
            sender = int(name.split()[1])
            balance[sender] -= share
            balance[graph[sender][name]] += share
        expected = np.zeros(n)
        expected[source[flow]], expected[target[flow]] = -1, 1
        np.testing.assert_allclose(balance, expected, atol=1e-12)


def test_both_ways_round_share_a_tie():
    routes = torus((4,), 1.0, 0.0).routes([0], [2])
    assert routes.usage.tolist() == [0.5] * 4


def test_what_is_down_is_gone_around_or_named():
    f = torus((4, 4), 50e9, 1e-6)
    around = f.degraded([("accelerator 1", 0)])
    routes = around.routes([0], [6])  # 0 to (1, 2): first along dimension 1 would pass accelerator 1
    assert (around.capacity[routes.links] > 0).all()
    with pytest.raises(InputError, match="disconnected: no path from accelerator 0 to 1"):
        around.routes([0], [1])
    with pytest.raises(InputError, match="did you mean 'dimension'"):
        f.degraded([("dimensoin 0", 0)])
    with pytest.raises(InputError, match="it has dimension 0 to 1"):
        f.degraded([("dimension 2", 0)])


@pytest.mark.parametrize("shape", [(), (0, 4), (4, -1)])
def test_what_makes_no_torus_is_named(shape):
    with pytest.raises(InputError, match="one or more accelerators along each dimension"):
        torus(shape, 1.0, 0.0)


def test_an_all_to_all_is_bound_by_the_bisection():
    # n^2/4 pairs cross the middle of the longest dimension each way, over 2 k^2 links of a k^3 torus.
    k = 4
    f = torus((k, k, k), 1.0, 0.0)
    found = simulate_collective(f, "all_to_all", np.arange(k**3), size=float(k**3))
    assert found.time == pytest.approx((k**3) ** 2 / 4 / (2 * k**2), rel=1e-9)
