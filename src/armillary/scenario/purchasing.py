"""What a file says can be bought, once read: sites, offers, contracts, models to train. Imports portfolio."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from armillary.catalog import Accelerator, System
from armillary.portfolio import (
    Calendar,
    Contract,
    CpuPrice,
    Futures,
    Offer,
    Option,
    Quarters,
    RampSite,
    Risk,
    Site,
)

RESEARCH, CPUS = "research", "agents' CPUs"
"""Streams of work beside those of workloads and generations."""


@dataclass(frozen=True, slots=True)
class AskedSku:
    """A unit that offers count: an accelerator of a system, or a vCPU of a row of prices. power [W]."""

    name: str
    system: System | None
    accelerator: Accelerator | None
    cpu: CpuPrice | None
    power: float


@dataclass(frozen=True, slots=True)
class AskedSite:
    """A site. ramp : how it fills, with accelerators of `ramp_sku`; None where it is there."""

    site: Site
    ramp: RampSite | None
    ramp_sku: str


@dataclass(frozen=True, slots=True)
class AskedOffer:
    """An offer. source : of its price, in words. on_ramp : whether its capacity is its site's ramp."""

    offer: Offer
    source: str
    on_ramp: bool


@dataclass(frozen=True, slots=True)
class AskedGeneration:
    """A model to be trained.

    like : a training run of the file. flop : of its final run, None for that of the run [FLOP];
    source : where it is from, in words. ready : quarter before which it ends, by index.
    duration : longest [s]. minimum : accelerators on one network [-]. spread : of the logarithm of `flop`
    [-].
    """

    name: str
    like: str
    flop: float | None
    source: str
    ready: int
    duration: float
    minimum: float
    spread: float


@dataclass(frozen=True, slots=True)
class Purchasing:
    """The question of what to buy.

    origin : ISO month that the first quarter begins with. spread, spreads : of a year's growth of demand,
    as the standard deviation of its logarithm [-]. penalty, penalties : for work that is not done, over its
    price where it is cheapest [-]. floors : share that is served in every future [-]. budget : most that is
    paid, `[quarter]`, None where nothing is said [USD]. deployed_by : ISO month, empty where nothing is
    asked. research : share of compute that is not in final runs [-]; lead : over which it is spread [s].
    goodput : of a run's time [-].
    """

    origin: str
    calendar: Calendar
    quarters: Quarters
    futures: Futures
    seed: int
    spread: float
    spreads: Mapping[str, float]
    share: float
    risk: Risk
    penalty: float
    penalties: Mapping[str, float]
    floors: Mapping[str, float]
    budget: NDArray[np.float64] | None
    deployed_by: str
    skus: tuple[AskedSku, ...]
    sites: tuple[AskedSite, ...]
    offers: tuple[AskedOffer, ...]
    contracts: tuple[Contract, ...]
    options: tuple[Option, ...]
    generations: tuple[AskedGeneration, ...]
    research: float
    lead: float
    goodput: float
