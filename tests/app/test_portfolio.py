"""`armillary portfolio`, and its part of `armillary run`: words, JSON, charts, comparison and exit codes."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace

import numpy as np
import pytest

from armillary.app.cli import main
from armillary.app.portfolio_view import use_table
from armillary.portfolio import Offer

TEXT = """\
name: bought
clusters:
  lab: {provider: aws, price: 3 USD/h, partitions: [{system: p6e-gb200, count: 10, ready: 2026-01}]}
workloads:
  base: {kind: training, model: llama-3.1-8b, cluster: lab, accelerators: 72, tokens: 1e11 token,
         global_batch: 512, sequence: 4096, constraints: {cp: 1, schedule: 1f1b, pp: 1}}
contracts:
  deal: {provider: aws, total: 20e6 USD, term: 2 yr, start: 2026-01}
portfolio:
  futures: {count: 3, apart: 2026-07}
  skus: {gb200: {system: p6e-gb200}}
  sites:
    ohio: {provider: aws, ramp: {sku: gb200, blocks: 2, block: 720, building: 2026-02, power: 2026-02}}
    texas: {provider: oci}
  offers:
    under deal: {site: ohio, sku: gb200, kind: on-demand, price: 3 USD/h, contract: deal}
    list: {site: texas, sku: gb200, kind: on-demand}
  contracts:
    deal: {signed: true, minimum_take: 50%}
  options:
    later: {site: ohio, sku: gb200, strike: 2 USD/h, units: 144, from: 2027-01, term: 1 yr}
  training:
    research: 20%
    generations:
      next: {like: base, ready: 2027-07, duration: 3 month, flop: 2e23 FLOP, spread: 20%}
  deployed_by: 2027-01
