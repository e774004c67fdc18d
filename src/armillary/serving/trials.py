"""One simulation of a sample on a pool, what it says of the targets, and the highest rate that holds them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from armillary.serving.calibration import FrontEnd
from armillary.serving.deployment import Outage, Pool
from armillary.serving.simulator import simulate
from armillary.serving.step_cost import Engine
from armillary.serving.workload import LARGEST, Load, Targets

Floats = NDArray[np.float64]

TURNS = 8
"""Times that the sequences in flight are replaced in one simulation; the second half is measured. [-]"""
LEAST = 6_000
"""Requests of one simulation, at least. [-]"""
GROWTH, GROWTH_REPLAYED, RISE = 0.02, 0.1, 0.05
"""A queue grows without end where the time of a usual request rises by more than these seconds a second, of
drawn and of replayed requests, from the third quarter to the last, and by more than this part. [-]"""
CLOSE = 0.02
"""Of a rate: how close the search comes to the highest that holds. [-]"""
LIGHT, FALLS = 1e-3, 3
"""Part of the rate of the closed form at which a search gives up [-], and how often it has gone down then."""
WARM = 3
"""Requests of a replayed trace over those of drawn ones: prefix caches begin empty and fill. [-]"""


class Trial(NamedTuple):
    """What a simulation found, at the targets' percentiles and with the front end.

    ttft, tpot, e2e : [s]. pace : mean time per output token [s]. good : share that met all targets at once
    [-]. cached : share of the prompts that prefix caches had [-]. requests : that were measured [-].
    holds : whether the targets do.
    """

    ttft: float
    tpot: float
    e2e: float
    pace: float
    good: float
    cached: float
    requests: int
    holds: bool

    @property
    def times(self) -> tuple[float, float, float]:
        """Of TTFT, TPOT and end-to-end time [s]."""
        return self.ttft, self.tpot, self.e2e


LOST = Trial(math.inf, math.inf, math.inf, math.inf, 0.0, 0.0, 0, False)
"""Of a pool that turns requests away."""


def turns(rate: float, stay: float) -> int:
    """Requests of a simulation at a rate [1/s], where each stays for a time [s]: by Little's law. [-]"""
    return int(min(max(TURNS * rate * stay, LEAST), LARGEST))


def trial(
    pool: Pool,
    load: Load,
    rate: float,
    count: int,
    targets: Targets,
    front: FrontEnd,
    outages: Sequence[Outage] = (),
    seed: int = 0,
) -> Trial:
    """Simulate about `count` requests that come at a rate [1/s]; the second half is measured.

    By then a queue that cannot keep up has grown. Where prompts have blocks, requests go to the replica that
    knows most of theirs, else to the least loaded one.
    """
    requests = load.requests(rate, count if load.trace is None else min(WARM * count, LARGEST), seed)
    routing = "least_loaded" if requests.block_offsets is None else "cache_aware"
    found = simulate(requests, pool, routing=routing, outages=outages, seed=seed)
    n = len(found.status)
    late = slice(n // 2, None)
    if not found.completed.all():
        return LOST
    prompts = np.asarray(requests.input, float)
    # The front end reads the whole prompt, also what a prefix cache has.
    whole = prompts if load.trace is not None else load.input[:n]
    more = front.latency + front.request + front.token * whole
    ttft = found.ttft + more
    tpot = np.nan_to_num(found.tpot, nan=0.0)
    e2e = found.e2e + more + (front.handover if pool.decode is not None else 0.0)
    ttft, tpot, e2e = ttft[late], tpot[late], e2e[late]
    several = np.asarray(requests.output)[late] > 1
    good = float(np.mean((ttft <= targets.ttft) & (tpot <= targets.tpot) & (e2e <= targets.e2e)))
    at = targets.percentiles
    times = (
        float(np.percentile(ttft, at[0])),
        float(np.percentile(tpot[several], at[1])) if several.any() else 0.0,
        float(np.percentile(e2e, at[2])),
    )
    usual = ttft + tpot * float(np.mean(np.asarray(requests.output)))
    stable = _steady(usual, found.arrival[late], GROWTH if load.trace is None else GROWTH_REPLAYED)
    holds = (
        stable
        and good >= targets.goodput
        and all(t <= limit for t, limit in zip(times, targets.limits, strict=True))
    )
    if load.trace is None:
        cached = float(load.cached[:n].sum() / load.input[:n].sum())
    elif pool.decode is None:
        cached = float(found.cached[late].sum() / prompts[late].sum())
    else:
        cached = max(1 - float(found.replicas.prefilled.sum() / prompts.sum()), 0.0)
    pace = float(tpot[several].mean()) if several.any() else 0.0
    return Trial(*times, pace, good, cached, len(ttft), holds)


def _steady(time: Floats, arrival: Floats, growth: float) -> bool:
    """Whether requests of the later half of a run take no longer than those of the earlier."""
    middle = len(time) // 2
    if not middle:
        return True
    before, after = float(time[:middle].mean()), float(time[middle:].mean())
    span = float(arrival[middle:].mean() - arrival[:middle].mean())
    return after - before < max(growth * span, RISE * before)


def highest_rate(run: Callable[[float], Trial], guess: float) -> tuple[float, Trial] | None:
    """Largest rate whose trial holds the targets, from a guess on [1/s]; None where none does.

    Parameters
    ----------
    run : callable
        From a rate to its trial.
    guess : float
        Such as the closed form's. [1/s]
    """
    low, high, best = 0.0, guess, None
    while (now := run(high)).holds:
        low, high, best = high, 1.4 * high, now
        if high > 1e3 * guess:
            break
    falls = 0
    while best is None:
        below = high / 1.5
        falls += 1
        if below < LIGHT * guess or (falls == FALLS and not run(LIGHT * guess).holds):
            return None
        now = run(below)
        if now.holds:
            low, best = below, now
        else:
            high = below
    while high - low > CLOSE * high:
        middle = 0.5 * (low + high)
        now = run(middle)
        if now.holds:
            low, best = middle, now
        else:
            high = middle
    return low, best


def with_prefixes(engine: Engine, load: Load) -> Engine:
    r"""The engine for prompts of which a part is found in its cache, when only the rest is simulated.

    Sequences then hold and attend to more than the simulator counts. With u tokens read behind c that are
    there, and n/2 of the answer on average, cache and its reading are scaled by
    :math:`(c + u + n/2) / (u + n/2)` and prompts' attention by :math:`\sum u (c + u/2) / \sum u^2/2`: exact
    for the means. What is found is held by each sequence for itself.
    """
    if load.trace is not None or not load.cached.any():
        return engine
    read, cached = load.read.astype(float), load.cached.astype(float)
    held = load.context / (load.context - float(cached.mean()))
    pairs = float((read * (cached + read / 2)).sum() / (read * read / 2).sum())
    cost = engine.cost
    return engine._replace(
        cost=cost._replace(kv=cost.kv * held, chunk_kv=cost.chunk_kv * pairs),
        kv_tokens=engine.kv_tokens / held,
    )
