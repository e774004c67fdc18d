"""The machine room: nested rings, machines and jobs' slices of them. May import units and catalog."""

from armillary.machine.machine import Machine, Partition, Slice, build
from armillary.machine.placement import ranks_inside
from armillary.machine.rings import Ring

__all__ = ["Machine", "Partition", "Ring", "Slice", "build", "ranks_inside"]
