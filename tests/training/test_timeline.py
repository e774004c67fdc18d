"""A step run pass by pass: order, dependencies, and the closed form's bubble where stages are even."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from armillary.errors import InputError
from armillary.training import Layout, estimate
from armillary.training.schedules import bubble
from armillary.training.timeline import pipeline_order, run_pipeline, step_timeline


def even(pp, vpp, n, forward, backward, weights=0.0, transfer=0.0):
    return run_pipeline(pp, vpp, n, [forward] * pp, [backward] * pp, [weights] * pp, transfer)


@settings(max_examples=60, deadline=None)
@given(pp=st.integers(1, 8), vpp=st.integers(1, 4), rounds=st.integers(1, 4), back=st.floats(0.5, 3.0))
def test_even_stages_have_the_bubble_of_the_closed_form(pp, vpp, rounds, back):
    n = pp * rounds
    vpp = 1 if pp == 1 else vpp
    end = max(p.end for p in even(pp, vpp, n, 1.0 / vpp, back / vpp))
    assert end == pytest.approx(n * (1 + back) + bubble(0, pp, vpp, 1.0, back, 0.0), rel=1e-9)


@settings(max_examples=60, deadline=None)
@given(
    pp=st.integers(1, 6),
    vpp=st.integers(1, 3),
    rounds=st.integers(1, 3),
    weights=st.sampled_from([0.0, 0.7]),
    transfer=st.sampled_from([0.0, 0.3]),
)
def test_every_pass_runs_once_after_what_it_needs(pp, vpp, rounds, weights, transfer):
    vpp = 1 if pp == 1 else vpp
    n = pp * rounds
    passes = even(pp, vpp, n, 1.0, 1.5, weights, transfer)
    kinds = 2 + (weights > 0)
    assert len(passes) == len({p[:4] for p in passes}) == kinds * pp * vpp * n
    at = {(p.kind, p.chunk * pp + p.stage, p.micro_batch): p for p in passes}
    for (kind, v, m), p in at.items():
        if kind == "forward" and v > 0:
            assert p.start >= at[kind, v - 1, m].end + transfer * (pp > 1) - 1e-9
        elif kind == "backward":
            before = at[kind, v + 1, m] if v < pp * vpp - 1 else at["forward", v, m]
            assert p.start >= before.end - 1e-9
        elif kind == "weights":
            assert p.start >= at["backward", v, m].end - 1e-9
    for stage in range(pp):
        mine = sorted(p for p in passes if p.stage == stage)
        mine.sort(key=lambda p: p.start)
        assert all(a.end <= b.start + 1e-9 for a, b in pairwise(mine))


def test_weight_gradients_fill_the_bubble():
    one = max(p.end for p in even(4, 1, 8, 1.0, 2.0))
    split = max(p.end for p in even(4, 1, 8, 1.0, 1.0, 1.0))
    assert split < one
    # ZB-H1's bound, (p - 1)(F + B - W) over the work
    assert split >= 8 * 3.0 + bubble(1, 4, 1, 1.0, 1.0, 1.0) - 1e-9


def test_order_of_the_first_and_last_stage():
    assert [k for k, _, _ in pipeline_order(3, 4, 1, 3)] == ["forward", "backward"] * 3
    first = pipeline_order(0, 2, 2, 4)
    assert [(c, m) for k, c, m in first if k == "forward"][:6] == [
        (0, 0), (0, 1), (1, 0), (1, 1), (0, 2), (0, 3),
    ]  # fmt: skip
    assert [(c, m) for k, c, m in first if k == "backward"][:3] == [(1, 0), (1, 1), (0, 0)]


@pytest.mark.parametrize(
    "layout",
    [
        Layout(tp=8, pp=4, dp=4, zero=1, shard=4),
        Layout(tp=4, pp=8, vpp=2, dp=4, zero=1, shard=4),
        Layout(tp=8, dp=16, zero=1, shard=16),
        Layout(tp=8, pp=4, dp=4, zero=1, shard=4, schedule=1),
    ],
)
def test_a_step_ends_near_the_closed_form(dense, layout, dense_calibration):
    job, machine = dense
    run = step_timeline(job, machine, layout, dense_calibration)
    closed = float(estimate(job, machine, layout, dense_calibration).time.total)
    assert run.end == pytest.approx(closed, rel=0.06)


def test_dualpipe_is_refused(dense, dense_calibration):
    job, machine = dense
    with pytest.raises(InputError, match="schedule is dualpipe"):
        step_timeline(job, machine, Layout(tp=8, pp=4, dp=4, schedule=2), dense_calibration)
