"""The machine room: nested rings, machines and jobs' slices of them. May import units and catalog."""

from armillary.machine.machine import SCALE_UP_LATENCY, Machine, Partition, Slice, build
from armillary.machine.placement import ranks_inside
from armillary.machine.presets import PRESETS, preset_rings
from armillary.machine.rings import Ring

__all__ = [
    "PRESETS",
    "SCALE_UP_LATENCY",
    "Machine",
    "Partition",
    "Ring",
    "Slice",
    "build",
    "preset_rings",
    "ranks_inside",
]
