"""What to buy for a scenario: work conserved from demand to plan, money summed, and what deals buy."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from armillary.errors import InfeasibleError, InputError
from armillary.portfolio import QUARTER, solve
from armillary.portfolio.answers import worth
from armillary.scenario import CPUS, RESEARCH, Purchasing, Scenario, parse, read
from armillary.twin import explain, plan_purchases, run
from armillary.twin.capacity import need
from armillary.twin.portfolio_answer import at_least_nothing, portfolio_answer, programme_of
from armillary.twin.portfolio_deal import deal_of
from armillary.twin.portfolio_demand import demands, names, peak, uncertain
from armillary.twin.portfolio_work import Known, calls, known_of, served_rate, work_of

TEXT = """
name: bought
clusters:
  lab: {provider: aws, price: 3 USD/h, partitions: [{system: p6e-gb200, count: 40, ready: 2026-03}]}
workloads:
  chat:
    kind: serving
    model: llama-3.1-8b
    demand: {tasks: 150 /s, mix: azure-2023-conversation, growth: 100%, from: 2025-12}
    targets: {ttft: {p95: 1 s}, tpot: {p95: 20 ms}}
  base: {kind: training, model: llama-3.1-8b, cluster: lab, accelerators: 72, tokens: 1e11 token,
         global_batch: 512, sequence: 4096, constraints: {cp: 1, schedule: 1f1b, pp: 1}}
contracts:
  deal: {provider: aws, total: 20e6 USD, term: 2 yr, start: 2026-01}
portfolio:
  futures: {count: 4, apart: 2026-07, spread: 30%, seed: 5}
  skus: {gb200: {system: p6e-gb200}, arm: {cpu: aws-m8g}}
  sites:
    ohio: {provider: aws, ramp: {sku: gb200, blocks: 4, block: 720, building: 2026-02, power: 2026-02}}
    texas: {provider: oci}
  offers:
    under deal: {site: ohio, sku: gb200, kind: on-demand, price: 3 USD/h, contract: deal}
    list: {site: texas, sku: gb200, kind: on-demand, price: 8 USD/h}
    year: {site: texas, sku: gb200, kind: reserved, price: 5 USD/h, term: 1 yr}
    cpus: {site: texas, sku: arm, kind: on-demand}
  contracts:
    deal: {signed: true, minimum_take: 50%}
  options:
    later: {site: ohio, sku: gb200, strike: 2 USD/h, units: 144, from: 2027-01, term: 1 yr, contract: deal}
  deployed_by: 2026-10
  training:
    research: 20%
    lead: 6 months
    generations:
      next: {like: base, ready: 2027-01, duration: 3 month, flop: 2e23 FLOP, spread: 20%}
