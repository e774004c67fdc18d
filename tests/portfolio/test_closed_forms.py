"""Answers known in closed form: newsvendor, break-even, recourse by hand, an option on a binomial tree."""

from __future__ import annotations

import numpy as np
import pytest

from armillary.portfolio import (
    QUARTER,
    Calendar,
    Contract,
    Demand,
    Futures,
    Offer,
    Option,
    Programme,
    Risk,
    Site,
    Sku,
    Tier,
    fan,
    growing,
    solve,
    tree,
)

UNIT = 1 / QUARTER
"""A price [USD/s] at which a unit costs one dollar a quarter."""


def one_stream(amount, offers, futures=None, quarters=1, penalty=1000.0, **more):
    amount = np.atleast_2d(np.asarray(amount, float))
    futures = futures or fan(amount.shape[1], quarters)
    demand = Demand("work", amount, penalty * UNIT)
    return Programme(
        more.pop("calendar", Calendar(2026, 1, quarters)),
        futures,
        (demand,),
        (Sku("box", {"work": 1.0}),),
        more.pop("sites", (Site("here", "A"),)),
        tuple(offers),
        **more,
    )


def on_demand(price, site="here", **more):
    return Offer(f"on-demand {site}", site, "box", "on-demand", price * UNIT, **more)


def reserved(price, term=1, site="here", **more):
    return Offer(f"reserved {term} {site}", site, "box", "reserved", price * UNIT, term=term, **more)


@pytest.mark.parametrize("ratio", [0.15, 0.42, 0.77])
def test_one_commitment_under_uncertain_demand_is_the_newsvendor(ratio):
    demand = np.random.default_rng(1).uniform(50, 150, 101)
    plan = solve(one_stream(demand, [on_demand(1.0), reserved(ratio)]), gap=1e-9)
    bought = sum(p.units for p in plan.purchases)
    # Buy until the chance that one more unit is used falls to the ratio of the prices.
    best = np.sort(demand)[int(np.ceil((1 - ratio) * 101)) - 1]
    assert bought == pytest.approx(best)
    cost = ratio * best + np.maximum(demand - best, 0).mean()
    assert plan.expected == pytest.approx(cost)


@pytest.mark.parametrize(("busy", "reserve"), [(2, False), (3, True)])
def test_reserving_breaks_even_where_the_share_of_quarters_in_use_is_the_ratio_of_prices(busy, reserve):
    amount = np.array([10.0] * busy + [0.0] * (4 - busy)).reshape(4, 1)
    plan = solve(one_stream(amount, [on_demand(1.0), reserved(0.6, 4, starts=(0,))], quarters=4), gap=1e-9)
    assert bool(plan.purchases) is reserve
    assert plan.expected == pytest.approx(10 * min(busy, 4 * 0.6))


def test_discounting_and_payments_up_front():
    calendar = Calendar(2026, 1, 4, discount=0.1)
    factors = 1.1 ** (-np.arange(4) / 4)
    amount = np.full((4, 1), 10.0)
    for upfront in (0.0, 1.0):
        offers = [reserved(0.5, 4, starts=(0,), upfront=upfront)]
        plan = solve(one_stream(amount, offers, quarters=4, calendar=calendar), gap=1e-9)
        paid = 10 * 0.5 * (4.0 if upfront else factors.sum())
        assert plan.expected == pytest.approx(paid)


def test_two_stages_by_hand():
    # 10 or 30 units with equal chance; reserve at 3, on demand at 5 but only 15 units, unmet costs 20.
    plan = solve(
        one_stream([10.0, 30.0], [on_demand(5.0, capacity=15.0), reserved(3.0)], penalty=20.0), gap=1e-9
    )
    # Below 10: 3 < 5. From 10 to 15 a unit is used in one future, where it saves 20: 3 < 10. Above 15: 3 >
    # 2.5.
    assert sum(p.units for p in plan.purchases) == pytest.approx(15)
    assert plan.expected == pytest.approx(45 + 0.5 * 75)
    assert plan.by_future == pytest.approx([45, 120])