questions: [portfolio]
facts: [{about: portfolio, says: made up, source: "assumption: a test"}]
"""


def call(capsys, *words):
    with pytest.raises(SystemExit) as done:
        main(list(words))
    printed = capsys.readouterr()
    return done.value.code or 0, printed.out, printed.err


@pytest.fixture
def scenario(tmp_path):
    path = tmp_path / "bought.yaml"
    path.write_text(TEXT)
    return path


def test_a_plan_in_words_with_its_gap_and_charts(scenario, tmp_path, capsys):
    charts = tmp_path / "charts"
    code, out, err = call(capsys, "portfolio", str(scenario), "--svg", str(charts), "--jobs", "1")
    assert code == 0, err
    assert re.search(r"gap +\d\.\d\d% \(optimal\): .* none has less than", out)
    for title in ("What it costs", "Quarter by quarter", "Models to be trained", "What options are worth"):
        assert title in out
    assert "The chance that all of ohio stands before 2027-01 is" in out
    assert "Ten million vCPUs" in out
    names = {p.stem for p in charts.iterdir()}
    assert names == {"capacity", "spend", "demand", "spend-fan", "ramps", "owning"}
    assert all(p.read_text().startswith("<svg") for p in charts.iterdir())


def test_a_rounded_zero_has_no_sign():
    offer = Offer("list", "here", "gb200", "on-demand", 1.0)
    answer = SimpleNamespace(
        asked=SimpleNamespace(futures=SimpleNamespace(probability=np.ones(1))),
        plan=SimpleNamespace(used=np.full((1, 2, 1), -1e-9)),
        programme=SimpleNamespace(offers=(offer,)),
        labels=("2026Q1", "2026Q2"),
    )
    assert use_table(answer).rows[0][4:] == ("0", "0", "-")


def test_json_adds_up(scenario, capsys):
    code, out, err = call(capsys, "portfolio", str(scenario), "--json", "--explain", "--jobs", "1")
    assert code == 0, err
    found = json.loads(out)
    assert (found["scenario"], found["assumed"]) == ("bought", [])
    assert found["facts"] == [{"about": "portfolio", "says": "made up", "source": "assumption: a test"}]
    plan = found["plan"]
    costs = dict(plan["costs_usd"])
    total = costs.pop("total")
    assert sum(costs.values()) == pytest.approx(total)
    assert total == pytest.approx(plan["expected_usd"])
    assert plan["gap"] <= 0.0025
    assert plan["bound_usd"] <= plan["objective_usd"]
    assert len(found["quarters"]) == len(plan["accelerators"]["aws: deal"]) == 8
    assert found["generations"][0]["flop"] == 2e23
    assert {r["provider"] for r in found["explained"]["single_provider_regrets"]} == {"aws", "oci"}
    assert 0 < found["deployment"]["chance"]["share"] <= 1


def test_two_variants_side_by_side(scenario, tmp_path, capsys):
    other = tmp_path / "other.yaml"
    other.write_text(TEXT.replace("minimum_take: 50%", "minimum_take: 100%"))
    code, out, err = call(capsys, "portfolio", str(scenario), "--compare", str(other), "--jobs", "1")
    assert code == 0, err
    (line,) = re.findall(r"^shortfall .*$", out, re.MULTILINE)
    assert len(re.findall(r"USD", line)) == 3
    first, second = (float(x) for x in re.findall(r"([\d.]+) million USD", line)[:2])
    assert second > first
    assert "bought.yaml" in out
    assert "other.yaml" in out


def test_what_is_not_feasible_exits_with_one(tmp_path, capsys):
    path = tmp_path / "full.yaml"
    text = TEXT.replace("  deployed_by", "  floors: {next: 100%}\n  deployed_by").replace("2e23", "2e24")
    text = text.replace("kind: on-demand}\n", "kind: on-demand, capacity: 1}\n").replace(
        "blocks: 2, block: 720", "blocks: 1, block: 72"
    )
    path.write_text(text)
    code, out, err = call(capsys, "portfolio", str(path), "--jobs", "1")
    assert code == 1
    assert "not feasible" in out
    assert "conflict" in err


def test_bad_input_exits_with_two(scenario, tmp_path, capsys):
    code, _, err = call(capsys, "portfolio", "small")
    assert code == 2
    assert "small says nothing that can be bought" in err
    bad = tmp_path / "bad.yaml"
    bad.write_text(TEXT.replace("price: 3 USD/h, contract", "price: -3 USD/h, contract"))
    code, _, err = call(capsys, "portfolio", str(bad))
    assert code == 2
    assert f"{bad}:16:66: error: portfolio.offers.under deal.price" in err
    code, _, err = call(capsys, "portfolio", str(scenario), "--time-limit", "0")
    assert code == 2
    code, _, err = call(capsys, "portfolio", str(scenario), "--svg", str(scenario))
    assert code == 2
    assert "is a file; give a folder" in err


def test_a_run_has_a_part_of_what_to_buy(scenario, tmp_path, capsys):
    code, out, err = call(capsys, "run", str(scenario), "--out", str(tmp_path / "out"), "--jobs", "1")
    assert code == 0, err
    assert "What to buy" in out
    page = (tmp_path / "out" / "report.html").read_text()
    for title in ("Capacity against demand", "Spend by provider and contract", "Demand over the futures",
                  "What moves the cost of owning"):  # fmt: skip
        assert title in page
    found = json.loads((tmp_path / "out" / "report.json").read_text())
    assert found["portfolio"]["plan"]["gap"] <= 0.0025
    assert found["unplanned"] is None


def test_a_model_that_nothing_trains_is_said(tmp_path, capsys):
    path = tmp_path / "none.yaml"
    path.write_text(
        TEXT.replace("system: p6e-gb200}}", "system: p4d}}").replace("4096, ", "4096, precision: fp8, ")
    )
    code, out, err = call(capsys, "run", str(path), "--jobs", "1")
    assert code == 1, err
    assert "generation 'next' cannot be trained on any SKU" in err
    assert "nothing to buy is planned" in out
