"""What it costs to own accelerators, by component and by kind of cost; formulas of numbers or arrays.

Money flows are rates [USD/s], prices are of one accelerator [USD/s], as in the catalog's offers.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

Numeric = Any
"""A float or a numpy array of floats; arguments broadcast against each other."""

YEAR = 365.25 * 86400.0
"""[s]"""

COMPONENTS = (
    "accelerators",
    "processors",
    "servers",
    "network",
    "storage",
    "mechanical_electrical",
    "building",
    "connection",
)
FACILITY = ("mechanical_electrical", "building", "connection")
"""Components that a landlord owns where the facility is leased."""


class Inputs(NamedTuple):
    """What a cost follows from, each a number or an array; defaults with sources in tco_facts.toml.

    accelerators : that stand there, spares included [-]. per_rack : in a rack [-].
    rack_power : of a rack's IT [W]. other_power : of network, storage and hosts outside the rack, an
    accelerator's part [W]. rack_price : of a rack [USD], of which accelerator_share and processor_share [-].
    network_price, storage_price : outside the rack, an accelerator's part [USD].
    facility_price : of power, cooling, building, land and connection, by IT power [USD/W], of which
    mechanical_electrical_share and building_share [-]; the rest is land and the power's connection.
    accelerator_life, ... : over which a component is written off [s].
    rate : interest that capital is paid, effective, a year [-].
    pue : power usage effectiveness [-]. load : mean draw over nameplate [-]. energy_price : [USD/J].
    staff_price : by IT power [USD/J]. maintenance : of mechanics, electrics and building [1/s].
    failure_rate : of accelerators, to be replaced [1/s]. repair_price : over that of a new one, after the
    warranty [-]. warranty : [s]. spares : share of the accelerators [-].
    utilisation : hours used of hours usable [-]. lease_price : of a facility, by IT power [USD/J].
    """

    accelerators: Numeric
    per_rack: Numeric
    rack_power: Numeric
    other_power: Numeric
    rack_price: Numeric
    accelerator_share: Numeric
    processor_share: Numeric
    network_price: Numeric
    storage_price: Numeric
    facility_price: Numeric
    mechanical_electrical_share: Numeric
    building_share: Numeric
    accelerator_life: Numeric
    processor_life: Numeric
    server_life: Numeric
    network_life: Numeric
    storage_life: Numeric
    mechanical_electrical_life: Numeric
    building_life: Numeric
    connection_life: Numeric
    rate: Numeric
    pue: Numeric
    load: Numeric
    energy_price: Numeric
    staff_price: Numeric
    maintenance: Numeric
    failure_rate: Numeric
    repair_price: Numeric
    warranty: Numeric
    spares: Numeric
    utilisation: Numeric
    lease_price: Numeric


class Capex(NamedTuple):
    """What is bought, by component; the total is their sum. [USD]"""

    accelerators: Numeric
    processors: Numeric
    servers: Numeric
    network: Numeric
    storage: Numeric
    mechanical_electrical: Numeric
    building: Numeric
    connection: Numeric

    @property
    def equipment(self) -> Numeric:
        """Of the IT alone [USD]."""
        return self.accelerators + self.processors + self.servers + self.network + self.storage

    @property
    def facility(self) -> Numeric:
        """Of what a landlord could own [USD]."""
        return self.mechanical_electrical + self.building + self.connection

    @property
    def total(self) -> Numeric:
        """Sum of the parts [USD]."""
        return sum(self)


class RunningCost(NamedTuple):
    """What owning costs as it runs; the total is the sum of the parts. [USD/s]

    accelerators to connection : written off evenly over each life. financing : interest on what is not yet
    paid back, evened out over the life. lease : to a landlord. repairs : of accelerators out of warranty.
    """

    accelerators: Numeric
    processors: Numeric
    servers: Numeric
    network: Numeric
    storage: Numeric
    mechanical_electrical: Numeric
    building: Numeric
    connection: Numeric
    financing: Numeric
    lease: Numeric
    energy: Numeric
    staff: Numeric
    maintenance: Numeric
    repairs: Numeric

    @property
    def depreciation(self) -> Numeric:
        """Of all components [USD/s]."""
        return sum(self[: len(COMPONENTS)])

    @property
    def operating(self) -> Numeric:
        """What has to be paid while it runs, capital and lease apart [USD/s]."""
        return self.energy + self.staff + self.maintenance + self.repairs

    @property
    def total(self) -> Numeric:
        """Sum of the parts [USD/s]."""
        return sum(self)


def annuity(rate: Numeric, life: Numeric) -> Numeric:
    r"""Level payment that pays one USD back over its life, with interest.

    Parameters
    ----------
    rate : numeric
        Effective, a year; 0 or more. [-]
    life : numeric
        [s]

    Returns
    -------
    numeric
        [1/s]

    Notes
    -----
    :math:`r / (1 - (1+r)^{-n})` a year over :math:`n` years, paid at their ends; without interest
    :math:`1/n`.

    Examples
    --------
    >>> round(float(annuity(rate=0.07, life=5 * YEAR)) * YEAR, 5)
    0.24389
    """
    years = life / YEAR
    interest = np.asarray(rate, dtype=float)
    none = interest < 1e-12  # below which rounding is larger than the interest
    safe = np.where(none, 1.0, interest)
    found = np.where(none, 1 / years, safe / -np.expm1(-years * np.log1p(safe))) / YEAR
    return found[()]


def it_power(inputs: Inputs) -> Numeric:
    """Nameplate power of the IT. [W]"""
    return inputs.accelerators * power_each(inputs)


def power_each(inputs: Inputs) -> Numeric:
    """IT power that one accelerator takes with all that belongs to it. [W]"""
    return inputs.rack_power / inputs.per_rack + inputs.other_power


def accelerators_in(power: Numeric, inputs: Inputs) -> Numeric:
    """How many accelerators an IT power feeds. [-]"""
    return power / power_each(inputs)


def capex(inputs: Inputs) -> Capex:
    """What is bought, by component. [USD]"""
    n = inputs.accelerators
    rack = inputs.rack_price / inputs.per_rack
    facility = inputs.facility_price * it_power(inputs)
    rest = np.maximum(0.0, 1 - inputs.accelerator_share - inputs.processor_share)
    outside = np.maximum(0.0, 1 - inputs.mechanical_electrical_share - inputs.building_share)
    return Capex(
        accelerators=n * rack * inputs.accelerator_share,
        processors=n * rack * inputs.processor_share,
        servers=n * rack * rest,
        network=n * inputs.network_price,
        storage=n * inputs.storage_price,
        mechanical_electrical=facility * inputs.mechanical_electrical_share,
        building=facility * inputs.building_share,
        connection=facility * outside,
    )


def lives(inputs: Inputs) -> Capex:
    """Life of each component. [s]"""
    return Capex(
        inputs.accelerator_life,
        inputs.processor_life,
        inputs.server_life,
        inputs.network_life,
        inputs.storage_life,
        inputs.mechanical_electrical_life,
        inputs.building_life,
        inputs.connection_life,
    )


def owned(inputs: Inputs, leased: Numeric = 0.0) -> RunningCost:
    """Cost of owning the equipment, and the facility or a lease of it.

    Parameters
    ----------
    inputs : Inputs
    leased : numeric
        Share of the facility that is leased: 0 builds all, 1 leases all. [-]

    Notes
    -----
    Interest is what an annuity takes beyond even depreciation. An accelerator that fails within its warranty
    costs nothing; after it, `repair_price` of a new one. A landlord maintains what he leases out.
    """
    bought, life = capex(inputs), lives(inputs)
    mine = {name: 1 - leased if name in FACILITY else 1.0 for name in COMPONENTS}
    paid = [part * mine[name] for name, part in zip(COMPONENTS, bought, strict=True)]
    even = [part / n for part, n in zip(paid, life, strict=True)]
    level = [part * annuity(inputs.rate, n) for part, n in zip(paid, life, strict=True)]
    power = it_power(inputs)
    outside = np.maximum(0.0, 1 - inputs.warranty / inputs.accelerator_life)
    return RunningCost(
        **dict(zip(COMPONENTS, even, strict=True)),
        financing=sum(level) - sum(even),
        lease=leased * inputs.lease_price * power,
        energy=inputs.energy_price * power * inputs.load * inputs.pue,
        staff=inputs.staff_price * power,
        maintenance=inputs.maintenance * (1 - leased) * (bought.mechanical_electrical + bought.building),
        repairs=inputs.failure_rate * outside * inputs.repair_price * bought.accelerators,
    )


def usable(inputs: Inputs) -> Numeric:
    """Accelerators that work can be put on at once: all but the spares. [-]"""
    return inputs.accelerators * (1 - inputs.spares)


def price_each(cost: Numeric, inputs: Inputs) -> Numeric:
    """Cost of one accelerator for a time in which it is used. [USD/s]

    Parameters
    ----------
    cost : numeric
        Of the whole, e.g. ``owned(inputs).total``. [USD/s]
    """
    return cost / (usable(inputs) * inputs.utilisation)


def flop_price(price: Numeric, peak: Numeric, mfu: Numeric) -> Numeric:
    """Cost of an effective FLOP: one that the model needs. [USD/FLOP]

    Parameters
    ----------
    price : numeric
        Of one accelerator. [USD/s]
    peak : numeric
        Dense, of the precision in use. [FLOP/s]
    mfu : numeric
        Model FLOPs utilisation, as training gives it. [-]

    Examples
    --------
    >>> round(flop_price(2.21 / 3600, 2.5e15, 0.40) * 1e15 * 3600, 2)  # USD per effective PFLOP/s-hour
    2.21
    """
    return price / (peak * mfu)


def token_price(price: Numeric, rate: Numeric) -> Numeric:
    """Cost of a token. [USD/token]

    Parameters
    ----------
    price : numeric
        Of one accelerator. [USD/s]
    rate : numeric
        Of one accelerator, as serving gives it. [token/s]

    Examples
    --------
    >>> round(token_price(2.21 / 3600, 3000.0) * 1e6, 3)  # USD per million tokens
    0.205
    """
    return price / rate


def run_price(price: Numeric, flop: Numeric, peak: Numeric, mfu: Numeric, goodput: Numeric = 1.0) -> Numeric:
    """Cost of a training run. [USD]

    Parameters
    ----------
    flop : numeric
        Of the model. [FLOP]
    goodput : numeric
        Share of the time that moves the run forward. [-]

    Examples
    --------
    >>> round(run_price(2.0 / 3600, 3.8e25, 989e12, 0.404) / 1e6)  # Llama 3.1 405B at 2 USD an hour
    53
    """
    return flop * flop_price(price, peak, mfu) / goodput


def break_even(rent: Numeric, cost: Numeric, inputs: Inputs) -> Numeric:
    """Utilisation above which owning beats renting by the hour. [-]

    Parameters
    ----------
    rent : numeric
        Of one accelerator, for the time in use alone. [USD/s]
    cost : numeric
        Of the whole. [USD/s]
    """
    return cost / (usable(inputs) * rent)
