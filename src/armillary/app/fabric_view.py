"""A fabric tier by tier: in the terminal and as plain data."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from armillary.network.fabric import Fabric
from armillary.units import show


class Tier(NamedTuple):
    """Links of a tier, one way. each, left : capacity over accelerators, clean and with failures [byte/s]."""

    name: str
    links: int
    down: int
    each: float
    left: float
    latency: float


def tiers(whole: Fabric, broken: Fabric) -> list[Tier]:
    """Tiers that have links."""
    found = []
    clean, left = whole.per_endpoint(), broken.per_endpoint()
    for number, name in enumerate(whole.tiers):
        mine = whole.tier == number
        if mine.any() and clean[name] > 0:
            down = int((broken.capacity[mine] == 0).sum())
            found.append(
                Tier(name, int(mine.sum()), down, clean[name], left[name], float(whole.latency[mine].max()))
            )
    return found


def fabric_view(whole: Fabric, broken: Fabric) -> RenderableType:
    """Table of tiers, switches and sizes."""
    table = Table(box=None, pad_edge=False)
    for name in ("tier", "links", "down", "for each accelerator", "left", "against the NIC", "latency"):
        table.add_column(name, justify="left" if name == "tier" else "right")
    found = tiers(whole, broken)
    nic = whole.per_endpoint().get("host up", 0.0)
    for t in found:
        scale_up = t.name.startswith("scale-up")
        table.add_row(
            t.name,
            f"{t.links:,}",
            f"{t.down:,}" if t.down else "",
            show(t.each, "B/s"),
            "" if t.left == t.each else f"{t.left / t.each:.1%}",
            "" if scale_up or not nic else f"{nic / t.each:.3g}:1",
            show(t.latency, "s") if t.latency else "",
        )
    switches = ", ".join(f"{n:,} {name}" for name, n in whole.switches.items()) or "none"
    domains = int(whole.domain.max()) + 1
    return Group(
        Text(f"{whole.name}: {whole.endpoints:,} accelerators in {domains:,} domains", style="bold"),
        f"switches: {switches}; {whole.links:,} directed links"
        + ("; parallel links of a switch are one (sprayed)" if whole.tree is not None else ""),
        "",
        table,
    )


def fabric_json(whole: Fabric, broken: Fabric) -> dict[str, Any]:
    """The same as plain data."""
    return {
        "name": whole.name,
        "accelerators": whole.endpoints,
        "domains": len(np.unique(whole.domain)),
        "routing": whole.routing,
        "switches": whole.switches,
        "links": whole.links,
        "tiers": [t._asdict() for t in tiers(whole, broken)],
    }
