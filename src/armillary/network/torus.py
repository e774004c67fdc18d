"""Tori of any number of dimensions, as TPU pods and Trainium UltraServers have them. Only numpy.

Packets go dimension by dimension, the shorter way round; where both ways are as long, half goes either way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from armillary.errors import InputError, did_you_mean
from armillary.network.fabric import Fabric, Integers, Part
from armillary.network.routes import Routes


def torus(
    shape: Sequence[int],
    bandwidth: float | Sequence[float],
    latency: float,
    wrap: bool = True,
    name: str = "torus",
) -> Fabric:
    """Build a torus, or without `wrap` a mesh.

    Parameters
    ----------
    shape : sequence of int
        Accelerators along each dimension, e.g. ``(16, 16, 16)`` of a TPU v4 pod. [-]
    bandwidth : float or sequence of float
        Of one link, one direction, for all dimensions or each; an accelerator has two a dimension. [byte/s]
    latency : float
        Of one hop. [s]
    wrap : bool
        True where the ends of each dimension are joined.

    Raises
    ------
    InputError
        If a dimension has no accelerator, or the bandwidth is not positive.

    Examples
    --------
    >>> f = torus((4, 4), 50e9, 1e-6)
    >>> [f.link_name(int(i)) for i in f.routes([0], [7]).of(0)]
    ['accelerator 0 dimension 0 up', 'accelerator 4 dimension 1 down']
    """
    sizes = np.asarray(shape, dtype=np.int64)
    if sizes.ndim != 1 or sizes.size == 0 or (sizes < 1).any():
        raise InputError(f"a torus needs one or more accelerators along each dimension, got {list(shape)}")
    each = np.asarray(bandwidth, dtype=float)
    if each.ndim and each.shape != sizes.shape:
        raise InputError(f"a torus of {sizes.size} dimensions needs as many bandwidths, got {each.size}")
    if not (np.isfinite(each) & (each > 0)).all() or latency < 0:
        raise InputError(f"a torus needs a positive bandwidth and a latency, got {bandwidth}, {latency:g}")
    n = int(sizes.prod())
    tiers = tuple(f"dimension {k} {way}" for k in range(len(sizes)) for way in ("up", "down"))
    capacity = np.tile(np.broadcast_to(each, sizes.shape)[:, None, None], (1, 2, n))
    place = _coordinates(np.arange(n), sizes)
    for k, size in enumerate(sizes):
        if size == 1:
            capacity[k] = 0.0
        elif not wrap:
            capacity[k, 0, place[k] == size - 1] = 0.0
            capacity[k, 1, place[k] == 0] = 0.0
    links = capacity.size
    return Fabric(
        name,
        "static",
        tiers,
        np.repeat(np.arange(len(tiers), dtype=np.int8), n),
        capacity.ravel(),
        np.full(links, latency),
        np.arange(n),
        _Torus(name, sizes, wrap),
    )


def _coordinates(number: Integers, sizes: Integers) -> list[Integers]:
    return [np.asarray(c, dtype=np.int64) for c in np.unravel_index(number, tuple(sizes.tolist()))]


@dataclass(frozen=True, slots=True)
class _Torus:
    """Links in the order (dimension, up or down, accelerator that sends)."""

    name: str
    sizes: Integers
    wrap: bool

    @property
    def count(self) -> int:
        return int(self.sizes.prod())

    def paths(self, source: Integers, target: Integers, key: Integers, alive: NDArray[np.bool_]) -> Routes:
        """See `fabric.Router`; where the first order of dimensions is cut, the reverse one is tried."""
        forward = list(range(len(self.sizes)))
        routes = self._along(source, target, forward)
        cut = self._cut(routes, alive)
        if not cut.size:
            return routes
        other = self._along(source[cut], target[cut], forward[::-1])
        still = self._cut(other, alive)
        if still.size:
            flow = int(cut[still[0]])
            link = next(int(i) for i in other.of(int(still[0])) if not alive[i])
            raise InputError(
                f"disconnected: no path from accelerator {source[flow]} to {target[flow]} of {self.name}, "
                f"because {self.link_name(link)} is down"
            )
        return _replaced(routes, cut, other)

    def _along(self, source: Integers, target: Integers, order: list[int]) -> Routes:
        """Paths through the dimensions in an order."""
        here, there = _coordinates(source, self.sizes), _coordinates(target, self.sizes)
        flows, dims = len(source), len(order)
        hops = np.zeros((flows, dims, 2), np.int64)
        usage = np.ones((flows, dims, 2))
        base = np.zeros((flows, dims), np.int64)
        strides = np.append(np.cumprod(self.sizes[:0:-1])[::-1], 1)
        now = list(here)
        for step, k in enumerate(order):
            size = int(self.sizes[k])
            up = (there[k] - here[k]) % size if self.wrap else there[k] - here[k]
            down = size - up if self.wrap else -up
            tie = (up == down) & (up > 0) & self.wrap
            go_up = (up > 0) & ((up < down) | (not self.wrap)) | tie
            go_down = (down > 0) & ((down < up) | (not self.wrap)) & (up != 0) | tie
            hops[:, step, 0], hops[:, step, 1] = np.where(go_up, up, 0), np.where(go_down, down, 0)
            usage[tie, step] = 0.5
            base[:, step] = sum(now[d] * strides[d] for d in range(dims) if d != k)
            now[k] = there[k]
        each = hops.ravel()
        segment = np.repeat(np.arange(each.size), each)
        within = np.arange(segment.size) - np.repeat(np.cumsum(each) - each, each)
        flow, turn, way = np.unravel_index(segment, hops.shape)
        dimension = np.array(order)[turn]
        start = np.stack(here)[dimension, flow]
        place = (start + np.where(way == 0, within, -within)) % self.sizes[dimension]
        sender = base[flow, turn] + place * strides[dimension]
        links = (dimension * 2 + way) * self.count + sender
        offsets = np.concatenate([[0], np.cumsum(hops.sum(axis=(1, 2)))])
        shares = usage.ravel()[segment]
        return Routes(
            offsets.astype(np.int64), links.astype(np.int32), None if (shares == 1).all() else shares
        )

    @staticmethod
    def _cut(routes: Routes, alive: NDArray[np.bool_]) -> Integers:
        bad = np.concatenate([[0], np.cumsum(~alive[routes.links])])
        return np.flatnonzero(bad[routes.offsets[1:]] > bad[routes.offsets[:-1]])

    def link_name(self, link: int) -> str:
        """See `fabric.Router`."""
        tier, sender = divmod(link, self.count)
        return f"accelerator {sender} dimension {tier // 2} {('up', 'down')[tier % 2]}"

    def nics(self, endpoints: Integers) -> Integers:
        """See `fabric.Router`: all links that leave these accelerators."""
        return (np.arange(2 * len(self.sizes))[:, None] * self.count + endpoints).ravel()

    def switches(self) -> dict[str, int]:
        """See `fabric.Router`: a torus has none."""
        return {}

    def part(self, name: str) -> Part:
        """See `fabric.Router`; parts are ``accelerator N`` with its links either way, and ``dimension K``."""
        words = name.split()
        limits = {"accelerator": self.count, "dimension": len(self.sizes)}
        if len(words) != 2 or words[0] not in limits or not words[1].isdecimal():
            raise InputError(
                f"{self.name} has no part {name!r}{did_you_mean(words[0] if words else '', limits)}; "
                "parts are accelerator N and dimension N"
            )
        number = int(words[1])
        if number >= limits[words[0]]:
            raise InputError(f"{self.name} has no {name}; it has {words[0]} 0 to {limits[words[0]] - 1}")
        if words[0] == "dimension":
            whole = np.arange(2 * number * self.count, 2 * (number + 1) * self.count)
            return Part(whole, np.ones(len(whole)))
        own = _coordinates(np.array([number]), self.sizes)
        links = [self.nics(np.array([number]))]
        for k, size in enumerate(self.sizes.tolist()):
            for way, step in ((0, -1), (1, 1)):  # who sends up to it stands below, and the other way round
                near = [c.copy() for c in own]
                near[k] = (near[k] + step) % size
                sender = np.ravel_multi_index([int(c[0]) for c in near], tuple(self.sizes.tolist()))
                links.append(np.array([(2 * k + way) * self.count + int(sender)]))
        found = np.unique(np.concatenate(links))
        return Part(found, np.ones(len(found)))


def _replaced(routes: Routes, which: Integers, other: Routes) -> Routes:
    """Routes with those of some flows taken from others."""
    lengths = np.diff(routes.offsets)
    lengths[which] = np.diff(other.offsets)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    swapped = np.zeros(routes.flows, bool)
    swapped[which] = True
    links = np.empty(offsets[-1], np.int32)
    usage = np.ones(offsets[-1])
    fresh = np.repeat(swapped, lengths)
    old = np.repeat(~swapped, np.diff(routes.offsets))
    links[fresh], links[~fresh] = other.links, routes.links[old]
    if other.usage is not None:
        usage[fresh] = other.usage
    if routes.usage is not None:
        usage[~fresh] = routes.usage[old]
    return Routes(offsets.astype(np.int64), links, usage)
