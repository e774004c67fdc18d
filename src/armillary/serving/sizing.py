"""The cheapest deployment that serves a demand within its latency targets, verified by simulation.

Candidates are layouts of one replica, and pairs of layouts for prompts and decoding apart. A closed form of
the steady state ranks them; the best are simulated under Poisson arrivals at rising rates until a target is
missed, and the highest rate that holds gives the number of replicas.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from armillary.catalog.records import Accelerator, System
from armillary.errors import InputError
from armillary.model import Transformer
from armillary.model.bytes import kv_cache_bytes_per_token
from armillary.serving.calibration import front_end
from armillary.serving.candidates import Candidate, candidate, decode_rate, layouts, reading_time, steady_rate
from armillary.serving.deployment import Pool
from armillary.serving.engine import Replica
from armillary.serving.layout import EngineLayout
from armillary.serving.lengths import Lengths
from armillary.serving.precision import Precision
from armillary.serving.requests import Requests
from armillary.serving.simulator import simulate
from armillary.serving.step import Batch

SAMPLE = 20_000
"""Requests of one simulation. [-]"""
CACHE_MARGIN = 1.1
"""Cache of a replica over the longest request, at least. [-]"""
STABLE_SHARE, STABLE_LEAST = 0.1, 1.0
"""Wait for the first token, as a share of the run [-] or in absolute terms [s], from which a queue counts as
one that grows without end, where no target says so earlier."""
SIMULATED = 6
"""Candidates that are simulated, the best of the closed form. [-]"""
HALVINGS = 7
"""Of the interval between a rate that holds and one that does not. [-]"""


class Workload(NamedTuple):
    """What is asked. mean, peak : requests of all users [1/s]. lengths : of prompts and answers."""

    mean: float
    peak: float
    lengths: Lengths


class Targets(NamedTuple):
    """Latencies that `percentile` percent of requests must stay within; infinite for none [s]."""

    ttft: float = math.inf
    tpot: float = math.inf
    e2e: float = math.inf
    percentile: float = 95.0


@dataclass(frozen=True, slots=True)
class Sized:
    """A deployment that holds the targets at the peak; one replica, or group, is simulated at its share.

    layout : of a replica (of decoding ones, where prompts are apart); prefill : of those of prompts, or None.
    replicas, prefill_replicas : with headroom. accelerators : all, headroom included.
    rate : requests that one replica, or one group of those of prompts and of decoding, serves [1/s].
    ttft, tpot, e2e : at the targets' percentile, simulated at that rate [s].
    cost : of all accelerators [USD/s]. power : of their systems at full load, IT only [W].
    per_input, per_output : cost of a token at the mean rate, all accelerators paid [USD]; per_token_energy :
    of an output token, all of the power counted [J]. tokens_per_accelerator : output, at that rate [1/s].
    interactivity : tokens a user gets at the percentile [1/s].
    """

    system: str
    layout: EngineLayout
    prefill: EngineLayout | None
    replicas: int
    prefill_replicas: int
    accelerators: int
    rate: float
    ttft: float
    tpot: float
    e2e: float
    cost: float
    power: float
    per_input: float
    per_output: float
    per_token_energy: float
    tokens_per_accelerator: float
    interactivity: float


class Infeasible(NamedTuple):
    """No deployment: which constraint binds, the best that was found and what was asked, in words."""

    system: str
    constraint: str
    best: float
    asked: float


def size(
    workload: Workload,
    targets: Targets,
    model: Transformer,
    system: System,
    chip: Accelerator,
    precision: Precision,
    price: float = 0.0,
    engine: str = "vllm",
    headroom: float = 0.1,
    drafts: int = 0,
    disaggregate: bool = True,
    seed: int = 0,
) -> tuple[list[Sized], list[Infeasible]]:
    """Size a deployment on one system.

    Parameters
    ----------
    workload : Workload
    targets : Targets
    model : Transformer
    system, chip : records of the catalog
    precision : Precision
    price : float
        Of one accelerator. [USD/s]
    engine : str
        See `serving.engines`.
    headroom : float
        Share of replicas on top of what the peak needs: for failures and what was not foreseen. [-]
    drafts : int
        Tokens drafted a step. [-]
    disaggregate : bool
        Also try prompts and decoding apart.
    seed : int

    Returns
    -------
    deployments, reasons
        Simulated deployments, the cheapest (the fewest accelerators, without a price) first; where none
        holds the targets, what binds.

    Raises
    ------
    InputError
        If a rate, a target or the headroom is out of range.
    """
    _check(workload, targets, headroom)
    draw = np.random.default_rng(seed)
    drawn = workload.lengths.sample(draw, SAMPLE)
    # Prefix caches are not counted on: prompts are read whole, also where the lengths know a cached share.
    prompts, answers = np.maximum(drawn.input, 1), np.maximum(drawn.output, 1)
    context = float(drawn.input.mean() + answers.mean() / 2)
    longest = float((drawn.input + answers).max())
    if model.context and longest > model.context:
        over = int((drawn.input + answers > model.context).sum())
        raise InputError(
            f"{over} of {SAMPLE} sampled requests are longer than the context of {model.name}, "
            f"{model.context} tokens; the longest has {longest:.0f}"
        )
    found, short = [], math.inf
    for layout in layouts(model, system.scale_up_size):
        one = Replica(model, chip, layout, precision, engine, system.nic_bandwidth, drafts, context)
        held = one.memory()
        if float(held.tokens) < CACHE_MARGIN * longest:
            cache = CACHE_MARGIN * longest * float(held.token)
            short = min(short, float(held.weights + held.workspace + cache) / float(held.usable))
            continue
        found.append(candidate(one, float(prompts.mean()), longest))
    if not found:
        what = "memory for weights and the longest request, over what is usable,"
        return [], [Infeasible(system.name, what, short, 1.0)]
    reasons = _out_of_reach(found, targets, prompts, system.name)
    if reasons:
        return [], reasons
    load = (prompts, answers, draw.exponential(size=SAMPLE))
    prompt, answer = float(prompts.mean()), float(answers.mean())
    ranked = sorted(found, key=lambda c: -steady_rate(c, targets.tpot, prompt, answer) / c.accelerators)
    sized = []
    for c in ranked[:SIMULATED]:
        best = _highest_rate(Pool(c.engine), load, targets, c)
        if best is not None:
            sized.append(_sized(workload, system, c, None, (0, 1), best, price, headroom, load))
    if disaggregate and len(found) > 1:
        sized += _apart(workload, targets, system, found, load, price, headroom)
    if not sized:
        slowest = min(
            (_simulated(Pool(c.engine), load, 1e-3, targets, c) for c in ranked[:SIMULATED]),
            key=lambda t: t[0],
        )
        asked = (targets.ttft, targets.tpot, targets.e2e)
        worst = max(range(3), key=lambda i: slowest[i] / asked[i])
        name = ("time to first token", "time per output token", "end-to-end time")[worst]
        return [], [Infeasible(system.name, f"{name} of an idle replica [s]", slowest[worst], asked[worst])]
    return sorted(sized, key=lambda s: (s.cost, s.accelerators)), []


def pareto(deployments: Sequence[Sized]) -> list[Sized]:
    """Deployments that no other beats in tokens per accelerator and interactivity, the quickest first."""
    front: list[Sized] = []
    for one in sorted(deployments, key=lambda s: (-s.interactivity, -s.tokens_per_accelerator)):
        if not front or one.tokens_per_accelerator > front[-1].tokens_per_accelerator:
            front.append(one)
    return front


def _check(workload: Workload, targets: Targets, headroom: float) -> None:
    if not 0 < workload.mean <= workload.peak < math.inf:
        raise InputError(
            f"rates must rise from 0 over the mean to the peak. Got {workload.mean:g}, {workload.peak:g}."
        )
    for name, value in zip(("ttft", "tpot", "e2e"), targets, strict=False):
        if not value > 0:
            raise InputError(f"the {name} target must be above 0 s. Got {value:g} instead.")
    if not 0 < targets.percentile < 100:
        raise InputError(f"the percentile must be between 0 and 100. Got {targets.percentile:g} instead.")
    if not 0 <= headroom <= 10:
        raise InputError(f"the headroom must be a share from 0 to 10. Got {headroom:g} instead.")


def _out_of_reach(
    found: Sequence[Candidate], targets: Targets, prompts: Any, system: str
) -> list[Infeasible]:
    """Targets that no candidate holds even with one request alone."""
    single = [
        float(c.replica.step(Batch(1.0, c.replica.context, 0.0, 0.0, np.inf, 0.0)).total) for c in found
    ]
    tpot = min(t / c.engine.cost.tokens_per_step for t, c in zip(single, found, strict=True))
    mean = float(prompts.mean())
    chunk = Batch(0.0, 0.0, mean, mean * mean / 2, mean, 1.0)
    first = min(float(c.replica.step(chunk).total) for c in found)
    front = front_end(found[0].replica.engine)
    first += front.latency + front.service(mean)
    reasons = []
    if tpot > targets.tpot:
        reasons.append(Infeasible(system, "time per output token of one request [s]", tpot, targets.tpot))
    if first > targets.ttft:
        reasons.append(Infeasible(system, "time to first token of one request [s]", first, targets.ttft))
    return reasons


def _simulated(
    pool: Pool, load: tuple[Any, Any, Any], rate: float, targets: Targets, c: Candidate
) -> tuple[float, float, float]:
    """Percentiles of TTFT, TPOT and end-to-end time at a rate of arrivals [s]."""
    prompts, answers, gaps = load
    front = front_end(c.replica.engine)
    outcome = simulate(Requests(np.cumsum(gaps) / rate, prompts, answers), pool, routing="least_loaded")
    if not outcome.completed.all():
        return math.inf, math.inf, math.inf
    more = front.latency + np.array([front.service(float(p)) for p in prompts])
    more = more + (front.handover if pool.decode is not None else 0.0)
    # The second half: by then a queue that cannot keep up has grown.
    late = slice(len(prompts) // 2, None)
    tpot = outcome.tpot[late][~np.isnan(outcome.tpot[late])]
    at = targets.percentile
    return (
        float(np.percentile((outcome.ttft + more)[late], at)),
        float(np.percentile(tpot, at)) if len(tpot) else 0.0,
        float(np.percentile((outcome.e2e + more)[late], at)),
    )


class _Best(NamedTuple):
    rate: float
    times: tuple[float, float, float]


def _highest_rate(
    pool: Pool, load: tuple[Any, Any, Any], targets: Targets, c: Candidate, guess: float = 1.0
) -> _Best | None:
    """Largest rate at which a pool holds all targets, by doubling and halving; None where none does."""
    limits = (targets.ttft, targets.tpot, targets.e2e)

    def holds(rate: float) -> tuple[float, float, float] | None:
        times = _simulated(pool, load, rate, targets, c)
        stable = times[0] < max(STABLE_SHARE * float(np.sum(load[2])) / rate, STABLE_LEAST)
        return times if stable and all(t <= limit for t, limit in zip(times, limits, strict=True)) else None

    low, times = 0.0, None
    high = guess
    while (now := holds(high)) is not None:
        low, times, high = high, now, 2 * high
        if high > 1e6:
            break
    for _ in range(HALVINGS if low else 2 * HALVINGS):
        middle = 0.5 * (low + high) if low else high / 2
        now = holds(middle)
        if now is not None:
            low, times = middle, now
        else:
            high = middle
    return None if times is None else _Best(low, times)


def _apart(
    workload: Workload,
    targets: Targets,
    system: System,
    found: Sequence[Candidate],
    load: tuple[Any, Any, Any],
    price: float,
    headroom: float,
) -> list[Sized]:
    """Prompts and decoding apart: the best layouts of each, in the ratio that their rates ask for."""
    prompts, answers, gaps = load
    first = []
    for c in found:
        engine = c.engine._replace(role="both")
        alone = _highest_rate(
            Pool(engine), (prompts, np.ones_like(answers), gaps), targets._replace(tpot=math.inf), c
        )
        if alone is not None:
            first.append((alone.rate, c))
    if not first:
        return []
    rate, before = max(first, key=lambda x: x[0] / x[1].accelerators)
    answer = float(answers.mean())
    ranked = sorted(found, key=lambda c: -decode_rate(c, targets.tpot, answer) / c.accelerators)
    sized = []
    for after in ranked[:2]:
        ratio = decode_rate(after, targets.tpot, answer) / rate
        if ratio <= 0:
            continue
        before_count, after_count = min(max(round(ratio), 1), 64), min(max(round(1 / ratio), 1), 64)
        width = kv_cache_bytes_per_token(after.replica.model, after.replica.precision.cache)
        wire = width / (after.replica.known().scale_out * float(before.replica.layout.tp))
        pool = Pool(
            before.engine._replace(role="prefill"),
            before_count,
            after.engine._replace(role="decode"),
            after_count,
            (0.0, wire),
        )
        best = _highest_rate(pool, load, targets, after)
        if best is not None:
            sized.append(
                _sized(
                    workload, system, after, before, (before_count, after_count), best, price, headroom, load
                )
            )
    return sized


def _sized(
    workload: Workload,
    system: System,
    c: Candidate,
    before: Candidate | None,
    group: tuple[int, int],
    best: _Best,
    price: float,
    headroom: float,
    load: tuple[Any, Any, Any],
) -> Sized:
    """Replicas for the peak with headroom, and what they cost; `group` was simulated at once."""
    needed = math.ceil(workload.peak / best.rate * (1 + headroom))
    each = group[1] * c.accelerators + (group[0] * before.accelerators if before is not None else 0)
    total = needed * each
    prompts, answers, _ = load
    tokens_in, tokens_out = workload.mean * float(prompts.mean()), workload.mean * float(answers.mean())
    prompt, answer = float(prompts.mean()), float(answers.mean())
    # What a token takes of accelerators' time: prompts alone, and decoding in the batch of the highest rate.
    reader = before or c
    reading = reader.accelerators * reading_time(reader, prompt) / prompt
    batch = min(max(round(best.rate / group[1] * answer * best.times[1]), 1), c.engine.max_sequences)
    cost = c.engine.cost
    step = float(cost.decode[batch] + cost.kv * batch * c.replica.context)
    writing = c.accelerators * step / (batch * cost.tokens_per_step)
    share = tokens_in * reading / (tokens_in * reading + tokens_out * writing)
    power = total * system.power / system.scale_up_size
    spent = total * price
    return Sized(
        system=system.name,
        layout=c.replica.layout,
        prefill=None if before is None else before.replica.layout,
        replicas=needed * group[1],
        prefill_replicas=needed * group[0],
        accelerators=total,
        rate=best.rate,
        ttft=best.times[0],
        tpot=best.times[1],
        e2e=best.times[2],
        cost=spent,
        power=power,
        per_input=spent * share / tokens_in,
        per_output=spent * (1 - share) / tokens_out,
        per_token_energy=power / tokens_out,
        tokens_per_accelerator=best.rate * float(answers.mean()) / each,
        interactivity=1.0 / best.times[1] if best.times[1] > 0 else math.inf,
    )
