"""Dragonfly+: groups of leaves and spines, all groups joined pair by pair through their spines. Only numpy.

After Shpiner et al. 2017, Dragonfly+: low cost topology for scaling datacenters
(doi:10.1109/HiPINEB.2017.11).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from armillary.errors import InputError, did_you_mean
from armillary.network.clos_paths import mixed
from armillary.network.fabric import Fabric, Integers, Part
from armillary.network.routes import Routes

PATHS = ("minimal", "valiant")
"""Straight to the target's group, or by way of a random third one (Valiant and Brebner 1981)."""
TIERS = ("host up", "host down", "leaf up", "leaf down", "global")


def dragonfly(
    groups: int,
    leaves: int,
    spines: int,
    hosts: int,
    nic_bandwidth: float,
    nic_latency: float,
    global_links: int = 1,
    global_bandwidth: float = 0.0,
    global_latency: float = 0.0,
    paths: str = "minimal",
    domain: int = 1,
    name: str = "dragonfly+",
) -> Fabric:
    """Build a dragonfly+.

    Parameters
    ----------
    groups, leaves, spines, hosts : int
        Groups; leaves and spines of each; accelerators of each leaf. [-]
    nic_bandwidth, nic_latency : float
        Of each accelerator, one direction; links of a leaf to its spines carry it in full. [byte/s], [s]
    global_links : int
        From each group to each other. [-]
    global_bandwidth, global_latency : float
        Of one of them; by default the NIC's bandwidth. [byte/s], [s]
    paths : str
        One of `PATHS`; the link between two groups is picked by hash.
    domain : int
        Accelerators that are one host, told apart in placements; they have no scale-up switch here. [-]

    Raises
    ------
    InputError
        If a number is not positive, or the choice of paths is not known.
    """
    for what, number in (
        ("groups", groups), ("leaves", leaves), ("spines", spines), ("accelerators a leaf", hosts),
        ("links between groups", global_links),
    ):  # fmt: skip
        if number < 1:
            raise InputError(f"a dragonfly needs a positive number of {what}, got {number}")
    if not (np.isfinite(nic_bandwidth) and nic_bandwidth > 0):
        raise InputError(f"the bandwidth of a NIC must be positive, got {nic_bandwidth:g} byte/s")
    if paths not in PATHS:
        raise InputError(f"unknown paths {paths!r}{did_you_mean(paths, PATHS)} (known: {', '.join(PATHS)})")
    if paths == "valiant" and groups < 3:
        raise InputError(f"valiant paths need a third group, got {groups}")
    n = groups * leaves * hosts
    inside = groups * leaves * spines
    cable = hosts * nic_bandwidth / spines
    counts = [n, n, inside, inside, groups * groups * global_links]
    capacity = np.repeat(
        [nic_bandwidth, nic_bandwidth, cable, cable, global_bandwidth or nic_bandwidth], counts
    ).astype(float)
    router = _Dragonfly(
        name, groups, leaves, spines, hosts, global_links, paths == "valiant",
        np.concatenate([[0], np.cumsum(counts)]),
    )  # fmt: skip
    own = np.arange(groups)
    loops = router.starts[4] + ((own * groups + own)[:, None] * global_links + np.arange(global_links))
    capacity[loops.ravel()] = 0.0  # no group is joined to itself
    return Fabric(
        name,
        "ecmp",
        TIERS,
        np.repeat(np.arange(5, dtype=np.int8), counts),
        capacity,
        np.repeat([nic_latency, 0.0, 0.0, 0.0, global_latency], counts),
        np.arange(n) // domain,
        router,
    )


