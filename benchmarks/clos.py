"""Routes of a three-tier folded Clos at full bisection, for benchmarks. Not run by itself."""

from __future__ import annotations

import sys
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from armillary.network.routes import Routes

Array = NDArray[np.int64]


class Clos(NamedTuple):
    """Leaves of `radix` hosts, pods of `radix` leaves, `radix` spines above each aggregation switch.

    Links, `hosts` of each kind: host up, host down, leaf up, leaf down, pod up, pod down.
    """

    hosts: int
    radix: int = 32

    @property
    def links(self) -> int:
        return 6 * self.hosts

    def routes(self, source: Array, target: Array, seed: int = 0) -> Routes:
        """Shortest paths, each up-link drawn at random as by a hash of the flow (ECMP)."""
        n, r = self.hosts, self.radix
        random = np.random.default_rng([seed, 1])  # not the stream of the pairs
        middle, spine = random.integers(0, r, len(source)), random.integers(0, r, len(source))
        hops = np.empty((len(source), 6), np.int32)
        hops[:, 0] = source
        hops[:, 1] = n + target
        hops[:, 2] = 2 * n + source // r * r + middle
        hops[:, 3] = 3 * n + target // r * r + middle
        pod = r * r
        hops[:, 4] = 4 * n + source // pod * pod + middle * r + spine
        hops[:, 5] = 5 * n + target // pod * pod + middle * r + spine
        crossed = np.where(source // r == target // r, 2, np.where(source // pod == target // pod, 4, 6))
        kept = np.arange(6) < crossed[:, None]
        offsets = np.zeros(len(source) + 1, np.int64)
        np.cumsum(crossed, out=offsets[1:])
        return Routes(offsets, hops[kept])


def random_pairs(hosts: int, flows: int, seed: int = 0) -> tuple[Array, Array]:
    """Sources and targets, never the same."""
    random = np.random.default_rng(seed)
    source = random.integers(0, hosts, flows)
    return source, (source + random.integers(1, hosts, flows)) % hosts


def permutation(hosts: int, seed: int = 0) -> tuple[Array, Array]:
    """Each host sends to one and receives from one."""
    order = np.random.default_rng(seed).permutation(hosts)
    return order, np.roll(order, 1)


if __name__ == "__main__":
    print("run the other files of this folder; this one is what they share", file=sys.stderr)
