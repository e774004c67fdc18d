"""`Fabric`: an explicit network, link by link, and the paths that its routing takes. Only numpy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from armillary.errors import InputError
from armillary.network.routes import Routes

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

ROUTINGS = ("spray", "ecmp", "static")
"""Every packet its own path (SRD, adaptive routing); a path a flow by hash; by the target's number."""


class Tree(NamedTuple):
    """Switches of a sprayed Clos as nested groups, whose parallel links are one.

    group : tier by tier from the leaves, `[endpoint]` switch group above each; the last holds all [-].
    up, down : tier by tier, `[group]` number of the link to and from the tier above; empty for the last.
    domain : `[endpoint]` scale-up domain. scale_up, scale_down, host_up, host_down : `[endpoint]` links.
    """

    group: tuple[Integers, ...]
    up: tuple[Integers, ...]
    down: tuple[Integers, ...]
    domain: Integers
    scale_up: Integers
    scale_down: Integers
    host_up: Integers
    host_down: Integers


class Part(NamedTuple):
    """What fails together. links : numbers. share : of each link's capacity, 1 for all of it [-]."""

    links: Integers
    share: Floats


class Router(Protocol):
    """How a kind of topology numbers its links and finds paths."""

    def paths(self, source: Integers, target: Integers, key: Integers, alive: NDArray[np.bool_]) -> Routes:
        """Find a path for each flow over links that are alive; InputError where there is none."""
        ...

    def part(self, name: str) -> Part:
        """Links of a part by its name, e.g. ``leaf 3``; InputError if there is none, with those known."""
        ...

    def link_name(self, link: int) -> str:
        """Name of a link."""
        ...

    def nics(self, endpoints: Integers) -> Integers:
        """Links between accelerators and the network, both ways."""
        ...

    def switches(self) -> dict[str, int]:
        """How many switches each level has."""
        ...


