"""From what a file says of a served model to demand, targets and places. Imports serving and the schema."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

from armillary.catalog import Accelerator
from armillary.errors import did_you_mean
from armillary.model import Transformer
from armillary.scenario.collector import Collector
from armillary.scenario.scenario import Cluster, ServedDemand, ServedOn, ServingWorkload
from armillary.scenario.serving_spec import DemandSpec, ServingSpec, TargetsSpec
from armillary.scenario.yaml_source import Path, Problem
from armillary.serving import precision, sustained
from armillary.serving.agents import AgentWork, agent_work
from armillary.serving.decomposition import Stream, decomposition
from armillary.serving.demand import messages_of_users
from armillary.serving.diurnal import DAY, named_shape
from armillary.serving.lengths import Joint, Lengths, Lognormal, Mix, joint
from armillary.serving.mixes import named_mix
from armillary.serving.traces import Trace, read
from armillary.serving.workload import Targets, Workload, drawn

DEFAULT_MIX = "azure-2023-conversation"
"""Lengths where a file says none, as `armillary serve` takes them."""
SEED = 0
"""Of the requests that are drawn, here and in the sizing. [-]"""


def serving_workload(
    into: Collector,
    name: str,
    spec: ServingSpec,
    model: Transformer | None,
    clusters: Mapping[str, Cluster],
    stated: Mapping[str, Any],
    start: str,
) -> ServingWorkload | None:
    """A served model; None where something is wrong, which is then among the problems.

    Parameters
    ----------
    into : Collector
    name : str
        Of the workload.
    spec : ServingSpec
    model : Transformer or None
        None where it is not understood, which is a problem already.
    clusters, stated : mapping
        Those that are understood, and those that the file has.
    start : str
        First month of the plan, empty where the file has no date.
    """
    place: Path = ("workloads", name)
    before = len(into.problems)
    places = _places(into, place, spec, clusters, stated)
    targets = _targets(into, place, spec.targets)
    work = _agents(into, place, spec)
    demand = _demand(into, (*place, "demand"), spec.demand, work, start)
    chosen = into.attempt((*place, "precision"), partial(precision, spec.precision))
    if chosen is not None:
        for chip, nic in _chips(clusters, places):
            into.attempt((*place, "engine"), partial(sustained, chip, spec.engine, chosen, nic))
    if model is not None and demand is not None:
        _within_context(into, (*place, "demand"), demand.lengths, model)
    if len(into.problems) > before or model is None or demand is None or not places:
        return None
    return ServingWorkload(
        name,
        model,
        spec.model,
        demand,
        targets,
        places,
        bool(spec.systems),
        spec.precision,
        spec.engine,
        spec.drafts,
        spec.headroom,
        spec.priority,
        work,
    )


def _places(
    into: Collector,
    place: Path,
    spec: ServingSpec,
    clusters: Mapping[str, Cluster],
    stated: Mapping[str, Any],
) -> tuple[ServedOn, ...]:
    """Partitions that a workload may use, in the order of `systems` where the file says it."""
    for i, name in enumerate(spec.clusters):
        if name not in stated:
            into.problems.append(
                Problem(
                    (*place, "clusters", i),
                    f"no cluster {name!r}{did_you_mean(name, stated)}",
                    f"clusters are {', '.join(stated)}",
                )
            )
    _no_doubles(into, (*place, "clusters"), spec.clusters)
    named = spec.clusters or tuple(stated)
    there = [clusters[name] for name in named if name in clusters]
    all_places = [ServedOn(c.name, p.system.name) for c in there for p in c.machine.partitions]
    if not spec.systems:
        return tuple(all_places)
    found: list[ServedOn] = []
    systems = []
    for i, asked in enumerate(spec.systems):
        where = (*place, "systems", i)
        system = into.attempt(where, partial(into.catalog.system, asked))
        if system is None:
            continue
        systems.append(system.name)
        here = [one for one in all_places if one.system == system.name]
        if not here and len(there) == len(named):  # else a cluster's own problem may be the cause
            known = ", ".join(dict.fromkeys(one.system for one in all_places))
            into.problems.append(
                Problem(where, f"no {system.name} in {', '.join(named)}", f"there are {known}")
            )
        found += here
    _no_doubles(into, (*place, "systems"), tuple(systems))
    return tuple(found)


def _no_doubles(into: Collector, place: Path, names: tuple[str, ...]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        into.problems.append(Problem(place, f"{', '.join(twice)} is given twice", "keep one of them"))


def _targets(into: Collector, place: Path, spec: TargetsSpec) -> Targets:
    stated = {
        name: limit
        for name, limit in (("ttft", spec.ttft), ("tpot", spec.tpot), ("e2e", spec.e2e))
        if limit is not None
    }
    where = (*place, "targets")
    if not stated:
        into.problems.append(
            Problem(where, "has no latency to hold", "give one or more of ttft, tpot and e2e")
        )
        return Targets()
    own = {f"{name}_percentile": limit.percentile for name, limit in stated.items()}
    return Targets(**{name: limit.seconds for name, limit in stated.items()}, **own)


def _agents(into: Collector, place: Path, spec: ServingSpec) -> AgentWork | None:
    """Work of a task: that of the facts, changed by what is stated."""
    of_tasks = spec.demand.tasks is not None or spec.demand.stream == "agents"
    if spec.agents is None and not of_tasks:
        return None
    stated = {} if spec.agents is None else dict(spec.agents)  # as values, not as they are written
    given = {name: value for name, value in stated.items() if value is not None}
    found: AgentWork | None = into.attempt((*place, "agents"), lambda: agent_work(**given))
    return found


class _Volume(NamedTuple):
    """messages : mean of a day [1/s]. source : in words."""

    messages: float
    source: str


def _demand(
    into: Collector, place: Path, spec: DemandSpec, work: AgentWork | None, start: str
) -> ServedDemand | None:
    trace: Trace | None = None
    if spec.trace is not None:
        path = into.folder / spec.trace
        # A device or a pipe may never end.
        if "\0" in spec.trace or (path.exists() and not path.is_file()):
            into.problems.append(Problem((*place, "trace"), f"{path} is not a file", "give a trace's path"))
            return None
        trace = into.attempt((*place, "trace"), lambda: read(path))
        if trace is None:
            return None
    calls = {} if work is None else {"agent_model_calls": work.model_calls}
    stream: Stream | None = None
    if spec.stream is not None:
        stream = getattr(decomposition(**(calls if spec.stream == "agents" else {})), spec.stream)
    volume = _volume(into, place, spec, stream, trace, work)
    lengths = _lengths(into, place, spec, stream, trace)
    shape = into.attempt((*place, "shape"), lambda: named_shape(spec.shape))
    since = spec.start or start
    if not since:
        into.problems.append(
            Problem(place, "has no month to begin with", "give from:, or a partition's ready:, or a contract")
        )
    if volume is None or lengths is None or shape is None or not since:
        return None
    cached = lengths.mean.cached
    share = "" if spec.share == 1 else f", {spec.share:.3g} of it here"
    return ServedDemand(
        volume.messages * spec.share,
        lengths,
        cached,
        spec.reuse,
        shape,
        spec.growth,
        since,
        volume.source + share,
        "" if stream is None else stream.name,
        () if stream is None else stream.assumed,
    )


def _volume(
    into: Collector,
    place: Path,
    spec: DemandSpec,
    stream: Stream | None,
    trace: Trace | None,
    work: AgentWork | None,
) -> _Volume | None:
    """Messages per second, by the one of several ways that the file says it in."""
    ways = {
        "stream": stream is not None,
        "messages": spec.messages is not None,
        "users": spec.users is not None,
        "tasks": spec.tasks is not None,
    }
    stated = [name for name, given in ways.items() if given]
    if (spec.users is None) != (spec.each is None):
        into.problems.append(
            Problem(place, "users: and each: go together", "e.g. users: 800e6, each: 3.2 per day")
        )
        return None
    if len(stated) > 1:
        into.problems.append(
            Problem(
                (*place, stated[1]), f"says how much a second time, after {stated[0]}:", "keep one of them"
            )
        )
        return None
    found: _Volume | None = None
    if stream is not None:
        found = _Volume(stream.messages_per_second, f"facts of demand: {stream.name}")
    elif spec.messages is not None:
        found = _Volume(spec.messages, "messages stated in the scenario")
    elif spec.users is not None and spec.each is not None:
        a_day = messages_of_users(spec.users, spec.each, period=1.0)
        found = _Volume(a_day / DAY, f"{spec.users:,.0f} users stated in the scenario")
    elif spec.tasks is not None and work is not None:
        found = _Volume(spec.tasks * work.model_calls, "tasks of agents stated in the scenario")
    elif trace is not None:
        span = float(trace.arrival[-1])
        if span > 0:
            found = _Volume(trace.requests / span, f"rate of the trace {spec.trace}")
        else:
            into.problems.append(
                Problem((*place, "trace"), "has no two arrivals apart to tell a rate by", "give messages:")
            )
            return None
    if found is None:
        into.problems.append(
            Problem(
                place,
                "says not how much is asked",
                "give one of stream, messages, users with each, tasks, or a trace",
            )
        )
    elif not found.messages > 0:
        into.problems.append(Problem((*place, *stated[:1]), "asks for nothing", "give a rate above 0"))
        return None
    return found


def _lengths(
    into: Collector, place: Path, spec: DemandSpec, stream: Stream | None, trace: Trace | None
) -> Lengths | None:
    """Of a trace, or of a mix stretched to the means that are stated or are the stream's."""
    if trace is not None:
        for name in ("mix", "input", "output"):
            if getattr(spec, name) is not None:
                into.problems.append(
                    Problem((*place, name), "is told by the trace, too", f"keep trace: or {name}:")
                )
        found: Joint | None = into.attempt((*place, "trace"), lambda: joint(trace, spec.cached))
        return found
    mix = into.attempt((*place, "mix"), lambda: named_mix(spec.mix or DEFAULT_MIX))
    if mix is None:
        return None
    means = (spec.input, spec.output)
    if stream is not None:
        means = (spec.input or stream.input, spec.output or stream.output)
    cached = spec.cached if spec.cached is not None else (0.0 if stream is None else stream.cached)
    sides = [
        _stretched(into, (*place, name), base, mean)
        for name, base, mean in zip(("input", "output"), (mix.mix.input, mix.mix.output), means, strict=True)
    ]
    given, made = sides
    return None if given is None or made is None else Mix(given, made, cached)


