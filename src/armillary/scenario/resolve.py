"""From the file's values to machines, models and workloads; contradictions become problems with a place."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import fields
from functools import partial
from pathlib import Path as FilePath
from typing import Any

from armillary.catalog import Accelerator, Catalog, System
from armillary.errors import ArmillaryError, InputError, did_you_mean
from armillary.machine import Machine, Partition, Ring, preset_rings
from armillary.model import (
    Architecture,
    Transformer,
    customise,
    hugging_face_record,
    transformer,
)
from armillary.scenario.months import MONTH, QUARTER, later
from armillary.scenario.portfolio_resolve import purchasing
from armillary.scenario.purchasing import Purchasing
from armillary.scenario.scenario import (
    Cluster,
    Contract,
    Horizon,
    Scenario,
    ServingWorkload,
    StatedFact,
    TrainingWorkload,
)
from armillary.scenario.schema import ClusterSpec, ContractSpec, ModelSpec, ScenarioSpec, TrainingSpec
from armillary.scenario.serving_resolve import serving_workload
from armillary.scenario.serving_spec import ServingSpec
from armillary.scenario.training_resolve import overbooked, training_workload
from armillary.scenario.yaml_source import Path, Problem

MOST_QUARTERS = 200
"""Half a century ahead is taken for a slip."""
MOST_ACCELERATORS = 20_000_000
"""More than all shipped so far on one network is taken for a slip."""


class Resolver:
    """Collects problems while it resolves; nothing is raised for what a file says."""

    def __init__(self, spec: ScenarioSpec, catalog: Catalog, folder: FilePath) -> None:
        self.spec, self.catalog, self.folder = spec, catalog, folder
        self.problems: list[Problem] = []
        self.assumed: list[str] = []

    def attempt(self, path: Path, what: Callable[[], Any], hint: str = "") -> Any:
        """Run `what`; an error of ours becomes a problem at `path`, and None comes back."""
        try:
            return what()
        except ArmillaryError as error:
            self.problems.append(Problem(path, str(error), hint))
        return None

    def scenario(self) -> Scenario:
        """Resolve everything; look at `problems` before using it."""
        s = self.spec
        clusters = {name: self.cluster(name, c) for name, c in s.clusters.items()}
        models = {name: self.model(name, m) for name, m in s.models.items()}
        known_clusters = {k: c for k, c in clusters.items() if c is not None}
        workloads = {
            name: w
            for name, spec in s.workloads.items()
            if isinstance(spec, TrainingSpec)
            and (w := self.trained(name, spec, known_clusters, models)) is not None
        }
        horizon = self.horizon()
        serving = {
            name: served
            for name, spec in s.workloads.items()
            if isinstance(spec, ServingSpec)
            and (served := self.served(name, spec, known_clusters, models, horizon)) is not None
        }
        overbooked(self, workloads, known_clusters)
        contracts = {name: self.contract(name, c) for name, c in s.contracts.items()}
        self.too_late()
        bought = self.purchasing(contracts, workloads, serving)
        return Scenario(
            s.name,
            s.about,
            known_clusters,
            {k: m for k, m in models.items() if m is not None},
            workloads,
            contracts,
            tuple(StatedFact(f.about, f.says, f.source) for f in s.facts),
            s.questions,
            written := s.model_dump(mode="json", by_alias=True),
            frozenset(_absent(written, s.model_dump(mode="json", by_alias=True, exclude_unset=True))),
            serving,
            horizon,
            bought,
            tuple(self.assumed),
        )

    def purchasing(
        self,
        contracts: dict[str, Contract],
        runs: dict[str, TrainingWorkload],
        served: dict[str, ServingWorkload],
    ) -> Purchasing | None:
        """What can be bought, where the file says it."""
        s = self.spec
        if s.portfolio is None:
            everything = ScenarioSpec.model_fields["questions"].default
            if "portfolio" in s.questions and s.questions != everything:
                self.problems.append(
                    Problem(
                        ("questions", s.questions.index("portfolio")),
                        "asks what to buy, and the file does not say what can be bought",
                        "add a portfolio: (docs/portfolio.md)",
                    )
                )
            return None
        written = [*s.workloads]
        if len(runs) + len(served) < len(written):
            return None  # workloads have problems of their own
        return purchasing(self, s.portfolio, contracts, runs, served, tuple(s.contracts))

    def horizon(self) -> Horizon | None:
        """Time that is planned for: from the first month that something is ready, over the longest term."""
        s = self.spec
        ready = [p.ready for c in s.clusters.values() for p in c.partitions if p.ready is not None]
        starts = [c.start for c in s.contracts.values()]
        asked = [
            w.demand.start
            for w in s.workloads.values()
            if isinstance(w, ServingSpec) and w.demand.start is not None
        ]
        start = min(ready or starts or asked, default=None)
        term = s.horizon or max((c.term for c in s.contracts.values()), default=4 * QUARTER)
        quarters = max(round(term / QUARTER), 1)
        if quarters > MOST_QUARTERS:
            self.problems.append(
                Problem(("horizon",), f"{quarters:,} quarters are more than sensible ({MOST_QUARTERS})")
            )
            return None
        return None if start is None else Horizon(start, quarters)

    def trained(
        self,
        name: str,
        spec: TrainingSpec,
        clusters: dict[str, Cluster],
        models: dict[str, Transformer | None],
    ) -> TrainingWorkload | None:
        """A training run."""
        model = self.named_model(("workloads", name, "model"), spec.model, models)
        return training_workload(self, name, spec, model, clusters, self.spec.clusters)

    def served(
        self,
        name: str,
        spec: ServingSpec,
        clusters: dict[str, Cluster],
        models: dict[str, Transformer | None],
        horizon: Horizon | None,
    ) -> ServingWorkload | None:
        """A model that is served."""
        model = self.named_model(("workloads", name, "model"), spec.model, models)
        start = "" if horizon is None else horizon.start
        first = spec.demand.start
        if horizon is not None and first is not None and first >= later(start, 3 * horizon.quarters):
            self.problems.append(
                Problem(
                    ("workloads", name, "demand", "from"),
                    f"{first} is after the plan of {horizon.quarters} quarters from {start} ends",
                    "plan for longer with horizon:",
                )
            )
        return serving_workload(self, name, spec, model, clusters, self.spec.clusters, start)

    def cluster(self, name: str, spec: ClusterSpec) -> Cluster | None:
        """A cluster with its machine."""
        place: Path = ("clusters", name)
        partitions = []
        for i, p in enumerate(spec.partitions):
            where = (*place, "partitions", i, "system")
            system: System | None = self.attempt(where, partial(self.catalog.system, p.system))
            if system is None:
                continue
            chip: Accelerator = self.catalog.accelerator(system.accelerator)
            partitions.append(Partition(system, chip, p.count, p.ready or ""))
        if len(partitions) < len(spec.partitions):
            return None
        names = [p.system.name for p in partitions]
        if len(set(names)) < len(names):
            self.problems.append(
                Problem(
                    (*place, "partitions"), "the same system stands in two partitions", "add their counts up"
                )
            )
        total = sum(p.accelerators for p in partitions)
        if total > MOST_ACCELERATORS:
            self.problems.append(
                Problem(
                    (*place, "partitions"),
                    f"{total:,} accelerators are more than sensible ({MOST_ACCELERATORS:,})",
                )
            )
            return None
        rings = self.rings(place, spec, partitions, total)
        price, source = spec.price, "stated in the scenario"
        if price is None:
            price, source = self.mean_price(partitions)
        machine = Machine(name, tuple(partitions), rings)
        return Cluster(name, spec.provider, machine, price, source if price is not None else "", spec.pue)

    def mean_price(self, partitions: list[Partition]) -> tuple[float | None, str]:
        """The catalog's price of an accelerator, a mean over the partitions; None where one has no offer."""
        offers = [self.catalog.price(p.system.name) for p in partitions]
        known = [offer for offer in offers if offer is not None]
        if len(known) < len(partitions):
            return None, ""
        counts = [p.accelerators for p in partitions]
        mean = sum(o.price * n for o, n in zip(known, counts, strict=True)) / sum(counts)
        names = ", ".join(dict.fromkeys(o.name for o in known))
        return mean, f"catalog: {names}" if len(known) == 1 else f"catalog, mean by accelerators: {names}"

    def rings(
        self, place: Path, spec: ClusterSpec, partitions: list[Partition], total: int
    ) -> tuple[Ring, ...]:
        """Rings above the scale-up domain."""
        network = spec.network
        nic = max(p.system.nic_bandwidth for p in partitions)
        latency = max(p.system.nic_latency for p in partitions)
        if network.rings and network.preset:
            self.problems.append(
                Problem((*place, "network"), "has both a preset and rings", "keep one of them")
            )
        if not network.rings:
            return preset_rings(network.preset or "flat", total, nic, latency, network.oversubscription)
        rings = []
        inside = max(p.system.scale_up_size for p in partitions)
        for i, r in enumerate(network.rings):
            where = (*place, "network", "rings", i)
            size = r.size or total
            if size < inside:
                self.problems.append(
                    Problem(
                        (*where, "size"),
                        f"{size:,} accelerators are fewer than the {inside:,} of the ring inside it",
                    )
                )
            if i == len(network.rings) - 1 and size < total:
                self.problems.append(
                    Problem(
                        (*where, "size"),
                        f"the outermost ring holds {size:,} of {total:,} accelerators",
                        "leave size out to hold all",
                    )
                )
            ratio = r.oversubscription * (network.oversubscription if i == len(network.rings) - 1 else 1.0)
            rings.append(Ring(r.name, size, (r.bandwidth or nic) / ratio, r.latency or latency, ratio))
            inside = size
        if len({r.name for r in rings} | {"scale-up"}) < len(rings) + 1:
            self.problems.append(Problem((*place, "network", "rings"), "two rings have the same name"))
        return tuple(rings)

    def model(self, name: str, spec: str | ModelSpec) -> Transformer | None:
        """A model of the file."""
        place: Path = ("models", name)
        if isinstance(spec, str):
            found: Transformer | None = self.attempt(place, lambda: transformer(self.catalog.model(spec)))
            return found
        changes = dict(spec.model_extra or {})
        if (spec.like is None) == (spec.config is None):
            self.problems.append(
                Problem(
                    place,
                    "needs either like: or config:",
                    "like: a catalog name, or config: a path of a config.json",
                )
            )
            return None
        if spec.config is not None:
            if changes:
                self.problems.append(
                    Problem(place, f"config: takes no other fields, got {', '.join(changes)}")
                )
            path = self.folder / spec.config

            def built() -> Transformer:
                read = hugging_face_record(path)
                if read.note:
                    self.assumed.append(f"models.{name}.config: {path.name}: {read.note}")
                return transformer(read)

            from_file: Transformer | None = self.attempt((*place, "config"), built)
            return from_file
        like = spec.like or ""
        record = self.attempt((*place, "like"), lambda: self.catalog.model(like))
        if record is None:
            return None
        known = [f.name for f in fields(Architecture)]
        unknown = [field for field in changes if field not in known]
        for field in unknown:
            self.problems.append(
                Problem(
                    (*place, field),
                    f"unknown field{did_you_mean(field, known)}",
                    "docs/model.md lists the fields",
                )
            )
        if unknown:
            return None
        try:
            return customise(record, name, **changes)
        except InputError as error:
            said = str(error)
            wrong = [f for f in changes if re.search(rf"\b{re.escape(f)}\b", said.split(": ", 1)[-1])]
            self.problems.append(Problem((*place, *wrong[:1]), said))
            return None

    def named_model(
        self, place: Path, name: str, models: dict[str, Transformer | None]
    ) -> Transformer | None:
        """A model of the file, or of the catalog."""
        if name in models:
            return models[name]
        found: Transformer | None = self.attempt(
            place,
            lambda: transformer(self.catalog.model(name)),
            f"or one of this file's models: {', '.join(models)}" if models else "",
        )
        return found

    def too_late(self) -> None:
        """Say which partitions are ready only when every contract with their provider has ended."""
        for name, cluster in self.spec.clusters.items():
            ends = [
                _months_later(c.start, c.term)
                for c in self.spec.contracts.values()
                if c.provider == cluster.provider
            ]
            for i, p in enumerate(cluster.partitions):
                if ends and p.ready is not None and p.ready > max(ends):
                    self.problems.append(
                        Problem(
                            ("clusters", name, "partitions", i, "ready"),
                            f"{p.ready} is after the last contract with {cluster.provider} ends, {max(ends)}",
                        )
                    )

    def contract(self, name: str, spec: ContractSpec) -> Contract:
        """A contract."""
        option = spec.option
        if option is not None and option.start < spec.start:
            self.problems.append(
                Problem(
                    ("contracts", name, "option", "from"),
                    f"{option.start} is before the contract's start {spec.start}",
                )
            )
        end = _months_later(spec.start, spec.term)
        if option is not None and option.start > end:
            self.problems.append(
                Problem(
                    ("contracts", name, "option", "from"),
                    f"{option.start} is after the contract's end {end}",
                )
            )
        providers = sorted({c.provider for c in self.spec.clusters.values()})
        if spec.provider not in providers:
            self.problems.append(
                Problem(
                    ("contracts", name, "provider"),
                    f"no cluster is of provider {spec.provider!r}{did_you_mean(spec.provider, providers)}",
                    f"providers here: {', '.join(providers)}",
                )
            )
        return Contract(
            name,
            spec.provider,
            spec.total,
            spec.term,
            spec.start,
            option.start if option else "",
            option.about if option else "",
        )


def _months_later(month: str, seconds: float) -> str:
    """ISO month that is so much later."""
    return later(month, round(seconds / MONTH))


def _absent(whole: object, part: object, path: Path = ()) -> Iterator[Path]:
    """Paths of `whole` that `part` does not have; the highest of each branch only."""
    if isinstance(whole, dict) and isinstance(part, dict):
        for key, value in whole.items():
            if key in part:
                yield from _absent(value, part[key], (*path, key))
            else:
                yield (*path, key)
    elif isinstance(whole, list) and isinstance(part, list):
        for i, (value, other) in enumerate(zip(whole, part, strict=True)):
            yield from _absent(value, other, (*path, i))


def resolve(spec: ScenarioSpec, catalog: Catalog, folder: FilePath) -> tuple[Scenario | None, list[Problem]]:
    """Resolve a scenario; None with the problems where there are any."""
    resolver = Resolver(spec, catalog, folder)
    try:
        found = resolver.scenario()
    except InputError as error:
        resolver.problems.append(Problem((), str(error)))
        found = None
    return (None if resolver.problems else found), resolver.problems
