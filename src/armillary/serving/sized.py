"""`Sized`: a deployment with what it takes and costs; `Infeasible`: why there is none."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from armillary.catalog.records import System
from armillary.serving.candidates import Candidate, reading_time
from armillary.serving.layout import EngineLayout
from armillary.serving.precision import PRECISIONS, Precision
from armillary.serving.verification import Check, Fleet, spares
from armillary.serving.workload import Load, Workload


class Handover(NamedTuple):
    """How the KV of a prompt that was read apart comes to where it is decoded.

    wire : ``"scale-up"`` where both pools share a domain, ``"network"`` where it crosses the NICs.
    latency : [s]. per_token : [s/token]. time : of the mean prompt [s].
    """

    wire: str
    latency: float
    per_token: float
    time: float


@dataclass(frozen=True, slots=True)
class Sized:
    """A deployment that holds the targets at the peak and its margin, with all spares down; simulated.

    layout : of a replica (of decoding ones, where prompts are apart); prefill : of those of prompts, or None.
    replicas, prefill_replicas : with spares. accelerators : all, spares included.
    rate : requests that one replica serves, or, apart, one group of the smallest whole numbers of both kinds
    [1/s].
    ttft, tpot, e2e : at the targets' percentiles, the worst of `checks` [s].
    cost : of all accelerators [USD/s]. power : of their systems at full load, IT only [W].
    per_input, per_output, per_cached : cost of a token at the mean rate, all accelerators paid; an input
    token is one that is read, a cached one was found [USD]. per_token_energy : of an output token, all of
    the power counted [J]. tokens_per_accelerator : output, of those that are not spares, at the highest rate
    that holds [1/s].
    interactivity : tokens a user gets at the percentile [1/s].
    engine, precision : of all replicas. step_tokens : of a step on each attention-parallel rank [token].
    spares, prefill_spares : of the replicas, those for failures [-].
    systems : UltraServers or nodes that hold the replicas [-]. host_vcpus : that these bring [-].
    per_message : cost of one [USD]. energy_per_message : [J].
    cached : share of the input that prefix caches had [-]. handover : where prompts are apart.
    checks : simulations that it passed.
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
    engine: str = ""
    precision: Precision = PRECISIONS["fp8"]
    step_tokens: int = 0
    spares: int = 0
    prefill_spares: int = 0
    systems: int = 0
    host_vcpus: int = 0
    per_cached: float = 0.0
    per_message: float = 0.0
    energy_per_message: float = 0.0
    cached: float = 0.0
    handover: Handover | None = None
    checks: tuple[Check, ...] = ()


class Infeasible(NamedTuple):
    """No deployment: which constraint binds, the best that was found and what was asked, in words."""

    system: str
    constraint: str
    best: float
    asked: float


class TokenTimes(NamedTuple):
    """Accelerators' time that a token takes: read, found in a cache, written [s]."""

    read: float
    cached: float
    written: float


def token_times(
    reader: Candidate, writer: Candidate, load: Load, found: float, rate: float, pace: float
) -> TokenTimes:
    """What tokens take of accelerators' time: prompts alone, and decoding in its usual batch.

    Parameters
    ----------
    reader, writer : Candidate
        The same, where one replica does both.
    load : Load
    found : float
        Share of the prompts in prefix caches. [-]
    rate, pace : float
        Of one decoding replica: requests and time per output token; with Little's law they give its batch.
        [1/s], [s]

    Notes
    -----
    A cached token is attended to by all that are read behind it; that is all it takes.
    """
    prompt = float(load.input.mean())
    cached = found * prompt
    read = prompt - cached
    cost = reader.engine.cost
    own = reading_time(reader, read)
    behind = cost.chunk_kv * read * cached
    engine = writer.engine
    batch = min(max(round(rate * float(load.output.mean()) * pace), 1), engine.max_sequences)
    step = float(engine.cost.decode[batch] + engine.cost.kv * batch * load.context)
    return TokenTimes(
        reader.accelerators * own / read,
        reader.accelerators * behind / cached if cached else 0.0,
        writer.accelerators * step / (batch * engine.cost.tokens_per_step),
    )


