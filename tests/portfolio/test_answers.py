"""What options, providers, clauses and prices are worth, against answers by hand."""

from __future__ import annotations

import numpy as np
import pytest
from test_closed_forms import UNIT, on_demand, one_stream, reserved

from armillary.errors import InfeasibleError, InputError
from armillary.portfolio import (
    Contract,
    Option,
    Site,
    Tier,
    as_signed,
    clause_costs,
    option_value,
    provider_values,
    shadow_prices,
    single_provider_regrets,
    solve,
    tree,
    walk_away,
)

THREE = (Site("here", "A"), Site("there", "B"), Site("far", "C"))


def test_an_options_value_by_future():
    futures = tree({1: 2}, 2)
    amount = np.array([[0.0, 0.0], [50.0, 20.0]])
    option = Option("more", "here", "box", 2 * UNIT, 40.0, decided=1, start=1, term=1, premium=10.0)
    programme = one_stream(amount, [on_demand(5.0)], futures, 2, options=(option,))
    found = option_value(programme, "more", gap=1e-9)
    assert found.by_future == pytest.approx([40 * 3 - 10, 20 * 3 - 10])
    assert found.value == pytest.approx(80)
    assert found.between[0] <= 80.0001
    assert found.between[1] >= 79.9999
    with pytest.raises(InputError, match="did you mean 'more'"):
        option_value(programme, "mor")


def test_the_nth_provider_and_the_regret_of_a_single_one():
    offers = [
        on_demand(2.0, capacity=60.0), on_demand(3.0, "there"), on_demand(2.5, "far", capacity=30.0)
    ]  # fmt: skip
    programme = one_stream([100.0], offers, sites=THREE, penalty=10.0)
    added = provider_values(programme, gap=1e-9)
    assert [a.provider for a in added] == ["B", "A", "C"]
    assert added[1].saves == pytest.approx(300 - 240)
    assert added[2].saves == pytest.approx(240 - (120 + 75 + 30))
    regrets = {r.strategy: r.regret for r in single_provider_regrets(programme, gap=1e-9)}
    best = 225
    assert regrets == pytest.approx({"A": 120 + 400 - best, "B": 300 - best, "C": 75 + 700 - best})


def test_the_incumbent_keeps_its_share_up_to_the_rivals_price():
    programme = one_stream([100.0], [on_demand(2.0), on_demand(3.0, "there")], sites=THREE[:2])
    found = walk_away(programme, "A", share=0.5, gap=1e-9, tolerance=0.001)
    assert found.keeps <= 1.5 <= found.loses * 1.0001
    assert found.loses / found.keeps < 1.0011
    assert found.share_kept == pytest.approx(1)
    assert found.share_lost == pytest.approx(0)
    with pytest.raises(InfeasibleError, match="even at"):
        walk_away(programme, "B", share=0.5, bounds=(0.9, 2.0), gap=1e-9)


def test_a_deal_as_signed_costs_what_it_commits_beyond_need():
    contract = Contract("deal", "A", (Tier(100.0, 100.0, 0.3),), years=1)
    programme = one_stream(np.full((4, 1), 20.0), [on_demand(1.0)], quarters=4, contracts=(contract,))
    found = as_signed(programme, ["deal"], gap=1e-9)
    assert found.value == pytest.approx(20)  # 100 taken or paid, against 80 at list


def test_clauses_cost_what_the_plan_without_them_saves():
    contract = Contract("deal", "A", (Tier(100.0, 100.0, 0.3),), years=1, minimum_take=0.9, signed=True)
    programme = one_stream(np.full((4, 1), 20.0), [on_demand(1.0)], quarters=4, contracts=(contract,))
    costs = {c.clause: c.cost.value for c in clause_costs(programme, gap=1e-9)}
    assert costs["minimum take of deal"] == pytest.approx(90 - 56)
    assert costs["discounts of deal"] == pytest.approx(90 - 90)
    sites = (Site("here", "A"), Site("there", "B"))
    shared = one_stream([100.0], [on_demand(1.0), on_demand(3.0, "there")], sites=sites, share=0.6)
    costs = {c.clause: c.cost.value for c in clause_costs(shared, gap=1e-9)}
    assert costs["share of one provider"] == pytest.approx(180 - 100)


def test_shadow_prices_are_what_one_more_changes():
    sites = (Site("here", "A", power=300.0), Site("there", "B"))
    offers = [on_demand(1.0), on_demand(3.0, "there", capacity=30.0)]
    programme = one_stream([100.0, 120.0], offers, sites=sites, penalty=10.0)
    skus = (programme.skus[0]._replace(power=5.0),)
    programme = programme._replace(skus=skus)
    plan = solve(programme, gap=1e-9)
    prices = {p.name: p for p in shadow_prices(programme, plan)}
    more = solve(programme._replace(sites=(sites[0]._replace(power=301.0), sites[1])), gap=1e-9)
    assert prices["power of here"].price == pytest.approx(more.objective - plan.objective)
    more = solve(programme._replace(offers=(offers[0], offers[1]._replace(capacity=31.0))), gap=1e-9)
    assert prices["capacity of on-demand there"].price == pytest.approx(more.objective - plan.objective)
    grown = programme.demands[0]._replace(amount=programme.demands[0].amount + 1)
    more = solve(programme._replace(demands=(grown,)), gap=1e-9)
    assert prices["demand for work"].price == pytest.approx(more.objective - plan.objective)


def test_a_shadow_price_of_a_take_is_what_committing_one_dollar_less_saves():
    contract = Contract("deal", "A", (Tier(100.0, 100.0, 0.0),), years=1, minimum_take=1.0, signed=True)
    programme = one_stream(np.full((4, 1), 20.0), [on_demand(1.0)], quarters=4, contracts=(contract,))
    plan = solve(programme, gap=1e-9)
    prices = {p.name: p.price for p in shadow_prices(programme, plan)}
    less = contract._replace(tiers=(Tier(99.0, 99.0, 0.0),))
    saved = plan.objective - solve(programme._replace(contracts=(less,)), gap=1e-9).objective
    assert prices["take of deal"] == pytest.approx(saved) == pytest.approx(1.0)


def test_reserved_capacity_has_a_shadow_price_too():
    programme = one_stream([100.0], [on_demand(5.0), reserved(3.0, capacity=40.0)])
    plan = solve(programme, gap=1e-9)
    prices = {p.name: p.price for p in shadow_prices(programme, plan)}
    assert prices["capacity of reserved 1 here"] == pytest.approx(-2.0)
