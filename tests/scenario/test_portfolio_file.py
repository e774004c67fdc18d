"""What can be bought, as a file says it: defaults from the catalog, and bad input with its place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from armillary.errors import ScenarioError
from armillary.portfolio import inputs, owned, usable
from armillary.scenario import as_understood, parse, read

GOOD = """\
name: bought
clusters:
  lab: {provider: aws, price: 3 USD/h, partitions: [{system: p6e-gb200, count: 40, ready: 2026-03}]}
workloads:
  chat:
    kind: serving
    model: llama-3.1-8b
    demand: {messages: 86.4e6 per day, growth: 50%, from: 2026-01}
    targets: {tpot: {p95: 20 ms}}
  base: {kind: training, model: llama-3.1-8b, cluster: lab, accelerators: 72, tokens: 1e11 token,
         global_batch: 512, sequence: 4096}
contracts:
  deal: {provider: aws, total: 1e9 USD, term: 2 yr, start: 2026-02}
portfolio:
  futures: {count: 3, apart: 2026-07}
  skus:
    gb200: {system: p6e-gb200}
    arm: {cpu: aws-m8g}
  sites:
    ohio: {provider: aws, ramp: {sku: gb200, blocks: 4, block: 720, building: 2026-02, power: 2026-03}}
    texas: {provider: oci, milestones: [{from: 2026-03, power: 5 MW}, {from: 2027-01, power: 9 MW}]}
  offers:
    under deal: {site: ohio, sku: gb200, kind: on-demand, price: 3 USD/h, contract: deal}
    list: {site: texas, sku: gb200, kind: on-demand, change: -10%}
    year: {site: texas, sku: gb200, kind: reserved, price: 5 USD/h, term: 1 yr, starts: [2026-05]}
    build: {site: texas, sku: gb200, kind: own}
  contracts:
    deal: {signed: true, minimum_take: 80%, ramp: [30%, 70%]}
    more:
      {provider: oci, term: 2 yr, tiers: [{least: 1e6 USD, most: 5e6 USD},
       {least: 5e6 USD, most: 9e6 USD, discount: 5%}]}
  options:
    later: {site: ohio, sku: gb200, strike: 2 USD/h, units: 720, from: 2027-02, term: 1 yr, contract: deal}
  training:
    research: 20%
    generations:
      next: {like: base, ready: 2027-01, duration: 3 month, flop: 1e23 FLOP}
