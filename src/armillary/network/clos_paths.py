"""Numbers of links, and paths, of a Clos: sprayed, hashed, static; what its parts are called. Only numpy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from armillary.errors import InputError, did_you_mean
from armillary.network.fabric import Integers, Part, Tree
from armillary.network.routes import Routes


def mixed(*words: Integers | int) -> NDArray[np.uint64]:
    """Hash of numbers, as a switch hashes a header (Steele, Lea and Flood 2014, SplitMix64)."""
    state = np.zeros(1, np.uint64)
    for word in words:
        state = state + np.asarray(word).astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state = state ^ (state >> np.uint64(31))
    return state


@dataclass(frozen=True, slots=True)
class ClosPaths:
    """Numbers of links and paths of a Clos; `starts` are where tiers begin, in the order of `tiers`."""

    name: str
    tiers: tuple[str, ...]
    levels: tuple[str, ...]
    starts: Integers
    groups: tuple[Integers, ...]
    domain: Integers
    ways: tuple[int, ...]
    planes: int
    merged: bool
    static: bool
    scales_up: bool
    rail: Integers | None
    rail_count: int

    def tree(self) -> Tree:
        """The switches as groups; for merged links."""
        spans = [np.arange(a, b) for a, b in zip(self.starts[:-1], self.starts[1:], strict=True)]
        none = np.empty(0, np.int64)
        return Tree(self.groups, (*spans[4::2], none), (*spans[5::2], none), self.domain, *spans[:4])

    def paths(self, source: Integers, target: Integers, key: Integers, alive: NDArray[np.bool_]) -> Routes:
        """See `fabric.Router`."""
        inside = self.domain[source] == self.domain[target] if self.scales_up else np.zeros(len(source), bool)
        sender = source
        if self.rail is not None and self.scales_up:  # over the scale-up switch to the target's rail (PXN)
            step = self.rail[target] - self.rail[source]
            sender = np.where(inside, source, source + step)
        ways = self._ways(sender, target, key)
        found = self._columns(source, sender, target, inside, ways)
        dead = self._dead(found, alive)
        tries = 1 if self.merged else int(np.prod([self.planes, *self.ways]))
        for _ in range(tries - 1):  # each try takes the next way, so that every one is tried once
            if not dead.size:
                break
            ways = [w.copy() for w in ways]
            self._next(ways, dead)
            some = self._columns(
                source[dead], sender[dead], target[dead], inside[dead], [w[dead] for w in ways]
            )
            found[:, dead] = some
            dead = dead[self._dead(some, alive)]
        if dead.size:
            flow = int(dead[0])
            path = found[:, flow]
            link = next(int(i) for i in path[path >= 0] if not alive[i])
            raise InputError(
                f"disconnected: no path from accelerator {source[flow]} to {target[flow]} of {self.name}, "
                f"because {self.link_name(link)} is down"
            )
        used = found >= 0
        offsets = np.concatenate([[0], np.cumsum(used.sum(axis=0))])
        return Routes(offsets.astype(np.int64), found.T[used.T].astype(np.int32))

    def _ways(self, sender: Integers, target: Integers, key: Integers) -> list[Integers]:
        """Plane, then way of each level, that every flow takes."""
        if self.merged:
            return [np.zeros(len(sender), np.int64) for _ in (0, *self.ways)]
        if self.static:
            left, ways = target.copy(), []
            for choices in (self.planes, *self.ways):
                ways.append(left % choices)
                left = left // choices
            return ways
        return [
            (mixed(sender, target, key, place) % np.uint64(choices)).astype(np.int64)
            for place, choices in enumerate((self.planes, *self.ways))
        ]

    def _next(self, ways: list[Integers], flows: Integers) -> None:
        """Count the ways of some flows up by one."""
        carry = np.ones(len(flows), np.int64)
        for way, choices in zip(ways, (self.planes, *self.ways), strict=True):
            total = way[flows] + carry
            way[flows] = total % choices
            carry = total // choices

    def _columns(
        self, source: Integers, sender: Integers, target: Integers, inside: NDArray[np.bool_],
        ways: list[Integers],
    ) -> NDArray[np.int32]:  # fmt: skip
        """Links of each path, `[hop, flow]`, -1 where a path is shorter."""
        width = 1 if self.merged else self.planes
        relayed = inside | (sender != source)
        hops = 2 * len(self.groups) + 2
        found = np.full((hops, len(source)), -1, np.int32)
        found[0] = np.where(relayed, self.starts[0] + source, -1)
        found[1] = np.where(relayed, self.starts[1] + np.where(inside, target, sender), -1)
        found[2] = np.where(inside, -1, self.starts[2] + sender * width + ways[0])
        found[-1] = np.where(inside, -1, self.starts[3] + target * width + ways[0])
        apart = ~inside
        number = ways[0]
        cables = width
        for t, choices in enumerate(self.ways):
            here, there = self.groups[t][sender], self.groups[t][target]
            apart = apart & (here != there)
            if not self.merged:
                number, cables = number * choices + ways[t + 1], cables * choices
            begin, end = self.starts[4 + 2 * t], self.starts[5 + 2 * t]
            found[3 + t] = np.where(apart, begin + here * cables + number, -1)
            found[-2 - t] = np.where(apart, end + there * cables + number, -1)
        apart = apart & (self.groups[-1][sender] != self.groups[-1][target])
        if apart.any():
            flow = int(np.flatnonzero(apart)[0])
            raise InputError(
                f"disconnected: no path from accelerator {source[flow]} to {target[flow]} of {self.name}, "
                f"because no {self.levels[-1]} joins them"
            )
        return found

    @staticmethod
    def _dead(columns: NDArray[np.int32], alive: NDArray[np.bool_]) -> Integers:
        return np.flatnonzero(((columns >= 0) & ~alive[columns]).any(axis=0))

    def link_name(self, link: int) -> str:
        """See `fabric.Router`."""
        tier = int(np.searchsorted(self.starts, link, side="right")) - 1
        place = link - int(self.starts[tier])
        if tier < 4:
            what = "host" if tier >= 2 else "scale-up"
            width = (1 if self.merged else self.planes) if tier >= 2 else 1
            plane = f" plane {place % width}" if width > 1 else ""
            return f"{what} {place // width}{plane} {self.tiers[tier].rsplit(' ', 1)[1]}"
        level = (tier - 4) // 2
        cables = self._cables(level)
        cable = f" cable {place % cables}" if cables > 1 else ""
        return f"{self.levels[level]} {place // cables}{cable} {self.tiers[tier].rsplit(' ', 1)[1]}"

    def nics(self, endpoints: Integers) -> Integers:
        """See `fabric.Router`."""
        width = 1 if self.merged else self.planes
        own = (endpoints[:, None] * width + np.arange(width)).ravel()
        return np.concatenate([self.starts[2] + own, self.starts[3] + own])

    def switches(self) -> dict[str, int]:
        """See `fabric.Router`; a group of a level above the leaves has one switch for each way into it."""
        return {
            name: (int(self.groups[level].max()) + 1) * self._each(level)
            for level, name in enumerate(self.levels)
        }

    def _each(self, level: int) -> int:
        """Switches of one group of a level."""
        return self.planes * int(np.prod(self.ways[:level], dtype=np.int64))

    def _cables(self, level: int) -> int:
        """Links of one group of a level to the level above."""
        return 1 if self.merged else self.planes * int(np.prod(self.ways[: level + 1], dtype=np.int64))

    def part(self, name: str) -> Part:
        """See `fabric.Router`.

        Parts: ``host N`` (its NIC), ``domain N``, ``rail N``, ``plane N``, a tier as ``leaf up``; a group of
        switches of the lowest level (``leaf N``), and single switches of levels above (``spine N``).
        """
        words = name.split()
        known = ["host", "domain", *(["rail"] if self.rail_count > 1 else []),
                 *(["plane"] if self.planes > 1 else []), *self.levels]  # fmt: skip
        if name in self.tiers:
            tier = self.tiers.index(name)
            links = np.arange(self.starts[tier], self.starts[tier + 1])
            return Part(links, np.ones(len(links)))
        if len(words) != 2 or not words[1].isdecimal() or words[0] not in known:
            raise InputError(
                f"{self.name} has no part {name!r}{did_you_mean(words[0] if words else '', known)}; "
                f"parts are {', '.join(f'{k} N' for k in known)} and the tiers {', '.join(self.tiers)}"
            )
        kind, number = words[0], int(words[1])
        if kind in ("host", "domain", "rail"):
            return self._hosts(kind, number)
        if kind == "plane":
            return self._plane(number)
        return self._switch(self.levels.index(kind), number)

    def _in_range(self, what: str, number: int, count: int) -> None:
        if number >= count:
            raise InputError(f"{self.name} has no {what} {number}; it has {what} 0 to {count - 1}")

    def _hosts(self, kind: str, number: int) -> Part:
        own = np.arange(len(self.domain))
        label = {"host": own, "domain": self.domain, "rail": own % self.rail_count}[kind]
        self._in_range(kind, number, int(label.max()) + 1)
        links = self.nics(np.flatnonzero(label == number))
        return Part(links, np.ones(len(links)))

    def _plane(self, number: int) -> Part:
        self._in_range("plane", number, self.planes)
        links = np.arange(self.starts[2], self.starts[-1])
        if self.merged:
            return Part(links, np.full(len(links), 1 / self.planes))
        counts = [self.planes, self.planes]
        counts += [self._cables(t // 2) for t in range(2 * len(self.ways))]
        mine = []
        for tier, cables in enumerate(counts, 2):
            place = np.arange(self.starts[tier + 1] - self.starts[tier])
            mine.append(self.starts[tier] + place[place % cables // (cables // self.planes) == number])
        links = np.concatenate(mine)
        return Part(links, np.ones(len(links)))

    def _switch(self, level: int, number: int) -> Part:
        """A leaf with all below and above it, or one of the switches that a group of a level has."""
        if level == 0:
            self._in_range(self.levels[0], number, int(self.groups[0].max()) + 1)
            cables = self._cables(0) if self.ways else 0
            own = number * cables + np.arange(cables)
            links = [self.nics(np.flatnonzero(self.groups[0] == number))]
            if self.ways:
                links += [self.starts[4] + own, self.starts[5] + own]
            found = np.concatenate(links)
            return Part(found, np.ones(len(found)))
        each = self._each(level)
        self._in_range(self.levels[level], number, (int(self.groups[level].max()) + 1) * each)
        group, way = divmod(number, each)
        below = np.unique(self.groups[level - 1][self.groups[level] == group])
        spans = [(4 + 2 * (level - 1), below, self._cables(level - 1))]
        if level < len(self.ways):
            spans.append((4 + 2 * level, np.array([group]), self._cables(level)))
        links, shares = [], []
        for tier, owners, cables in spans:
            if self.merged:
                mine, share = owners, 1 / each
            else:
                under = cables // each
                mine = (owners[:, None] * cables + way * under + np.arange(under)).ravel()
                share = 1.0
            for side in (tier, tier + 1):
                links.append(self.starts[side] + mine)
                shares.append(np.full(len(mine), share))
        return Part(np.concatenate(links), np.concatenate(shares))