@dataclass(frozen=True, slots=True)
class Fabric:
    """A network of directed links between accelerators.

    tiers : names. tier : `[link]` place in `tiers` [-]. capacity : `[link]` one direction, 0 where it is
        down [byte/s]. latency : `[link]` [s].
    domain : `[endpoint]` scale-up domain of each accelerator [-].
    tree : where the fabric is a sprayed Clos, its switches; else None.
    routing : one of `ROUTINGS`.
    """

    name: str
    routing: str
    tiers: tuple[str, ...]
    tier: NDArray[np.int8]
    capacity: Floats
    latency: Floats
    domain: Integers
    router: Router
    tree: Tree | None = None

    def __post_init__(self) -> None:
        for what, values in (("capacity", self.capacity), ("latency", self.latency)):
            bad = np.flatnonzero(~(np.isfinite(values) & (values >= 0)))
            if bad.size:
                raise InputError(
                    f"{self.name}: {what} of link {self.router.link_name(int(bad[0]))} must be finite and "
                    f"not negative, got {values[bad[0]]:g}"
                )

    @property
    def endpoints(self) -> int:
        """Accelerators [-]."""
        return len(self.domain)

    @property
    def links(self) -> int:
        """Directed links [-]."""
        return len(self.capacity)

    @property
    def shared(self) -> Floats:
        """Capacities as the flow simulator takes them, above 0: no path uses a link that is down [byte/s]."""
        return np.where(self.capacity > 0, self.capacity, 1.0)

    def routes(self, source: ArrayLike, target: ArrayLike, key: ArrayLike = 0, paths: int = 1) -> Routes:
        """Path of each flow, or the paths that it is spread over.

        Parameters
        ----------
        source, target : `[flow]` of int
            Accelerators. [-]
        key : `[flow]` of int
            Told apart by ECMP's hash beside source and target, as port numbers are; one for all by default.
        paths : int
            Queue pairs of each flow, each with a hash of its own and an equal share of the bytes; only ECMP
            tells them apart. [-]

        Raises
        ------
        InputError
            If a flow goes to itself or to an accelerator that is not there, no path is left, or `paths` is
            not positive.
        """
        sources, targets = (np.atleast_1d(np.asarray(a, dtype=np.int64)) for a in (source, target))
        for what, ends in (("from", sources), ("to", targets)):
            outside = np.flatnonzero((ends < 0) | (ends >= self.endpoints))
            if outside.size:
                flow = int(outside[0])
                raise InputError(
                    f"flow {flow} is {what} accelerator {ends[flow]}, which {self.name} does not have; "
                    f"it has 0 to {self.endpoints - 1}"
                )
        own = np.flatnonzero(sources == targets)
        if own.size:
            raise InputError(f"flow {own[0]} goes from accelerator {sources[own[0]]} to itself")
        keys = np.broadcast_to(np.asarray(key, dtype=np.int64), sources.shape)
        if paths < 1:
            raise InputError(f"a flow needs at least one queue pair, got {paths}")
        alive = self.capacity > 0
        if paths == 1 or self.routing != "ecmp":
            return self.router.paths(sources, targets, keys, alive)
        each = [self.router.paths(sources, targets, keys + (q << 40), alive) for q in range(paths)]
        flows = np.concatenate([np.repeat(np.arange(r.flows), np.diff(r.offsets)) for r in each])
        links = np.concatenate([r.links for r in each])
        both, times = np.unique(flows * self.links + links, return_counts=True)
        offsets = np.searchsorted(both, np.arange(len(sources) + 1) * self.links)
        return Routes(offsets.astype(np.int64), (both % self.links).astype(np.int32), times / paths)

    def link_name(self, link: int) -> str:
        """Name of a link, e.g. ``leaf 3 up``."""
        return self.router.link_name(link)

    def latency_of(self, routes: Routes) -> Floats:
        """Latency of each path, `[flow]` [s]."""
        ends = np.concatenate([[0.0], np.cumsum(self.latency[routes.links])])
        delays: Floats = ends[routes.offsets[1:]] - ends[routes.offsets[:-1]]
        return delays

    def degraded(self, failures: Sequence[tuple[str, float]]) -> Fabric:
        """The same with parts down or slow.

        Parameters
        ----------
        failures : sequence of (name, share)
            A part and the share of its capacity that is left: 0 is down. Parts are switches (``leaf 3``),
            NICs (``host 17``), planes, rails and tiers (``leaf up``), as the topology names them.

        Raises
        ------
        InputError
            If there is no such part, or the share is not from 0 to 1.
        """
        kept, lost = np.ones(self.links), np.zeros(self.links)
        for name, left in failures:
            if not 0 <= left <= 1:
                raise InputError(f"{self.name}: {name!r} must keep a share from 0 to 1, got {left:g}")
            part = self.router.part(name)
            whole = part.share >= 1
            # What slows all of a link multiplies; switches among several add up: two of four leave half.
            np.multiply.at(kept, part.links[whole], left)
            np.add.at(lost, part.links[~whole], part.share[~whole] * (1 - left))
        capacity = self.capacity * kept * np.maximum(1 - lost, 0.0)
        capacity[capacity < 1e-9 * self.capacity] = 0.0
        return replace(self, capacity=capacity)

    def nics(self, endpoints: ArrayLike) -> Integers:
        """Links between these accelerators and the network, both ways."""
        return self.router.nics(np.asarray(endpoints, dtype=np.int64))

    @property
    def switches(self) -> dict[str, int]:
        """How many switches each level has [-]."""
        return self.router.switches()

    def with_links(self, links: Integers, factor: float) -> Fabric:
        """The same with the capacity of some links multiplied, e.g. NICs of an older generation [-]."""
        capacity = self.capacity.copy()
        capacity[links] *= factor
        return replace(self, capacity=capacity)

    def per_endpoint(self) -> dict[str, float]:
        """Capacity of each tier over accelerators, what each could use at once [byte/s]."""
        totals = np.bincount(self.tier, self.capacity, minlength=len(self.tiers))
        return {name: float(total) / self.endpoints for name, total in zip(self.tiers, totals, strict=True)}
