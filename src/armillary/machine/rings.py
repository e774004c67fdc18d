"""`Ring`: one level of the nested hierarchy of bandwidth and latency."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ring:
    """One level of nesting: all groups of `size` accelerators that share this level's network.

    name : ``scale-up``, ``rail``, ``cluster``, ``region``, ``provider`` ...
    size : accelerators in one instance of this ring [-].
    bandwidth : per accelerator, one direction, into this ring after oversubscription [byte/s].
    latency : of one message across this ring, software included [s].
    oversubscription : ratio that `bandwidth` has been divided by (1 is full bisection) [-].
    reduces : True where switches reduce in network (NVLS, SHARP).
    """

    name: str
    size: int
    bandwidth: float
    latency: float
    oversubscription: float = 1.0
    reduces: bool = False
