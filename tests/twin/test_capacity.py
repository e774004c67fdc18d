"""Who gets the fleet: demand that grows, domains that are packed, priorities, training beside serving."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from armillary.scenario import ServedOn, parse
from armillary.scenario.months import QUARTER
from armillary.serving import EngineLayout, Sized, Workload
from armillary.serving.latencies import Latencies
from armillary.twin import QuarterRow, SizedPlace, plan_quarters
from armillary.twin.capacity import need
from armillary.twin.growth import grown, mean_grown

TEXT = """
name: fleet
clusters:
  lab:
    provider: aws
    price: 3.6 USD/h
    partitions:
      - {system: p6e-gb200, count: 10, ready: 2026-01}
      - {system: p6e-gb300, count: 20, ready: 2026-06}
workloads:
  chat:
    kind: serving
    model: llama-3.1-8b
    demand: {messages: 1000 /s, shape: flat, from: 2026-01, growth: 300%}
    targets: {ttft: 1 s}
  run: {kind: training, model: llama-3.1-8b, cluster: lab, system: p6e-gb300, accelerators: 720,
        tokens: 1e12 token, global_batch: 512, sequence: 4096}
  next: {kind: training, model: llama-3.1-8b, cluster: lab, system: p6e-gb300, accelerators: 720,
         tokens: 1e12 token, global_batch: 512, sequence: 4096}