def packed(replicas: Sequence[tuple[int, int]], domain: int) -> int:
    """Domains that hold replicas, given as (number, accelerators of each); larger ones first. [-]

    A replica wider than a domain takes whole ones.

    Examples
    --------
    >>> packed([(2, 32), (5, 8)], 72)
    2
    >>> packed([(3, 16)], 8)
    6
    """
    free: list[tuple[int, int]] = []  # (domains, accelerators left in each)
    taken = 0
    for number, width in sorted(replicas, key=lambda r: -r[1]):
        if width > domain:
            taken += number * -(-width // domain)
            continue
        left = []
        for domains, room in free:
            fit = room // width
            here = min(number, domains * fit)
            number -= here
            full, rest = divmod(here, fit) if fit else (0, 0)
            left += [(full, room - fit * width), (bool(rest), room - rest * width)]
            left += [(domains - full - bool(rest), room)]
        more, rest = divmod(number, domain // width)
        taken += more + bool(rest)
        left += [(more, domain % width), (bool(rest), domain - rest * width)]
        free = [(d, room) for d, room in left if d > 0 and room > 0]
    return taken


def sized(
    workload: Workload,
    system: System,
    writer: Candidate,
    reader: Candidate | None,
    fleet: Fleet,
    checks: Sequence[Check],
    capacity: float,
    price: float,
    headroom: float,
    load: Load,
    handover: Handover | None = None,
) -> Sized:
    """A verified fleet with its spares, and what it takes and costs.

    capacity : requests that the fleet serves without its spares [1/s].
    """
    extra, before_extra = spares(fleet.needed, headroom), spares(fleet.prefill_needed, headroom)
    after, before = fleet.needed + extra, fleet.prefill_needed + before_extra
    widths = writer.accelerators, 0 if reader is None else reader.accelerators
    total = after * widths[0] + before * widths[1]
    working = fleet.needed * widths[0] + fleet.prefill_needed * widths[1]
    built = workload.built_for
    served = capacity / fleet.needed
    if reader is not None:
        whole = capacity * min(after / fleet.needed, before / fleet.prefill_needed)
        served = whole / math.gcd(after, before)
    worst = [max(c.trial.times[i] for c in checks) for i in range(3)]
    trial = checks[0].trial
    prompt, answer = float(load.input.mean()), float(load.output.mean())
    times = token_times(
        reader or writer, writer, load, trial.cached, built / fleet.needed, max(trial.pace, 1e-9)
    )
    found = workload.mean * prompt * trial.cached
    tokens = (workload.mean * prompt - found, found, workload.mean * answer)
    spent, power = total * price, total * system.power / system.scale_up_size
    work = [t * n for t, n in zip(times, tokens, strict=True)]
    each = [spent * w / sum(work) / n if n else 0.0 for w, n in zip(work, tokens, strict=True)]
    pools = [(after, widths[0])] if reader is None else [(after, widths[0]), (before, widths[1])]
    domains = packed(pools, system.scale_up_size)
    nodes = domains * -(-system.scale_up_size // max(system.accelerators_per_node, 1))
    return Sized(
        system=system.name,
        layout=writer.replica.layout,
        prefill=None if reader is None else reader.replica.layout,
        replicas=after,
        prefill_replicas=before,
        accelerators=total,
        rate=served,
        ttft=worst[0],
        tpot=worst[1],
        e2e=worst[2],
        cost=spent,
        power=power,
        per_input=each[0],
        per_output=each[2],
        per_token_energy=power / tokens[2],
        tokens_per_accelerator=capacity * answer / working,
        interactivity=1.0 / worst[1] if worst[1] > 0 else math.inf,
        engine=writer.replica.engine,
        precision=writer.replica.precision,
        step_tokens=writer.engine.max_tokens // int(writer.replica.layout.dp),
        spares=extra,
        prefill_spares=before_extra,
        systems=domains,
        host_vcpus=nodes * system.cpus_per_node,
        per_cached=each[1],
        per_message=spent / workload.mean,
        energy_per_message=power / workload.mean,
        cached=trial.cached,
        handover=handover,
        checks=tuple(checks),
    )


def pareto(deployments: Sequence[Sized]) -> list[Sized]:
    """Deployments that no other beats in tokens per accelerator and interactivity, the quickest first."""
    front: list[Sized] = []
    for one in sorted(deployments, key=lambda s: (-s.interactivity, -s.tokens_per_accelerator)):
        if not front or one.tokens_per_accelerator > front[-1].tokens_per_accelerator:
            front.append(one)
    return front
