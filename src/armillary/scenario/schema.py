"""The schema of a scenario file: every field with unit, bounds and meaning. Imports pydantic and units."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema

from armillary.errors import UnitError
from armillary.units import parse


def _reader(dimension: str, low: float, high: float) -> BeforeValidator:
    """Read text with a unit as a float in SI, within bounds."""

    def read(value: Any) -> float:
        try:
            number = parse(value, dimension)
        except UnitError as error:
            raise ValueError(str(error)) from None
        if not low <= number <= high:
            raise ValueError(f"{value!r} is outside what is sensible, {low:g} to {high:g} {dimension}")
        return number

    return BeforeValidator(read)


def _written(unit: str) -> PlainSerializer:
    """Write a float in SI with its unit, so that what is printed can be read again."""
    return PlainSerializer(lambda value: None if value is None else f"{value!r} {unit}")


def _text(example: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "examples": [example]})


Seconds = Annotated[float, _reader("s", 1e-9, 1e10), _written("s"), _text("6 us")]
Duration = Annotated[float, _reader("s", 1.0, 1e11), _written("s"), _text("7 yr")]
Bandwidth = Annotated[float, _reader("byte/s", 1e3, 1e14), _written("B/s"), _text("400 Gbit/s")]
Money = Annotated[float, _reader("USD", 0.0, 1e14), _written("USD"), _text("38e9 USD")]
PriceRate = Annotated[float, _reader("USD/s", 0.0, 1e3), _written("USD/s"), _text("3.1 USD/h")]
Tokens = Annotated[float, _reader("token", 1.0, 1e18), _written("token"), _text("15e12 token")]
Share = Annotated[
    float,
    _reader("1", 1e-9, 1.0),
    WithJsonSchema({"type": ["string", "number"], "examples": ["60%", 0.6]}),
]


def _no_truth(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError(f"must be a number, got {value}")
    return value


Number = Annotated[float, BeforeValidator(_no_truth)]

_MONTH = re.compile(r"\A(20\d\d)-(0[1-9]|1[0-2])(-\d\d)?\Z")


def _month(value: object) -> str:
    if not isinstance(value, str) or _MONTH.match(value) is None:
        raise ValueError(f"must be a month such as 2026-09, got {value!r}")
    return value[:7]


Month = Annotated[str, BeforeValidator(_month), WithJsonSchema({"type": "string", "examples": ["2026-09"]})]


def _batch(value: Any) -> float | int:
    """Sequences as a whole number (kept positive), or tokens as text (kept negative until resolved)."""
    if isinstance(value, int) and not isinstance(value, bool):
        if not 1 <= value <= 10**9:
            raise ValueError(f"must be 1 to 1e9 sequences, or tokens such as '64 Mtoken', got {value}")
        return value
    try:
        tokens = parse(value, "token")
    except UnitError as error:
        raise ValueError(f"{error}; a whole number counts sequences, '64 Mtoken' tokens") from None
    if not 1 <= tokens <= 1e12:
        raise ValueError(f"{value!r} is outside what is sensible, 1 to 1e12 token")
    return -tokens


def _batch_text(value: float) -> str | int:
    return int(value) if value > 0 else f"{-value!r} token"


Batch = Annotated[
    float,
    BeforeValidator(_batch),
    PlainSerializer(_batch_text),
    WithJsonSchema({"type": ["string", "integer"]}),
]
Count = Annotated[int, Field(ge=1, le=10_000_000, strict=True)]
Name = Annotated[str, Field(min_length=1, max_length=80)]


class Part(BaseModel):
    """Base of all parts: unknown fields are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PartitionSpec(Part):
    """Identical scale-up domains."""

    system: Name = Field(description="System of the catalog, e.g. p6e-gb300")
    count: Count = Field(description="Scale-up domains (UltraServers, racks or nodes)")
    ready: Month | None = Field(None, description="Month from which they run")


class RingSpec(Part):
    """A level of the network above the scale-up domain."""

    name: Name = Field(description="E.g. rail, cluster, region")
    size: Count | None = Field(None, description="Accelerators in one instance; default the whole cluster")
    bandwidth: Bandwidth | None = Field(None, description="Per accelerator; default the NIC of the system")
    oversubscription: Number = Field(1.0, ge=1, le=1000, description="Divides the bandwidth")
    latency: Seconds | None = Field(None, description="Of one message; default that of the system's NIC")