horizon: 2 yr
"""
rates = st.lists(st.floats(-0.9, 3), min_size=1, max_size=4)


@given(rates, st.floats(-2, 6), st.floats(0.01, 4))
def test_mean_growth_is_the_integral_of_growth(growth, start, length):
    times = start + (np.arange(20_000) + 0.5) / 20_000 * length
    numeric = float(np.mean([grown(growth, t) for t in times[::10]]))
    assert mean_grown(growth, start, start + length) == pytest.approx(numeric, rel=2e-3)


@given(rates, st.floats(-2, 5))
def test_a_year_of_growth_lasts_a_year(growth, when):
    last = growth[-1]
    later = max(when, len(growth) - 1)
    assert grown(growth, later + 1) == pytest.approx(grown(growth, later) * (1 + last), rel=1e-9)
    assert grown(growth, 0) == 1.0


def sized(system: str, replicas: int, prefill: int = 0) -> Sized:
    """A deployment made up for the test: replicas of 8, and of 64 for prompts."""
    after, before = EngineLayout(tp=8), EngineLayout(tp=64) if prefill else None
    all_of_it = replicas * 8 + prefill * 64
    return Sized(
        system, after, before, replicas, prefill, all_of_it, 1.0, 0.5, 0.02, 5.0, all_of_it * 1e-3,
        all_of_it * 1e3, 1e-6, 1e-6, 1.0, 100.0, 50.0,
    )  # fmt: skip


def place(found, system: str, replicas: int, prefill: int = 0, rate: float = 1000.0) -> SizedPlace:
    cluster = found.clusters["lab"]
    partition = next(p for p in cluster.machine.partitions if p.system.name == system)
    lengths = found.serving["chat"].demand.lengths
    return SizedPlace(
        ServedOn("lab", system), partition, cluster.pue, cluster.price, Workload(rate, rate, lengths),
        (sized(system, replicas, prefill),),
        (Latencies(50.0, 0.3, 0.01, 3.0), Latencies(95.0, 0.5, 0.02, 5.0)), "", "",
    )  # fmt: skip


GB200, GB300 = "u-p6e-gb200x72", "u-p6e-gb300x72"


@pytest.fixture(scope="module")
def found(shipped):
    return parse(TEXT, "t.yaml", shipped, Path())


def quarters(found, places, months: float = 2.0) -> tuple[QuarterRow, ...]:
    plans = {name: SimpleNamespace(duration=months * QUARTER / 3) for name in found.workloads}
    return plan_quarters(found, found.horizon, {"chat": places}, plans)


def test_a_fleet_is_the_sum_of_who_holds_it(found):
    rows = quarters(found, [place(found, GB200, 40)])
    assert [row.start for row in rows][:3] == ["2026-01", "2026-04", "2026-07"]
    assert [row.domains for row in rows][:3] == [10, 10, 30]  # those of June count from the next quarter
    for row in rows:
        assert row.serving_domains + row.training_domains + row.left_domains == pytest.approx(row.domains)
        assert row.left_domains >= 0
        for s in row.serving:
            assert s.peak == pytest.approx(sum(p.peak for p in s.placed) + s.missing)


def test_replicas_follow_demand(found):
    (last,) = quarters(found, [place(found, GB300, 10)])[-1].serving
    assert last.peak == pytest.approx(1000 * 4**2)
    assert last.placed[0].replicas == 160
    assert last.placed[0].domains == 18  # nine replicas of eight in each
    assert last.missing == 0


def test_what_does_not_fit_is_told_by_quarter_and_domains(found):
    rows = quarters(found, [place(found, GB300, 40)])
    assert rows[0].serving[0].missing == pytest.approx(rows[0].serving[0].peak)  # nothing is ready yet
    (last,) = rows[-1].serving
    assert last.domains == 20
    assert last.lacking == 72 - 20
    assert last.missing == pytest.approx(last.peak - 20 * 9 / 40 * 1000)
    assert rows[-1].demanded_domains == 72


def test_a_second_system_takes_what_the_first_has_no_room_for(found):
    rows = quarters(found, [place(found, GB200, 40), place(found, GB300, 10)])
    (s,) = rows[-2].serving
    assert [p.at.place.system for p in s.placed] == [GB200, GB300]
    assert s.placed[0].domains == 10
    rest = s.peak - s.placed[0].peak
    assert s.placed[1].replicas == np.ceil(10 * rest / 1000)


def test_money_energy_and_messages_agree(found):
    (s,) = quarters(found, [place(found, GB200, 8)])[0].serving
    assert s.messages == pytest.approx(1000 * QUARTER * mean_grown([3.0], 0, 0.25))
    assert s.cost == pytest.approx(s.domains * 72 * 1e-3 * QUARTER)
    partition = s.placed[0].at.partition
    assert s.energy == pytest.approx(s.domains * partition.system.power * 1.15 * QUARTER)
    mean = s.workload.demand.lengths.mean
    assert s.tokens == pytest.approx(s.messages * (mean.input + mean.output))
    assert s.latency("ttft", 95.0) == 0.5
    assert s.latency("ttft", 99.0) is None


def test_training_waits_for_its_domains_and_ends(found):
    rows = quarters(found, [place(found, GB200, 8)], months=4.0)
    ran = {name: [t for row in rows for t in row.training if t.name == name] for name in ("run", "next")}
    for runs in ran.values():  # both fit side by side into twenty domains
        assert sum(t.time for t in runs) == pytest.approx(4 * QUARTER / 3)
        assert [t.done for t in runs] == [False, True]
    assert rows[2].training_domains == pytest.approx(20)
    assert not rows[0].training


def test_training_runs_one_after_another_where_serving_leaves_room_for_one(found):
    chat = found.serving["chat"]
    steady = replace(chat, demand=replace(chat.demand, growth=(0.0,)))
    crowded = replace(found, serving={"chat": steady})
    rows = quarters(crowded, [place(found, GB300, 9 * 8)], months=2.0)  # holds 8 of 20: one run of 10 fits
    third = rows[2]
    assert [(t.name, t.done) for t in third.training] == [("run", True), ("next", False)]
    assert third.training[1].time == pytest.approx(QUARTER / 3)
    assert third.training_domains == pytest.approx(10)
    assert [(t.name, t.done) for t in rows[3].training] == [("next", True)]


@pytest.mark.parametrize(("priority", "served"), [(1, 20), (-1, 0)])
def test_priority_says_who_is_placed_first(found, priority, served):
    chat = replace(found.serving["chat"], priority=priority)
    rows = quarters(replace(found, serving={"chat": chat}), [place(found, GB300, 200)], months=9.0)
    assert rows[2].serving[0].domains == served
    assert len(rows[2].training) == (0 if served else 2)


def test_demand_from_later_on_takes_nothing_before(found):
    chat = found.serving["chat"]
    later = replace(chat, demand=replace(chat.demand, since="2026-08"))
    rows = quarters(replace(found, serving={"chat": later}), [place(found, GB300, 9)])
    assert [row.serving[0].messages > 0 for row in rows][:4] == [False, False, True, True]
    first = rows[2].serving[0]
    assert first.messages == pytest.approx(1000 * (2 * QUARTER / 3) * mean_grown([3.0], 0, 1 / 6))


@given(st.floats(1.0, 5e4), st.floats(1.0, 5e4))
def test_more_demand_never_takes_fewer_domains(one, other):
    low, high = sorted((one, other))
    at = SimpleNamespace(
        best=sized(GB300, 311, 97),
        asked=SimpleNamespace(peak=1000.0),
        partition=SimpleNamespace(system=SimpleNamespace(scale_up_size=72)),
    )
    assert all(a <= b for a, b in zip(need(at, low), need(at, high), strict=True))
    assert need(at, 1000.0)[:2] == (311, 97)
    assert need(at, 1e-12) == (1, 1, 1)  # what little is asked takes one of each