def _stretched(into: Collector, place: Path, base: Lognormal, mean: float | None) -> Lognormal | None:
    """The lognormal with all lengths times one factor, so that its mean is as asked."""
    if mean is None:
        return base
    factor = mean / base.mean
    found: Lognormal | None = into.attempt(
        place, lambda: Lognormal(max(base.median * factor, 1.0), base.sigma, max(base.most * factor, 1.0))
    )
    return found


def _within_context(into: Collector, place: Path, lengths: Lengths, model: Transformer) -> None:
    """Refuse lengths that the model's context does not hold: the requests that the sizing will draw."""
    if not model.context:
        return
    load = drawn(Workload(1.0, 1.0, lengths), SEED)
    whole = load.input + load.output
    over = int((whole > model.context).sum())
    if over:
        into.problems.append(
            Problem(
                place,
                f"{over:,} of {len(whole):,} drawn requests are longer than the context of {model.name}, "
                f"{model.context:,} tokens; the longest has {int(whole.max()):,}",
                "ask for shorter ones, or take a model with a longer context",
            )
        )


def _chips(clusters: Mapping[str, Cluster], places: tuple[ServedOn, ...]) -> list[tuple[Accelerator, float]]:
    """Accelerators of the places, each with the bandwidth of its network card [byte/s]."""
    found = {}
    for one in places:
        for p in clusters[one.cluster].machine.partitions:
            if p.system.name == one.system:
                found[p.system.name] = (p.accelerator, p.system.nic_bandwidth)
    return list(found.values())
