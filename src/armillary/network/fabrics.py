"""Fabrics of what is described elsewhere: nested rings of a machine, a tree of switches from a file."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from armillary.errors import InputError
from armillary.machine import Ring, Slice
from armillary.network.clos import Level, clos, tree_fabric
from armillary.network.fabric import Fabric, Floats, Integers
from armillary.network.switches import Switch

MOST_LEVELS = 16
"""Levels of switches that a description may nest; real ones have up to five. [-]"""


def ring_fabric(
    rings: Sequence[Ring],
    accelerators: int,
    nic_bandwidth: float,
    routing: str = "spray",
    name: str = "rings",
) -> Fabric:
    """Fabric of nested rings: what leaves an instance of one has the bandwidth of the ring around it.

    Parameters
    ----------
    rings : sequence of Ring
        The scale-up domain first, then outwards.
    accelerators : int
        Whole scale-up domains. [-]
    nic_bandwidth : float
        Of an accelerator, one direction. [byte/s]
    routing, name
        As in `clos.clos`.

    Raises
    ------
    InputError
        If the accelerators are not whole domains.

    Notes
    -----
    An accelerator's NIC is as fast as it is; a ring that gives it less is thin for a whole instance of the
    ring inside. So the closed form, where every accelerator sends at once, sees the same bandwidth.
    """
    inner, *outer = rings
    if accelerators % inner.size:
        raise InputError(f"{accelerators} accelerators are not whole scale-up domains of {inner.size}")
    levels = [Level("leaf", inner.size)]
    before = 0.0
    for place, ring in enumerate(outer):
        last = place == len(outer) - 1
        delay = max(ring.latency - before, 0.0) if place else 0.0
        levels.append(
            Level(ring.name, 0 if last else ring.size, max(nic_bandwidth / ring.bandwidth, 1.0), delay)
        )
        before = ring.latency
    return clos(
        accelerators,
        levels,
        nic_bandwidth,
        outer[0].latency if outer else 0.0,
        inner.size,
        inner.bandwidth,
        inner.latency,
        routing,
        name=name,
    )


def slice_fabric(machine: Slice, routing: str = "spray") -> Fabric:
    """Fabric of the whole domains that a job's slice touches, spares of each domain included."""
    system = machine.system
    grown = system.scale_up_size
    rings = [
        Ring(
            r.name,
            r.size // machine.domain_used * grown,
            r.bandwidth,
            r.latency,
            r.oversubscription,
            r.reduces,
        )
        for r in machine.rings
    ]
    return ring_fabric(rings, machine.domains * grown, system.nic_bandwidth, routing, system.name)


def switch_fabric(
    root: Switch,
    accelerators_per_node: int,
    nic_bandwidth: float,
    nic_latency: float,
    scale_up_bandwidth: float,
    scale_up_latency: float,
    oversubscription: float = 1.0,
    routing: str = "spray",
) -> Fabric:
    """Fabric of a tree of switches with its hosts, in the order of `Switch.hosts`.

    Parameters
    ----------
    root : Switch
        Read from a scheduler or a cloud; a switch's bandwidth, where it is known, is that of its links up.
    accelerators_per_node : int
        On each host, as one scale-up domain. [-]
    nic_bandwidth, nic_latency, scale_up_bandwidth, scale_up_latency : float
        As in `clos.clos`. [byte/s], [s]
    oversubscription : float
        Of every level whose bandwidth is not known. [-]

    Raises
    ------
    InputError
        If there is no host, hosts hang at different depths, or the tree is deeper than `MOST_LEVELS`.
    """
    if root.depth > MOST_LEVELS:
        raise InputError(
            f"switch {root.name!r} stands above {root.depth} levels; at most {MOST_LEVELS} are read"
        )
    hosts: list[tuple[str, tuple[int, ...]]] = []
    numbers: list[dict[str, int]] = [{} for _ in range(root.depth)]
    bandwidths: list[list[float]] = [[] for _ in range(root.depth)]

    def walk(switch: Switch, above: tuple[int, ...]) -> None:
        depth = len(above)
        number = len(bandwidths[depth])
        numbers[depth][switch.name] = number
        bandwidths[depth].append(switch.bandwidth)
        path = (*above, number)
        hosts.extend((node, path) for node in switch.nodes)
        for child in switch.switches:
            walk(child, path)

    walk(root, ())
    if not hosts:
        raise InputError(f"no host hangs under switch {root.name!r}")
    depths = {len(path) for _, path in hosts}
    if len(depths) > 1:
        short = next(node for node, path in hosts if len(path) == min(depths))
        raise InputError(
            f"hosts hang at different depths ({', '.join(map(str, sorted(depths)))} levels), "
            f"the first at the least is {short!r}; give each the same number of switches above it"
        )
    paths = np.array([path for _, path in hosts]).T[::-1]
    groups: list[Integers] = [np.unique(p, return_inverse=True)[1].ravel() for p in paths]
    uplinks: list[Floats | None] = []
    for p, group in zip(paths, groups, strict=True):
        depth = len(paths) - 1 - len(uplinks)
        own = np.zeros(int(group.max()) + 1)
        own[group] = np.array(bandwidths[depth])[p]
        uplinks.append(own if (own > 0).all() else None)
    levels = [Level(f"level{i}" if i else "leaf", 0, oversubscription) for i in range(len(groups))]
    spread = [np.repeat(g, accelerators_per_node) for g in groups]
    endpoints = len(hosts) * accelerators_per_node
    return tree_fabric(
        spread,
        levels,
        nic_bandwidth,
        nic_latency,
        np.arange(endpoints) // accelerators_per_node,
        scale_up_bandwidth,
        scale_up_latency,
        routing,
        cable=np.inf,  # a switch of the file stands for as many as there are, with one link up
        name=root.name,
        uplinks=uplinks[:-1],
    )