def test_cvar_at_the_level_of_the_worse_future_hedges_it():
    offers = [on_demand(5.0), reserved(3.0)]
    neutral = solve(one_stream([10.0, 30.0], offers), gap=1e-9)
    assert sum(p.units for p in neutral.purchases) == pytest.approx(10)  # one more: 3 against half of 5
    averse = solve(one_stream([10.0, 30.0], offers, risk=Risk(1.0, 0.5)), gap=1e-9)
    # One more unit: 3 + 3 for both terms, saves half of 5 and, in the worse future, 5.
    assert sum(p.units for p in averse.purchases) == pytest.approx(30)
    assert averse.cvar == pytest.approx(90)
    assert averse.objective == pytest.approx(averse.expected + averse.cvar)


def test_an_option_on_a_binomial_tree_is_worth_its_expected_gain():
    # Demand goes up or down twice; the right to units at 2 for the last quarter, seen after the first step.
    futures = tree({1: 2, 2: 2}, 3)
    up = np.array([1, 1, 0, 0])
    amount = np.zeros((3, 4))
    amount[1] = np.where(up, 40.0, 10.0)
    amount[2] = np.array([80.0, 20.0, 20.0, 5.0])
    offers = [on_demand(5.0)]
    option = Option("more", "here", "box", strike=2 * UNIT, units=60.0, decided=1, start=2, term=1)
    without = solve(one_stream(amount, offers, futures, 3), gap=1e-9)
    plan = solve(one_stream(amount, offers, futures, 3, options=(option,)), gap=1e-9)
    # Up: 60 units; 20 are used for sure, save 3 each; 40 more are used half the time, save 0.5 each.
    # Down: 5 are used for sure; 15 more half the time. Then the mean of the two.
    worth = 0.5 * (20 * 3 + 40 * 0.5) + 0.5 * (5 * 3 + 15 * 0.5)
    assert without.expected - plan.expected == pytest.approx(worth)
    assert plan.exercised["more"] == pytest.approx([60, 60, 20, 20])
    # It is bought for less than it is worth, and not for more.
    for premium, bought in ((worth * 0.99, True), (worth * 1.01, False)):
        priced = option._replace(premium=premium)
        assert (
            bool(solve(one_stream(amount, offers, futures, 3, options=(priced,)), gap=1e-9).rights) is bought
        )


def test_an_option_that_is_whole_is_taken_where_it_pays_as_a_whole():
    futures = tree({1: 2}, 2)
    amount = np.array([[0.0, 0.0], [50.0, 20.0]])
    option = Option("more", "here", "box", 2 * UNIT, 50.0, decided=1, start=1, term=1, whole=True)
    plan = solve(one_stream(amount, [on_demand(4.5)], futures, 2, options=(option,)), gap=1e-9)
    assert plan.exercised["more"] == pytest.approx([50, 0])  # 100 against 225, 100 against 90


def test_units_of_an_option_serve_runs_at_its_site_and_others_by_state():
    # Taken before it is known whether a run or other work asks for them: ten units do for either.
    futures = fan(2, 2, parted=1)
    option = Option("more", "here", "box", 2 * UNIT, 50.0, decided=0, start=1, term=1)
    amount = np.array([[0.0, 0.0], [0.0, 10.0]])
    programme = one_stream(amount, [on_demand(5.0)], futures, 2, options=(option,))
    run = Demand("run", np.array([[0.0, 0.0], [10.0, 0.0]]), 1000 * UNIT, cluster=5.0)
    programme = programme._replace(
        demands=(*programme.demands, run), skus=(Sku("box", {"work": 1.0, "run": 1.0}),)
    )
    plan = solve(programme, gap=1e-9)
    assert plan.exercised["more"] == pytest.approx([10, 10])
    assert plan.costs.unmet == pytest.approx(0, abs=1e-6)
    assert plan.expected == pytest.approx(20)
    # A run has one place: what it needs before, where the option is not, keeps it from the option's units.
    there = programme.sites[0]._replace(name="there")
    elsewhere = on_demand(3.0)._replace(name="there", site="there")
    early = run._replace(amount=np.array([[10.0, 10.0], [10.0, 0.0]]))
    both = programme._replace(
        sites=(*programme.sites, there),
        offers=(elsewhere,),
        demands=(programme.demands[0], early),
    )
    # At 3: the run, in the first quarter and half of the second, and the other work in the other half.
    assert solve(both, gap=1e-9).expected == pytest.approx(10 * 3 + 5 * 3 + 5 * 3)


