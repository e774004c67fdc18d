"""The bars from the ideal step to the predicted one add up, have words, and react to what they name."""

import pytest

from armillary.training import Layout, StepTime, calibration, estimate, waterfall
from armillary.training.waterfall import KERNEL_WORDS, PART_WORDS

CASES = {
    "dense": ("llama-3.1-70b", "p5", 128, "bf16", Layout(tp=4, pp=4, vpp=5, dp=8, shard=8)),
    "fp8": ("llama-3.1-70b", "p5", 128, "fp8", Layout(tp=8, pp=2, dp=8, shard=8, recompute=2)),
    "experts": ("deepseek-v3", "p6e-gb200", 256, "fp8-mx", Layout(tp=1, pp=4, dp=64, ep=64, shard=64)),
    "hybrid": ("nemotron-h-8b", "p5", 64, "bf16", Layout(tp=2, dp=32, shard=32)),
}


@pytest.fixture(params=list(CASES))
def case(request, make_job, make_slice):
    model, system, accelerators, precision, layout = CASES[request.param]
    part = make_slice(system, accelerators, 64 if system == "p6e-gb200" else None)
    job = make_job(model, 256, precision=precision)._replace(imbalance=1.5)
    return job, part, layout, calibration(part.accelerator)


def test_the_bars_add_up_to_the_step(case):
    found, total = waterfall(*case), float(estimate(*case).time.total)
    assert abs(found.ideal + sum(bar.seconds for bar in found.bars) - total) < 1e-9
    assert found.total == total
    assert sum(found.named().values()) == pytest.approx(total, abs=1e-9)


def test_only_lower_precision_is_a_gain(case):
    low = case[0].recipe.gemm != "bf16"
    gains = {bar.name for bar in waterfall(*case).bars if bar.seconds < -1e-9}
    assert gains == ({"lower precision"} if low else set())


def test_the_ideal_step_is_all_of_the_peak(case):
    e = estimate(*case)
    assert waterfall(*case).ideal == pytest.approx(float(e.mfu) * float(e.time.total))


def test_every_part_of_a_step_has_words():
    assert {*PART_WORDS, "gemm", "attention"} == set(StepTime._fields)
    assert all(what and cure for what, cure in (*PART_WORDS.values(), *KERNEL_WORDS.values()))


def test_imbalance_is_a_bar_of_its_own(make_job, make_slice):
    _, system, n, precision, layout = CASES["experts"]
    part, job = make_slice(system, n, 64), make_job("deepseek-v3", 256, precision=precision)
    known = calibration(part.accelerator)
    even = waterfall(job, part, layout, known).named()
    uneven = waterfall(job._replace(imbalance=2.0), part, layout, known).named()
    assert "expert imbalance" not in even
    assert uneven["expert imbalance"] > 0
    assert uneven["GEMM rate"] == pytest.approx(even["GEMM rate"])
