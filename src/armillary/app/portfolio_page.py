"""What to buy, as the HTML report takes it: figures and tables."""

from __future__ import annotations

from typing import Any

import numpy as np

from armillary.app import portfolio_view
from armillary.app.figures import fan_chart, stacked_columns, tornado_chart
from armillary.app.portfolio_prices_view import HOUR
from armillary.portfolio import tco_facts
from armillary.portfolio.tco_inputs import TOGETHER
from armillary.twin import OwnOrRent, PortfolioAnswer

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
BARS = 10
"""Inputs that a tornado shows. [-]"""


def capacity_figure(answer: PortfolioAnswer) -> str:
    """Accelerators had by provider and contract, against what demand would take."""
    columns = [
        (label, [(name, max(float(amount[q]), 0.0)) for name, amount in answer.capacity.items()])
        for q, label in enumerate(answer.labels)
    ]
    weight = answer.asked.futures.probability
    return stacked_columns(
        columns,
        "quarter",
        "accelerators, expected",
        "Capacity against demand",
        [float(v) for v in answer.wanted @ weight],
        f"demand, in {answer.reference}",
    )


def spending_figure(answer: PortfolioAnswer) -> str:
    """Cash by provider and contract; what is negative, as discounts, is left out and said."""
    columns = [
        (label, [(name, max(float(amount[q]), 0.0) / 1e9) for name, amount in answer.spending.items()])
        for q, label in enumerate(answer.labels)
    ]
    return stacked_columns(
        columns, "quarter", "billion USD, expected, undiscounted", "Spend by provider and contract"
    )


def demand_fan(answer: PortfolioAnswer) -> str:
    """Demand over the futures, against what is had in the mean of them."""
    had = sum(answer.capacity.values(), np.zeros(len(answer.labels)))
    return fan_chart(
        answer.labels,
        LEVELS,
        np.quantile(answer.wanted, LEVELS, axis=1).tolist(),
        "Demand over the futures",
        f"accelerators [{answer.reference}]",
        wanted=[float(v) for v in had],
        wanted_label="had, expected",
    )


def cost_fan(answer: PortfolioAnswer) -> str:
    """Cash over the futures."""
    assert answer.plan is not None
    cash = answer.plan.spend.sum(0) / 1e9
    return fan_chart(
        answer.labels,
        LEVELS,
        np.quantile(cash, LEVELS, axis=1).tolist(),
        "Spend over the futures",
        "billion USD a quarter",
    )


def ramp_fan(answer: PortfolioAnswer) -> str:
    """What stands of the sites that are being built."""
    assert answer.ramps is not None
    levels = answer.ramps.fan(LEVELS)
    return fan_chart(
        answer.labels,
        LEVELS,
        levels.tolist(),
        "What stands of the sites that are being built",
        "accelerators",
    )


def owning_figure(owning: OwnOrRent) -> str:
    """What moves the cost of an hour."""
    facts = tco_facts()
    rows = []
    for s in owning.swings[:BARS]:
        fact = facts[TOGETHER[s.name][0] if s.name in TOGETHER else s.name]
        words = (fact.text(s.low), fact.text(s.high))
        rows.append((s.name.replace("_", " "), s.at_low, s.at_high, *words))
    return tornado_chart(
        rows,
        owning.cost * HOUR,
        "What moves the cost of owning a GB200",
        label="USD an hour in use",
    )


def figures(answer: PortfolioAnswer) -> dict[str, str]:
    """All figures by name."""
    found = {}
    if answer.plan is not None:
        found["capacity"] = capacity_figure(answer)
        found["spend"] = spending_figure(answer)
        found["demand"] = demand_fan(answer)
        found["spend-fan"] = cost_fan(answer)
    if answer.ramps is not None:
        found["ramps"] = ramp_fan(answer)
    if answer.owning is not None:
        found["owning"] = owning_figure(answer.owning)
    return found


def portfolio_page(answer: PortfolioAnswer) -> dict[str, Any]:
    """What the template shows."""
    long = {"Quarter by quarter", "What is used and paid as one goes"}
    tables = portfolio_view.tables(answer)
    return {
        "infeasible": answer.infeasible,
        "summary": portfolio_view.summary_rows(answer),
        "figures": list(figures(answer).values()),
        "tables": [t for t in tables if t.title not in long],
        "folded": [t for t in tables if t.title in long],
        "texts": portfolio_view.texts(answer),
    }