"""


def bought(text: str, shipped):
    return parse(text, "b.yaml", shipped, Path()).purchasing


def problems(text: str, shipped) -> str:
    with pytest.raises(ScenarioError) as error:
        parse(text, "b.yaml", shipped, Path())
    return str(error.value)


def test_what_can_be_bought_is_understood(shipped):
    found = bought(GOOD, shipped)
    assert found.origin == "2026-01"
    assert found.quarters.labels[0] == "2026Q1"
    assert found.calendar.quarters == 8  # the contract's two years
    offers = {o.offer.name: o for o in found.offers}
    assert float(np.ravel(offers["list"].offer.price)[0]) * 3600 == pytest.approx(16.0)
    assert float(np.ravel(offers["list"].offer.price)[4]) * 3600 == pytest.approx(14.4)  # a year later
    assert offers["list"].source == "catalog: oci-gb200-on-demand (published)"
    assert offers["build"].offer.price == pytest.approx(float(owned(inputs()).total / usable(inputs())))
    assert offers["build"].offer.term == 20
    assert offers["year"].offer.starts == (2,)  # the first quarter that begins in May or later
    assert [o.on_ramp for o in found.offers] == [True, False, False, False]
    texas = found.sites[1].site
    assert np.asarray(texas.power).tolist() == [0, 5e6, 5e6, 5e6, 9e6, 9e6, 9e6, 9e6]
    deal, more = found.contracts
    assert (deal.provider, deal.years, deal.tiers[0].least) == ("aws", 2, 1e9)
    assert deal.ramp == pytest.approx((0.3, 0.7))
    assert more.tiers[1].discount == 0.05
    assert (found.options[0].start, found.options[0].decided) == (5, 5)
    assert found.generations[0].ready == 4
    assert found.futures.node[1].tolist() == [0, 0, 0]
    assert found.futures.node[2].tolist() == [0, 1, 2]


def test_what_is_printed_can_be_read_again(shipped):
    first = parse(GOOD, "b.yaml", shipped, Path())
    again = parse(as_understood(first), "again.yaml", shipped, Path())
    assert "#   list: 16 USD per unit-hour (catalog: oci-gb200-on-demand (published))" in as_understood(first)
    assert again.as_written == first.as_written
    assert [o.source for o in again.purchasing.offers] == [o.source for o in first.purchasing.offers]


def test_a_model_trained_as_a_law_says(shipped):
    text = GOOD.replace("flop: 1e23 FLOP", "parameters: 72e9")
    flop = bought(text, shipped).generations[0].flop
    assert flop == pytest.approx(5.76e23, rel=0.02)  # Chinchilla's compute, for its 72e9 by the refit


def test_data_costs_what_moves_and_budgets_hold_from_their_quarter(shipped):
    more = """\
  data: {chat: {provider: aws, each: 20 kB, price: 0.05 USD/GB}}
  budgets: [{from: 2026-05, quarter: 2e7 USD}, {from: 2027-01, quarter: 3e7 USD}]
  futures:"""
    asked = bought(GOOD.replace("  futures:", more), shipped)
    assert {x.site.name: dict(x.site.egress) for x in asked.sites} == {
        "ohio": {},
        "texas": {"chat": pytest.approx(20e3 * 0.05e-9 * 1)},
    }
    # The plan begins in 2026Q1; May lies in the second quarter, so that the third is the first under it.
    assert asked.budget.tolist() == [np.inf, np.inf, 2e7, 2e7, 3e7, 3e7, 3e7, 3e7]
    assert bought(GOOD, shipped).budget is None


BAD = [
    ("price: 5 USD/h", "price: -5 USD/h", "b.yaml:25:60: error: portfolio.offers.year.price: '-5"),
    ("price: 5 USD/h", "price: 5 EUR/h", "year.price: '5 EUR/h' is in EUR; amounts are in USD: convert"),
    ("futures: {count", "share: 45%\n  futures: {count",
     "portfolio.share: 0.45 of the work at most from each of 2 "
     "providers (aws, oci) are less than all of it, so that none can be done"),
    ("minimum_take: 80%", "minimum_take: 180%", "'180%' is outside what is sensible, 0% to 100%"),
    ("price: 5 USD/h", "price: 5e9 USD/h", "is outside what is sensible, 0 USD/h to 3,600,000 USD/h"),
    ("USD/h, term: 1 yr, starts", "USD/h, term: 1e5 yr, starts", "outside what is sensible, 1 s to 3170 yr"),
    ("texas, sku: gb200, kind: own", "texas, sku: gb20, kind: own", "no SKU 'gb20'; did you mean 'gb200'?"),
    ("site: ohio, sku: gb200, strike", "site: ohi, sku: gb200, strike", "options.later.site: no site 'ohi'"),
    ("term: 1 yr, contract: deal", "term: 1 yr, contract: del", "later.contract: no contract of"),
    ("most: 5e6 USD}", "most: 6e6 USD}", "tiers from 1e+06 to 6e+06 and"),
    ("least: 1e6 USD, most: 5e6", "least: 7e6 USD, most: 5e6", "contracts.more: tier 0 must go from 0"),
    ("price: 5 USD/h, term: 1 yr", "price: 5 USD/h", "offers.year: a reserved offer needs a term"),
    ("kind: on-demand, change", "kind: on-demand, term: 1 yr, change", "offers.list: on-demand is paid"),
    ("ready: 2027-01", "ready: 2026-03", "next.ready: 2026-03 does not leave 1 whole quarters for the run"),
    ("ready: 2027-01", "ready: 2029-01", "next.ready: 2029-01 does not leave"),
    ("like: base", "like: bas", "next.like: no training run 'bas'; did you mean 'base'?"),
    ("ramp: [30%, 70%]", "ramp: [30%, 60%]", "contracts.deal.ramp: sums to 90.0%, not to 100%"),
    ("gb200: {system: p6e-gb200}", "gb200: {}", "skus.gb200: needs either system: or cpu:"),
    ("cpu: aws-m8g", "cpu: aws-m8", "skus.arm.cpu: no price of CPUs 'aws-m8'"),
    ("futures: {count: 3, ", "penalties: {chatt: 3}\n  futures: {count: 3, ", "penalties.chatt: no stream"),
    ("apart: 2026-07", "apart: 2036-07", "futures.apart: 2036-07 is outside of the plan"),
    ("from: 2027-02, term", "from: 2029-02, term",
     "later: must be decided at or before its start, both within the 8 quarters from 2026Q1 to 2027Q4. "
     "Got decided 2029Q2, start 2029Q2."),
    ("kind: on-demand, price: 3 USD/h", "kind: on-demand", "offers.under deal: has no price"),
    ("    build: {", "    twice: {site: ohio, sku: gb200, kind: own}\n    build: {", "has the ramp of ohio"),
    ("signed: true", "sined: true", "contracts.deal.sined: unknown field; did you mean 'signed'?"),
    ("blocks: 4", "blocs: 4", "sites.ohio.ramp.blocs: unknown field; did you mean 'blocks' or 'block'?"),
    ("      next: {", "      chat: {", "training.generations.chat: is the name of a workload, too"),
    ("{provider: oci, term", "{term", "contracts.more.provider: is missing"),
    ("power: 5 MW}, {from: 2027-01", "power: 5 MW}, {from: 2026-01", "milestones: are not in the order"),
    ("futures: {count", "data: {chatt: {provider: aws, each: 1 kB, price: 1 USD/GB}}\n  futures: {count",
     "data.chatt: no stream of work 'chatt'; did you mean 'chat'?"),
    ("futures: {count", "data: {chat: {provider: awz, each: 1 kB, price: 1 USD/GB}}\n  futures: {count",
     "data.chat.provider: no provider of a site 'awz'; did you mean 'aws'?"),
    ("futures: {count", "data: {chat: {provider: aws, each: 1 kB, price: 1 USD}}\n  futures: {count",
     "data.chat.price: '1 USD' is in USD, expected USD/byte"),
    ("futures: {count", "budgets: [{from: 2027-01, quarter: 1e9 USD}, {from: 2026-01, quarter: 2e9 USD}]\n"
     "  futures: {count", "portfolio.budgets: are not in the order of their months"),
    ("futures: {count", "budgets: [{from: 2036-01, quarter: 1e9 USD}]\n  futures: {count",
     "budgets[0].from: 2036-01 is after the plan"),
    ("building: 2026-02", "building: 2025-02", "ramp.building: 2025-02 is before the plan of 8 quarters"),
]  # fmt: skip


@pytest.mark.parametrize(("right", "wrong", "says"), BAD, ids=[says[-40:] for *_, says in BAD])
def test_bad_input_has_its_place(right, wrong, says, shipped):
    assert GOOD.count(right) == 1
    assert says in problems(GOOD.replace(right, wrong), shipped)


def test_a_share_is_told_the_least_that_could_do(shipped):
    assert "at least 50%" in problems(GOOD.replace("  futures:", "  share: 45%\n  futures:"), shipped)
    assert bought(GOOD.replace("  futures:", "  share: 50%\n  futures:"), shipped).share == 0.5


def test_a_question_for_what_the_file_does_not_say(shipped):
    text = GOOD[: GOOD.index("portfolio:")] + "questions: [portfolio]\n"
    assert "questions[0]: asks what to buy" in problems(text, shipped)
    assert bought(GOOD[: GOOD.index("portfolio:")], shipped) is None


def test_every_number_of_the_built_in_portfolio_has_words(shipped):
    """Each offer with a price of its own, each site, contract and option is named in the facts."""
    deal = read("openai-aws", shipped)
    said = " ".join(f.about for f in deal.facts if f.about.startswith("portfolio"))
    named = [o.offer.name for o in deal.purchasing.offers if o.source == "stated in the scenario"]
    named += [x.site.name for x in deal.purchasing.sites if x.ramp or np.isfinite(x.site.power).all()]
    named += [c.name for c in (*deal.purchasing.contracts, *deal.purchasing.options)]
    assert len(named) > 12
    assert not [name for name in named if name not in said]
    assert all(f.source for f in deal.facts)
    assert deal.purchasing.quarters.labels[0] == "2025Q4"
    assert deal.purchasing.calendar.quarters == 28
