"""All-to-all over a whole fabric by classes of flows: half a million accelerators as a handful of rates.

The flows between all pairs of `n` accelerators are `n^2`; on a sprayed Clos they fall into few classes of
equal ones. A class is (class of the source, tier at which the paths meet, class of the target); accelerators
are of one class when the links, switches and neighbours that they see are equal, found by colour refinement
of the tree of switches. On the classes the flow simulator's answer is exact: equal flows over equal links
have equal rates, by induction over the levels of max-min filling.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from armillary.errors import InputError
from armillary.network.fabric import Tree
from armillary.network.routes import Floats, Integers, Routes

Hashes = NDArray[np.uint64]

SAME_DOMAIN = 0
"""Relation of two accelerators of one scale-up domain; `t + 1` is that of two that meet at tier `t`."""


class PairClasses(NamedTuple):
    """Classes of the flows between all pairs of a fabric's accelerators.

    source, relation, target : `[class]` class of the sending accelerators, where paths meet (`SAME_DOMAIN`,
        or tier + 1), class of the receiving ones [-].
    flows : `[class]` flows of the class [-].
    capacity : `[link class]` of one link [byte/s].
    links : `[link class]` links of the class [-].
    link_class : `[link]` class of each link of the fabric, -1 for one that no pair uses [-].
    routes : of one flow of each class over link classes; its usage says how many flows of the class share one
        link [-].
    """

    source: Integers
    relation: Integers
    target: Integers
    flows: Integers
    capacity: Floats
    links: Integers
    link_class: Integers
    routes: Routes


class _Level(NamedTuple):
    """Accelerators under the switches (or NICs, or chips) of one tier, and the links above them."""

    group: Integers
    up: Integers
    down: Integers


def pair_classes(tree: Tree, capacity: Floats, rails: bool = False) -> PairClasses:
    """Find the classes of the flows between all pairs.

    Parameters
    ----------
    tree : Tree
        Of a sprayed Clos fabric.
    capacity : array
        `[link]` of the fabric. [byte/s]
    rails : bool
        True where only accelerators with the same place in their scale-up domains exchange (the second
        phase of a rail-aligned all-to-all), and nothing inside domains.

    Raises
    ------
    InputError
        If scale-up domains are cut by a tier other than the lowest, where classes would not be exact.
    """
    levels = _levels(tree)
    hashes = _refine(tree, levels, capacity)
    _, first, colour = np.unique(hashes, return_index=True, return_inverse=True)
    members = np.bincount(colour)
    place = _place_in_domain(tree.domain)
    sources, relations, targets, each = [], [], [], []
    for kind, one in enumerate(first):
        relation = _relation(tree, levels, int(one))
        keep = relation >= 0
        if rails:
            keep &= (relation != SAME_DOMAIN) & (place == place[one])
        found, number = np.unique(relation[keep] * len(first) + colour[keep], return_counts=True)
        sources.append(np.full(len(found), kind))
        relations.append(found // len(first))
        targets.append(found % len(first))
        each.append(number)
    source, relation, target, peers = (np.concatenate(x) for x in (sources, relations, targets, each))
    return _incidence(tree, levels, capacity, colour, members, source, relation, target, peers)


def _levels(tree: Tree) -> list[_Level]:
    """NICs, then the tiers of switches that have links above them."""
    own = np.arange(len(tree.domain))
    levels = [_Level(own, np.asarray(tree.host_up), np.asarray(tree.host_down))]
    for group, up, down in zip(tree.group, tree.up, tree.down, strict=False):
        levels.append(_Level(np.asarray(group), np.asarray(up), np.asarray(down)))
    for tier, level in enumerate(levels[2:], 2):
        first = np.full(int(tree.domain.max()) + 1, -1)
        first[tree.domain] = level.group
        if (first[tree.domain] != level.group).any():
            raise InputError(
                f"the scale-up domains of this fabric are cut by the switches of tier {tier}; "
                "all pairs have classes only where a pod holds whole domains"
            )
    return levels


def _mix(x: Hashes) -> Hashes:
    """Scramble 64 bits (Steele, Lea and Flood 2014, SplitMix64, doi:10.1145/2714064.2660195)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _join(*parts: Hashes) -> Hashes:
    """Hash of an ordered tuple, element by element."""
    joined = np.zeros(1, np.uint64)
    for number, part in enumerate(parts, 1):
        joined = _mix(joined + _mix(part + np.uint64(number * 0x9E3779B97F4A7C15 % 2**64)))
    return joined


def _inside(group: Integers, colour: Hashes) -> Hashes:
    """Hash of the multiset of colours in each group."""
    total = np.zeros(int(group.max()) + 1, np.uint64)
    np.add.at(total, group, _mix(colour))
    return _mix(total)


