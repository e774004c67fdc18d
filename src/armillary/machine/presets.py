"""Published shapes of the network above the scale-up domain. Imports rings only."""

from __future__ import annotations

from typing import NamedTuple

from armillary.errors import InputError, did_you_mean
from armillary.machine.rings import Ring


class Level(NamedTuple):
    """A ring of a preset. size : accelerators, 0 for the whole cluster; latency : 0 for the NIC's own [s]."""

    name: str
    size: int
    oversubscription: float
    latency: float


class Preset(NamedTuple):
    """Rings above the scale-up domain, inner to outer, and where they are published."""

    levels: tuple[Level, ...]
    source: str


PRESETS: dict[str, Preset] = {
    "flat": Preset((Level("cluster", 0, 1.0, 0.0),), "assumption: one non-blocking fabric"),
    "ec2-ultracluster": Preset(
        (Level("cluster", 0, 1.0, 0.0),),
        "AWS, 10p10u: petabit UltraClusters, under 10 us; tiers and radix are not published, so one ring "
        "(copies of AWS articles, 2024-12, read 2026-08)",
    ),
    "meta-24k": Preset(
        (Level("pod", 3072, 1.0, 0.0), Level("cluster", 0, 7.0, 0.0)),
        "Meta 24k RoCE: pods of 3,072 GPUs without blocking, 7:1 above (Gangidi et al., SIGCOMM 2024)",
    ),
    "hpn7": Preset(
        (Level("segment", 1024, 1.0, 0.0), Level("pod", 15360, 1.0, 0.0), Level("core", 0, 15.0, 0.0)),
        "Alibaba HPN 7.0: segments of 1,024 GPUs, pods of 15, core 15:1 "
        "(Qian et al., SIGCOMM 2024; 15:1 to verify)",
    ),
}


def preset_rings(
    name: str, accelerators: int, bandwidth: float, latency: float, oversubscription: float = 1.0
) -> tuple[Ring, ...]:
    """Rings of a preset for a cluster, up to the first that holds all of it.

    Parameters
    ----------
    name : str
        A key of `PRESETS`.
    accelerators : int
        Of the whole cluster. [-]
    bandwidth : float
        NIC per accelerator, one direction. [byte/s]
    latency : float
        Of the NIC. [s]
    oversubscription : float
        Multiplies that of the outermost ring. [-]

    Raises
    ------
    InputError
        If there is no such preset.
    """
    if name not in PRESETS:
        raise InputError(
            f"unknown network preset {name!r}{did_you_mean(name, PRESETS)} (known: {', '.join(PRESETS)})"
        )
    rings = []
    for level in PRESETS[name].levels:
        size = min(level.size or accelerators, accelerators)
        holds_all = size == accelerators
        ratio = level.oversubscription * (oversubscription if holds_all else 1.0)
        rings.append(Ring(level.name, size, bandwidth / ratio, level.latency or latency, ratio))
        if holds_all:
            break
    return tuple(rings)
