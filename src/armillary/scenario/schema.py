"""The schema of a scenario file: every field with unit, bounds and meaning. Imports pydantic and units."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from armillary.scenario.fields import (
    Bandwidth,
    Batch,
    Count,
    Duration,
    Money,
    Month,
    Name,
    Number,
    Part,
    PriceRate,
    Priority,
    Seconds,
    Share,
    Tokens,
)
from armillary.scenario.portfolio_spec import PortfolioSpec
from armillary.scenario.serving_spec import ServingSpec


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

    kind: Literal["training"] = Field(description="A training run")
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
    priority: Priority = Field(0, description="Higher is placed first; serving has 1")


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
    workloads: dict[Name, Annotated[TrainingSpec | ServingSpec, Field(discriminator="kind")]] = Field(
        {}, description="What runs, by name"
    )
    contracts: dict[Name, ContractSpec] = Field({}, description="Contracts by name")
    facts: tuple[FactSpec, ...] = Field((), description="Sources and assumptions of the figures above")
    horizon: Duration | None = Field(
        None, description="Planned for, from the first partition's month; default the longest contract's term"
    )
    portfolio: PortfolioSpec | None = Field(None, description="What can be bought, see docs/portfolio.md")
    questions: tuple[Literal["fleet", "training", "serving", "portfolio"], ...] = Field(
        ("fleet", "training", "serving", "portfolio"), description="What to answer"
    )
