"""From what a file says of a training run to its model and its slice of a machine. Imports the schema."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from math import inf
from typing import Any

from armillary.errors import did_you_mean
from armillary.machine import Machine, Slice
from armillary.model import Transformer
from armillary.scenario.collector import Collector
from armillary.scenario.constraints import constraints
from armillary.scenario.scenario import Cluster, TrainingWorkload
from armillary.scenario.schema import TrainingSpec
from armillary.scenario.yaml_source import Path, Problem
from armillary.training import RECIPES


def training_workload(
    into: Collector,
    name: str,
    spec: TrainingSpec,
    model: Transformer | None,
    clusters: Mapping[str, Cluster],
    stated: Mapping[str, Any],
) -> TrainingWorkload | None:
    """A training run with its slice; None where something is wrong, which is then among the problems."""
    place: Path = ("workloads", name)
    if spec.cluster not in stated:
        into.problems.append(
            Problem(
                (*place, "cluster"),
                f"no cluster {spec.cluster!r}{did_you_mean(spec.cluster, stated)}",
                f"clusters are {', '.join(stated)}",
            )
        )
        return None
    cluster = clusters.get(spec.cluster)
    if model is None or cluster is None:
        return None
    part = _slice(into, place, spec, cluster.machine)
    if part is None:
        return None
    batch = spec.global_batch
    if batch < 0:
        sequences = -batch / spec.sequence
        if sequences != int(sequences) or sequences < 1:
            near = max(round(sequences), 1)
            into.problems.append(
                Problem(
                    (*place, "global_batch"),
                    f"{-batch:,.0f} tokens are not a whole number of sequences of {spec.sequence:,}",
                    f"nearest: {near * spec.sequence} token, that is {near} sequences",
                )
            )
            return None
        batch = sequences
    recipe = RECIPES[spec.precision]
    if not part.accelerator.peak.get(recipe.gemm):
        into.problems.append(
            Problem(
                (*place, "precision"),
                f"{part.accelerator.name} has no {recipe.gemm} arithmetic",
                f"it has {', '.join(part.accelerator.peak)}",
            )
        )
        return None
    if spec.tokens < batch * spec.sequence:
        into.problems.append(
            Problem(
                (*place, "tokens"),
                f"{spec.tokens:g} tokens are fewer than one step of {batch * spec.sequence:g}",
            )
        )
    fixed, wrong = constraints((*place, "constraints"), spec.constraints)
    into.problems += wrong
    return TrainingWorkload(
        name,
        model,
        spec.model,
        spec.cluster,
        part,
        spec.tokens,
        int(batch),
        spec.sequence,
        spec.precision,
        spec.imbalance,
        spec.capacity or inf,
        fixed,
        spec.deadline,
        spec.priority,
    )


def _slice(into: Collector, place: Path, spec: TrainingSpec, machine: Machine) -> Slice | None:
    """Accelerators of one partition, whole scale-up domains."""
    systems = [p.system.name for p in machine.partitions]
    index = 0
    if spec.system is not None:
        system = into.attempt((*place, "system"), partial(into.catalog.system, spec.system))
        if system is None:
            return None
        if system.name not in systems:
            into.problems.append(
                Problem(
                    (*place, "system"),
                    f"{spec.cluster} has no {system.name}",
                    f"it has {', '.join(systems)}",
                )
            )
            return None
        index = systems.index(system.name)
    partition = machine.partitions[index]
    size = partition.system.scale_up_size
    if (spec.accelerators is None) == (spec.share is None):
        into.problems.append(Problem(place, "needs either accelerators: or share:"))
        return None
    if spec.accelerators is not None:
        count = spec.accelerators
        if count % size and count > size:
            near = max(round(count / size), 1) * size
            into.problems.append(
                Problem(
                    (*place, "accelerators"),
                    f"{count:,} do not divide into scale-up domains of {size}",
                    f"nearest: {near:,}",
                )
            )
            return None
    else:
        count = int((spec.share or 0) * partition.domains + 1e-9) * size
        if count == 0:
            into.problems.append(
                Problem((*place, "share"), f"is less than one scale-up domain of {partition.system.name}")
            )
            return None
    found: Slice | None = into.attempt(
        (*place, "accelerators" if spec.accelerators is not None else "share"),
        lambda: machine.slice(count, index),
    )
    return found


def overbooked(
    into: Collector, workloads: Mapping[str, TrainingWorkload], clusters: Mapping[str, Cluster]
) -> None:
    """Say where workloads that run at the same time are given more than there is."""
    for name, cluster in clusters.items():
        for p in cluster.machine.partitions:
            users = [
                w for w in workloads.values() if w.cluster == name and w.slice.system.name == p.system.name
            ]
            placed = sum(w.slice.accelerators for w in users)
            if placed > p.accelerators:
                into.problems.append(
                    Problem(
                        ("workloads", users[-1].name),
                        f"{placed:,} accelerators are placed on {p.system.name} of {name}, "
                        f"{p.accelerators:,} are deployed",
                        f"workloads there: {', '.join(w.name for w in users)}",
                    )
                )
