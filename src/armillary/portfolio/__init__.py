"""Room `portfolio`: what to buy, when, at what cost; imports the rooms above it.

Cost of ownership, ramps of deployment, training programmes and the cash flows of contracts.
"""

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
    "Inputs",
    "RunningCost",
    "Swing",
    "accelerators_in",
    "annuity",
    "break_even",
    "capex",
    "flop_price",
    "inputs",
    "it_power",
    "owned",
    "price_each",
    "run_price",
    "tco_facts",
    "token_price",
    "tornado",
    "usable",
]
