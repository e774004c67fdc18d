"""What a programme of purchases is made of: demand, SKUs, sites, offers, contracts, options. SI, USD only.

Amounts of work are rates in the unit of their stream (token/s, accelerators of a reference, FLOP/s, vCPU), so
that work itself is that unit times seconds. A `unit` of a SKU is what its offers count: an accelerator, a
node or an UltraServer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from armillary.portfolio.calendar import Calendar, Floats, Futures

NONE: Mapping[str, float] = MappingProxyType({})
PAY_AS_YOU_GO = ("on-demand", "spot")
TAKE_OR_PAY = ("capacity-block", "reserved", "own")
KINDS = PAY_AS_YOU_GO + TAKE_OR_PAY


class Demand(NamedTuple):
    """A stream of work.

    amount : `[quarter, future]` [unit of work/s]. penalty : for what is not served [USD/unit of work].
    unit : of the rate, for people. priority : 1 is served first; streams of one priority compete by penalty.
    cluster : at least this much runs, or nothing, and all of it on one network over the whole horizon; 0 for
    work that may spread [unit of work/s]. floor : share that has to be served in every future [-].
    interruptible : may run on spot.
    """

    name: str
    amount: Floats
    penalty: float
    unit: str = "unit/s"
    priority: int = 1
    cluster: float = 0.0
    floor: float = 0.0
    interruptible: bool = True


class Sku(NamedTuple):
    """Something to buy. performance : by stream, of one unit [unit of work/s].

    power : of one unit, all-in [W].
    """

    name: str
    performance: Mapping[str, float]
    power: float = 0.0


class Site(NamedTuple):
    """A place of one provider.

    network : sites with the same name of a network are one network; empty for one of its own.
    power : for the units there, by quarter where it grows [W]. opening : paid once, in the first quarter that
    anything can be had there [USD]. standing : from then on, while the site is used at all [USD/s].
    egress : by stream, to bring its data here [USD/unit of work].
    """

    name: str
    provider: str
    region: str = ""
    network: str = ""
    power: float | Floats = math.inf
    opening: float = 0.0
    standing: float = 0.0
    egress: Mapping[str, float] = NONE


class Offer(NamedTuple):
    """A price for a SKU at a site.

    kind : on-demand and spot are paid while used; capacity blocks, reservations and own builds for `term`
    quarters, used or not, and are decided before the first quarter, the same in all futures.
    price : of one unit, by quarter where it is reset; of a take-or-pay offer for units that start in that
    quarter if `locked`, of each quarter else [USD/s]. capacity : units, `[quarter]` where it grows,
    `[quarter, future]` where it is uncertain (pay-as-you-go alone). availability : share of `capacity` that
    can be had on average [-]. efficiency : work done against an uninterrupted unit [-]. term : [quarters].
    starts : quarters in which take-or-pay can start; all by default. upfront : share of the payments of a
    term that is paid at its start [-]. contract : can be used only if that contract is signed.
    """

    name: str
    site: str
    sku: str
    kind: str
    price: float | Floats
    capacity: float | Floats = math.inf
    availability: float = 1.0
    efficiency: float = 1.0
    term: int = 0
    starts: tuple[int, ...] | None = None
    upfront: float = 0.0
    locked: bool = False
    contract: str = ""


class Tier(NamedTuple):
    """A commitment of `least` to `most` over the term, and the discount on list prices for it.

    least, most : [USD]. discount : [-].
    """

    least: float
    most: float
    discount: float


class Contract(NamedTuple):
    """A private commitment to spend with a provider.

    tiers : one is chosen when signed. start : first quarter. years : of the term. ramp : share of the total
    by year, equal by default [-]. minimum_take : share of a year's commitment that is paid, used or not [-].
    prepayment : share of the total that is paid at the start and credited as the commitment falls due [-].
    most_favoured : pay-as-you-go units cost no more than the cheapest pay-as-you-go offer of the same kind
    and SKU elsewhere. signed : it is signed, whatever the plan would choose.
    """

    name: str
    provider: str
    tiers: tuple[Tier, ...]
    start: int = 0
    years: int = 1
    ramp: tuple[float, ...] = ()
    minimum_take: float = 1.0
    prepayment: float = 0.0
    most_favoured: bool = False
    signed: bool = False


class Option(NamedTuple):
    """The right to take more units from a date at a strike, decided with what is known by then.

    strike : of one unit [USD/s]. units : at most. decided : quarter at whose start the holder decides, seeing
    that quarter's demand. start : first quarter of the units, which are paid to the end of `term` quarters,
    used or not. premium : paid in the first quarter for the right [USD]. whole : all units or none.
    contract : comes only with that contract.
    """

    name: str
    site: str
    sku: str
    strike: float
    units: float
    decided: int
    start: int
    term: int
    premium: float = 0.0
    whole: bool = False
    contract: str = ""


class Risk(NamedTuple):
    """weight : of the CVaR beside the expected cost [-].

    level : the CVaR is the mean of the worst 1 - level [-].
    """

    weight: float = 0.0
    level: float = 0.95


class Programme(NamedTuple):
    """The whole question: what to buy, from whom, when, under which contract.

    share : no provider gives more than this share of the work in any quarter and future; work of different
    streams is added by `value` [-]. value : by stream; by default its cheapest on-demand price
    [USD/unit of work]. budget : by quarter, in every future, undiscounted, penalties left out [USD].
    """

    calendar: Calendar
    futures: Futures
    demands: tuple[Demand, ...]
    skus: tuple[Sku, ...]
    sites: tuple[Site, ...]
    offers: tuple[Offer, ...]
    contracts: tuple[Contract, ...] = ()
    options: tuple[Option, ...] = ()
    share: float = 1.0
    value: Mapping[str, float] = NONE
    budget: Floats | None = None
    risk: Risk = Risk()
