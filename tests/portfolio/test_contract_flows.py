"""Contracts as cash flows: sums by hand, the deal as a fleet over time, and CPUs beside it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from armillary import catalog
from armillary.errors import InputError
from armillary.portfolio.contract_flows import (
    accelerators_paid_for,
    contract_flows,
    cpu_prices,
    present_value,
    ramp,
)
from armillary.portfolio.quarter_dates import quarters, seconds_after
from armillary.portfolio.tco import YEAR

DEAL = quarters("2025-11-03", 28)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.sampled_from(DEAL.labels))
def test_what_is_paid_is_what_binds(prepayment, taken, floor, full):
    flows = contract_flows(38e9, DEAL, ramp(DEAL, full), prepayment, taken, floor)
    assert flows.total == pytest.approx(38e9 * max(prepayment, taken, floor))
    assert (flows.use >= 0).all()
    assert (flows.shortfall >= 0).all()


def test_the_worth_of_a_payment_on_the_first_day_is_itself():
    flows = contract_flows(100.0, DEAL, np.ones(28), prepayment=1.0)
    assert present_value(flows, DEAL, 0.5) == pytest.approx(100)
    later = contract_flows(100.0, DEAL, np.ones(28))
    assert present_value(later, DEAL, 0.0) == pytest.approx(100)
    # Level payments over T years discount like a continuous annuity: 1 - v^T over T ln(1 + r).
    rate, years = 0.08, float(DEAL.ends[-1]) / YEAR
    continuous = (1 - (1 + rate) ** -years) / (years * np.log1p(rate))
    assert present_value(later, DEAL, rate) / 100 == pytest.approx(continuous, rel=1e-4)
    assert present_value(later, DEAL, np.array([0.0, rate])).shape == (2,)


def test_the_deal_as_a_fleet_over_time():
    """38 billion USD, seven years, in even steps to all of it in the last quarter of 2026."""
    deal = catalog.load().contract("openai-aws")
    assert deal.term == pytest.approx(7 * YEAR)
    assert float(DEAL.ends[-1]) == pytest.approx(deal.term, rel=0.001)
    flows = contract_flows(deal.value, DEAL, ramp(DEAL, "2026Q4"))
    assert flows.total == pytest.approx(38e9)
    prices = np.array([[2.07], [2.5], [4.0]]) / 3600
    fleet = accelerators_paid_for(flows.paid, DEAL, prices)
    assert fleet.shape == (3, 28)
    full = fleet[:, DEAL.labels.index("2026Q4")]
    assert full[1] == pytest.approx(full[0] * 2.07 / 2.5)
    assert np.allclose(fleet[:, 4:], full[:, None])
    assert np.allclose(fleet[:, 0], full / 5)
    # An even seven years would pay for 155,000 to 248,000 at 2.5 to 4 USD: the ramp leaves more for later.
    assert 155e3 < full[2] < 180e3
    assert 248e3 < full[1] < 280e3
    # All that is paid is what the fleet costs by the hour.
    assert (fleet[1] * prices[1] * DEAL.lengths).sum() == pytest.approx(38e9)


def test_a_price_that_falls_buys_more_each_quarter():
    flows = contract_flows(28.0, DEAL, np.ones(28))
    falling = np.linspace(2.0, 1.0, 28)
    fleet = accelerators_paid_for(flows.paid, DEAL, falling)
    assert fleet.shape == (28,)
    assert fleet[-1] == pytest.approx(2 * fleet[0])


def test_ten_million_vcpus_at_list_prices_eat_most_of_a_year_of_the_deal():
    """2 to 4.6 billion USD a year, of 5.4: always on, they leave little for accelerators."""
    listed = [p for p in cpu_prices().values() if p.terms == "on-demand" and "before" not in p.source]
    yearly = sorted(10e6 * p.price * YEAR / 1e9 for p in listed)
    assert yearly[0] == pytest.approx(2.0, abs=0.05)
    assert yearly[-1] == pytest.approx(4.6, abs=0.05)
    deal = catalog.load().contract("openai-aws")
    assert deal.value / deal.term * YEAR / 1e9 == pytest.approx(5.4, abs=0.05)
    flows = contract_flows(deal.value, DEAL, np.ones(28))
    dear = accelerators_paid_for(flows.paid, DEAL, 2.5 / 3600, other=yearly[-1] * 1e9 / YEAR)
    free = accelerators_paid_for(flows.paid, DEAL, 2.5 / 3600)
    assert (dear < 0.2 * free).all()
    assert (accelerators_paid_for(flows.paid, DEAL, 1.0, other=1e9) == 0).all()


def test_cpu_rows_have_sources():
    for row in cpu_prices().values():
        assert row.source, row.name
        assert row.date >= "2026", row.name
        assert 0.005 < row.price * 3600 < 0.1, row.name


def test_quarters_are_the_calendars():
    found = quarters("2024Q1", 5)
    assert found.labels == ("2024Q1", "2024Q2", "2024Q3", "2024Q4", "2025Q1")
    assert (found.lengths / 86400).tolist() == [91, 91, 92, 92, 90]
    assert quarters("2026-05-17", 1).labels == ("2026Q2",)
    assert seconds_after("2024", "2024-03-01") == 60 * 86400


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: contract_flows(-1.0, DEAL, np.ones(28)), "total is -1.0"),
        (lambda: contract_flows(1.0, DEAL, np.zeros(28)), "not all 0"),
        (lambda: contract_flows(1.0, DEAL, np.ones(3)), r"level has shape \(3,\)"),
        (lambda: contract_flows(1.0, DEAL, np.ones(28), prepayment=1.5), "prepayment is 1.5"),
        (lambda: contract_flows(1.0, DEAL, np.ones(28), minimum_take=-0.1), "minimum_take is -0.1"),
        (lambda: ramp(DEAL, "2040Q1"), "expected a quarter from '2025Q4' to '2032Q3'"),
        (lambda: quarters("2025-13", 2), "cannot read '2025-13' as a date"),
        (lambda: quarters("Q4 2025", 2), "write it as"),
        (lambda: quarters("2025Q4", 0), "expected 1 quarter or more"),
    ],
)
def test_what_cannot_be_is_refused(call, said):
    with pytest.raises(InputError, match=said):
        call()