@dataclass(frozen=True, slots=True)
class _Dragonfly:
    """Links in the order of `TIERS`: leaf links by (group, leaf, spine), global ones by (from, to, which)."""

    name: str
    groups: int
    leaves: int
    spines: int
    hosts: int
    joins: int
    valiant: bool
    starts: Integers

    def paths(self, source: Integers, target: Integers, key: Integers, alive: NDArray[np.bool_]) -> Routes:
        """See `fabric.Router`; what is cut tries the next hash, as often as there are ways out of a group."""
        found = self._columns(source, target, key)
        dead = self._dead(found, alive)
        for attempt in range(1, 2 * self.spines * self.joins * (self.groups if self.valiant else 1) + 1):
            if not dead.size:
                break
            some = self._columns(source[dead], target[dead], key[dead] + (attempt << 32))
            found[:, dead] = some
            dead = dead[self._dead(some, alive)]
        if dead.size:
            flow = int(dead[0])
            link = next(int(i) for i in found[:, flow] if i >= 0 and not alive[i])
            raise InputError(
                f"disconnected: no path from accelerator {source[flow]} to {target[flow]} of {self.name} "
                f"was found, the last because {self.link_name(link)} is down"
            )
        used = found >= 0
        offsets = np.concatenate([[0], np.cumsum(used.sum(axis=0))])
        return Routes(offsets.astype(np.int64), found.T[used.T].astype(np.int32))

    def _columns(self, source: Integers, target: Integers, key: Integers) -> NDArray[np.int64]:
        """Links of each path, `[hop, flow]`, -1 where a path is shorter."""
        leaf, to_leaf = source // self.hosts, target // self.hosts
        group, to_group = leaf // self.leaves, to_leaf // self.leaves
        apart, away = leaf != to_leaf, group != to_group
        hashed = mixed(source, target, key)
        which = (hashed % np.uint64(self.joins)).astype(np.int64)
        local = ((hashed >> np.uint64(20)) % np.uint64(self.spines)).astype(np.int64)
        columns = [self.starts[0] + source]
        if not self.valiant:
            out, into = self._ends(group, to_group, which)
            columns += [
                np.where(apart, self._up(leaf, np.where(away, out, local)), -1),
                np.where(away, self._joint(group, to_group, which), -1),
                np.where(apart, self._down(to_leaf, np.where(away, into, local)), -1),
            ]
        else:
            third = self._third(group, to_group, hashed)
            other = ((hashed >> np.uint64(40)) % np.uint64(self.leaves)).astype(np.int64)
            relay = third * self.leaves + other
            out, arrive = self._ends(group, third, which)
            leave, into = self._ends(third, to_group, which)
            turns = away & (arrive != leave)
            columns += [
                np.where(apart, self._up(leaf, np.where(away, out, local)), -1),
                np.where(away, self._joint(group, third, which), -1),
                np.where(turns, self._down(relay, arrive), -1),
                np.where(turns, self._up(relay, leave), -1),
                np.where(away, self._joint(third, to_group, which), -1),
                np.where(apart, self._down(to_leaf, np.where(away, into, local)), -1),
            ]
        return np.stack([*columns, self.starts[1] + target])

    def _third(self, group: Integers, to_group: Integers, hashed: NDArray[np.uint64]) -> Integers:
        """A group that is neither of two."""
        low, high = np.minimum(group, to_group), np.maximum(group, to_group)
        free = self.groups - np.where(group == to_group, 1, 2)
        third = ((hashed >> np.uint64(8)) % free.astype(np.uint64)).astype(np.int64)
        third = third + (third >= low)
        return np.asarray(third + ((third >= high) & (low != high)))

    def _ends(self, group: Integers, to_group: Integers, which: Integers) -> tuple[Integers, Integers]:
        """Spines at both ends of a link between groups: a group's links are dealt to its spines in turn."""
        out = (to_group - (to_group > group)) * self.joins + which
        into = (group - (group > to_group)) * self.joins + which
        return out % self.spines, into % self.spines

    def _up(self, leaf: Integers, spine: Integers) -> Integers:
        return np.asarray(self.starts[2] + leaf * self.spines + spine)

    def _down(self, leaf: Integers, spine: Integers) -> Integers:
        return np.asarray(self.starts[3] + leaf * self.spines + spine)

    def _joint(self, group: Integers, to_group: Integers, which: Integers) -> Integers:
        return np.asarray(self.starts[4] + (group * self.groups + to_group) * self.joins + which)

    @staticmethod
    def _dead(columns: Integers, alive: NDArray[np.bool_]) -> Integers:
        return np.flatnonzero(((columns >= 0) & ~alive[columns]).any(axis=0))

    def link_name(self, link: int) -> str:
        """See `fabric.Router`."""
        tier = int(np.searchsorted(self.starts, link, side="right")) - 1
        place = link - int(self.starts[tier])
        if tier < 2:
            return f"host {place} {('up', 'down')[tier]}"
        if tier < 4:
            leaf, spine = divmod(place, self.spines)
            return f"leaf {leaf} spine {spine} {('up', 'down')[tier - 2]}"
        pair, which = divmod(place, self.joins)
        return f"group {pair // self.groups} to {pair % self.groups} link {which}"

    def nics(self, endpoints: Integers) -> Integers:
        """See `fabric.Router`."""
        return np.concatenate([self.starts[0] + endpoints, self.starts[1] + endpoints])

    def switches(self) -> dict[str, int]:
        """See `fabric.Router`."""
        return {"leaf": self.groups * self.leaves, "spine": self.groups * self.spines}

    def part(self, name: str) -> Part:
        """See `fabric.Router`; parts are ``host N``, ``leaf N``, ``spine N`` and the tiers."""
        if name in TIERS:
            tier = TIERS.index(name)
            whole = np.arange(self.starts[tier], self.starts[tier + 1])
            return Part(whole, np.ones(len(whole)))
        words = name.split()
        limits = {
            "host": self.groups * self.leaves * self.hosts,
            "leaf": self.groups * self.leaves,
            "spine": self.groups * self.spines,
        }
        if len(words) != 2 or words[0] not in limits or not words[1].isdecimal():
            raise InputError(
                f"{self.name} has no part {name!r}{did_you_mean(words[0] if words else '', limits)}; "
                f"parts are host N, leaf N, spine N and the tiers {', '.join(TIERS)}"
            )
        number = int(words[1])
        if number >= limits[words[0]]:
            raise InputError(f"{self.name} has no {name}; it has {words[0]} 0 to {limits[words[0]] - 1}")
        if words[0] == "host":
            links = self.nics(np.array([number]))
        elif words[0] == "leaf":
            cables = number * self.spines + np.arange(self.spines)
            hosts = self.nics(number * self.hosts + np.arange(self.hosts))
            links = np.concatenate([self.starts[2] + cables, self.starts[3] + cables, hosts])
        else:
            links = self._of_spine(*divmod(number, self.spines))
        return Part(links, np.ones(len(links)))

    def _of_spine(self, group: int, spine: int) -> Integers:
        cables = (group * self.leaves + np.arange(self.leaves)) * self.spines + spine
        others = np.repeat(np.delete(np.arange(self.groups), group), self.joins)
        which = np.tile(np.arange(self.joins), self.groups - 1)
        here = np.full(len(others), group)
        mine = self._ends(here, others, which)[0] == spine
        out, back = self._joint(here, others, which)[mine], self._joint(others, here, which)[mine]
        return np.concatenate([self.starts[2] + cables, self.starts[3] + cables, out, back])
