"""Trees of switches from flat descriptions, checked: what the readers of topologies share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from armillary.errors import InputError, did_you_mean
from armillary.network.switches import Switch

MOST_DEPTH = 32
"""Tiers of switches; real networks have up to 5. [-]"""
ALONE = "no-topology"
"""Switch of hosts of which a file does not say where they hang; the name is Topograph's."""


class Topology(NamedTuple):
    """What a file says of a network.

    kind : of file, a key of `topologies.KINDS`. tree : its switches; the top has no name where the file has
    several tops. domains : scale-up domains (NVLink) with their hosts, empty where the file does not say.
    """

    kind: str
    tree: Switch
    domains: tuple[Switch, ...] = ()


class Described(NamedTuple):
    """One switch as a file describes it. place : where, as errors name it."""

    name: str
    switches: Sequence[str]
    nodes: Sequence[str]
    place: str


def grow(found: Iterable[Described], source: str) -> Switch:
    """Put described switches together as one tree.

    Parameters
    ----------
    found : iterable of Described
    source : str
        Name of the file, for errors that have no nearer place.

    Returns
    -------
    Switch
        The only switch without a parent; with several, one without a name above them, in order of the file.

    Raises
    ------
    InputError
        If there is none, a switch is described twice, is unknown, has two parents or lies on a cycle, a node
        hangs on two switches, or the tree is deeper than `MOST_DEPTH`.
    """
    known: dict[str, Described] = {}
    for switch in found:
        if not switch.name:
            raise InputError(f"{switch.place}: a switch has no name")
        if switch.name in known:
            first = known[switch.name].place
            raise InputError(f"{switch.place}: switch {switch.name!r} is described twice; first at {first}")
        known[switch.name] = switch
    if not known:
        raise InputError(f"{source}: no switches in the file")
    parents: dict[str, Described] = {}
    owners: dict[str, Described] = {}
    for switch in known.values():
        for child in switch.switches:
            if child not in known:
                near = did_you_mean(child, list(known)[:2000])
                raise InputError(
                    f"{switch.place}: switch {switch.name!r} names {child!r}, unknown here{near}"
                )
            if child in parents:
                other = parents[child].name
                raise InputError(
                    f"{switch.place}: switch {child!r} is named twice, under {other!r} and {switch.name!r}; "
                    "a tree has one parent for each"
                )
            parents[child] = switch
        for node in switch.nodes:
            if node in owners:
                other = owners[node].name
                raise InputError(
                    f"{switch.place}: node {node!r} is named twice, under {other!r} and {switch.name!r}"
                )
            owners[node] = switch
    tops = [name for name in known if name not in parents]
    tiers = _tiers(known, tops)
    left = [name for name in known if name not in tiers]
    if left:
        raise InputError(
            f"{known[left[0]].place}: switches {', '.join(map(repr, left[:4]))} go round in a circle; "
            "one of them needs to be the top"
        )
    built: dict[str, Switch] = {}
    for name in reversed(tiers):
        switch = known[name]
        built[name] = Switch(name, tuple(built[c] for c in switch.switches), tuple(switch.nodes))
    if len(tops) == 1:
        return built[tops[0]]
    return Switch("", tuple(built[name] for name in tops))


def along(paths: Iterable[tuple[str, Sequence[str], str]], source: str) -> Switch:
    """Put hosts with their paths through the network together as one tree.

    Parameters
    ----------
    paths : iterable of (host, switches from the top down, place)
        A host without switches goes under one named `ALONE`.
    source : str
        Name of the file, for errors that have no nearer place.

    Raises
    ------
    InputError
        If a host is named twice, a switch has two parents or lies on a cycle, or a path is too long.
    """
    children: dict[str, dict[str, None]] = {}
    above: dict[str, tuple[str, str]] = {}
    nodes: dict[str, list[str]] = {}
    places: dict[str, str] = {}
    seen: dict[str, str] = {}
    for host, path, place in paths:
        if host in seen:
            raise InputError(f"{place}: node {host!r} is named twice; first at {seen[host]}")
        seen[host] = place
        if len(set(path)) < len(path):
            raise InputError(f"{place}: node {host!r} passes a switch twice: {' > '.join(path)}")
        for switch, parent in zip(path, ("", *path), strict=False):
            first = above.setdefault(switch, (parent, place))
            if first[0] != parent:
                raise InputError(
                    f"{place}: switch {switch!r} is under {parent or 'no other'!r} here, but under "
                    f"{first[0] or 'no other'!r} at {first[1]}; a tree has one parent for each"
                )
            places.setdefault(switch, place)
            children.setdefault(parent, {})[switch] = None
        if not path:
            places.setdefault(ALONE, place)
        nodes.setdefault(path[-1] if path else ALONE, []).append(host)
    return grow(
        (Described(s, list(children.get(s, ())), nodes.get(s, []), place) for s, place in places.items()),
        source,
    )


def gather(members: Iterable[tuple[str, str]]) -> tuple[Switch, ...]:
    """Scale-up domains from pairs of domain and host, in order of the file; an empty domain is left out."""
    found: dict[str, list[str]] = {}
    for domain, host in members:
        if domain:
            found.setdefault(domain, []).append(host)
    return tuple(Switch(domain, nodes=tuple(hosts)) for domain, hosts in found.items())


def _tiers(known: Mapping[str, Described], tops: Sequence[str]) -> list[str]:
    """Names from the tops down, tier by tier."""
    order: list[str] = []
    tier = list(tops)
    for _ in range(MOST_DEPTH):
        if not tier:
            return order
        order += tier
        tier = [child for name in tier for child in known[name].switches]
    if tier:
        raise InputError(f"{known[tier[0]].place}: switches are nested deeper than {MOST_DEPTH} tiers")
    return order
