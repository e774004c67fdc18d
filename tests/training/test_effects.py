"""Each effect of the step by its size, not by its sign alone."""

import numpy as np
import pytest

from armillary.training import Layout, calibration, estimate
from armillary.training.kernels import attention_time, causal_keys
from armillary.training.memory import NO_STATE
from armillary.training.parts import StageCost, exposed_exchange
from armillary.training.passes import Durations

WIDE = Layout(tp=1, pp=1, dp=128, zero=3, shard=128, micro_batch=1)


def cost(reduce=0.0, gather=0.0, regather=0.0, chunk=1.0):
    return StageCost(reduce, gather, regather, 0.0, chunk, False, 0.0, 0.0, NO_STATE, NO_STATE)


def test_a_hidden_exchange_costs_its_price_and_what_is_beyond_costs_itself():
    mean = Durations(1.0, 1.0, 1.0)  # 1 s forward, 2 s backward
    price = 0.25
    assert exposed_exchange(cost(reduce=1.5), mean, 1.0, price) == pytest.approx(0.25 * 1.5)
    assert exposed_exchange(cost(reduce=3.0), mean, 1.0, price) == pytest.approx(1.0 + 0.25 * 2.0)
    assert exposed_exchange(cost(gather=1.5), mean, 1.0, price) == pytest.approx(0.5 + 0.25 * 1.0)
    assert exposed_exchange(cost(reduce=1.0, regather=0.5), mean, 1.0, price) == pytest.approx(0.25 * 1.5)
    assert exposed_exchange(cost(reduce=1.5), mean, 0.0, price) == pytest.approx(1.5)
    assert exposed_exchange(cost(reduce=3.0, chunk=0.25), mean, 1.0, price) == pytest.approx(1.5 / 4)


def test_each_collective_of_an_exchange_pays_its_latency(dense):
    job, part = dense
    known = calibration(part.accelerator)

    def busy(slow, tensors):
        machine = part.with_ring("cluster", latency=part.rings[-1].latency * slow)
        found = estimate(job, machine, WIDE._replace(zero=1), known.with_software(tensors=tensors))
        return float(found.busy.data_parallel)

    one, twelve = (busy(2, n) - busy(1, n) for n in (1.0, 12.0))
    assert twelve == pytest.approx(12 * one, rel=1e-6)


def test_recomputation_stops_before_the_last_product(dense):
    job, part = dense
    known = calibration(part.accelerator)

    def recomputed(early):
        found = estimate(job, part, WIDE._replace(recompute=2), known.with_software(early_stop=early))
        return float(found.time.recompute)

    # Of a layer's products, ffn down is 8192 x 28672 of 8192 x (10240 + 8192 + 3 x 28672).
    assert recomputed(True) / recomputed(False) == pytest.approx(1 - 28672 / 104448, abs=0.06)


def test_selective_recomputation_repeats_its_share_of_products(dense):
    job, part = dense
    known = calibration(part.accelerator)
    layout = WIDE._replace(recompute=1)
    none, half = (
        estimate(job, part, layout, known.with_software(selective_gemm=share)).time for share in (0.0, 0.5)
    )
    body = float(half.recompute) - float(none.recompute)
    assert body == pytest.approx(float(none.gemm) / 3 / 2, rel=0.05)  # the head is not recomputed


def test_experts_cost_the_host_their_launches_and_slow_hosts_cost_in_proportion(moe):
    job, part = moe
    known = calibration(part.accelerator)

    def launch(ep, **software):
        layout = Layout(tp=1, pp=1, dp=256, ep=ep, zero=1, shard=256, overlap_ep=1)
        found = estimate(job, part, layout, known.with_software(**software))
        return float(found.time.launch)

    free = {"expert_launch": 0.0, "routing": 1e-3, "host_launch": 0.0}
    each = {**free, "expert_launch": 1e-4}
    gain = [launch(ep, **each) - launch(ep, **free) for ep in (8, 64)]
    assert gain[0] == pytest.approx(8 * gain[1], rel=1e-6)
    assert launch(64, **{**free, "routing": 2e-3}) == pytest.approx(2 * launch(64, **free), rel=1e-6)


def test_a_dispatch_inside_a_domain_is_not_paced_by_the_dispatcher_across_it(moe):
    job, part = moe
    known = calibration(part.accelerator)

    def expert(ep, dispatcher):
        layout = Layout(tp=1, pp=1, dp=256, ep=ep, zero=1, shard=256)
        slow = known.with_software(dispatcher=dispatcher, dispatch={"fast": 0.9, "slow": 0.1},
                                   dispatch_latency={"fast": 1e-5, "slow": 1e-2})  # fmt: skip
        return float(estimate(job, part, layout, slow).time.expert_parallel)

    assert expert(64, "slow") == pytest.approx(expert(64, "fast"))
    assert expert(128, "slow") > 5 * expert(128, "fast")


def test_attention_reaches_half_where_keys_are_few_and_less_with_narrow_heads(make_slice):
    part = make_slice("p5", 8)
    kernels = calibration(part.accelerator).kernels(part.accelerator)
    kernels = kernels._replace(gap=0.0, attention_half_occupancy=0.0)
    half = kernels.attention_half_keys

    def rate(keys, size):
        seconds = attention_time(8192.0, 32.0, size, size, keys, kernels.attention_flops, 1.0, kernels)
        return 2.0 * 8192 * 32 * keys * 2 * size / seconds / kernels.attention_flops

    assert rate(half, 128) == pytest.approx(0.5)
    assert rate(1e9, 128) == pytest.approx(1.0)
    assert rate(1e9, 64) == pytest.approx(kernels.attention_narrow)
    assert rate(half, 256) == pytest.approx(rate(half, 128))
    assert np.isclose(causal_keys(512, 0), 256)


def test_early_software_slows_chips_that_are_not_yet_mature_and_only_those(make_slice):
    for system, share in (("p5", True), ("p6e-gb300", False)):
        chip = make_slice(system, 72).accelerator
        now, then = calibration(chip), calibration(chip).with_software(year=2024)
        assert (then.gemm_share < now.gemm_share) is share
        assert then.kernels(chip).gemm_flops == pytest.approx(now.kernels(chip).gemm_flops * then.gemm_share)
