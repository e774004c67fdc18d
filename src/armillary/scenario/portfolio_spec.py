"""The part of the schema that says what can be bought: sites, offers, contracts. Imports pydantic."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StrictBool

from armillary.scenario.fields import (
    Change,
    Count,
    Duration,
    EgressPrice,
    Flop,
    Fraction,
    Margin,
    Money,
    Month,
    Moved,
    Name,
    Number,
    Part,
    PriceRate,
    Share,
    Watts,
    Whole,
)

Units = Annotated[Number, Field(ge=0, le=1e9)]
Times = Annotated[Number, Field(gt=0, le=1e6)]


class SkuSpec(Part):
    """What offers count: an accelerator of a system, or a vCPU."""

    system: Name | None = Field(None, description="System of the catalog, of which an accelerator is a unit")
    cpu: Name | None = Field(None, description="Or a row of the prices of CPUs, of which a vCPU is a unit")


class MilestoneSpec(Part):
    """Power that is there from a month on."""

    start: Month = Field(alias="from", description="Month from which it is there")
    power: Watts = Field(description="Of IT, all of the site's so far")


class RampSpec(Part):
    """How a site that is being built fills with racks: dated plans, each uncertain."""

    sku: Name = Field(description="A name under skus, of a system")
    blocks: Annotated[int, Field(ge=1, le=1000, strict=True)] = Field(description="That come up whole")
    block: Count = Field(description="Accelerators in one")
    building: Month = Field(description="Planned for the building, before what projects are late by")
    power: Month = Field(description="Planned for the power, the same")
    delivery: Month | None = Field(None, description="Before which no racks come; default none")


class SiteSpec(Part):
    """A place of one provider."""

    provider: Name = Field(description="Who runs it")
    region: str = Field("", max_length=80, description="Where; the catalog's prices there come first")
    network: str = Field("", max_length=80, description="Sites of one name are one network; default its own")
    power: Watts | None = Field(None, description="Of IT for what is bought there; default no limit")
    milestones: tuple[MilestoneSpec, ...] = Field(
        (), max_length=200, description="Or power by date, none before the first"
    )
    opening: Money = Field(0.0, description="Paid once anything can be had there")
    standing: PriceRate = Field(0.0, description="Paid from then on")
    ramp: RampSpec | None = Field(None, description="Where it is being built: gives capacity by quarter")


class PurchaseSpec(Part):
    """An offer: a price for a SKU at a site."""

    site: Name = Field(description="A name under sites")
    sku: Name = Field(description="A name under skus")
    kind: Literal["on-demand", "spot", "capacity-block", "reserved", "own"] = Field(
        description="Paid while used (the first two), or for a term, used or not"
    )
    price: PriceRate | None = Field(
        None,
        description="Of a unit; default the catalog's, of CPUs their table's, of own builds its cost",
    )
    change: Change = Field(0.0, description="Of the price in a year, step by step")
    capacity: Units | None = Field(None, description="Units; default the site's ramp, or no limit")
    availability: Share = Field(1.0, description="Of the capacity that can be had on average")
    efficiency: Share = Field(1.0, description="Work done against a unit that is never interrupted")
    term: Duration | None = Field(None, description="Of what is paid for a term; in whole quarters")
    starts: tuple[Month, ...] = Field((), max_length=200, description="When a term can start; default always")
    upfront: Whole = Field(0.0, description="Share of a term that is paid at its start")
    locked: StrictBool = Field(False, description="Whether the price of the start holds over the term")
    contract: Name | None = Field(None, description="Comes only with that contract")


class TierSpec(Part):
    """A commitment and its discount."""

    least: Money = Field(description="Over the term")
    most: Money = Field(description="Over the term")
    discount: Fraction = Field(0.0, description="On the prices of what is used")


class CommitmentSpec(Part):
    """A promise to spend; terms of a contract of the file by its name, or one that could be signed."""

    provider: Name | None = Field(None, description="Default that of the contract of this name")
    tiers: tuple[TierSpec, ...] = Field((), max_length=20, description="Default the contract's total alone")
    start: Month | None = Field(None, description="Default the contract's, or the plan's first")
    term: Duration | None = Field(None, description="In whole years; default the contract's")
    ramp: tuple[Share, ...] = Field((), max_length=60, description="Of the total by year; default equal")
    minimum_take: Whole = Field(1.0, description="Of a year's part that is paid, used or not")
    prepayment: Whole = Field(0.0, description="Of the total, paid at the start and drawn down")
    most_favoured: StrictBool = Field(False, description="No dearer than the same elsewhere")
    signed: StrictBool = Field(False, description="Already, whatever the plan would choose")


class RightSpec(Part):
    """A right to take more units from a date on at a strike."""

    site: Name = Field(description="A name under sites")
    sku: Name = Field(description="A name under skus")
    strike: PriceRate = Field(description="Of a unit")
    units: Units = Field(description="At most")
    start: Month = Field(alias="from", description="First month of the units")
    decided: Month | None = Field(None, description="When one has to say; default as they start")
    term: Duration = Field(description="That they are paid for")
    premium: Money = Field(0.0, description="For the right, paid at once")
    whole: StrictBool = Field(False, description="All units or none")
    contract: Name | None = Field(None, description="Comes only with that contract")


class GenerationSpec(Part):
    """A model to be trained by a date."""

    like: Name = Field(description="A training run of the file, whose model, layout and format it has")
    flop: Flop | None = Field(None, description="Of its final run; default 6 x active parameters x tokens")
    parameters: Number | None = Field(
        None, gt=1e6, le=1e15, description="Or active parameters, trained as the law says is best"
    )
    law: Name = Field("besiroglu-2024", description="Scaling law, see docs/deployment.md")
    ready: Month = Field(description="Wished for before this month")
    duration: Duration = Field(description="Longest of the run")
    minimum: Count | None = Field(None, description="Accelerators on one network at least")
    spread: Margin = Field(0.0, description="Of its compute: standard deviation of the logarithm")


class ProgrammeSpec(Part):
    """The training programme."""

    generations: dict[Name, GenerationSpec] = Field({}, description="Models by name")
    research: Fraction = Field(0.0, description="Share of compute that is not in final runs")
    lead: Duration = Field(31_557_600.0, description="Over which a generation's experiments are spread")
    goodput: Share = Field(0.9, description="Of a run's time that is work: the rest failures, checkpoints")


class FuturesSpec(Part):
    """Futures that are drawn."""

    count: Annotated[int, Field(ge=1, le=1000, strict=True)] = Field(8, description="Equally likely")
    seed: Annotated[int, Field(ge=0, le=2**31, strict=True)] = Field(0, description="Of all that is drawn")
    apart: Month | None = Field(None, description="From which they differ; default the second quarter")
    spread: Margin = Field(0.2, description="Of a year's growth: standard deviation of the logarithm")
    spreads: dict[Name, Margin] = Field({}, description="The same of single streams")


class RiskSpec(Part):
    """How much the worst futures count."""

    level: Fraction = Field(0.9, description="The CVaR is the mean of the worst 1 - level")
    weight: Margin = Field(0.0, description="Of the CVaR beside the expected cost")


class BudgetSpec(Part):
    """What may be paid from a month on."""

    start: Month = Field(alias="from", description="From the first quarter that begins in it or later")
    quarter: Money = Field(description="In each quarter and future, at most")


class DataSpec(Part):
    """Where the data of a stream of work is, and what it costs to work elsewhere."""

    provider: Name = Field(description="Who holds it; its sites take it for nothing")
    each: Moved = Field(
        description="Moved for a unit of work: a request, or a second of an accelerator or vCPU"
    )
    price: EgressPrice = Field(description="Of moving it out")


class PortfolioSpec(Part):
    """What can be bought, for what, and what limits it."""

    start: Month | None = Field(
        None, alias="from", description="The plan begins with its quarter; default the first contract's"
    )
    horizon: Duration | None = Field(None, description="Default the longest contract's term")
    discount: Fraction = Field(0.08, description="A year, of payments")
    futures: FuturesSpec = Field(FuturesSpec(), description="How demand and sites may turn out")
    share: Share = Field(1.0, description="Of the work that one provider gives at most")
    risk: RiskSpec = Field(RiskSpec(), description="How much the worst futures count")
    penalty: Times = Field(
        10.0, description="For work that is not done, times what it costs where it is cheapest"
    )
    penalties: dict[Name, Times] = Field({}, description="The same of single streams")
    floors: dict[Name, Whole] = Field({}, description="Share of a stream that is served in every future")
    budgets: tuple[BudgetSpec, ...] = Field(
        (), max_length=120, description="Most that is paid in a quarter, by date; none before the first"
    )
    data: dict[Name, DataSpec] = Field({}, description="Where the data of single streams is")
    deployed_by: Month | None = Field(None, description="Ask for the chance that all ramps are up before it")
    skus: dict[Name, SkuSpec] = Field(min_length=1, description="SKUs by name")
    sites: dict[Name, SiteSpec] = Field(min_length=1, description="Sites by name")
    offers: dict[Name, PurchaseSpec] = Field(min_length=1, description="Offers by name")
    contracts: dict[Name, CommitmentSpec] = Field({}, description="Commitments by name")
    options: dict[Name, RightSpec] = Field({}, description="Rights to more, by name")
    training: ProgrammeSpec = Field(ProgrammeSpec(), description="Models to be trained")
