"""Shadow prices: what one more of each limit changes, with contracts, sites and homes held as planned."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from armillary.portfolio import highs
from armillary.portfolio.arrays import Arrays
from armillary.portfolio.arrays import arrays as arrays_of
from armillary.portfolio.assembly import Assembly, assemble
from armillary.portfolio.calendar import Floats
from armillary.portfolio.committing import years
from armillary.portfolio.plan import Plan
from armillary.portfolio.records import Programme
from armillary.portfolio.states import exact

LINKS = (
    "use if opened",
    "scarce if opened",
    "buy if opened",
    "use at home",
    "all at home",
    "give if opened",
    "exercise if opened",
)
"""Rows that say no more than that binaries which are 0 forbid something."""


class Price(NamedTuple):
    """price : of one more `unit` in all quarters and futures; negative where it saves [USD]."""

    name: str
    price: float
    unit: str


def shadow_prices(programme: Programme, plan: Plan) -> tuple[Price, ...]:
    """Prices of demand, power, capacity, shares, budgets and takes, with all binaries fixed.

    They hold for small changes, at which no binary would change. Those that are zero are left out.
    """
    arrays = arrays_of(programme)
    assembly = assemble(programme, arrays, exact(programme.futures))
    matrix, x = assembly.matrix, plan.point
    lower, upper = matrix.lower.copy(), matrix.upper.copy()
    whole = np.round(x[matrix.integer])
    lower[matrix.integer] = upper[matrix.integer] = whole
    capped = _free_of_demand(arrays, assembly, x, upper)
    row_upper = matrix.row_upper.copy()
    for name, rows in matrix.row_blocks.items():
        if name.startswith(LINKS):
            row_upper[rows] = np.inf
    solved = highs.solve(matrix._replace(row_upper=row_upper), relaxed=True, lower=lower, upper=upper)
    found = _prices(programme, arrays, assembly, solved, capped)
    return tuple(p._replace(price=float(p.price)) for p in found if abs(p.price) > 1e-12)


def _free_of_demand(arrays: Arrays, assembly: Assembly, x: Floats, upper: Floats) -> tuple[Floats, Floats]:
    """Lift bounds that only say that no more than the demand is used; keep those of capacity."""
    usage, bought, states = assembly.usage, assembly.bought, assembly.states
    capacity = arrays.capacity
    uncertain = capacity.shape[2] > 1
    had = states.mean(capacity)[usage.offer, usage.state] if uncertain else capacity[
        usage.offer, states.quarter[usage.state], 0
    ]  # fmt: skip
    opened = np.ones(len(arrays.opening))
    opened[assembly.sites_opened] = np.round(x[assembly.opened[assembly.sites_opened]])
    home = np.ones((len(arrays.floor), len(arrays.networks)))
    home[arrays.placed] = 0.0
    home[assembly.home_stream, assembly.home_network] = np.round(x[assembly.home])
    site = arrays.site[usage.offer]
    may = opened[site] * home[usage.stream, arrays.network[site]] > 0
    had = np.where(may, had, np.inf)
    upper[usage.column] = np.where(may, had, 0.0)
    clusters, pooled = bought.clusters, bought.pooled
    may = (pooled.site < 0) | (home[pooled.stream, arrays.network[pooled.site]] > 0)
    upper[pooled.column] = np.where(may, np.inf, 0.0)
    may = home[clusters.stream, arrays.network[clusters.site]] > 0
    upper[clusters.column] = np.where(may, np.inf, 0.0)
    purchases = bought.purchases
    limit = np.array(
        [
            capacity[o, q:e, 0].min()
            for o, q, e in zip(purchases.offer, purchases.start, purchases.end, strict=True)
        ]
    ).reshape(-1)
    may = opened[arrays.site[purchases.offer]] > 0
    upper[bought.columns] = np.where(may, limit, 0.0)
    limit = np.where(may, limit, np.inf)
    return had, limit


def _prices(
    programme: Programme,
    arrays: Arrays,
    assembly: Assembly,
    solved: highs.Solved,
    capped: tuple[Floats, Floats],
) -> list[Price]:
    matrix, scales = assembly.matrix, arrays.scales
    duals, tags = solved.duals, assembly.tags
    found = []

    def by_tag(block: str, size: int) -> Floats:
        out = np.zeros(size)
        if block in matrix.row_blocks:
            np.add.at(out, tags[block], duals[matrix.row_blocks[block]])
        return out

    demand = by_tag("demand", len(programme.demands))
    if "cluster or nothing" in matrix.row_blocks:
        demand += by_tag("cluster or nothing", len(programme.demands))
    least = solved.reduced[assembly.unmet]
    demand += (np.where(least < 0, least, 0.0) * (1 - arrays.floor[:, None])).sum(1)
    for d, price, scale in zip(programme.demands, demand, scales.work, strict=True):
        found.append(Price(f"demand for {d.name}", price / scale * scales.money, d.unit))
    for s, price in zip(programme.sites, by_tag("power", len(programme.sites)), strict=True):
        found.append(Price(f"power of {s.name}", price / scales.power * scales.money, "W"))
    offers = by_tag("capacity", len(programme.offers)) + by_tag("capacity bought", len(programme.offers))
    reduced = np.minimum(solved.reduced, 0.0)
    had, limit = capped
    used, bought = assembly.usage, assembly.bought
    np.add.at(offers, used.offer, np.where(np.isfinite(had), reduced[used.column], 0.0))
    np.add.at(offers, bought.purchases.offer, np.where(np.isfinite(limit), reduced[bought.columns], 0.0))
    for o, price in zip(programme.offers, offers, strict=True):
        scale = scales.units[[k.name for k in programme.skus].index(o.sku)]
        found.append(Price(f"capacity of {o.name}", price / scale * scales.money * o.availability, "units"))
    if "share" in matrix.row_blocks:
        given = solved.x[matrix.blocks["given"]].reshape(len(arrays.providers), -1).sum(0)
        mine = duals[matrix.row_blocks["share"]].reshape(len(arrays.providers), -1)
        for name, price in zip(arrays.providers, (mine * given).sum(1), strict=True):
            found.append(Price(f"share of {name}", price * scales.money / 100, "percentage point"))
    for t, price in enumerate(by_tag("budget", programme.calendar.quarters)):
        found.append(Price(f"budget of {programme.calendar.name(t)}", price, "USD"))
    takes = np.zeros(len(programme.contracts))
    for name, rows in matrix.row_blocks.items():
        if name.startswith("take "):
            c = int(tags[name][0])
            year = int(name.split()[2])
            contract = programme.contracts[c]
            takes[c] += (
                duals[rows].sum()
                * contract.minimum_take
                * years(contract, programme.calendar.quarters)[year][2]
            )
    found += [Price(f"take of {c.name}", p, "USD") for c, p in zip(programme.contracts, takes, strict=True)]
    return found
