"""Fabrics of published networks, by name; their shapes and sources are in ``presets.toml``."""

from __future__ import annotations

import tomllib
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from armillary.errors import InputError, did_you_mean
from armillary.network.clos import Level, clos
from armillary.network.fabric import Fabric
from armillary.network.torus import torus

TABLE = Path(__file__).with_name("presets.toml")


class FabricPreset(NamedTuple):
    """A published network. values : as in the file. accelerators : where the shape has a size, else 0 [-]."""

    name: str
    title: str
    kind: str
    source: str
    date: str
    values: dict[str, Any]

    @property
    def accelerators(self) -> int:
        """Of a torus, whose size is given; 0 where any size can be built [-]."""
        count = 1
        for size in self.values.get("sizes", [0]):
            count *= size
        return count


@lru_cache(maxsize=1)
def fabric_presets() -> dict[str, FabricPreset]:
    """All presets by name."""
    table = tomllib.loads(TABLE.read_text("utf-8"))
    return {
        name: FabricPreset(name, row["title"], row["kind"], row["source"], row["date"], row)
        for name, row in table.items()
    }


def preset_fabric(
    name: str,
    accelerators: int,
    nic_bandwidth: float,
    nic_latency: float,
    domain: int = 1,
    scale_up_bandwidth: float = 0.0,
    scale_up_latency: float = 0.0,
    oversubscription: float = 1.0,
    routing: str | None = None,
) -> Fabric:
    """Build the fabric of a published network with some system's accelerators.

    Parameters
    ----------
    name : str
        Of `fabric_presets`.
    accelerators : int
        At least so many; whole groups of the level that holds them all are built. [-]
    nic_bandwidth, nic_latency, domain, scale_up_bandwidth, scale_up_latency
        Of the system, see `clos.clos`; a preset may have a domain of its own.
    oversubscription : float
        Multiplies that of the outermost level. [-]
    routing : str, optional
        Instead of the preset's.

    Raises
    ------
    InputError
        If there is no such preset, or a torus is asked for another size than it has.
    """
    known = fabric_presets()
    if name not in known:
        raise InputError(
            f"unknown fabric preset {name!r}{did_you_mean(name, known)} (known: {', '.join(known)})"
        )
    preset = known[name]
    row = preset.values
    if row["shape"] == "torus":
        if accelerators not in (0, preset.accelerators):
            raise InputError(f"{name} has {preset.accelerators} accelerators, {accelerators} were asked for")
        return torus(row["sizes"], row["bandwidth"], row["latency"], name=name)
    if accelerators < 1:
        raise InputError(f"a fabric of {name} needs the number of accelerators, got {accelerators}")
    domain = row.get("domain", domain)
    levels, whole = _levels(row, accelerators, domain, oversubscription)
    return clos(
        whole,
        levels,
        nic_bandwidth,
        nic_latency,
        domain,
        scale_up_bandwidth,
        scale_up_latency,
        routing or row["routing"],
        row["rails"],
        row.get("rail_count", 1),
        row.get("planes", 1),
        name=name,
    )


def _levels(
    row: dict[str, Any], accelerators: int, domain: int, oversubscription: float
) -> tuple[list[Level], int]:
    """Levels up to the first that holds all, and how many accelerators fill its groups."""
    rails = row.get("rail_count", 1) if row["rails"] != "none" else 1
    levels: list[Level] = []
    below = domain
    for place, level in enumerate(row["levels"]):
        size = level["accelerators"]
        if place == 0:
            size = domain if row.get("leaf") == "domain" else size
            size = min(size, -(-accelerators // (domain * rails)) * domain)
        holds_all = place > 0 and (size == 0 or size >= accelerators)
        ratio = level["oversubscription"] * (oversubscription if holds_all else 1.0)
        levels.append(Level(level["name"], 0 if holds_all else size, ratio))
        if holds_all:
            break
        below = size * (rails if place == 0 else 1)
    unit = max(below, domain)
    return levels, -(-accelerators // unit) * unit