def _refine(tree: Tree, levels: list[_Level], capacity: Floats) -> Hashes:
    """Colour of each accelerator once another round tells no more of them apart."""

    def links(*numbers: Integers) -> Hashes:
        return _join(*(_rounded(capacity[n]).view(np.uint64) for n in numbers))

    above = [(level.group, links(level.up, level.down)) for level in levels[1:] if len(level.up)]
    colour = _join(
        links(np.asarray(tree.scale_up), np.asarray(tree.scale_down)), links(levels[0].up, levels[0].down)
    )
    colour = np.broadcast_to(colour, tree.domain.shape)
    classes = 0
    while True:
        seen = [_inside(tree.domain, colour)[tree.domain]]
        for group, own in above:
            seen.append(_join(own, _inside(group, colour))[group])
        colour = _join(colour, *seen)
        now = len(np.unique(colour))
        if now == classes:
            return colour
        classes = now


def _rounded(capacity: Floats) -> Floats:
    """To 40 bits of mantissa, as equal links may come from sums in another order."""
    mantissa, exponent = np.frexp(capacity)
    rounded: Floats = np.ldexp(np.round(mantissa * 2.0**40), exponent - 40)
    return rounded


def _place_in_domain(domain: Integers) -> Integers:
    """Place of each accelerator among those of its domain, in the order of their numbers."""
    order = np.argsort(domain, kind="stable")
    starts = np.searchsorted(domain[order], domain[order])
    place = np.empty(len(domain), np.int64)
    place[order] = np.arange(len(domain)) - starts
    return place


def _relation(tree: Tree, levels: list[_Level], one: int) -> Integers:
    """Where the paths from one accelerator to each meet; -1 for itself."""
    relation = np.full(len(tree.domain), len(tree.group) + 1, np.int64)
    for tier in range(len(tree.group) - 1, -1, -1):
        group = np.asarray(tree.group[tier])
        relation[group == group[one]] = tier + 1
    relation[tree.domain == tree.domain[one]] = SAME_DOMAIN
    relation[one] = -1
    return relation


def _incidence(
    tree: Tree,
    levels: list[_Level],
    capacity: Floats,
    colour: Integers,
    members: Integers,
    source: Integers,
    relation: Integers,
    target: Integers,
    peers: Integers,
) -> PairClasses:
    """How many flows of each class use one link of each class, tier by tier, up and down."""
    kinds = len(members)
    back = np.zeros((kinds, int(relation.max()) + 1, kinds), np.int64)
    back[source, relation, target] = peers
    arrives = back[target, relation, source]
    link_class = np.full(len(capacity), -1)
    flows: list[Integers] = []
    links: list[Integers] = []
    usage: list[Integers] = []

    def add(
        above: Integers,
        kind: Integers,
        held: Integers,
        who: Integers,
        each: Integers,
        use: NDArray[np.bool_],
    ) -> None:
        """Add the classes `kind` of the links `above`; `held` is `[kind, accelerators' class]` below one."""
        base = int(link_class.max()) + 1
        link_class[above] = base + kind
        shared = held[:, who] * np.where(use, each, 0)
        row, flow = np.nonzero(shared)
        flows.append(flow)
        links.append(base + row)
        usage.append(shared[row, flow])

    alone = np.eye(kinds, dtype=np.int64)
    inside = relation == SAME_DOMAIN
    add(np.asarray(tree.scale_up), colour, alone, source, peers, inside)
    add(np.asarray(tree.scale_down), colour, alone, target, arrives, inside)
    add(levels[0].up, colour, alone, source, peers, ~inside)
    add(levels[0].down, colour, alone, target, arrives, ~inside)
    for tier, level in enumerate(levels[1:], 1):
        if not len(level.up):
            continue
        held = np.zeros((int(level.group.max()) + 1, kinds), np.int64)
        np.add.at(held, (level.group, colour), 1)
        key = np.column_stack([held, capacity[level.up].view(np.int64), capacity[level.down].view(np.int64)])
        _, one, kind = np.unique(key, axis=0, return_index=True, return_inverse=True)
        add(level.up, kind.ravel(), held[one], source, peers, relation > tier)
        add(level.down, kind.ravel(), held[one], target, arrives, relation > tier)
    flow, link, share = (np.concatenate(x) for x in (flows, links, usage))
    order = np.lexsort((link, flow))
    offsets = np.searchsorted(flow[order], np.arange(len(source) + 1))
    routes = Routes(offsets.astype(np.int64), link[order].astype(np.int32), share[order].astype(float))
    used = link_class >= 0
    number = np.bincount(link_class[used])
    one = np.zeros(len(number), np.int64)
    one[link_class[used]] = np.flatnonzero(used)
    return PairClasses(
        source, relation, target, peers * members[source], capacity[one], number, link_class, routes
    )