questions: [portfolio]
"""


@pytest.fixture(scope="module")
def asked(shipped) -> tuple[Scenario, Purchasing, Known]:
    scenario = parse(TEXT, "t.yaml", shipped, Path())
    bought = scenario.purchasing
    assert bought is not None
    results = {key: call() for key, call in calls(scenario, bought).items()}
    return scenario, bought, known_of(results, scenario)


@pytest.fixture(scope="module")
def answer(asked):
    return portfolio_answer(*asked)


def changed(text: str, shipped, known: Known, **fields):
    """The answer to another file of the same workloads."""
    scenario = parse(text, "t.yaml", shipped, Path())
    return portfolio_answer(scenario, scenario.purchasing, known, **fields)


def test_a_unit_of_work_is_what_the_sizing_says(asked):
    scenario, bought, known = asked
    (at,) = known.sizes.values()
    found = {w.stream: w.rate for w in work_of(scenario, bought, known)}
    for part in (0.4, 1.0):  # up to the rounding to whole UltraServers
        domains = need(at, at.asked.peak * part)[2]
        assert at.asked.peak * part / found["chat"] / 72 == pytest.approx(domains, abs=1)
    assert found["chat"] == served_rate(at)
    plan = known.plans["base", "u-p6e-gb200x72"][0]
    run = 6 * 8.03e9 * 1e11 / (plan.duration * 72)  # active parameters of Llama 3.1 8B
    assert found["next"] == pytest.approx(run * bought.goodput, rel=0.02)


def test_work_is_conserved(asked, answer):
    """The programme trains the stated compute, research beside it, and serves the stated peak."""
    scenario, _, _ = asked
    streams = {d.name: d for d in answer.programme.demands}
    rate = {w.stream: w.rate for w in answer.works}
    assert streams["next"].amount.shape == (8, 4)
    assert (streams["next"].amount.sum(0) * QUARTER / 2e23).std() > 0.05  # the compute is uncertain
    assert streams["next"].amount[:3].sum() == 0
    assert streams["next"].amount[4:].sum() == 0
    assert streams["next"].cluster == streams["next"].amount[3].min()
    in_accelerators = streams[RESEARCH].amount * rate["next"]
    apart = streams["next"].amount[3] * QUARTER
    assert in_accelerators.sum(0) * QUARTER == pytest.approx(0.25 * apart)
    chat = scenario.serving["chat"]
    first = chat.demand.messages * 2 ** (4 / 12) * chat.demand.shape.peak_over_mean  # from 2025-12 to 2026-04
    assert streams["chat"].amount[0] == pytest.approx(np.full(4, first))
    assert peak(chat, "2026-01", 0) == pytest.approx(first)
    vcpus = streams[CPUS].amount
    assert vcpus / vcpus[0, 0] == pytest.approx(streams["chat"].amount / first)


def test_compute_without_spread_is_the_stated_one(asked):
    scenario, bought, known = asked
    sure = replace(bought, generations=(replace(bought.generations[0], spread=0.0),))
    works = work_of(scenario, sure, known)
    found = demands(scenario, sure, works, np.zeros(len(names(scenario, sure))))
    run = next(d for d in found if d.name == "next")
    assert run.amount.sum(0) * QUARTER == pytest.approx(np.full(4, 2e23))


def test_research_before_the_plan_is_left_out(asked):
    scenario, bought, known = asked
    works = work_of(scenario, bought, known)
    streams = names(scenario, bought)

    def research(lead: int):
        longer = replace(bought, lead=lead * QUARTER)
        found = demands(scenario, longer, works, np.zeros(len(streams)))
        return next(d for d in found if d.name == RESEARCH).amount[0, 0]

    assert research(4) > 0
    assert research(8) == pytest.approx(research(4) / 2)


def test_futures_are_one_until_they_part(asked):
    _, bought, _ = asked
    factors = uncertain(bought, "chat")
    assert factors[:2] == pytest.approx(np.ones((2, 4)))
    assert len(np.unique(factors[2])) == 4
    assert (uncertain(bought, "chat") == factors).all()
    assert (uncertain(bought, "next") != factors).any()
    assert (uncertain(replace(bought, seed=6), "chat") != factors).any()
    assert (uncertain(replace(bought, spread=0.0), "chat") == 1.0).all()


def test_money_is_the_sum_of_its_parts(asked, answer):
    plan = answer.plan
    assert plan.gap <= 0.0025
    assert plan.costs.total == pytest.approx(plan.expected)
    paid = sum(answer.spending.values())
    assert paid == pytest.approx(plan.spend.sum(0) @ answer.asked.futures.probability, abs=1.0)
    discounted = float(paid @ answer.asked.calendar.factors())
    assert discounted + plan.costs.unmet == pytest.approx(plan.expected, rel=1e-6)
    had = sum(answer.capacity.values())
    used = plan.used[:2].sum(0) @ answer.asked.futures.probability
    terms = np.zeros(8)
    for p in plan.purchases:
        terms[p.start : p.end] += p.units
    taken = np.zeros(8)
    taken[4:8] = float(plan.exercised["later"].mean())
    assert had == pytest.approx(used + terms + taken, abs=1e-6)


def test_capacity_comes_with_the_ramp(answer):
    offer = next(o for o in answer.programme.offers if o.name == "under deal")
    assert offer.capacity.shape == (8, 4)
    assert (offer.capacity[:2] == offer.capacity[:2, :1]).all()
    assert offer.capacity.max() == 4 * 720
    assert (np.diff(offer.capacity, axis=0) >= 0).all()
    used = answer.plan.used[[o.name for o in answer.programme.offers].index("under deal")]
    assert (used <= offer.capacity + 1e-6).all()
    assert 0 < answer.chance.share < 1
    later = answer.ramps.chance_by(answer.ramps.quarters.ends[-1]).share
    assert later > answer.chance.share


def test_the_penalty_is_a_multiple_of_the_cheapest_way(answer):
    prices = {p.offer: p.work for p in answer.prices}
    cheapest = min(work["chat"] for work in prices.values() if "chat" in work)
    chat = next(d for d in answer.programme.demands if d.name == "chat")
    assert chat.penalty == pytest.approx(10 * cheapest)
    deal = next(p for p in answer.prices if p.offer == "under deal")
    listed = next(p for p in answer.prices if p.offer == "list")
    assert listed.million_tokens["chat"] / deal.million_tokens["chat"] == pytest.approx(8 / 3)
    assert listed.run["next"] / deal.run["next"] == pytest.approx(8 / 3)


def test_a_run_costs_its_compute_at_the_price_of_an_accelerator(answer):
    deal = next(p for p in answer.prices if p.offer == "under deal")
    rate = next(w.rate for w in answer.works if w.stream == "next")
    assert deal.run["next"] == pytest.approx(2e23 / rate * 3 / 3600)


def test_one_offer_in_closed_form(asked, shipped):
    """Served from one list, without uncertainty: the sum of what the peak takes, quarter by quarter."""
    text = re.sub(r"    (under deal|year|build).*\n", "", TEXT)
    text = text.replace("contracts:\n    deal: {signed: true, minimum_take: 50%}\n", "contracts: {}\n")
    text = re.sub(r"  options:\n.*\n", "", text)
    text = text.replace("count: 4, apart: 2026-07, spread: 30%", "count: 1")
    text = text[: text.index("  training:")] + text[text.index("questions:") :]
    found = changed(text, shipped, asked[2])
    chat = found.programme.demands[0].amount[:, 0]
    rate = next(w.rate for w in found.works if w.stream == "chat")
    price = {p.offer: p.unit for p in found.prices}
    cpus = found.programme.demands[-1].amount[:, 0]
    quarter = (chat / rate * price["list"] + cpus * price["cpus"]) * QUARTER
    assert found.plan.expected == pytest.approx(float(quarter @ found.asked.calendar.factors()), rel=1e-6)


def test_a_cheaper_price_is_never_dearer(asked, answer, shipped):
    cheap = changed(TEXT.replace("price: 8 USD/h", "price: 4 USD/h"), shipped, asked[2])
    assert cheap.plan.bound <= answer.plan.objective * (1 + 1e-9)


def test_what_cannot_be_held_says_what_conflicts(asked, shipped):
    text = TEXT.replace("  deployed_by", "  floors: {chat: 100%}\n  deployed_by")
    for name in ("list", "year"):
        text = re.sub(rf"({name}: .*)}}\n", r"\1, capacity: 0.001}\n", text)
    found = changed(text, shipped, asked[2])
    assert found.plan is None
    assert "conflict" in found.infeasible
    assert "chat" in found.infeasible


def test_a_model_that_nothing_trains(asked):
    scenario, bought, known = asked
    nothing = replace(known, plans=dict.fromkeys(known.plans, (None, "does not fit")))
    with pytest.raises(InfeasibleError, match=r"'next' cannot be trained on any SKU: does not fit"):
        portfolio_answer(scenario, bought, nothing)


def test_a_scenario_without_a_portfolio(shipped):
    with pytest.raises(InputError, match="nothing that can be bought"):
        plan_purchases(read("small", shipped))


def test_options_and_reasons(answer):
    """Signed contracts cost at least nothing, single providers regret at least nothing, up to the gaps."""
    ((name, value),) = answer.options
    assert name == "later"
    assert value.between[0] <= value.value <= value.between[1]
    seen = []
    found = explain(answer, progress=lambda done, of: seen.append((done, of)))
    slack = 2 * 0.0025 * answer.plan.objective
    assert found.signed.value >= 0
    assert {r.strategy for r in found.regrets} == {"aws", "oci"}
    assert all(r.regret >= -slack for r in found.regrets)
    assert found.incumbent == "aws"
    assert any("minimum take of deal" in c.clause for c in found.clauses)
    assert seen[-1] == (6, 6)
    sizes = [abs(p.price) for p in found.prices]
    assert sizes == sorted(sizes, reverse=True)


def test_a_freedom_is_worth_at_least_nothing(answer):
    dear = answer.plan._replace(objective=answer.plan.objective * 2)
    found = at_least_nothing(worth(dear, answer.plan))
    assert found.value == 0
    assert found.between == (0.0, pytest.approx(answer.plan.objective - answer.plan.bound))
    fine = worth(answer.plan, dear)
    assert at_least_nothing(fine) is fine


def test_what_the_deal_of_2025_buys(shipped):
    """38 billion over seven years: 202,000 accelerators at a three-year rental once all stands."""
    scenario = read("openai-aws", shipped)
    deal = deal_of(scenario, scenario.purchasing)
    assert deal.full == "2026Q4"
    assert len(deal.labels) == 28
    assert deal.yearly == pytest.approx(5.43e9, rel=1e-3)
    rent = next(b for b in deal.bought if b.source.startswith("oci-3y"))
    assert rent.accelerators[4] == pytest.approx(202e3, rel=0.005)
    assert rent.accelerators[0] == pytest.approx(rent.accelerators[4] / 5)
    paid = sum(
        float(n) * rent.price * length for n, length in zip(rent.accelerators, [QUARTER] * 28, strict=True)
    )
    assert paid == pytest.approx(38e9, rel=1e-3)
    costs = {c.name: c.yearly / 1e9 for c in deal.cpus}
    assert costs["oci-e5"] == pytest.approx(2.0, abs=0.05)
    assert costs["aws-m8i"] == pytest.approx(4.6, abs=0.05)
    assert all(b.beside_cpus[4] < b.accelerators[4] for b in deal.bought)


def test_ramps_and_programme_do_not_depend_on_the_order_of_questions(asked):
    scenario, bought, known = asked
    works = work_of(scenario, bought, known)
    first, second = (programme_of(scenario, bought, works)[0] for _ in range(2))
    assert solve(first).objective == solve(second).objective


def test_a_run_answers_what_the_command_answers(asked, answer, shipped):
    """Both take the same sizes and plans."""
    scenario, bought, known = asked
    needed = calls(scenario, bought)
    ran = run(
        parse(TEXT.replace("[portfolio]", "[serving, training, portfolio]"), "t.yaml", shipped, Path()),
        shipped,
    )
    assert {key for key, _ in needed.items()} == {*known.sizes, *known.plans}
    assert ran.portfolio.plan.objective == pytest.approx(answer.plan.objective, rel=1e-9)


def test_an_option_without_which_nothing_holds(asked, shipped):
    text = TEXT.replace("  deployed_by", "  floors: {chat: 100%}\n  deployed_by").replace(
        "2026-07, spread: 30%", "2026-10, spread: 0%"
    )
    for name in ("list", "year", "under deal"):
        text = re.sub(rf"({name}: .*)}}\n", r"\1, capacity: 0.001}\n", text)
    text = text.replace(
        "units: 144, from: 2027-01, term: 1 yr", "units: 1e5, from: 2026-01, decided: 2026-01, term: 2 yr"
    )
    found = changed(text, shipped, asked[2])
    assert found.plan is not None, found.infeasible
    assert found.options[0][1].value == float("inf")
    assert not found.infeasible


def test_data_that_moves_is_paid_and_a_budget_holds_in_every_future(asked, answer, shipped):
    scenario, bought, known = asked
    # A request's data, let out by the one who has them, costs as much as ten of its requests done elsewhere.
    price = 10 * answer.plan.costs.total / float(answer.plan.demand[0].sum() * QUARTER)
    moved = tuple(
        replace(x, site=x.site._replace(egress={"chat": price})) if x.site.provider == "oci" else x
        for x in bought.sites
    )
    there = portfolio_answer(scenario, replace(bought, sites=moved), known)
    oci = list(dict.fromkeys(x.site.provider for x in bought.sites)).index("oci")
    given = [float(one.plan.work[oci].sum()) for one in (answer, there)]
    assert given[1] < given[0]
    most = answer.plan.spend.sum(0).max(1) * 0.9
    tight = portfolio_answer(scenario, replace(bought, budget=most), known)
    assert (tight.plan.spend.sum(0) <= most[:, None] * (1 + 1e-6)).all()
    assert tight.plan.expected > answer.plan.expected
