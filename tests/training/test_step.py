import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from armillary.model import parameters
from armillary.training import Layout, calibration, estimate

DENSE = Layout(tp=4, cp=1, pp=4, vpp=1, dp=8, micro_batch=1, zero=1, shard=8)


def total(layout, job, part):
    return float(estimate(job, part, layout, calibration(part.accelerator)).time.total)


def test_parts_are_not_negative_and_sum_up(dense):
    job, part = dense
    e = estimate(job, part, DENSE, calibration(part.accelerator))
    assert all(float(v) >= 0 for v in (*e.time, *e.memory, *e.busy))
    assert float(e.time.total) == pytest.approx(sum(float(v) for v in e.time))
    assert float(e.memory.total) == pytest.approx(sum(float(v) for v in e.memory))
    assert float(e.mfu) == pytest.approx(
        e.flops / float(e.time.total) / 128 / part.accelerator.peak["bf16"], rel=1e-12
    )


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(["scale-up", "cluster"]), st.floats(1.0, 8.0))
def test_more_bandwidth_and_less_latency_are_never_slower(dense, ring, factor):
    job, part = dense
    before = total(DENSE, job, part)
    old = next(r for r in part.rings if r.name == ring)
    faster = part.with_ring(ring, bandwidth=old.bandwidth * factor, latency=old.latency / factor)
    assert total(DENSE, job, faster) <= before * (1 + 1e-12)


def test_the_dense_model_holds_sixteen_bytes_a_parameter_unsharded(make_job, make_slice):
    job, part = make_job("llama-3.2-1b", 8), make_slice("p5", 8)
    alone = Layout(dp=8, zero=0, shard=1)
    m = estimate(job, part, alone, calibration(part.accelerator)).memory
    count = parameters(job.model).total
    assert float(m.weights) == pytest.approx(2 * count)
    assert float(m.gradients + m.optimizer) == pytest.approx(16 * count)
    sharded = estimate(job, part, alone._replace(zero=1, shard=8), calibration(part.accelerator)).memory
    assert float(sharded.optimizer) == pytest.approx(12 * count / 8)


@pytest.mark.parametrize("recompute", [0, 1])
def test_recompute_trades_time_for_memory(dense, recompute):
    job, part = dense
    less = estimate(job, part, DENSE._replace(recompute=recompute), calibration(part.accelerator))
    more = estimate(job, part, DENSE._replace(recompute=recompute + 1), calibration(part.accelerator))
    assert float(more.memory.activations) < float(less.memory.activations)
    assert float(more.time.total) > float(less.time.total)


def test_interleaving_and_zero_bubble_shrink_the_bubble(dense):
    job, part = dense
    known = calibration(part.accelerator)
    bubbles = [
        float(estimate(job, part, DENSE._replace(**change), known).time.pipeline_bubble)
        for change in ({}, {"schedule": 1}, {"vpp": 5})
    ]
    assert bubbles[0] > bubbles[1] > 0
    assert bubbles[2] == pytest.approx(bubbles[0] / 5, rel=0.02)


def test_oversubscription_hurts_what_crosses_it(make_job, make_slice):
    job, part = make_job("deepseek-v3", 1024), make_slice("p5", 256)
    wide = Layout(tp=1, pp=8, dp=32, ep=32, micro_batch=1, zero=1, shard=32)
    thin = part.with_ring("cluster", bandwidth=part.rings[-1].bandwidth / 7)
    assert total(wide, job, thin) > 1.5 * total(wide, job, part)
    inside = wide._replace(ep=8)
    assert total(inside, job, thin) / total(inside, job, part) < total(wide, job, thin) / total(
        wide, job, part
    )


def test_imbalance_of_experts_costs_time_up_to_their_capacity(make_job, make_slice):
    job, part = make_job("deepseek-v3", 1024), make_slice("p6e-gb200", 256, 64)
    layout = Layout(tp=1, pp=4, dp=64, ep=64, micro_batch=1, zero=1, shard=64)
    even, skewed = total(layout, job, part), total(layout, job._replace(imbalance=2.0), part)
    assert skewed > 1.1 * even
    capped = total(layout, job._replace(imbalance=2.0, capacity=1.0), part)
    assert capped == pytest.approx(even, rel=1e-12)


def test_narrow_optimizer_state_saves_its_bytes(dense):
    job, part = dense
    known = calibration(part.accelerator)
    wide = estimate(job, part, DENSE, known).memory.optimizer
    narrow = estimate(job, part, DENSE._replace(optimizer_bytes=8.0), known).memory.optimizer
    assert float(narrow) == pytest.approx(float(wide) * 8 / 12)


def test_tensor_parallel_overlap_ends_at_the_domain(make_job, make_slice):
    job, part = make_job("llama-3.1-70b", 256), make_slice("p5", 128)

    def exposed(tp, overlap):
        layout = Layout(tp=tp, dp=128 // tp, zero=1, shard=128 // tp, overlap_tp=overlap)
        return float(estimate(job, part, layout, calibration(part.accelerator)).time.tensor_parallel)

    assert exposed(8, 1) < 0.6 * exposed(8, 0)
    assert exposed(16, 1) == pytest.approx(exposed(16, 0))


def test_a_causal_mask_that_is_not_balanced_costs_what_the_last_rank_sees(make_job, make_slice):
    job, part = make_job("llama-3.1-8b", 8, 131072), make_slice("p5", 64)
    even = calibration(part.accelerator)
    skewed = even.with_software(balances_context=False)

    def attention(cp, known):
        layout = Layout(cp=cp, dp=64 // cp, zero=3, shard=64)
        return float(estimate(job, part, layout, known).time.attention)

    assert attention(1, skewed) == pytest.approx(attention(1, even))
    assert attention(8, skewed) == pytest.approx((2 - 1 / 8) * attention(8, even), rel=0.02)
