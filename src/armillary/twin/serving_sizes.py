"""A served model sized on each system that it may use, once: at the highest demand of the plan."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from math import inf

from armillary.machine import Partition
from armillary.scenario import Horizon, Scenario, ServedOn, ServingWorkload
from armillary.serving import Sized, Workload, precision, size
from armillary.serving.calibration import generation_of
from armillary.serving.latencies import Latencies, latencies
from armillary.twin.growth import QUARTERS_A_YEAR, grown, years_between

KEPT = 3
"""Deployments to keep of a workload on a system, the cheapest. [-]"""


@dataclass(frozen=True, slots=True)
class SizedPlace:
    """A workload's deployments on the partition of a cluster.

    asked : rates that they are sized for, the highest of the plan. deployments : the cheapest first.
    latency : of the cheapest at its share of the peak, at p50, p95 and the targets' percentile.
    price : of an accelerator [USD/s], None where none is known. infeasible : what binds, or empty.
    assumed : what stands in for missing calibration, or empty.
    """

    place: ServedOn
    partition: Partition
    pue: float
    price: float | None
    asked: Workload
    deployments: tuple[Sized, ...]
    latency: tuple[Latencies, ...]
    infeasible: str
    assumed: str

    @property
    def best(self) -> Sized:
        """The cheapest."""
        return self.deployments[0]


def highest_demand(workload: ServingWorkload, horizon: Horizon) -> Workload:
    """The workload at the end of the quarter in which it is highest."""
    d = workload.demand
    before = years_between(d.since, horizon.start)
    ends = [before + (i + 1) / QUARTERS_A_YEAR for i in range(horizon.quarters)]
    most = max(grown(d.growth, end) for end in ends if end > 0)
    mean = d.messages * most
    return Workload(mean, mean * d.shape.peak_over_mean, d.lengths, cached=d.reuse)


def sizings(workload: ServingWorkload, scenario: Scenario, horizon: Horizon) -> list[partial[SizedPlace]]:
    """Sizings of a workload on each of its places, ready to run."""
    asked = highest_demand(workload, horizon)
    found = []
    for place in workload.places:
        cluster = scenario.clusters[place.cluster]
        partition = next(p for p in cluster.machine.partitions if p.system.name == place.system)
        found.append(partial(size_place, workload, place, partition, cluster.price, cluster.pue, asked))
    return found


def size_place(
    workload: ServingWorkload,
    place: ServedOn,
    partition: Partition,
    price: float | None,
    pue: float,
    asked: Workload,
) -> SizedPlace:
    """Size a workload on one system."""
    system, chip = partition.system, partition.accelerator
    chosen = precision(workload.precision)
    deployments, reasons = size(
        asked,
        workload.targets,
        workload.model,
        system,
        chip,
        chosen,
        price or 0.0,
        workload.engine,
        workload.headroom,
        workload.drafts,
    )
    words = "; ".join(
        f"{system.name}: {r.constraint} is {r.best:.3g}, asked {r.asked:.3g}"
        + (f", {r.best / r.asked:.3g} times too much" if 0 < r.asked < inf else "")
        for r in reasons
    )
    seen: tuple[Latencies, ...] = ()
    if deployments:
        points = sorted({50.0, 95.0, *workload.targets.percentiles})
        seen = latencies(deployments[0], asked, workload.model, system, chip, workload.drafts, points)
        # At the targets' own percentiles the sizing has said them, as the worst of its checks.
        said = dict(zip(("ttft", "tpot", "e2e"), workload.targets.percentiles, strict=True))
        seen = tuple(
            one._replace(**{k: getattr(deployments[0], k) for k, at in said.items() if at == one.percentile})
            for one in seen
        )
    assumed = generation_of(chip)[1]
    return SizedPlace(place, partition, pue, price, asked, tuple(deployments[:KEPT]), seen, words, assumed)