def test_what_is_decided_now_is_the_same_in_all_futures():
    futures = fan(2, 2, parted=1)
    amount = np.array([[0.0, 0.0], [10.0, 50.0]])
    option = Option("more", "here", "box", 2 * UNIT, 100.0, decided=0, start=1, term=1)
    plan = solve(one_stream(amount, [on_demand(3.0)], futures, 2, options=(option,)), gap=1e-9)
    assert plan.exercised["more"] == pytest.approx([10, 10])
    later = option._replace(decided=1)
    plan = solve(one_stream(amount, [on_demand(3.0)], futures, 2, options=(later,)), gap=1e-9)
    assert plan.exercised["more"] == pytest.approx([10, 50])


def test_a_commitment_is_signed_where_its_discount_pays_for_what_is_not_taken():
    contract = Contract("deal", "A", (Tier(100.0, 100.0, 0.3),), years=1)
    for spend, cost in ((150.0, 105.0), (120.0, 100.0), (80.0, 80.0)):
        amount = np.full((4, 1), spend / 4)
        plan = solve(one_stream(amount, [on_demand(1.0)], quarters=4, contracts=(contract,)), gap=1e-9)
        # At list: spend. Signed: 70% of it, and what is missing to 100.
        assert plan.expected == pytest.approx(cost)
        assert bool(plan.signed) is (cost < spend)


@pytest.mark.parametrize(("spend", "tier"), [(90.0, None), (130.0, 0), (300.0, 1)])
def test_tiers_of_volume(spend, tier):
    tiers = (Tier(100.0, 200.0, 0.1), Tier(200.0, 1000.0, 0.25))
    contract = Contract("deal", "A", tiers, years=1, minimum_take=1.0)
    plan = solve(
        one_stream(np.full((4, 1), spend / 4), [on_demand(1.0)], quarters=4, contracts=(contract,)), gap=1e-9
    )
    best = {None: spend, 0: max(100.0, 0.9 * spend), 1: max(200.0, 0.75 * spend)}
    assert [s.tier for s in plan.signed] == ([] if tier is None else [tier])
    assert plan.expected == pytest.approx(best[tier])
    assert best[tier] == min(best.values())


def test_a_prepayment_costs_its_interest():
    calendar = Calendar(2026, 1, 8, discount=0.1)
    contract = Contract("deal", "A", (Tier(80.0, 80.0, 0.0),), years=2, prepayment=0.5, signed=True)
    amount = np.full((8, 1), 10.0)
    plan = solve(
        one_stream(amount, [on_demand(1.0)], quarters=8, calendar=calendar, contracts=(contract,)), gap=1e-9
    )
    assert plan.costs.prepayment == pytest.approx(0.5 * 40 * (1 - 1 / 1.1))
    assert plan.costs.shortfall == pytest.approx(0)
    assert plan.costs.total == pytest.approx(plan.expected)


def test_the_most_favoured_clause_pays_back_what_others_ask_less():
    sites = (Site("here", "A"), Site("there", "B"))
    offers = [on_demand(5.0), on_demand(3.0, "there", capacity=10.0)]
    contract = Contract("deal", "A", (Tier(0.0, 0.0, 0.0),), years=1, most_favoured=True, signed=True)
    plan = solve(one_stream([100.0], offers, sites=sites, contracts=(contract,)), gap=1e-9)
    assert plan.expected == pytest.approx(300)
    assert plan.costs.rebates < 0


def test_no_provider_gives_more_than_its_share():
    sites = (Site("here", "A"), Site("there", "B"))
    offers = [on_demand(1.0), on_demand(3.0, "there")]
    plan = solve(one_stream([100.0], offers, sites=sites, share=0.6), gap=1e-9)
    assert plan.expected == pytest.approx(60 * 1 + 40 * 3)
    assert plan.work[:, 0, 0] / plan.work.sum() == pytest.approx([0.6, 0.4])


