"""Read a deployment file, or a built-in one: all problems at once, each with line, column, cause and cure."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path as FilePath
from typing import TypeVar

import numpy as np
from pydantic import ValidationError

from armillary.catalog import Catalog
from armillary.errors import ArmillaryError, ScenarioError, did_you_mean
from armillary.model import Transformer, transformer
from armillary.scenario.deployment_schema import (
    DeploymentSpec,
    LayoutSpec,
    PoolSpec,
    ScaleSpec,
    TrafficSpec,
)
from armillary.scenario.field_errors import field_problems
from armillary.scenario.files import builtin, mapping, written
from armillary.scenario.yaml_source import Path, Problem
from armillary.serving.calibration import engines
from armillary.serving.degrees import degree_fault
from armillary.serving.demand import Demand, requests
from armillary.serving.deployment import LEAST_INTERVAL, Failures, Scaling
from armillary.serving.diurnal import DAY, DayShape, named_shape
from armillary.serving.fleet import ServedPool, default_precision
from armillary.serving.layout import EngineLayout
from armillary.serving.lengths import Mix
from armillary.serving.mixes import named_mix
from armillary.serving.precision import precision
from armillary.serving.requests import Requests
from armillary.serving.service import KnownOutage, Service, Stream, check_lengths, pool_for, replayed
from armillary.serving.traces import read as read_trace

MOST_REQUESTS = 50_000_000
"""Of drawn traffic; more is for `serve day`. [-]"""
T = TypeVar("T")


def builtin_deployments() -> list[str]:
    """Names of the deployment files that come with the package."""
    return builtin("deployment")


def read_deployment(where: str, catalog: Catalog) -> Service:
    """Read a deployment from a file, or a built-in one by its name.

    Raises
    ------
    ScenarioError
        With one line a problem: ``file:line:column: error: field: cause``, and hints.
    """
    text, name, folder = written(where, "deployment")
    return parse_deployment(text, name, catalog, folder)


def parse_deployment(text: str, name: str, catalog: Catalog, folder: FilePath) -> Service:
    """Read a deployment from text; `folder` is what paths in it are relative to.

    Raises
    ------
    ScenarioError
        As `read_deployment`.
    """
    source = mapping(text, name, "deployment")
    try:
        spec = DeploymentSpec.model_validate(source.data)
    except ValidationError as error:
        raise ScenarioError(source.render(field_problems(error, source, DeploymentSpec))) from None
    resolver = _Resolver(spec, catalog, folder)
    service = resolver.service()
    if resolver.problems:
        raise ScenarioError(source.render(resolver.problems))
    return service


class _Resolver:
    """Collects problems while it resolves; nothing is raised for what a file says."""

    def __init__(self, spec: DeploymentSpec, catalog: Catalog, folder: FilePath) -> None:
        self.spec, self.catalog, self.folder = spec, catalog, folder
        self.problems: list[Problem] = []

    def attempt(self, path: Path, what: Callable[[], T], hint: str = "") -> T | None:
        try:
            return what()
        except ArmillaryError as error:
            self.problems.append(Problem(path, str(error), hint))
        return None

    def service(self) -> Service:
        """Resolve everything; look at `problems` before using it."""
        s = self.spec
        pools = [p for name, one in s.pools.items() if (p := self.pool(name, one)) is not None]
        models = {p.model.name: p.model for p in pools}
        whole = len(pools) == len(s.pools)
        streams = [
            found
            for i, (name, one) in enumerate(s.traffic.items())
            if (found := self.stream(i, name, one, models, whole)) is not None
        ]
        if whole and len(streams) == len(s.traffic):
            for pool in pools:
                self.attempt(("pools", pool.name), partial(pool_for, pool, streams))
        limits = (s.targets.ttft, s.targets.tpot, s.targets.e2e)
        ttft, tpot, e2e = (math.inf if limit is None else limit for limit in limits)
        return Service(
            tuple(pools), tuple(streams), self.latency(), self.outages(), s.routing, s.retries, s.guard,
            s.seed, s.prefix_cache, ttft, tpot, e2e,
        )  # fmt: skip

    def pool(self, name: str, spec: PoolSpec) -> ServedPool | None:
        """A pool with its records of the catalog."""
        place: Path = ("pools", name)
        entry = self.attempt((*place, "model"), partial(self.catalog.model, spec.model))
        system = self.attempt((*place, "system"), partial(self.catalog.system, spec.system))
        if entry is None or system is None:
            return None
        model: Transformer = transformer(entry)
        chip = self.catalog.accelerator(system.accelerator)
        chosen = self.attempt(
            (*place, "precision"), partial(precision, spec.precision or default_precision(model, chip))
        )
        if spec.engine not in engines():
            hint = f"known: {', '.join(engines())}"
            words = f"unknown serving engine {spec.engine!r}{did_you_mean(spec.engine, engines())}"
            self.problems.append(Problem((*place, "engine"), words, hint))
            return None
        layout = self.layout((*place, "layout"), spec.layout, model, system.scale_up_size)
        prefill, count, prefill_scaling = None, 0, None
        if spec.prefill is not None:
            where = (*place, "prefill")
            prefill = self.layout((*where, "layout"), spec.prefill.layout, model, system.scale_up_size)
            count = spec.prefill.replicas
            prefill_scaling = self.scaling((*where, "scale"), spec.prefill.scale)
        if chosen is None or layout is None or (spec.prefill is not None and prefill is None):
            return None
        return ServedPool(
            name,
            model,
            system,
            chip,
            chosen,
            layout,
            spec.replicas,
            prefill,
            count,
            spec.transfer,
            spec.engine,
            spec.drafts,
            spec.region,
            spec.queue_limit,
            math.inf if spec.spill is None else spec.spill,
            self.scaling((*place, "scale"), spec.scale),
            prefill_scaling,
            None if spec.failures is None else Failures(spec.failures.mtbf, spec.failures.mttr),
            spec.host_memory or 0.0,
        )

    def layout(self, place: Path, spec: LayoutSpec, model: Transformer, domain: int) -> EngineLayout | None:
        """Degrees that the model can have, experts over all ranks by default."""
        ranks = spec.tp * spec.dp
        moe = any(getattr(k.feed_forward, "experts", 0) for k in model.kinds())
        if spec.ep is not None and ranks % spec.ep:
            self.problems.append(
                Problem((*place, "ep"), f"{spec.ep} does not divide the {ranks} ranks of tp x dp")
            )
            return None
        layout = EngineLayout(spec.tp, spec.pp, spec.dp, spec.ep or (ranks if moe else 1), domain)
        if fault := degree_fault(model, layout):
            self.problems.append(Problem((*place, fault[0]), fault[1]))
            return None
        return layout

    def scaling(self, place: Path, spec: ScaleSpec | None) -> Scaling | None:
        """Scaling that looks at sensible intervals, with least and most in order."""
        if spec is None:
            return None
        if spec.least > spec.most:
            self.problems.append(
                Problem((*place, "least"), f"{spec.least} is above most, {spec.most}", "exchange them")
            )
        if spec.every < LEAST_INTERVAL:
            words = f"{spec.every:g} s is below {LEAST_INTERVAL:g} s"
            self.problems.append(Problem((*place, "every"), words, "look less often"))
        return Scaling(spec.target, spec.every, spec.start_up, spec.least, spec.most)

    def stream(
        self, index: int, name: str, spec: TrafficSpec, models: dict[str, Transformer], whole: bool
    ) -> Stream | None:
        """Requests of a kind of user, drawn or from a trace."""
        place: Path = ("traffic", name)
        ways = [way for way in ("trace", "rate", "messages") if getattr(spec, way) is not None]
        if len(ways) != 1:
            what = f"has {' and '.join(ways)}" if ways else "says nothing of how much is asked"
            self.problems.append(Problem(place, what, "give one of trace, rate and messages"))
            return None
        entry = self.attempt((*place, "model"), partial(self.catalog.model, spec.model))
        if entry is None:
            return None
        served = transformer(entry).name
        if served not in models:
            if whole:
                self.problems.append(
                    Problem(
                        (*place, "model"),
                        f"no pool serves {spec.model!r}{did_you_mean(spec.model, models)}",
                        f"served: {', '.join(models)}",
                    )
                )
            return None
        way = ways[0]
        mix = self.attempt((*place, "mix"), partial(named_mix, spec.mix))
        shape = self.attempt((*place, "shape"), partial(named_shape, spec.shape))
        if mix is None or shape is None:
            return None
        asked = self.attempt((*place, way), partial(self.requests, index, spec, mix.mix, shape))
        if asked is None:
            return None
        context = models[served].context
        self.attempt((*place, way), partial(check_lengths, asked, context, served, name))
        timeout = math.inf if spec.timeout is None else spec.timeout
        return Stream(name, served, asked, spec.region, spec.priority, timeout)

    def requests(self, index: int, spec: TrafficSpec, mix: Mix, shape: DayShape) -> Requests:
        """Arrivals and lengths of one kind of user."""
        if spec.trace is not None:
            return replayed(read_trace(self.folder / spec.trace))
        if spec.rate is not None:
            demand, start = Demand(spec.rate * DAY, mix, burstiness=spec.burstiness), 0.0
        else:
            demand = Demand((spec.messages or 0.0) * DAY, mix, shape, spec.burstiness)
            start = spec.start
        expected = demand.messages_per_day / DAY * self.spec.duration
        if expected > MOST_REQUESTS:
            raise ScenarioError(
                f"about {expected:.3g} requests in {self.spec.duration:g} s are more than {MOST_REQUESTS:,}; "
                f"shorten duration, or ask `serve day`"
            )
        seed = self.spec.seed * 10_007 + index
        drawn = list(requests(demand, seed=seed, start=start, duration=self.spec.duration))
        if not sum(len(part.arrival) for part in drawn):
            raise ScenarioError(f"brings no request within {self.spec.duration:g} s; lengthen duration")
        arrival, prompts, answers = (np.concatenate([part[i] for part in drawn]) for i in range(3))
        return Requests(np.maximum(arrival - start, 0.0), prompts, answers)

    def latency(self) -> dict[tuple[str, str], float]:
        """Latency of every pair of regions that requests may cross."""
        s = self.spec
        known: dict[tuple[str, str], float] = {}
        regions = [*(p.region for p in s.pools.values()), *(t.region for t in s.traffic.values())]
        regions = list(dict.fromkeys(regions))
        for i, one in enumerate(s.latency):
            place: Path = ("latency", i, "between")
            for region in one.between:
                if region not in regions:
                    hint = f"regions are {', '.join(r for r in regions if r) or 'not named by any pool'}"
                    self.problems.append(
                        Problem(place, f"unknown region {region!r}{did_you_mean(region, regions)}", hint)
                    )
            first, second = one.between
            if first == second or (first, second) in known or (second, first) in known:
                self.problems.append(
                    Problem(place, "names a pair of regions that needs no latency, or twice")
                )
            known[first, second] = one.time
        for i, first in enumerate(regions):
            for second in regions[i + 1 :]:
                if (first, second) not in known and (second, first) not in known:
                    words = f"between {first or 'no region'} and {second or 'no region'} is missing"
                    hint = f"- {{between: [{first}, {second}], time: 40 ms}}"
                    self.problems.append(
                        Problem(
                            ("latency",), words, hint if first and second else "give all a region, or none"
                        )
                    )
        return known

    def outages(self) -> tuple[KnownOutage, ...]:
        """Outages of replicas that are there."""
        found = []
        for i, one in enumerate(self.spec.outages):
            place: Path = ("outages", i)
            pool = self.spec.pools.get(one.pool)
            if pool is None:
                near = did_you_mean(one.pool, self.spec.pools)
                hint = f"pools are {', '.join(self.spec.pools)}"
                self.problems.append(Problem((*place, "pool"), f"unknown pool {one.pool!r}{near}", hint))
                continue
            if one.prompts and pool.prefill is None:
                self.problems.append(
                    Problem((*place, "prompts"), f"no replica of {one.pool} only reads prompts")
                )
                continue
            side = pool.prefill if one.prompts and pool.prefill is not None else pool
            room = max(side.replicas, side.scale.most) if side.scale is not None else side.replicas
            if one.replica >= room:
                self.problems.append(
                    Problem(
                        (*place, "replica"), f"{one.replica} is not there", f"{one.pool} has 0 to {room - 1}"
                    )
                )
            found.append(KnownOutage(one.pool, one.replica, one.at, one.duration, one.prompts))
        return tuple(found)
