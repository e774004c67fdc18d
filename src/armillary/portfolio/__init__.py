"""Room `portfolio`: demand, offers, contracts and plans of purchases; imports the rooms above."""

from armillary.portfolio.calendar import QUARTER, Calendar, Futures, fan, growing, tree
from armillary.portfolio.checking import check
from armillary.portfolio.plan import Costs, Plan, Purchase, Signed
from armillary.portfolio.records import (
    Contract,
    Demand,
    Offer,
    Option,
    Programme,
    Risk,
    Site,
    Sku,
    Tier,
)
from armillary.portfolio.solving import solve

__all__ = [
    "QUARTER",
    "Calendar",
    "Contract",
    "Costs",
    "Demand",
    "Futures",
    "Offer",
    "Option",
    "Plan",
    "Programme",
    "Purchase",
    "Risk",
    "Signed",
    "Site",
    "Sku",
    "Tier",
    "check",
    "fan",
    "growing",
    "solve",
    "tree",
]