def test_power_of_a_site_binds_what_is_used_and_bought_there():
    programme = one_stream([100.0], [on_demand(1.0), reserved(0.5)], sites=(Site("here", "A", power=300.0),))
    programme = programme._replace(skus=(Sku("box", {"work": 1.0}, power=5.0),))
    plan = solve(programme, gap=1e-9)
    assert plan.served[0, 0, 0] == pytest.approx(60)
    assert plan.power[0, 0, 0] == pytest.approx(300)


def test_a_run_stays_on_one_network_and_needs_its_cluster():
    sites = (Site("here", "A"), Site("there", "B"), Site("next door", "B", network="there"))
    offers = [
        on_demand(1.0, capacity=70.0),
        on_demand(2.0, "there", capacity=50.0),
        on_demand(2.0, "next door", capacity=40.0),
    ]
    spread = solve(one_stream([100.0], offers, sites=sites, penalty=50.0), gap=1e-9)
    assert spread.expected == pytest.approx(70 + 60)
    programme = one_stream([100.0], offers, sites=sites, penalty=50.0)
    for cluster, network, cost in ((60.0, "there", 180 + 500.0), (95.0, None, 5000.0)):
        run = programme.demands[0]._replace(cluster=cluster)
        plan = solve(programme._replace(demands=(run,)), gap=1e-9)
        assert plan.expected == pytest.approx(cost)
        if network:
            assert plan.homes == {"work": network}
            assert plan.served[0, 0, 0] == pytest.approx(90)
        else:
            assert plan.served[0, 0, 0] == pytest.approx(0)


def test_priorities_come_before_penalties():
    programme = one_stream([100.0], [on_demand(1.0, capacity=100.0)])
    skus = (Sku("box", {"first": 1.0, "second": 2.0}),)
    demands = (
        Demand("first", np.full((1, 1), 80.0), 3 * UNIT, priority=1),
        Demand("second", np.full((1, 1), 80.0), 50 * UNIT, priority=2),
    )
    plan = solve(programme._replace(skus=skus, demands=demands), gap=1e-9)
    assert plan.served[:, 0, 0] == pytest.approx([80, 40])
    equal = (demands[0]._replace(priority=2), demands[1])
    plan = solve(programme._replace(skus=skus, demands=equal), gap=1e-9)
    assert plan.served[:, 0, 0] == pytest.approx([60, 80])


def test_sites_open_where_they_save_more_than_they_cost():
    for opening, opened in ((90.0, True), (110.0, False)):
        sites = (Site("here", "A"), Site("there", "B", opening=opening))
        offers = [on_demand(3.0), on_demand(2.0, "there")]
        plan = solve(one_stream([100.0], offers, sites=sites), gap=1e-9)
        assert bool(plan.opened) is opened
        assert plan.expected == pytest.approx(min(300.0, 200.0 + opening))


def test_spot_serves_what_may_be_interrupted_for_the_share_of_time_that_it_is_there():
    spot = Offer("spot", "here", "box", "spot", 1 * UNIT, capacity=100.0, availability=0.5, efficiency=0.8)
    programme = one_stream([100.0], [on_demand(3.0), spot])
    assert solve(programme, gap=1e-9).expected == pytest.approx(50 + 60 * 3)
    firm = programme.demands[0]._replace(interruptible=False)
    assert solve(programme._replace(demands=(firm,)), gap=1e-9).expected == pytest.approx(300)


def test_futures_are_drawn_alike_where_they_are_one():
    futures = tree({0: 2, 2: 3}, 5)
    path = growing(10.0, 2.0, 0.3, futures, seed=4)
    for t in range(5):
        for node in np.unique(futures.node[t]):
            assert len(np.unique(path[t, futures.node[t] == node])) == 1
    assert len(np.unique(path[-1])) == 6
    assert np.array_equal(path, growing(10.0, 2.0, 0.3, futures, seed=4))
    certain = growing(10.0, 2.0, 0.0, Futures(np.ones(1), np.zeros((9, 1), int)), seed=0)
    assert certain[8, 0] == pytest.approx(40)
