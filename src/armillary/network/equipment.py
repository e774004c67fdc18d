"""What the equipment of a fabric costs: ports of switches, cables with their connectors."""

from __future__ import annotations

import tomllib
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from armillary.network.fabric import Fabric

TABLE = Path(__file__).with_name("equipment.toml")


class Prices(NamedTuple):
    """By bandwidth of one direction [USD per byte/s]."""

    switch_port: float
    link: float


class NetworkCost(NamedTuple):
    """Of the network above the scale-up domains, NICs not counted: they come with the system [USD]."""

    switches: float
    links: float

    @property
    def total(self) -> float:
        """Sum of the parts [USD]."""
        return self.switches + self.links


@lru_cache(maxsize=1)
def prices() -> Prices:
    """Prices of `equipment.toml`, with sources there."""
    table = tomllib.loads(TABLE.read_text("utf-8"))
    return Prices(**{name: row["price"] / row["bandwidth"] for name, row in table.items()})


def network_cost(fabric: Fabric, known: Prices | None = None, levels: tuple[str, ...] = ()) -> NetworkCost:
    """Cost of a fabric's switches and cables.

    Parameters
    ----------
    fabric : Fabric
        As bought: clean.
    known : Prices, optional
        By default those of `equipment.toml`.
    levels : tuple of str, optional
        Count only the links that leave these levels; all by default, ``host`` being the NICs.

    Notes
    -----
    A link has a port at either end, that of a host on one side only; both directions are one cable.

    Examples
    --------
    1,024 accelerators at 400 Gbit/s in two tiers: 48 switches, as many cables on either tier.

    >>> from armillary.network.clos import Level, clos
    >>> cost = network_cost(clos(1024, [Level("leaf", 32), Level("spine", 0)], 50e9, 5e-6))
    >>> round(cost.switches), round(cost.links)
    (1728000, 2621440)
    """
    known = known or prices()
    totals = np.bincount(fabric.tier, fabric.capacity, minlength=len(fabric.tiers))
    ports = cables = 0.0
    for name, total in zip(fabric.tiers, totals, strict=True):
        level, way = name.rsplit(" ", 1)
        if way == "up" and level != "scale-up" and (not levels or level in levels):
            ports += float(total) * (1 if level == "host" else 2)
            cables += float(total)
    return NetworkCost(ports * known.switch_port, cables * known.link)
