"""What a ramp is: sites whose milestones wait for one another, each taking a time that is uncertain.

A time is lognormal, stated by its median and by what nine in ten stay below. Times that share a cause are
correlated; all others are independent.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np

from armillary.errors import InputError, did_you_mean
from armillary.portfolio.ranged_facts import given, ranged_facts

Numeric = Any
"""A float or a numpy array of floats."""

Z90 = 1.2815515655446004
"""Quantile of the standard normal distribution at nine in ten. [-]"""


class Step(NamedTuple):
    """A milestone: of a site, or of each of its blocks.

    median, p90 : time that it takes from when it can begin [s]; equal where it is certain.
    after : names of the steps of the site that it waits for. start : date before which it cannot begin, after
    the ramp's origin [s]. each_block : every block has its own. in_turn : one block after the other, as one
    crew or one production line does them.
    causes : pairs of a name and a share: the correlation of its time's logarithm with that cause [-], which
    other steps may have too, in any site; two steps have the sum over causes of both shares' product.
    failure, units : chance that a unit does not pass a round, and units that all have to [-]; the step's time
    is that of one round, and rounds go on until all have passed.
    """

    name: str
    median: float
    p90: float
    after: tuple[str, ...] = ()
    start: float = 0.0
    each_block: bool = False
    in_turn: bool = False
    causes: tuple[tuple[str, float], ...] = ()
    failure: float = 0.0
    units: int = 1

    @property
    def own(self) -> float:
        """Share of its own, that no other step has: what the squares of the causes' shares leave of 1 [-]."""
        return float(np.sqrt(max(0.0, 1 - sum(share**2 for _, share in self.causes))))

    @property
    def spread(self) -> float:
        """Standard deviation of the time's logarithm [-]."""
        return float(np.log(self.p90 / self.median) / Z90) if self.median else 0.0


class RampSite(NamedTuple):
    """A site, with one network. blocks : that come up whole [-]. block_size : accelerators in one [-].

    steps : in any order; the one that no other waits for makes a block usable.
    """

    name: str
    blocks: int
    block_size: int
    steps: tuple[Step, ...]


class Overrun(NamedTuple):
    """Time taken over time planned, lognormal. [-]"""

    median: float
    p90: float


def overrun(late: float, mean: float) -> Overrun:
    """Find the lognormal of time taken over time planned from what surveys report.

    Parameters
    ----------
    late : float
        Share of projects that take longer than planned. [-]
    mean : float
        Of time taken over time planned, such as 1.34. [-]

    Notes
    -----
    With m and s of the logarithm, m = z s for the normal quantile z of `late`, and m + s^2 / 2 = ln(mean).

    Examples
    --------
    >>> [round(x, 2) for x in overrun(late=0.9, mean=1.34)]
    [1.31, 1.72]
    """
    if not 0.5 <= late < 1 or not mean > 1:
        raise InputError(
            f"late is {late} and mean {mean}; expected at least half of all late, and a mean above 1"
        )
    z = NormalDist().inv_cdf(late)
    spread = -z + np.sqrt(z * z + 2 * np.log(mean))
    return Overrun(float(np.exp(z * spread)), float(np.exp((z + Z90) * spread)))


def rounds_below(rounds: Numeric, failure: Numeric, units: Numeric) -> Numeric:
    """Chance that all units have passed after so many rounds, :math:`(1 - q^k)^n`. [-]"""
    return (1 - np.asarray(failure, float) ** rounds) ** units


