"""What is served: sized once and scaled, with the parts of the answer in agreement; and what cannot be."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html import escape
from math import gcd
from pathlib import Path

import pytest

from armillary.app.html_report import html_report
from armillary.app.options import plain
from armillary.app.report_view import report_json
from armillary.app.serving_view import agents_text, quarter_table, served_table
from armillary.scenario import parse
from armillary.serving import Workload, precision, size
from armillary.serving.agents import agent_fleet, margins
from armillary.serving.latencies import latencies
from armillary.twin import run
from armillary.twin.capacity import need

TEXT = """
name: served
clusters:
  lab:
    provider: aws
    price: 3.6 USD/h
    partitions: [{system: p6e-gb200, count: 6, ready: 2026-01}]
workloads:
  tools:
    kind: serving
    model: llama-3.1-8b
    demand: {tasks: 150 /s, mix: azure-2023-conversation, growth: 100%}
    targets: {ttft: {p95: 1 s}, tpot: {p95: 20 ms}}
  run: {kind: training, model: llama-3.1-8b, cluster: lab, accelerators: 72, tokens: 1e11 token,
        global_batch: 512, sequence: 4096, constraints: {cp: 1, schedule: 1f1b, pp: 1}}
horizon: 1 yr
questions: [training, serving]
"""


HUGE = "{like: deepseek-v3, layers: 120, hidden: 12288, experts: 512, moe_ffn: 3072, shared_ffn: 3072}"


@pytest.fixture(scope="module")
def report(shipped):
    return run(parse(TEXT, "t.yaml", shipped, Path()), shipped)


def test_one_size_scaled_is_the_size_of_each_demand(report, shipped):
    """Up to the rounding to whole replicas, or groups of those of prompts and decoding."""
    (answer,) = report.serving.workloads
    (at,) = answer.sizes
    work = answer.workload
    system = shipped.system("p6e-gb200")
    chip = shipped.accelerator(system.accelerator)
    for part in (0.13, 0.5):
        asked = Workload(at.asked.mean * part, at.asked.peak * part, at.asked.lengths)
        direct, _ = size(
            asked, work.targets, work.model, system, chip, precision(work.precision), at.price, work.engine,
            work.headroom,
        )  # fmt: skip
        for kept in at.deployments:
            again = next(d for d in direct if (d.layout, d.prefill) == (kept.layout, kept.prefill))
            replicas, prefill, _ = need(replace(at, deployments=(kept,)), asked.peak)
            groups = gcd(again.replicas, again.prefill_replicas)  # one replica each, where not apart
            assert abs(replicas - again.replicas) <= again.replicas // groups
            assert abs(prefill - again.prefill_replicas) <= again.prefill_replicas // groups


def test_latency_at_the_targets_percentile_is_that_of_the_sizing(report, shipped):
    (answer,) = report.serving.workloads
    work, system = answer.workload, shipped.system("p6e-gb200")
    chip = shipped.accelerator(system.accelerator)
    for one in answer.sizes[0].deployments:
        (at,) = latencies(one, answer.sizes[0].asked, work.model, system, chip, percentiles=[95.0])
        assert (at.ttft, at.tpot, at.e2e) == pytest.approx((one.ttft, one.tpot, one.e2e), rel=0.03)


def test_percentiles_rise_and_hold_the_targets(report):
    (answer,) = report.serving.workloads
    low, high = answer.sizes[0].latency
    assert (low.percentile, high.percentile) == (50.0, 95.0)
    best = answer.sizes[0].best
    assert (high.ttft, high.tpot) == (best.ttft, best.tpot)
    assert low.ttft <= high.ttft <= 1.0
    assert low.tpot <= high.tpot <= 0.02


def test_every_quarter_has_its_fleet_its_demand_and_its_training(report):
    rows = report.serving.quarters
    assert [row.start for row in rows] == ["2026-01", "2026-04", "2026-07", "2026-10"]
    peaks = [row.serving[0].peak for row in rows]
    assert peaks[3] / peaks[1] == pytest.approx(2**0.5)
    trained = sum(t.time for row in rows for t in row.training)
    assert trained == pytest.approx(report.workloads[0].plan.duration)
    assert report.feasible


def test_agents_take_cpus_by_their_tasks(report):
    first = report.serving.agents[0]
    work = report.serving.workloads[0].workload
    assert first.tasks == pytest.approx(150 * 2**0.25)
    over = margins(peak_over_mean=work.demand.shape.peak_over_mean)
    assert first.fleet == agent_fleet(first.tasks, work.agents, over)
    assert first.host_vcpus == 6 * 18 * 144
    assert "Ten million vCPUs" in agents_text(report.serving)[0]


def test_the_answer_does_not_depend_on_the_number_of_processes(report, shipped):
    again = run(parse(TEXT, "t.yaml", shipped, Path()), shipped, jobs=2)
    one, other = (json.dumps(plain(report_json(r, 3)["serving"])) for r in (report, again))
    assert one == other


def test_json_says_what_the_answer_holds(report):
    found = plain(report_json(report, 3))["serving"]
    quarter, row = found["quarters"][0], report.serving.quarters[0]
    assert quarter["serving"][0]["cost_usd"] == pytest.approx(row.serving[0].cost)
    assert quarter["domains"] == 6
    held = [quarter[f"{who}_domains"] for who in ("serving", "training", "left")]
    assert sum(held) == pytest.approx(6)
    assert found["workloads"][0]["demand"]["messages_per_s"] == pytest.approx(3000)
    assert set(quarter["serving"][0]["latency"]) == {"p50", "p95"}
    assert len(found["agents"]) == 4
    assert {f["kind"] for f in found["facts"]} <= {"published", "measured", "fitted", "assumed"}


def test_the_page_shows_figures_and_every_quarter(report):
    page = html_report(report, 3)
    assert escape("Who holds the fleet's UltraServers") in page
    assert "What is asked for" in page
    for row in quarter_table(report.serving).rows:
        assert re.search(rf">{row[0]}<", page)
    assert len(served_table(report.serving, every=True).rows) == 4
    assert len(served_table(report.serving, every=False).rows) == 2


def test_a_fleet_that_is_too_small_is_infeasible_with_what_binds(shipped):
    text = TEXT.replace("count: 6", "count: 1").replace("tasks: 150", "tasks: 900")
    answer = run(parse(text, "t.yaml", shipped, Path()), shipped)
    assert not answer.feasible
    ((name, words),) = answer.infeasible
    assert name == "tools"
    assert words.startswith("the fleet binds in")
    assert "1 u-p6e-gb200x72 are ready" in words
    row = answer.serving.quarters[-1]
    assert row.serving[0].lacking > 0
    assert row.demanded_domains > row.domains
    assert not row.training  # serving goes first
    assert "lack" in quarter_table(answer.serving).rows[-1][2]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("tpot: {p95: 20 ms}", "tpot: {p95: 1 us}", "time per output token of one request [s] is"),
        ("ttft: {p95: 1 s}", "ttft: {p95: 1 ms}", "time to first token of one request [s] is"),
        ("model: llama-3.1-8b\n", "model: huge\n    precision: bf16\n", "memory for weights"),
    ],
)
def test_targets_and_weights_that_nothing_holds_say_which_and_how_far(old, new, says, shipped):
    text = TEXT.replace(old, new, 1).replace("p6e-gb200", "dgx-a100-40" if "memory" in says else "p6e-gb200")
    text = text.replace("questions: [training, serving]", "questions: [serving]")
    if "memory" in says:
        text += f"models: {{huge: {HUGE}}}\n"
        text = re.sub(r"  run: .*\n.*\n", "", text)
    answer = run(parse(text, "t.yaml", shipped, Path()), shipped)
    ((name, words),) = answer.infeasible
    assert name == "tools"
    assert says in words
    assert "times too much" in words
    assert html_report(answer, 3).count("Not feasible.") == 1
