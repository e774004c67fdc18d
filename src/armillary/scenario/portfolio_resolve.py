"""From what a file says can be bought to sites, offers and contracts of the portfolio. Imports portfolio."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from functools import partial
from math import ceil, inf

import numpy as np

from armillary.errors import InputError, did_you_mean
from armillary.portfolio import (
    QUARTER,
    Calendar,
    Contract,
    Demand,
    Futures,
    Offer,
    Option,
    Programme,
    RampSite,
    Risk,
    Site,
    Sku,
    Tier,
    check,
    cpu_prices,
    fan,
    inputs,
    optimum,
    quarters,
    scaling_law,
    seconds_after,
    usual_steps,
)
from armillary.scenario.collector import Collector
from armillary.scenario.months import later, months_of
from armillary.scenario.portfolio_prices import price_of
from armillary.scenario.portfolio_spec import (
    CommitmentSpec,
    GenerationSpec,
    PortfolioSpec,
    PurchaseSpec,
    RightSpec,
    SiteSpec,
    SkuSpec,
)
from armillary.scenario.purchasing import (
    CPUS,
    RESEARCH,
    AskedGeneration,
    AskedOffer,
    AskedSite,
    AskedSku,
    Purchasing,
)
from armillary.scenario.scenario import Contract as Deal
from armillary.scenario.scenario import ServingWorkload, TrainingWorkload
from armillary.scenario.yaml_source import Path, Problem

YEAR = 4 * QUARTER
MOST_QUARTERS = 120
TOP: Path = ("portfolio",)
_PLACE = re.compile(r"(sku|site|offer|contract|option) '(.+?)': (.*)\Z", re.DOTALL)


class Reading:
    """One portfolio of a file as it is read; problems go to the collector."""

    def __init__(
        self,
        into: Collector,
        spec: PortfolioSpec,
        deals: Mapping[str, Deal],
        runs: Mapping[str, TrainingWorkload],
        served: Mapping[str, ServingWorkload],
        stated: tuple[str, ...],
    ) -> None:
        self.into, self.spec, self.deals, self.runs, self.served = into, spec, deals, runs, served
        self.stated = stated
        starts = [d.start for d in deals.values()]
        start = spec.start or min(starts, default="")
        if not start:
            self.problem(("from",), "is missing", "the month that the plan begins with, such as 2026-01")
            start = "2026-01"
        self.origin = f"{start[:4]}-{(int(start[5:7]) - 1) // 3 * 3 + 1:02}"
        term = spec.horizon or max((d.term for d in deals.values()), default=4 * QUARTER)
        self.count = max(round(term / QUARTER), 1)
        if self.count > MOST_QUARTERS:
            self.problem(("horizon",), f"{self.count:,} quarters are more than sensible ({MOST_QUARTERS})")
            self.count = MOST_QUARTERS
        self.quarters = quarters(self.origin, self.count)

    def problem(self, path: Path, message: str, hint: str = "") -> None:
        """Collect a problem at a place below ``portfolio``."""
        self.into.problems.append(Problem((*TOP, *path), message, hint))

    def at(self, month: str, up: bool = False) -> int:
        """Index of the quarter that holds a month, or of the first that begins in it or later."""
        return (months_of(month) - months_of(self.origin) + (2 if up else 0)) // 3

    def known(self, path: Path, name: str, names: Mapping[str, object], what: str) -> None:
        """Say so where a name is none."""
        if name not in names:
            self.problem(path, f"no {what} {name!r}{did_you_mean(name, names)}", f"known: {', '.join(names)}")

    def read(self) -> Purchasing | None:
        """All of it; None where something is wrong, which is then among the problems."""
        s, before = self.spec, len(self.into.problems)
        for name, need in s.training.generations.items():
            self.known(("training", "generations", name, "like"), need.like, self.runs, "training run")
        skus = tuple(k for name, one in s.skus.items() if (k := self.sku(name, one)) is not None)
        sites = tuple(self.site(name, one, skus) for name, one in s.sites.items())
        for name, one in s.offers.items():
            self.refers(("offers", name), one)
        for title, right in s.options.items():
            self.refers(("options", title), right)
        streams = self.streams()
        for field in ("penalties", "floors"):
            for name in getattr(s, field):
                self.known((field, name), name, dict.fromkeys(streams), "stream of work")
        for name in s.futures.spreads:
            self.known(("futures", "spreads", name), name, dict.fromkeys(streams), "stream of work")
        if not streams:
            self.problem((), "has nothing to plan for", "add workloads that are served, or generations")
        for name, held in s.data.items():
            self.known(("data", name), name, dict.fromkeys(streams), "stream of work")
            runs = dict.fromkeys(site.provider for site in s.sites.values())
            self.known(("data", name, "provider"), held.provider, runs, "provider of a site")
        futures, budget = self.futures(), self.budget()
        if len(self.into.problems) > before:
            return None
        offers = tuple(
            o for name, one in s.offers.items() if (o := self.offer(name, one, skus, sites)) is not None
        )
        contracts = tuple(
            c for name, one in s.contracts.items() if (c := self.commitment(name, one)) is not None
        )
        options = tuple(self.option(name, one) for name, one in s.options.items())
        generations = tuple(
            g for name, one in s.training.generations.items() if (g := self.generation(name, one)) is not None
        )
        self.share()
        calendar = Calendar(int(self.origin[:4]), (int(self.origin[5:7]) + 2) // 3, self.count, s.discount)
        if len(self.into.problems) > before:
            return None
        found = Purchasing(
            self.origin, calendar, self.quarters, futures, s.futures.seed, s.futures.spread,
            dict(s.futures.spreads), s.share, Risk(s.risk.weight, s.risk.level), s.penalty,
            dict(s.penalties), dict(s.floors), budget, s.deployed_by or "", skus, sites, offers, contracts,
            options, generations, s.training.research, s.training.lead, s.training.goodput,
        )  # fmt: skip
        self.checked(found, streams)
        return None if len(self.into.problems) > before else found

    def share(self) -> None:
        """Say so where all providers together could not give the work, each within its share."""
        s = self.spec
        places = [one.site for one in s.offers.values()] + [one.site for one in s.options.values()]
        giving = {s.sites[place].provider for place in places}
        if len(giving) * s.share < 1 - 1e-9:
            least = ceil(1000 / len(giving)) / 10
            self.problem(
                ("share",),
                f"{s.share:.4g} of the work at most from each of {len(giving)} providers "
                f"({', '.join(sorted(giving))}) are less than all of it, so that none can be done",
                f"at least {least:g}%, or more providers",
            )

    def budget(self) -> np.ndarray | None:
        """Most that is paid by quarter, endless before the first budget."""
        months = [b.start for b in self.spec.budgets]
        if months != sorted(months):
            self.problem(("budgets",), "are not in the order of their months")
        most = np.full(self.count, inf)
        for i, b in enumerate(self.spec.budgets):
            first = self.at(b.start, up=True)
            if first >= self.count:
                self.problem(("budgets", i, "from"), f"{b.start} is after the plan, which has {self.span()}")
            most[max(first, 0) :] = b.quarter
        return most if months else None

    def streams(self) -> tuple[str, ...]:
        """Names of the streams of work."""
        s = self.spec
        made = [*self.served, *s.training.generations]
        if s.training.generations and s.training.research:
            made.append(RESEARCH)
        if any(w.agents is not None for w in self.served.values()):
            made.append(CPUS)
        for name, times in Counter(made).items():
            if times > 1:
                self.problem(("training", "generations", name), "is the name of a workload, too", "rename it")
        return tuple(made)

    def futures(self) -> Futures:
        """The fan of futures."""
        f = self.spec.futures
        parted = 1 if f.apart is None else self.at(f.apart, up=True)
        if not 0 <= parted <= self.count:
            self.problem(("futures", "apart"), f"{f.apart} is outside of the plan, which has {self.span()}")
            parted = 1
        return fan(f.count, self.count, min(parted, self.count))

    def span(self) -> str:
        """The plan's quarters in words."""
        return f"{self.count} quarters from {self.quarters.labels[0]}"

    def sku(self, name: str, spec: SkuSpec) -> AskedSku | None:
        """A SKU."""
        place: Path = ("skus", name)
        if (spec.system is None) == (spec.cpu is None):
            self.problem(place, "needs either system: or cpu:", "system: p6e-gb200, or cpu: aws-m8g")
            return None
        if spec.cpu is not None:
            rows = cpu_prices()
            self.known((*place, "cpu"), spec.cpu, rows, "price of CPUs")
            return AskedSku(name, None, None, rows[spec.cpu], 0.0) if spec.cpu in rows else None
        catalog = self.into.catalog
        system = self.into.attempt((*TOP, *place, "system"), partial(catalog.system, spec.system or ""))
        if system is None:
            return None
        chip = catalog.accelerator(system.accelerator)
        return AskedSku(name, system, chip, None, system.power / system.scale_up_size)

    def site(self, name: str, spec: SiteSpec, skus: tuple[AskedSku, ...]) -> AskedSite:
        """A site, with its ramp."""
        place: Path = ("sites", name)
        power: float | np.ndarray = inf if spec.power is None else spec.power
        if spec.milestones:
            if spec.power is not None:
                self.problem((*place, "milestones"), "say the power a second time", "keep power: or them")
            power = np.zeros(self.count)
            months = [m.start for m in spec.milestones]
            if months != sorted(months):
                self.problem((*place, "milestones"), "are not in the order of their months")
            for m in spec.milestones:
                power[max(self.at(m.start, up=True), 0) :] = m.power
        ramp = None
        r = spec.ramp
        if r is not None:
            self.known((*place, "ramp", "sku"), r.sku, self.spec.skus, "SKU")
            first = {"building": r.building, "power": r.power, "delivery": r.delivery or self.origin}
            for field, month in first.items():
                if month < self.origin:
                    self.problem((*place, "ramp", field), f"{month} is before the plan of {self.span()}")
            system = next((k.system for k in skus if k.name == r.sku), None)
            if r.sku in self.spec.skus and self.spec.skus[r.sku].system is None:
                self.problem((*place, "ramp", "sku"), f"{r.sku} is of CPUs", "name one of a system")
            size = 1 if system is None else system.scale_up_size
            when = {k: max(seconds_after(self.origin, month), 0.0) for k, month in first.items()}
            steps = usual_steps(
                name, when["building"], when["power"], max(r.block // size, 1), when["delivery"]
            )
            ramp = RampSite(name, r.blocks, r.block, steps)
        egress = {
            stream: held.each * held.price
            for stream, held in self.spec.data.items()
            if held.provider != spec.provider
        }
        site = Site(
            name, spec.provider, spec.region, spec.network, power, spec.opening, spec.standing, egress
        )
        return AskedSite(site, ramp, r.sku if r is not None else "")

    def refers(self, place: Path, spec: PurchaseSpec | RightSpec) -> None:
        """Names that an offer or option refers to."""
        self.known((*place, "site"), spec.site, self.spec.sites, "site")
        self.known((*place, "sku"), spec.sku, self.spec.skus, "SKU")
        if spec.contract is not None:
            self.known((*place, "contract"), spec.contract, self.spec.contracts, "contract of the portfolio")

    def offer(
        self, name: str, spec: PurchaseSpec, skus: tuple[AskedSku, ...], sites: tuple[AskedSite, ...]
    ) -> AskedOffer | None:
        """An offer, with its price from the catalog where the file has none."""
        place: Path = ("offers", name)
        sku = next(k for k in skus if k.name == spec.sku)
        site = next(x for x in sites if x.site.name == spec.site)
        price, source = price_of(self.into.catalog, spec, sku, site.site.provider, site.site.region)
        if price is None:
            self.problem(place, source, "give price:")
            return None
        taken = [
            other
            for other, o in self.spec.offers.items()
            if o.site == spec.site and o.sku == spec.sku and o.capacity is None
        ]
        on_ramp = site.ramp is not None and site.ramp_sku == spec.sku and spec.capacity is None
        if on_ramp and name != taken[0]:
            self.problem(
                (*place, "site"),
                f"{taken[0]} has the ramp of {spec.site} already",
                "give one of them a capacity of its own",
            )
        change = np.asarray((1 + spec.change) ** (np.arange(self.count) // 4), float)
        term = 0 if spec.term is None else max(round(spec.term / QUARTER), 0)
        if spec.kind == "own" and not term:
            term = round(float(inputs().accelerator_life) / QUARTER)
        starts = None if not spec.starts else tuple(self.at(m, up=True) for m in spec.starts)
        offer = Offer(
            name, spec.site, spec.sku, spec.kind, np.asarray(price * change) if spec.change else price,
            inf if spec.capacity is None else spec.capacity, spec.availability, spec.efficiency, term, starts,
            spec.upfront, spec.locked, spec.contract or "",
        )  # fmt: skip
        return AskedOffer(offer, source, on_ramp)

    def commitment(self, name: str, spec: CommitmentSpec) -> Contract | None:
        """A contract of the portfolio."""
        place: Path = ("contracts", name)
        deal = self.deals.get(name)
        if deal is None and name in self.stated:
            return None  # it has a problem of its own
        wanting = [
            field
            for field, value in (("provider", spec.provider), ("tiers", spec.tiers), ("term", spec.term))
            if not value and deal is None
        ]
        for field in wanting:
            self.problem(
                (*place, field), "is missing", f"or name it as one of contracts: {', '.join(self.deals)}"
            )
        if wanting:
            return None
        term = spec.term if spec.term is not None else deal.term if deal is not None else 0.0
        years = round(term / YEAR)
        if abs(years * YEAR - term) > QUARTER / 2:
            self.problem((*place, "term"), f"{term / YEAR:.2f} years are not whole ones", "e.g. 5 yr")
        start = spec.start or (deal.start if deal is not None else self.origin)
        tiers = tuple(Tier(t.least, t.most, t.discount) for t in spec.tiers)
        if not tiers and deal is not None:
            tiers = (Tier(deal.total, deal.total, 0.0),)
        total = sum(spec.ramp)
        if spec.ramp and abs(total - 1) > 1e-6:
            self.problem((*place, "ramp"), f"sums to {total:.1%}, not to 100%")
            return None
        return Contract(
            name, spec.provider or (deal.provider if deal is not None else ""), tiers, self.at(start), years,
            tuple(part / total for part in spec.ramp), spec.minimum_take, spec.prepayment,
            spec.most_favoured, spec.signed,
        )  # fmt: skip

    def option(self, name: str, spec: RightSpec) -> Option:
        """A right."""
        start = self.at(spec.start, up=True)
        decided = start if spec.decided is None else self.at(spec.decided)
        return Option(
            name, spec.site, spec.sku, spec.strike, spec.units, decided, start,
            max(round(spec.term / QUARTER), 0), spec.premium, spec.whole, spec.contract or "",
        )  # fmt: skip

    def generation(self, name: str, spec: GenerationSpec) -> AskedGeneration | None:
        """A model to be trained."""
        place: Path = ("training", "generations", name)
        if spec.flop is not None and spec.parameters is not None:
            self.problem((*place, "parameters"), "say the compute a second time", "keep flop: or parameters:")
            return None
        law = self.into.attempt((*TOP, *place, "law"), partial(scaling_law, spec.law))
        flop, source = spec.flop, "stated in the scenario"
        if spec.parameters is not None and law is not None:
            # N grows as a power of C: one point of the law gives all others.
            anchor, both = 1e25, law.alpha + law.beta
            at = float(optimum(anchor, law).parameters)
            flop = anchor * (spec.parameters / at) ** (both / law.beta)
            source = f"{spec.parameters:.3g} parameters, trained as {spec.law} says is best"
        elif flop is None:
            source = f"6 x active parameters x tokens of {spec.like}"
        ready = self.at(spec.ready)
        runs = ceil(spec.duration / QUARTER - 1e-6)
        if not runs <= ready <= self.count:
            self.problem(
                (*place, "ready"),
                f"{spec.ready} does not leave {runs} whole quarters for the run in {self.span()}",
                f"from {later(self.origin, 3 * runs)} to {later(self.origin, 3 * self.count)}",
            )
            return None
        return AskedGeneration(
            name, spec.like, flop, source, ready, spec.duration, float(spec.minimum or 0), spec.spread
        )

    def checked(self, found: Purchasing, streams: tuple[str, ...]) -> None:
        """Hold the whole against the portfolio's own checks, with work that every unit does."""
        ones = np.ones((found.calendar.quarters, found.futures.size))
        programme = Programme(
            found.calendar, found.futures,
            tuple(Demand(name, ones, 1.0, interruptible=True) for name in streams),
            tuple(Sku(k.name, dict.fromkeys(streams, 1.0), k.power) for k in found.skus),
            tuple(x.site for x in found.sites), tuple(o.offer for o in found.offers),
            found.contracts, found.options, found.share, {}, found.budget, found.risk,
        )  # fmt: skip
        try:
            check(programme, servable=False)
        except InputError as error:
            for line in str(error).splitlines():
                match = _PLACE.match(line)
                if match is None:
                    self.problem((), line)
                else:
                    self.problem((f"{match[1]}s", match[2]), match[3])


def purchasing(
    into: Collector,
    spec: PortfolioSpec,
    deals: Mapping[str, Deal],
    runs: Mapping[str, TrainingWorkload],
    served: Mapping[str, ServingWorkload],
    stated: tuple[str, ...],
) -> Purchasing | None:
    """What can be bought; None where something is wrong, which is then among the problems.

    Parameters
    ----------
    into : Collector
    spec : PortfolioSpec
    deals, runs, served : mapping
        Contracts, training runs and served workloads of the file, those that are understood.
    stated : tuple of str
        Names of all contracts of the file.
    """
    return Reading(into, spec, deals, runs, served, stated).read()
