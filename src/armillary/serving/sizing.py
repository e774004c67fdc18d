"""The cheapest deployment that serves a demand within its latency targets, verified by simulation.

The closed form ranks all layouts and batches at once (`mesh`). Layouts that no other beats are simulated in
small groups for the highest rate that holds the targets (`trials`); the best become fleets of the replicas
that the peak needs, simulated as a group behind their router with and without spares (`verification`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from armillary.catalog.records import Accelerator, System
from armillary.errors import InputError
from armillary.model import Transformer
from armillary.serving.apart import handover, reading_rate, reading_rows, writing_rate, writing_rows
from armillary.serving.calibration import front_end
from armillary.serving.candidates import Candidate, candidate
from armillary.serving.deployment import Pool
from armillary.serving.engine import Replica
from armillary.serving.mesh import WIDEST, Mesh, evaluated, layouts, not_beaten, steady_rates
from armillary.serving.precision import Precision
from armillary.serving.sized import Infeasible, Sized, pareto, sized
from armillary.serving.trials import Trial, highest_rate, trial, turns, with_prefixes
from armillary.serving.verification import GROUP, Fleet, fewest, group_of, verified
from armillary.serving.workload import Load, Targets, Workload, check_question, drawn

__all__ = ["Infeasible", "Sized", "Targets", "Workload", "meshes", "pareto", "size"]

SIMULATED, FLEETS = 6, 3
"""Layouts that are simulated in small groups, and that become fleets. [-]"""
BUDGETS = (8192, 2048)
"""Tokens of a step on each attention-parallel rank that are tried: large ones read prompts in fewer steps,
small ones keep decoding going meanwhile; the first is the default of vLLM's server, the second an
assumption. [token]"""
RANKED = 4
"""Replicas behind one router when layouts are ranked: most of what pooling gives. [-]"""
SLACK = 0.8
"""Layouts are simulated whose closed form is within this part of the best; more where simulations show that
the closed form is further off. [-]"""
FRESH = 1_000_003
"""Added to the seed for the requests of the checks, which no choice has seen."""


class _Rated(NamedTuple):
    """A layout with what each replica of it serves, simulated [1/s], and how long a request stays [s]."""

    candidate: Candidate
    rate: float
    stay: float


def size(
    workload: Workload,
    targets: Targets,
    model: Transformer,
    system: System,
    chip: Accelerator,
    precision: Precision | Sequence[Precision],
    price: float = 0.0,
    engine: str | Sequence[str] = "vllm",
    headroom: float = 0.1,
    drafts: int = 0,
    disaggregate: bool = True,
    seed: int = 0,
    *,
    capacity: float = math.inf,
    widest: int = WIDEST,
) -> tuple[list[Sized], list[Infeasible]]:
    """Size a deployment on one system.

    Parameters
    ----------
    workload : Workload
    targets : Targets
    model : Transformer
    system, chip : records of the catalog
    precision : Precision or several
    price : float
        Of one accelerator. [USD/s]
    engine : str or several
        See `serving.engines`.
    headroom : float
        Share of replicas on top of what the peak needs, as spares for failures. [-]
    drafts : int
        Tokens drafted a step. [-]
    disaggregate : bool
        Also try prompts and decoding apart.
    seed : int
    capacity : float
        Accelerators that there are. [-]
    widest : int
        Accelerators of one replica, at most. [-]

    Returns
    -------
    deployments, reasons
        Simulated deployments, the cheapest (the fewest accelerators, without a price) first; where none
        holds the targets, what binds.

    Raises
    ------
    InputError
        If a rate, a target, a margin or a length is out of range.
    """
    check_question(workload, targets, headroom)
    load = _sample(workload, model, seed)
    found = meshes(load, targets, model, system, chip, precision, engine, drafts, widest)
    if not any(mesh.fits.any() for mesh in found):
        short = min(float(mesh.needed.min()) for mesh in found)
        what = "memory for weights and the longest request, over what is usable,"
        return [], [Infeasible(system.name, what, short, 1.0)]
    reasons = _out_of_reach(found, targets, system.name)
    if reasons:
        return [], reasons
    fresh = drawn(workload, seed + FRESH)
    answers, idle = [], []
    rated: list[_Rated] = []
    best, gain = 0.0, 1 / SLACK
    for mesh, row, guess in _ranked(found, load, targets)[:SIMULATED]:
        if gain * guess / mesh.accelerators[row] < best:
            break
        c = _candidate(mesh, row, load)
        stay = float(load.output.mean()) * _pace(mesh.each[row], targets.tpot)
        told = _idle(c, load, targets)
        if not told.holds:
            idle.append(told)
            continue
        one = _highest(c, load, targets, guess, stay, group_of(workload.built_for, guess, RANKED))
        if one is not None:
            rated.append(_Rated(c, one, stay))
            best, gain = max(best, one / c.accelerators), max(gain, one / guess)
    rated.sort(key=lambda r: -r.rate / r.candidate.accelerators)
    for r in _distinct(rated)[:FLEETS]:
        one_fleet = _together(workload, system, r, load, fresh, targets, price, headroom, seed)
        answers += [] if one_fleet is None else [one_fleet]
    if disaggregate:
        answers += _apart(workload, system, found, load, fresh, targets, price, headroom, seed)
    answers.sort(key=lambda s: (s.cost, s.accelerators))
    if not answers:
        return [], [_missed(idle, targets, system.name)]
    held = [one for one in answers if one.accelerators <= capacity]
    if not held:
        least = min(one.accelerators for one in answers)
        return [], [Infeasible(system.name, "number of accelerators", float(least), capacity)]
    return held, []


def meshes(
    load: Load,
    targets: Targets,
    model: Transformer,
    system: System,
    chip: Accelerator,
    precision: Precision | Sequence[Precision],
    engine: str | Sequence[str] = "vllm",
    drafts: int = 0,
    widest: int = WIDEST,
) -> list[Mesh]:
    """Closed forms of all layouts, one mesh for each engine, precision and budget of a step; see `size`."""
    formats = [precision] if isinstance(precision, Precision) else list(precision)
    names = [engine] if isinstance(engine, str) else list(engine)
    if not formats or not names:
        raise InputError("a size needs an engine and a precision at least")
    grid = layouts(model, system.scale_up_size, widest)
    found = []
    for name in names:
        for form in formats:
            one = Replica(model, chip, grid, form, name, system.nic_bandwidth, drafts, load.context)
            # SGLang does not cut prompts (see `candidates.limits`): its budget changes nothing.
            for tokens in BUDGETS[: 1 if name == "sglang" else None]:
                found.append(evaluated(one, load, targets, tokens))
    return found


def _sample(workload: Workload, model: Transformer, seed: int) -> Load:
    load = drawn(workload, seed)
    total = load.input + load.output
    if model.context and load.longest > model.context:
        over = int((total > model.context).sum())
        raise InputError(
            f"{over} of {len(total)} sampled requests are longer than the context of {model.name}, "
            f"{model.context} tokens; the longest has {load.longest:.0f}"
        )
    return load


def _out_of_reach(found: Sequence[Mesh], targets: Targets, system: str) -> list[Infeasible]:
    """Targets that no layout holds even with one request alone."""
    fitting = [mesh for mesh in found if mesh.fits.any()]
    tpot = min(float(mesh.alone[mesh.fits, 0].min()) for mesh in fitting)
    first = min(float(mesh.first[mesh.fits].min()) for mesh in fitting)
    reasons = []
    if tpot > targets.tpot:
        reasons.append(Infeasible(system, "time per output token of one request [s]", tpot, targets.tpot))
    if first > targets.ttft:
        reasons.append(Infeasible(system, "time to first token of one request [s]", first, targets.ttft))
    return reasons


def _ranked(found: Sequence[Mesh], load: Load, targets: Targets) -> list[tuple[Mesh, int, float]]:
    """Layouts that no other beats in rate an accelerator, first token and a lone token: (mesh, row, rate).

    With those whose rate an accelerator is within `SLACK` of the best, as the closed form is not exact. Where
    prompts let no batch hold the target on average, a rate of one sequence stands in.
    """
    rows: list[tuple[Mesh, int, float]] = []
    for mesh in found:
        rate = steady_rates(mesh, load, targets)[0]
        least = np.where(mesh.fits, 1 / (mesh.each[:, 0] * load.output.mean()), 0.0)
        rows += [(mesh, i, float(max(rate[i], 1e-3 * least[i]))) for i in map(int, np.flatnonzero(mesh.fits))]
    gains = np.array([(r / m.accelerators[i], -m.first[i], -m.alone[i, 0]) for m, i, r in rows])
    kept = not_beaten(*gains.T) | (gains[:, 0] >= SLACK * gains[:, 0].max())
    chosen = [row for row, keep in zip(rows, kept, strict=True) if keep]
    return sorted(chosen, key=lambda x: -x[2] / x[0].accelerators[x[1]])


def _pace(each: np.ndarray, limit: float) -> float:
    """Slowest time per token within a limit, of the batches of a layout [s]."""
    within = each[each <= limit]
    return float(within.max() if len(within) else each.min())


def _candidate(mesh: Mesh, row: int, load: Load) -> Candidate:
    c = _whole(mesh, row, load)
    engine = with_prefixes(c.engine, load)
    return Candidate(c.replica, engine, engine.kv_tokens)


def _whole(mesh: Mesh, row: int, load: Load) -> Candidate:
    return candidate(mesh.alone_replica(row), float(load.read.mean()), load.longest, mesh.step_tokens)


def _idle(c: Candidate, load: Load, targets: Targets) -> Trial:
    """Times of requests that come one by one."""
    return trial(Pool(c.engine), load, 1e-4, 4000, targets, front_end(c.replica.engine))


def _highest(
    c: Candidate, load: Load, targets: Targets, guess: float, stay: float, group: int
) -> float | None:
    """Rate that each of a group of replicas holds [1/s]."""
    front = front_end(c.replica.engine)

    def run(rate: float) -> Trial:
        return trial(Pool(c.engine, group), load, rate, turns(rate, stay), targets, front)

    found = highest_rate(run, guess * group)
    return None if found is None else found[0] / group


def _together(
    workload: Workload,
    system: System,
    r: _Rated,
    load: Load,
    fresh: Load,
    targets: Targets,
    price: float,
    headroom: float,
    seed: int,
) -> Sized | None:
    """A fleet of replicas of both phases."""
    c, built = r.candidate, workload.built_for
    fleet = Fleet(c.engine, None, front_end(c.replica.engine), r.stay)
    needed, each = fewest(fleet, load, built, r.rate, targets)
    done = verified(fleet._replace(needed=needed), fresh, built, targets, headroom, seed + FRESH)
    if done is None:
        return None
    settled, checks = done
    serves = settled.needed * each if settled.needed == needed else built
    return sized(workload, system, c, None, settled, checks, serves, price, headroom, load)


def _apart(
    workload: Workload,
    system: System,
    found: Sequence[Mesh],
    load: Load,
    fresh: Load,
    targets: Targets,
    price: float,
    headroom: float,
    seed: int,
) -> Iterator[Sized]:
    """Fleets with prompts and decoding apart, of the engine and precision whose closed form is best."""

    def promise(mesh: Mesh) -> float:
        read = np.where(mesh.fits & (mesh.first <= targets.ttft), mesh.reading * mesh.accelerators, np.inf)
        rate = steady_rates(mesh, load, targets)[1] / mesh.accelerators
        return -float(read.min() + 1 / max(float(rate.max()), 1e-30))

    mesh = max(found, key=promise)
    decoding = steady_rates(mesh, load, targets)[1]
    answer, built = float(load.output.mean()), workload.built_for
    readers, writers = [], []
    for row in reading_rows(mesh, targets):
        c = _candidate(mesh, row, load)
        guess = 1 / float(mesh.reading[row])
        group = group_of(built, guess, GROUP)
        rate = reading_rate(c, load, targets, guess, float(mesh.first[row]), group)
        if rate > 0:
            readers.append(_Rated(c, rate, float(mesh.first[row])))
    for row in writing_rows(mesh, decoding):
        c = _whole(mesh, row, load)
        stay = answer * _pace(mesh.alone[row], targets.tpot)
        rate = writing_rate(c, load, targets, float(decoding[row]), stay)
        if rate > 0:
            writers.append(_Rated(_candidate(mesh, row, load), rate, stay))
    if not readers or not writers:
        return
    before = max(readers, key=lambda r: r.rate / r.candidate.accelerators)
    writers.sort(key=lambda r: -r.rate / r.candidate.accelerators)
    for after in writers[:2]:
        across = handover(before.candidate, after.candidate, after.rate / before.rate, system, load)
        scale = 1.0
        if load.trace is None and load.cached.any():
            scale = float(load.input.mean() / load.read.mean())
        fleet = Fleet(
            after.candidate.engine,
            before.candidate.engine,
            front_end(after.candidate.replica.engine),
            before.stay + after.stay,
            (across.latency, across.per_token * scale),
            math.ceil(built / after.rate),
            math.ceil(built / before.rate),
        )
        done = verified(fleet, fresh, built, targets, headroom, seed + FRESH)
        if done is None:
            continue
        settled, checks = done
        serves = min(fleet.needed * after.rate, fleet.prefill_needed * before.rate)
        serves = serves if settled[-2:] == fleet[-2:] else built
        yield sized(
            workload,
            system,
            after.candidate,
            before.candidate,
            settled,
            checks,
            serves,
            price,
            headroom,
            load,
            across,
        )


def _distinct(rated: Sequence[_Rated]) -> list[_Rated]:
    """The first of those that differ in nothing but the budget of a step."""
    first: dict[object, _Rated] = {}
    for r in rated:
        one = r.candidate.replica
        first.setdefault((one.layout, one.engine, one.precision), r)
    return list(first.values())


def _missed(idle: Sequence[Trial], targets: Targets, system: str) -> Infeasible:
    """The target that the idle replica which comes closest misses by the largest factor."""
    if not idle:
        return Infeasible(system, "number of replicas that hold the targets together", math.inf, 1.0)
    names = ("time to first token", "time per output token", "end-to-end time")

    def misses(told: Trial) -> list[float]:
        over = [t / limit for t, limit in zip(told.times, targets.limits, strict=True)]
        return [*over, (1 - told.good) / (1 - targets.goodput)]

    nearest = min(idle, key=lambda told: max(misses(told)))
    factors = misses(nearest)
    worst = max(range(4), key=lambda i: factors[i])
    if worst == 3:
        what = "share of requests of an idle replica that miss a target"
        return Infeasible(system, what, 1 - nearest.good, 1 - targets.goodput)
    what = f"{names[worst]} of an idle replica [s]"
    return Infeasible(system, what, nearest.times[worst], targets.limits[worst])