class NetworkSpec(Part):
    """The rings above the UltraServer: a preset, or written out."""

    preset: Literal["flat", "ec2-ultracluster", "meta-24k", "hpn7"] | None = Field(
        None, description="Published shape, see docs/machine.md"
    )
    oversubscription: Number = Field(1.0, ge=1, le=1000, description="Of the outermost ring")
    rings: tuple[RingSpec, ...] = Field((), max_length=8, description="Inner to outer, instead of a preset")


class ClusterSpec(Part):
    """Accelerators on one network."""

    provider: Name = Field(description="Who runs it, e.g. aws")
    partitions: tuple[PartitionSpec, ...] = Field(
        min_length=1, max_length=100, description="What stands in it"
    )
    network: NetworkSpec = Field(NetworkSpec(), description="The rings above the scale-up domain")
    price: PriceRate | None = Field(None, description="Of an accelerator; default the catalog's offer")
    pue: Number = Field(1.15, ge=1, le=3, description="Meter over IT power; default AWS's fleet (2024)")


class ModelSpec(BaseModel):
    """A model: like a catalog entry with changes, or a Hugging Face config.json."""

    model_config = ConfigDict(extra="allow", frozen=True)
    like: Name | None = Field(None, description="Catalog entry to start from; other fields change it")
    config: Name | None = Field(None, description="Path of a config.json, relative to the scenario")


class TrainingSpec(Part):
    """A training run."""

    kind: Literal["training"] = Field(description="Only training yet")
    model: Name = Field(description="A name under models, or of the catalog")
    cluster: Name = Field(description="A name under clusters")
    system: Name | None = Field(None, description="Which partition, where the cluster has several systems")
    accelerators: Count | None = Field(None, description="How many; a whole number of scale-up domains")
    share: Share | None = Field(None, description="Or a share of the partition")
    tokens: Tokens = Field(description="To train on")
    global_batch: Batch = Field(description="Sequences per step, or tokens with their unit")
    sequence: Annotated[int, Field(ge=128, le=2**24, strict=True)] = Field(
        8192, description="Tokens a sequence"
    )
    precision: Literal["bf16", "fp8", "fp8-current", "fp8-block", "fp8-mx", "nvfp4"] = Field(
        "bf16", description="Training recipe"
    )
    imbalance: Number = Field(1.0, ge=1, le=1000, description="Tokens of the busiest expert over the mean")
    capacity: Number | None = Field(
        None, ge=1, le=1000, description="What experts take at most, over the mean"
    )
    constraints: dict[str, Any] = Field({}, description="Hard constraints of the search, e.g. tp: 8")
    deadline: Duration | None = Field(None, description="Longest acceptable duration")


class OptionSpec(Part):
    """A right to more."""

    start: Month = Field(alias="from", description="First month it can be used")
    about: str = Field("", max_length=2000, description="What it gives")


class ContractSpec(Part):
    """Money for capacity."""

    provider: Name = Field(description="With whom")
    total: Money = Field(description="Over the whole term")
    term: Duration = Field(description="Length")
    start: Month = Field(description="First month")
    option: OptionSpec | None = Field(None, description="Right to expand")


class FactSpec(Part):
    """Where a figure of the file comes from."""

    about: str = Field(max_length=200, description="Field or topic")
    says: str = Field(max_length=2000, description="The figure, in words")
    source: str = Field(max_length=1000, description="Publication and date, or 'assumption: why'")


class ScenarioSpec(Part):
    """A scenario file."""

    name: Name = Field(description="Name of the scenario")
    about: str = Field("", max_length=10_000, description="What it describes")
    clusters: dict[Name, ClusterSpec] = Field(min_length=1, description="Clusters by name")
    models: dict[Name, Name | ModelSpec] = Field(
        {}, description="Models by name: a catalog name, or like/config"
    )
    workloads: dict[Name, TrainingSpec] = Field({}, description="What runs, by name")
    contracts: dict[Name, ContractSpec] = Field({}, description="Contracts by name")
    facts: tuple[FactSpec, ...] = Field((), description="Sources and assumptions of the figures above")
    questions: tuple[Literal["fleet", "training"], ...] = Field(
        ("fleet", "training"), description="What to answer"
    )
