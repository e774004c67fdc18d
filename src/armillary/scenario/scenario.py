"""What a scenario is once read: machines, models, workloads and contracts as values. Imports rooms above."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from armillary.machine import Machine, Slice
from armillary.model import Transformer


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
