"""Room `portfolio`: what to buy, when, at what cost; imports the rooms above it.

Cost of ownership, ramps of deployment, training programmes and the cash flows of contracts.
"""

from armillary.portfolio.contract_flows import (
    ContractFlows,
    CpuPrice,
    accelerators_paid_for,
    contract_flows,
    cpu_prices,
    present_value,
    ramp,
)
from armillary.portfolio.deployment import Overrun, RampSite, Step, overrun, usual_steps
from armillary.portfolio.deployment_simulation import Chance, Critical, Ramps, simulate_ramps
from armillary.portfolio.quarter_dates import Quarters, quarters, seconds_after
from armillary.portfolio.tco import (
    Capex,
    Inputs,
    RunningCost,
    accelerators_in,
    annuity,
    break_even,
    capex,
    flop_price,
    it_power,
    owned,
    price_each,
    run_price,
    token_price,
    usable,
)
from armillary.portfolio.tco_inputs import Swing, inputs, tco_facts, tornado

__all__ = [
    "Capex",
    "Chance",
    "ContractFlows",
    "CpuPrice",
    "Critical",
    "Inputs",
    "Overrun",
    "Quarters",
    "RampSite",
    "Ramps",
    "RunningCost",
    "Step",
    "Swing",
    "accelerators_in",
    "accelerators_paid_for",
    "annuity",
    "break_even",
    "capex",
    "contract_flows",
    "cpu_prices",
    "flop_price",
    "inputs",
    "it_power",
    "overrun",
    "owned",
    "present_value",
    "price_each",
    "quarters",
    "ramp",
    "run_price",
    "seconds_after",
    "simulate_ramps",
    "tco_facts",
    "token_price",
    "tornado",
    "usable",
    "usual_steps",
]
