"""A contract as cash flows by quarter: total, term, ramp, prepayment, minimum take; and what it pays for."""

from __future__ import annotations

import tomllib
from functools import lru_cache
from importlib import resources
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from armillary.errors import InputError
from armillary.portfolio.quarter_dates import Quarters
from armillary.portfolio.tco import YEAR

Numeric = Any
"""A float or a numpy array of floats."""

Floats = NDArray[np.float64]


class ContractFlows(NamedTuple):
    """Cash that leaves the customer, by quarter; what is paid is the sum of the parts. [USD]

    prepayment : paid as the first quarter begins. use : for what is used, less what was prepaid of it.
    shortfall : paid for what was promised and not taken.
    """

    prepayment: Floats
    use: Floats
    shortfall: Floats

    @property
    def paid(self) -> Floats:
        """`[quarter]` sum of the parts [USD]."""
        return self.prepayment + self.use + self.shortfall

    @property
    def total(self) -> float:
        """Of all quarters [USD]."""
        return float(self.paid.sum())


class CpuPrice(NamedTuple):
    """A list price. price : of one vCPU [USD/s]. core : whether that is a core, not a thread."""

    name: str
    provider: str
    instance: str
    terms: str
    price: float
    core: bool
    region: str
    source: str
    date: str


def ramp(quarters: Quarters, full: str) -> Floats:
    """Share of the full fleet that stands in each quarter: even steps, all of it from one on.

    Parameters
    ----------
    quarters : Quarters
    full : str
        Label of the first quarter with all of it.

    Returns
    -------
    array
        `[quarter]` [-]

    Examples
    --------
    >>> from armillary.portfolio.quarter_dates import quarters
    >>> ramp(quarters("2025Q4", 6), "2026Q4").tolist()
    [0.2, 0.4, 0.6, 0.8, 1.0, 1.0]
    """
    if full not in quarters.labels:
        raise InputError(
            f"full is {full!r}; expected a quarter from {quarters.labels[0]!r} to {quarters.labels[-1]!r}"
        )
    steps = quarters.labels.index(full) + 1
    return np.minimum(1.0, np.arange(1, len(quarters.labels) + 1) / steps)


def contract_flows(
    total: float,
    quarters: Quarters,
    level: Floats,
    prepayment: float = 0.0,
    taken: Numeric = 1.0,
    minimum_take: float = 0.0,
) -> ContractFlows:
    """Spread a contract's total over its quarters by how much of the fleet stands in each.

    Parameters
    ----------
    total : float
        Of the whole term, at full use. [USD]
    quarters : Quarters
        Of the term.
    level : array
        `[quarter]` of the fleet that stands, as `ramp` gives it; need not end at 1. [-]
    prepayment : float
        Share of the total that is paid at the start, and drawn down as a share of every quarter's use. [-]
    taken : numeric
        Share of what stands that is used, one number or `[quarter]`. [-]
    minimum_take : float
        Share of what stands that is paid for, used or not. [-]

    Raises
    ------
    InputError
        If a number cannot be: money below 0, shares outside 0 to 1, a level of nothing.

    Examples
    --------
    >>> from armillary.portfolio.quarter_dates import quarters
    >>> when = quarters("2025Q4", 4)
    >>> flows = contract_flows(100.0, when, np.ones(4), prepayment=0.2, taken=0.5, minimum_take=0.75)
    >>> [round(float(part.sum())) for part in flows], round(flows.total)
    ([20, 30, 25], 75)
    """
    level, share = np.asarray(level, float), np.broadcast_to(np.asarray(taken, float), len(quarters.labels))
    if not 0 <= total < np.inf:
        raise InputError(f"total is {total}; expected an amount of 0 USD or more")
    if level.shape != (len(quarters.labels),) or not (level >= 0).all() or not level.sum() > 0:
        raise InputError(
            f"level has shape {level.shape}; expected a number of 0 or more for each of "
            f"{len(quarters.labels)} quarters, not all 0"
        )
    for name, value in (("prepayment", prepayment), ("minimum_take", minimum_take), ("taken", share)):
        if not np.all((np.asarray(value) >= 0) & (np.asarray(value) <= 1)):
            raise InputError(f"{name} is {value}; expected a share from 0 to 1")
    weight = level * quarters.lengths
    promised = total * weight / weight.sum()
    first = np.zeros(len(promised))
    first[0] = prepayment * total
    used = promised * share
    still = used - np.minimum(used, promised * prepayment)
    owed = np.maximum(0.0, promised * minimum_take - np.maximum(used, promised * prepayment))
    return ContractFlows(first, still, owed)


def present_value(flows: ContractFlows, quarters: Quarters, rate: Numeric) -> Numeric:
    """Worth today, as the first quarter begins, of what will be paid. [USD]

    Parameters
    ----------
    rate : numeric
        Discount, effective, a year; one number or an array. [-]

    Notes
    -----
    The prepayment falls on the first day, all else on the middle of its quarter.
    """
    years = (quarters.starts + quarters.ends) / 2 / YEAR
    discount = (1 + np.asarray(rate, float)[..., None]) ** -years
    return float(flows.prepayment.sum()) + ((flows.use + flows.shortfall) * discount).sum(-1)


def accelerators_paid_for(spend: Floats, quarters: Quarters, price: Numeric, other: Numeric = 0.0) -> Numeric:
    """How many accelerators, running all the time, the spending of each quarter pays for.

    Parameters
    ----------
    spend : array
        `[quarter]` [USD]
    price : numeric
        Of one accelerator: a number, `[quarter]`, or `[..., 1]` to compare prices. [USD/s]
    other : numeric
        What is spent on CPUs and else. [USD/s]

    Returns
    -------
    array
        `[..., quarter]`; 0 where all is spent on else. [-]

    Examples
    --------
    38 billion USD over seven even years:

    >>> from armillary.portfolio.quarter_dates import quarters
    >>> when = quarters("2025Q4", 28)
    >>> flows = contract_flows(38e9, when, np.ones(28))
    >>> found = accelerators_paid_for(flows.paid, when, np.array([[2.5], [4.0]]) / 3600)
    >>> [round(float(row[0]) / 1e3) for row in found]
    [248, 155]
    """
    rate = np.maximum(0.0, spend / quarters.lengths - other)
    return rate / np.asarray(price, float)


@lru_cache(maxsize=1)
def cpu_prices() -> dict[str, CpuPrice]:
    """List prices of vCPUs, with sources, by name."""
    text = resources.files("armillary.portfolio").joinpath("cpu_prices.toml").read_text(encoding="utf-8")
    return {
        name: CpuPrice(
            name,
            row["provider"],
            row["instance"],
            row["terms"],
            row["price"] / row["vcpus"] / 3600,
            row["core"],
            row["region"],
            row["source"],
            row["date"],
        )
        for name, row in tomllib.loads(text).items()
    }