def usual_steps(
    site: str, building: float, power: float, racks: int, delivery_start: float = 0.0, **values: float
) -> tuple[Step, ...]:
    """Steps of a site that is being built, by deployment_facts.toml.

    Parameters
    ----------
    site : str
        Its name, that of what its own steps have in common.
    building, power : float
        Time to either, as planned, after the origin. [s]
    racks : int
        In a block; all have to pass burn-in. [-]
    delivery_start : float
        Before which no racks come. [s]
    **values : float
        Other values of rows, in SI units.

    Notes
    -----
    Building and power wait for nothing and are late by one factor, which the surveys give for the whole
    project; part of it is common to all sites. Racks are delivered, installed and connected block by block;
    deliveries have their cause in common over all sites.
    """
    row = given(ranged_facts("deployment_facts"), **values)
    late = overrun(row["late_share"], row["mean_overrun"])
    share = row["construction_share"]
    causes = (("construction", share), (f"construction of {site}", float(np.sqrt(1 - share**2))))
    return (
        Step("building", building * late.median, building * late.p90, causes=causes),
        Step("power", power * late.median, power * late.p90, causes=causes),
        Step(
            "delivery",
            row["delivery"],
            row["delivery_p90"],
            start=delivery_start,
            in_turn=True,
            causes=(("supply", row["supply_share"]),),
            each_block=True,
        ),
        Step(
            "installation",
            row["installation"],
            row["installation_p90"],
            ("building", "power", "delivery"),
            in_turn=True,
            each_block=True,
        ),
        Step("network", row["network"], row["network_p90"], ("installation",), each_block=True),
        Step(
            "burn-in",
            row["burn_in"],
            row["burn_in_p90"],
            ("network",),
            failure=row["burn_in_failure"],
            units=racks,
            each_block=True,
        ),
    )


def in_order(site: RampSite) -> tuple[Step, ...]:
    """Steps of a site so that each comes after those that it waits for; the last makes a block usable.

    Raises
    ------
    InputError
        If a number cannot be, a step waits for one that is not there or for itself, or more than one step, or
        one of the whole site, comes last.
    """
    names = [step.name for step in site.steps]
    if site.blocks < 1 or site.block_size < 1:
        raise InputError(
            f"site {site.name!r} has {site.blocks} blocks of {site.block_size}; expected 1 or more of each"
        )
    if len(set(names)) < len(names):
        raise InputError(f"site {site.name!r} has two steps of one name; there are {', '.join(names)}")
    for step in site.steps:
        _check(site.name, step)
        for name in step.after:
            if name not in names:
                raise InputError(
                    f"site {site.name!r}: step {step.name!r} waits for {name!r}, which it does not have"
                    f"{did_you_mean(name, names)}"
                )
    ordered: list[Step] = []
    while len(ordered) < len(site.steps):
        done = {step.name for step in ordered}
        ready = [s for s in site.steps if s.name not in done and done.issuperset(s.after)]
        if not ready:
            stuck = ", ".join(name for name in names if name not in done)
            raise InputError(f"site {site.name!r}: steps wait for one another in a circle: {stuck}")
        ordered += ready
    waited = {name for step in site.steps for name in step.after}
    last = [step for step in ordered if step.name not in waited]
    if len(last) != 1 or not last[0].each_block:
        raise InputError(
            f"site {site.name!r}: expected one last step, of each block; "
            f"nothing waits for {', '.join(step.name for step in last) or 'any'}"
        )
    return (*(step for step in ordered if step is not last[0]), last[0])


def _check(site: str, step: Step) -> None:
    place = f"site {site!r}, step {step.name!r}"
    if not 0 <= step.median <= step.p90 < np.inf or (step.median == 0) != (step.p90 == 0):
        raise InputError(
            f"{place}: median is {step.median} and p90 {step.p90}; expected times in s, the p90 no less than "
            "the median, or both 0"
        )
    if not 0 <= step.start < np.inf:
        raise InputError(f"{place}: start is {step.start}; expected a time after the origin in s")
    names = [name for name, _ in step.causes]
    if sum(share**2 for _, share in step.causes) > 1 + 1e-9 or len(set(names)) < len(names):
        raise InputError(
            f"{place}: causes are {step.causes}; expected each once, "
            "and squares of shares of 1 in sum or less"
        )
    if not 0 <= step.failure < 1 or step.units < 1:
        raise InputError(
            f"{place}: failure is {step.failure} and units {step.units}; "
            "expected a chance below 1, and 1 unit or more"
        )
    if step.in_turn and not step.each_block:
        raise InputError(f"{place}: in_turn is for steps of each block")
