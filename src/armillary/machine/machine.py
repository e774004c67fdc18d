"""`Machine`: partitions of identical scale-up domains under nested rings; `Slice`: a job's part of it.

Identical domains are one record with a count, so that a machine of half a million accelerators is a few
hundred bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from armillary.catalog.records import Accelerator, System
from armillary.errors import InputError
from armillary.machine.rings import Ring

SCALE_UP_LATENCY = 2e-6
"""Of one message inside a scale-up domain, software included, where nothing else is known; assumption. [s]"""


@dataclass(frozen=True, slots=True)
class Partition:
    """Identical scale-up domains. domains [-]; ready : ISO month from which they run, empty for always."""

    system: System
    accelerator: Accelerator
    domains: int
    ready: str = ""

    @property
    def accelerators(self) -> int:
        """Accelerators of the partition [-]."""
        return self.domains * self.system.scale_up_size

    @property
    def nodes(self) -> int:
        """Hosts of the partition [-]."""
        return self.accelerators // self.system.accelerators_per_node

    @property
    def power(self) -> float:
        """IT power [W]."""
        return self.domains * self.system.power


@dataclass(frozen=True, slots=True)
class Slice:
    """What a job gets. rings : inner to outer; the first holds `domain_used` accelerators of each domain.

    domains : scale-up domains touched [-]. accelerators : `domains * domain_used` [-].
    """

    accelerator: Accelerator
    system: System
    accelerators: int
    domains: int
    domain_used: int
    rings: tuple[Ring, ...]

    def with_rings(self, rings: Sequence[Ring]) -> Slice:
        """Return the same accelerators under other rings; the first ring's size is the new domain."""
        first = rings[0].size
        return replace(self, rings=tuple(rings), domain_used=first, domains=-(-self.accelerators // first))

    def grown(self, accelerators: int) -> Slice:
        """Return a slice of as many accelerators of the same kind, its outermost ring grown to hold them.

        Raises
        ------
        InputError
            If they are not a multiple of `domain_used`.
        """
        if accelerators < 1 or accelerators % self.domain_used:
            raise InputError(f"{accelerators} accelerators are not whole domains of {self.domain_used}")
        outermost = self.rings[-1]
        if len(self.rings) > 1 and outermost.size < accelerators:
            outermost = replace(outermost, size=accelerators)
        return replace(
            self,
            accelerators=accelerators,
            domains=accelerators // self.domain_used,
            rings=(*self.rings[:-1], outermost),
        )

    def with_ring(self, name: str, **changes: Any) -> Slice:
        """Return the same slice with one ring changed, e.g. ``with_ring("cluster", bandwidth=1e11)``.

        Raises
        ------
        InputError
            If no ring has that name.
        """
        if name not in (r.name for r in self.rings):
            raise InputError(f"no ring {name!r}; this slice has {', '.join(r.name for r in self.rings)}")
        return replace(self, rings=tuple(replace(r, **changes) if r.name == name else r for r in self.rings))


@dataclass(frozen=True, slots=True)
class Machine:
    """Partitions on one network.

    rings : above the scale-up domain, inner to outer; their bandwidth is an upper bound that each
        partition's NIC may stay below.
    """

    name: str
    partitions: tuple[Partition, ...]
    rings: tuple[Ring, ...]
    scale_up_latency: float = SCALE_UP_LATENCY

    @property
    def accelerators(self) -> int:
        """All accelerators [-]."""
        return sum(p.accelerators for p in self.partitions)

    @property
    def domains(self) -> int:
        """All scale-up domains [-]."""
        return sum(p.domains for p in self.partitions)

    @property
    def cpus(self) -> int:
        """All vCPUs of the hosts [-]."""
        return sum(p.nodes * p.system.cpus_per_node for p in self.partitions)

    @property
    def memory(self) -> float:
        """HBM of all accelerators [byte]."""
        return sum(p.accelerators * p.accelerator.memory_capacity for p in self.partitions)

    @property
    def power(self) -> float:
        """IT power [W]."""
        return sum(p.power for p in self.partitions)

    def peak(self, precision: str) -> float:
        """Dense peak of all accelerators that have the precision [FLOP/s]."""
        return sum(p.accelerators * p.accelerator.peak.get(precision, 0.0) for p in self.partitions)

    def rings_of(self, partition: Partition) -> tuple[Ring, ...]:
        """All rings as one partition sees them, the scale-up domain first."""
        system, chip = partition.system, partition.accelerator
        domain = Ring(
            "scale-up",
            system.scale_up_size,
            chip.scale_up_bandwidth,
            self.scale_up_latency,
            reduces=system.scale_up_reduces,
        )
        outer = (
            replace(r, bandwidth=min(r.bandwidth, system.nic_bandwidth / r.oversubscription))
            for r in self.rings
        )
        return (domain, *outer)

    def bisection(self, ring: Ring) -> float:
        """Bandwidth between two halves of one instance of a ring, one direction [byte/s]."""
        total = 0.0
        inside = min(ring.size, self.accelerators)
        for p in self.partitions:
            share = p.accelerators / self.accelerators
            own = {r.name: r for r in self.rings_of(p)}
            total += own[ring.name].bandwidth * share * inside / 2
        return total

    def slice(self, accelerators: int, partition: int | None = None, domain_used: int | None = None) -> Slice:
        """Take a job's slice of identical domains of one partition.

        Parameters
        ----------
        accelerators : int
            How many the job uses. [-]
        partition : int, optional
            Which partition; by default the first that is large enough.
        domain_used : int, optional
            Accelerators used in each domain; by default the largest number that divides `accelerators`.

        Raises
        ------
        InputError
            If there are fewer, or they do not divide into domains.
        """
        if accelerators < 1:
            raise InputError(f"a job needs at least 1 accelerator, got {accelerators}")
        chosen = self._partition(accelerators, partition)
        size = chosen.system.scale_up_size
        used = domain_used if domain_used is not None else _largest_divisor(accelerators, size)
        if not 1 <= used <= size or accelerators % used:
            raise InputError(
                f"{accelerators} accelerators cannot use {used} of each {size}-wide domain; "
                f"choose a divisor of {accelerators} that is at most {size}"
            )
        domains = accelerators // used
        if domains > chosen.domains:
            raise InputError(
                f"{accelerators} accelerators at {used} a domain need {domains} domains; "
                f"{chosen.system.name} has {chosen.domains}"
            )
        inner, *outer = self.rings_of(chosen)
        rings = [replace(inner, size=used)]
        for ring in outer:
            rings.append(replace(ring, size=max(ring.size // size * used, used)))
            if rings[-1].size >= accelerators:
                break
        return Slice(chosen.accelerator, chosen.system, accelerators, domains, used, tuple(rings))

    def _partition(self, accelerators: int, index: int | None) -> Partition:
        if index is not None:
            return self.partitions[index]
        for p in self.partitions:
            if p.accelerators >= accelerators:
                return p
        largest = max(p.accelerators for p in self.partitions)
        raise InputError(
            f"no partition of {self.name} has {accelerators} accelerators; the largest has {largest}"
        )

    def with_ring(self, name: str, **changes: Any) -> Machine:
        """Return the machine with one outer ring changed (bandwidth, latency, oversubscription)."""
        if name not in (r.name for r in self.rings):
            raise InputError(f"no ring {name!r}; {self.name} has {', '.join(r.name for r in self.rings)}")
        return replace(self, rings=tuple(replace(r, **changes) if r.name == name else r for r in self.rings))


def _largest_divisor(number: int, most: int) -> int:
    return next(d for d in range(min(number, most), 0, -1) if number % d == 0)


def build(
    system: System,
    accelerator: Accelerator,
    accelerators: int,
    rings: Sequence[Ring] | None = None,
    name: str = "",
) -> Machine:
    """Build a machine of one system, by default with one full-bisection cluster ring at NIC speed.

    Parameters
    ----------
    system, accelerator : records of the catalog
    accelerators : int
        At least so many; whole scale-up domains are counted. [-]
    rings : sequence of Ring, optional
        Above the scale-up domain, inner to outer.

    Raises
    ------
    InputError
        If `accelerators` is not positive.
    """
    if accelerators < 1:
        raise InputError(f"a machine needs at least 1 accelerator, got {accelerators}")
    domains = -(-accelerators // system.scale_up_size)
    partition = Partition(system, accelerator, domains)
    if rings is None:
        rings = (Ring("cluster", partition.accelerators, system.nic_bandwidth, system.nic_latency),)
    return Machine(name or system.name, (partition,), tuple(rings))
