"""Latencies of a sized deployment at any percentiles; `sizing` says them at those of its targets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from armillary.catalog.records import Accelerator, System
from armillary.model import Transformer
from armillary.serving.calibration import front_end
from armillary.serving.candidates import candidate
from armillary.serving.deployment import Outage, Pool
from armillary.serving.engine import Replica
from armillary.serving.layout import EngineLayout
from armillary.serving.sized import Sized
from armillary.serving.sizing import FRESH
from armillary.serving.step_cost import Engine
from armillary.serving.trials import trial, with_prefixes
from armillary.serving.verification import AGES, FAIL_AT
from armillary.serving.workload import Targets, Workload, drawn


class Latencies(NamedTuple):
    """At one percentile, with the front end. ttft, tpot, e2e [s]."""

    percentile: float
    ttft: float
    tpot: float
    e2e: float


def latencies(
    one: Sized,
    workload: Workload,
    model: Transformer,
    system: System,
    chip: Accelerator,
    drafts: int = 0,
    percentiles: Sequence[float] = (50.0, 95.0),
    seed: int = 0,
) -> tuple[Latencies, ...]:
    """Simulate the group that a deployment was checked with, its spares failing as there.

    Parameters
    ----------
    one : Sized
        Of `size` with the arguments that follow.
    percentiles : sequence of float
        From 0 to 100. [-]
    """
    load, fresh = drawn(workload, seed), drawn(workload, seed + FRESH)
    check = one.checks[0]

    def engine(layout: EngineLayout) -> Engine:
        nic = system.nic_bandwidth
        replica = Replica(model, chip, layout, one.precision, one.engine, nic, drafts, load.context)
        found = candidate(replica, float(load.read.mean()), load.longest, one.step_tokens)
        return with_prefixes(found.engine, load)

    after = engine(one.layout)
    if one.prefill is None:
        pool = Pool(after, check.replicas)
    else:
        before, across = engine(one.prefill), one.handover
        wire = (0.0, 0.0)
        if across is not None:
            scale = float(load.input.mean() / load.read.mean())
            wire = (across.latency, across.per_token * scale)
        pool = Pool(
            before._replace(role="prefill"),
            check.prefill_replicas,
            after._replace(role="decode"),
            check.replicas,
            wire,
        )
    count = 2 * check.trial.requests
    readers, last = check.prefill_replicas, check.prefill_replicas + check.replicas
    idle = [*range(readers - check.prefill_down, readers), *range(last - check.down, last)]
    outages = [Outage(FAIL_AT * count / check.rate, replica, AGES) for replica in idle]
    front = front_end(one.engine)
    found = []
    for at in percentiles:
        told = trial(pool, fresh, check.rate, count, Targets(percentile=at), front, outages, seed + FRESH)
        found.append(Latencies(at, *told.times))
    return tuple(found)
