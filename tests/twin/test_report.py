from pathlib import Path

import pytest

from armillary.app.report_view import curve_table
from armillary.scenario import parse
from armillary.twin import (
    around,
    by_domain,
    by_oversubscription,
    by_ring_bandwidth,
    by_scale,
    plan_gradients,
    run,
)

TEXT = """
name: tiny
clusters:
  lab:
    provider: aws
    price: 3.6 USD/h
    partitions: [{system: p6e-gb200, count: 16}]
workloads:
  run: {kind: training, model: llama-3.1-8b, cluster: lab, accelerators: 144, tokens: 1e11 token,
        global_batch: 512, sequence: 4096, constraints: {cp: 1, schedule: 1f1b}}
contracts:
  deal: {provider: aws, total: 100e6 USD, term: 1 yr, start: 2026-01}
"""


@pytest.fixture(scope="module")
def report(shipped):
    return run(parse(TEXT, "t.yaml", shipped, Path()), shipped)


def test_money_time_and_steps_agree(report):
    plan = report.workloads[0].plan
    assert plan.steps == pytest.approx(1e11 / (512 * 4096))
    assert plan.duration == pytest.approx(plan.steps * plan.step)
    assert plan.cost == pytest.approx(plan.duration / 3600 * 3.6 * 144)
    assert plan.cost_per_million_tokens == pytest.approx(plan.cost / 1e5)


def test_spares_of_the_domain_are_paid_for(report):
    plan = report.workloads[0].plan
    assert plan.granted == 144
    assert {s.space.machine.accelerators for s in plan.searches} == {144, 128}
    assert float(plan.best.estimate.accelerators) == 128


def test_the_tension_between_money_and_fleet(report):
    (tension,) = report.tensions
    assert tension.affordable == pytest.approx(100e6 / (8766 * 3.6))
    assert tension.implied * 3600 == pytest.approx(100e6 / 8766 / (16 * 72))


def test_the_fleet_has_its_rings(report):
    (fleet,) = report.fleets
    assert [r.ring.name for r in fleet.rings] == ["scale-up", "cluster"]
    assert fleet.facility_power == pytest.approx(fleet.power * 1.15)


def test_what_ifs_move_the_right_way(report):
    work = report.workloads[0]
    curves = {c.name: [p.step for p in c.points] for c in work.curves}
    for name in ("bandwidth scale-up", "bandwidth cluster"):
        assert curves[name] == sorted(curves[name], reverse=True)
    assert curves["oversubscription"] == sorted(curves["oversubscription"])
    for name, here in (("oversubscription", 0), ("bandwidth cluster", 2), ("domain", 2)):
        assert curves[name][here] == pytest.approx(work.plan.step, rel=1e-12)
    assert {p.x for c in work.curves if c.name == "scale" for p in c.points} >= {589_824}


def test_sweeps_alone_give_what_the_report_gives(report):
    work = report.workloads[0]
    plan, machine = work.plan, work.cluster.machine
    asked = (plan.job, machine, machine.partitions[0], 144)
    fixed = around(plan.best.layout, work.workload.constraints)
    again = [
        by_ring_bandwidth(*asked, "scale-up", fixed), by_ring_bandwidth(*asked, "cluster", fixed),
        by_oversubscription(*asked, fixed), by_domain(*asked, fixed), by_scale(*asked, fixed),
    ]  # fmt: skip
    assert tuple(again) == work.curves


def test_the_curve_of_domains_says_how_many_accelerators_each_point_has(report):
    domain = next(c for c in report.workloads[0].curves if c.name == "domain")
    assert [p.accelerators for p in domain.points] == [144, 144, 144, 144, 576]
    assert domain.title.endswith("in whole domains: 144 / 144 / 144 / 144 / 576 in all")
    assert "accelerators" in list(curve_table(domain).columns[0].cells)
    others = [c for c in report.workloads[0].curves if c.name != "domain"]
    assert not any("accelerators" in list(curve_table(c).columns[0].cells) for c in others)


def test_the_largest_workload_has_its_gradients(report):
    found = report.workloads[0].gradients
    assert found.layout == report.workloads[0].plan.best.layout
    assert found == plan_gradients(report.workloads[0].plan, report.workloads[0].workload.constraints)
    assert found.of("chip") > 0.5


def test_an_infeasible_workload_says_why(shipped):
    text = TEXT.replace("llama-3.1-8b", "llama-3.1-405b").replace("accelerators: 144", "accelerators: 4")
    answer = run(parse(text, "t.yaml", shipped, Path()), shipped)
    assert not answer.feasible
    assert "nearest" in answer.workloads[0].infeasible


def test_a_missed_deadline_binds_and_says_what_it_would_take(shipped):
    text = TEXT.replace("tokens: 1e11 token,", "tokens: 1e13 token, deadline: 1 h,")
    answer = run(parse(text, "t.yaml", shipped, Path()), shipped)
    assert not answer.feasible
    assert "the deadline binds" in answer.workloads[0].infeasible
    assert answer.workloads[0].plan is not None


def test_the_answer_does_not_depend_on_the_number_of_processes(report, shipped):
    again = run(parse(TEXT, "t.yaml", shipped, Path()), shipped, jobs=2)
    assert again.workloads[0].curves == report.workloads[0].curves
    assert again.workloads[0].plan.step == report.workloads[0].plan.step
