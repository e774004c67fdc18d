"""What a scenario is once read: machines, models, workloads and contracts as values. Imports rooms above."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from armillary.machine import Machine, Slice
from armillary.model import Transformer
from armillary.scenario.purchasing import Purchasing
from armillary.serving.agents import AgentWork
from armillary.serving.diurnal import DayShape
from armillary.serving.lengths import Lengths
from armillary.serving.sizing import Targets


@dataclass(frozen=True, slots=True)
class Cluster:
    """Accelerators on one network. price : of an accelerator [USD/s], None where none is known."""

    name: str
    provider: str
    machine: Machine
    price: float | None
    price_source: str
    pue: float


@dataclass(frozen=True, slots=True)
class TrainingWorkload:
    """A training run.

    slice : accelerators granted. tokens [token]; global_batch [sequences]; sequence [token].
    imbalance : tokens of the busiest expert over the mean [-].
    capacity : what experts take at most, over the mean; `inf` without a limit [-].
    constraints : values allowed for fields of the search. deadline : longest duration [s], None without.
    """

    name: str
    model: Transformer
    model_name: str
    cluster: str
    slice: Slice
    tokens: float
    global_batch: int
    sequence: int
    precision: str
    imbalance: float
    capacity: float
    constraints: Mapping[str, Any]
    deadline: float | None
    priority: int = 0


@dataclass(frozen=True, slots=True)
class ServedDemand:
    """What users ask of a served model.

    messages : mean of a day, of `since` [1/s]. lengths : of requests; cached : mean of a prompt's tokens
    that a prefix cache may hold [token]; reuse : whether sizes count on it.
    growth : part added in a year, year by year from `since`; the last holds on [-].
    since : ISO month. source : where `messages` is from, in words. stream : of `serving.decomposition`,
    or empty.
    assumed : names of the facts behind it that are assumptions.
    """

    messages: float
    lengths: Lengths
    cached: float
    reuse: bool
    shape: DayShape
    growth: tuple[float, ...]
    since: str
    source: str
    stream: str
    assumed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ServedOn:
    """Where a model may be served: the partition of a cluster with a system."""

    cluster: str
    system: str


@dataclass(frozen=True, slots=True)
class ServingWorkload:
    """A model that is served.

    places : where it may run; `ordered` where the file says which is filled first.
    targets : latencies to hold [s]. headroom : share of replicas above what the peak takes [-].
    priority : higher is placed first [-].
    agents : work of a task of agents, of which each message is a call of the model; None without.
    """

    name: str
    model: Transformer
    model_name: str
    demand: ServedDemand
    targets: Targets
    places: tuple[ServedOn, ...]
    ordered: bool
    precision: str
    engine: str
    drafts: int
    headroom: float
    priority: int
    agents: AgentWork | None


@dataclass(frozen=True, slots=True)
class Horizon:
    """Time that is planned for. start : ISO month. quarters : of three months each [-]."""

    start: str
    quarters: int


@dataclass(frozen=True, slots=True)
class Contract:
    """Money for capacity. total [USD]; term [s]; start, option_from : ISO months, empty without option."""

    name: str
    provider: str
    total: float
    term: float
    start: str
    option_from: str
    option_about: str


@dataclass(frozen=True, slots=True)
class StatedFact:
    """Where a figure of the scenario comes from."""

    about: str
    says: str
    source: str


@dataclass(frozen=True, slots=True)
class Scenario:
    """A scenario with every name looked up and every quantity in SI units."""

    name: str
    about: str
    clusters: Mapping[str, Cluster]
    models: Mapping[str, Transformer]
    workloads: Mapping[str, TrainingWorkload]
    contracts: Mapping[str, Contract]
    facts: tuple[StatedFact, ...]
    questions: tuple[str, ...]
    as_written: Mapping[str, Any]
    """The file's values with defaults filled in, as plain data."""
    defaults: frozenset[tuple[str | int, ...]] = frozenset()
    """Fields of `as_written`, as keys and indices from the top, that the file leaves to their defaults."""
    serving: Mapping[str, ServingWorkload] = field(default_factory=dict)
    """What is served; `workloads` are the training runs."""
    horizon: Horizon | None = None
    """None where the file has no date to begin with."""
    purchasing: Purchasing | None = None
    """What can be bought; None where the file has no portfolio."""
    assumed: tuple[str, ...] = ()
    """What had to be assumed to read the file, each by the field it is about."""
