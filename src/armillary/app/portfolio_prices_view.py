"""Prices of work, what a deal buys, owning and renting: tables of text for people."""

from __future__ import annotations

from math import isfinite

from armillary.app.serving_view import Table
from armillary.twin import Deal, OwnOrRent, PortfolioAnswer
from armillary.units import show

HOUR = 3600.0


def money(value: float) -> str:
    """USD in words; what is less than a dollar is nothing, what is infinite has no plan."""
    if not isfinite(value):
        return "no plan holds"
    return "0 USD" if abs(value) < 1 else show(value, "USD")


def hourly(price: float) -> str:
    """Price of a unit by the hour."""
    return f"{price * HOUR:.3g}" if price * HOUR < 0.1 else f"{price * HOUR:.2f}"


def price_table(answer: PortfolioAnswer) -> Table:
    """What is offered, at what price, and where that is from."""
    offers = {o.name: o for o in answer.programme.offers}
    rows = [
        (p.offer, offers[p.offer].kind, offers[p.offer].sku, offers[p.offer].site, hourly(p.unit), p.source)
        for p in answer.prices
    ]
    return Table(
        "What is offered",
        ("offer", "kind", "SKU", "site", "USD an hour", "source"),
        rows,
        4,
        "First quarter.",
    )


def token_table(answer: PortfolioAnswer) -> Table:
    """Not a price per hour: a price per unit of work, here a million tokens."""
    served = list(dict.fromkeys(name for p in answer.prices for name in p.million_tokens))
    rows = [
        (p.offer, *(f"{p.million_tokens[n]:.3g}" if n in p.million_tokens else "-" for n in served))
        for p in answer.prices
        if p.million_tokens
    ]
    return Table(
        "What a million tokens costs, read and written [USD]",
        ("offer", *served),
        rows,
        1,
        "Units are held day and night for the peak; tokens come at the mean.",
    )


def run_table(answer: PortfolioAnswer) -> Table:
    """A price per unit of work: a whole run."""
    runs = [g.name for g in answer.generations]
    rows = [
        (p.offer, *(f"{p.run[n] / 1e6:z,.0f}" if n in p.run else "-" for n in runs))
        for p in answer.prices
        if p.run
    ]
    return Table(
        "What a run costs, failures included [million USD]",
        ("offer", *runs),
        rows,
        1,
        f"Goodput {answer.asked.goodput:.0%}.",
    )


def deal_text(deal: Deal) -> list[str]:
    """What the deal's money is a year, and what CPUs would take of it."""
    least, most = deal.cpus[0].yearly, deal.cpus[-1].yearly
    return [
        f"{deal.contract}: {money(deal.total)} over {deal.years:g} years are {money(deal.yearly)} a year. "
        f"Ten million vCPUs, always on, take {least / deal.yearly:.0%} to {most / deal.yearly:.0%} of it at "
        f"list prices; twenty million {2 * least / deal.yearly:.0%} to {2 * most / deal.yearly:.0%}."
    ]


def cpu_table(deal: Deal) -> Table:
    """CPUs against the deal, price by price."""
    rows = [
        (
            c.name,
            f"{c.price * HOUR:.4f}",
            money(c.yearly),
            f"{c.yearly / deal.yearly:.0%}",
            "a core" if c.core else "a thread",
            c.source,
        )
        for c in deal.cpus
    ]
    return Table(
        f"Ten million vCPUs, always on, against {deal.contract}",
        ("price", "USD an hour", "a year", "of the contract's year", "a vCPU is", "source"),
        rows,
        1,
        "List prices on demand.",
    )


def deal_table(deal: Deal) -> Table:
    """The fleet that the money pays for, at each price."""
    at = deal.labels.index(deal.full)
    shown = sorted({0, at // 2, at, min(at + 4, len(deal.labels) - 1)})
    rows = [
        (
            hourly(b.price),
            *(f"{b.accelerators[q]:z,.0f}" for q in shown),
            f"{b.beside_cpus[at]:z,.0f}",
            b.source,
        )
        for b in deal.bought
    ]
    note = (
        f"Even steps until all stands in {deal.full}. The clusters of {deal.provider} have {deal.fleet:,}."
        if deal.fleet
        else f"Even steps until all stands in {deal.full}."
    )
    return Table(
        f"What {deal.contract} buys: accelerators that its money pays for",
        ("USD an hour", *(deal.labels[q] for q in shown), "beside the CPUs", "source"),
        rows,
        0,
        note,
    )


def owning_table(owning: OwnOrRent) -> Table:
    """Lease or build."""
    rows = [
        (name, hourly(price), f"{least:.0%}" if isfinite(least) and least <= 1 else "never")
        for price, name, least in owning.rents
    ]
    return Table(
        "Own or rent a GB200",
        ("offer", "USD an hour", "owning is cheaper above"),
        rows,
        1,
        f"Owning costs {hourly(owning.cost)} USD an hour in use, at {owning.utilisation:.0%} utilisation: "
        "docs/tco.md has its parts.",
    )
