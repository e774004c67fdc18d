"""Elasticities: a compute-bound chip follows its GEMMs, all rates together halve the time they double."""

import pytest

from armillary.training import Layout, calibration, estimate, gradients, search

CASES = {
    "dense": ("llama-3.1-70b", "p5", 128, "bf16", Layout(tp=4, pp=4, vpp=5, dp=8, shard=8)),
    "experts": ("deepseek-v3", "p6e-gb200", 256, "fp8-mx", Layout(tp=1, pp=4, dp=64, ep=64, shard=64)),
}


@pytest.fixture(params=list(CASES))
def case(request, make_job, make_slice):
    model, system, accelerators, precision, layout = CASES[request.param]
    part = make_slice(system, accelerators, 64 if system == "p6e-gb200" else None)
    return make_job(model, 1024, precision=precision), part, layout, calibration(part.accelerator)


def test_rates_of_everything_add_up_to_one(case):
    found = gradients(*case)
    assert sum(row.fixed for row in found.rows if row.group != "scale") == pytest.approx(1, abs=0.02)
    assert all(row.fixed is None or row.fixed > -1e-9 for row in found.rows)
    assert all(row.chosen is None for row in found.rows)


def test_a_compute_bound_chip_follows_its_gemms(make_job, make_slice):
    job, part = make_job("llama-3.1-405b", 8), make_slice("p5", 1)  # of its time alone
    known, alone = calibration(part.accelerator), Layout(zero=0)
    rows = {row.name: row for row in gradients(job, part, alone, known).rows}
    time = estimate(job, part, alone, known).time
    assert rows["BF16 GEMM rate"].fixed == pytest.approx(float(time.gemm / time.total), rel=0.1)
    assert rows["BF16 GEMM rate"].fixed < float(time.gemm / time.total)  # part of it is memory and gaps
    assert rows["cluster bandwidth"].fixed == pytest.approx(0, abs=1e-9)
    assert rows["HBM capacity"].fixed == 0


def test_choosing_anew_never_buys_less(case):
    job, part, _, known = case
    near = {"cp": [1], "schedule": [0], "order": [0], "vpp": [1, 2], "micro_batch": [1, 2]}
    best = search(job, part, known, near, top=1).best.layout
    found = gradients(job, part, best, known, near)
    for row in found.rows:
        if row.group != "scale":
            assert row.chosen >= row.fixed - 1e-9
    values = [abs(row.value) for row in found.rows]
    assert values == sorted(values, reverse=True)
    assert found.of("network") == pytest.approx(sum(r.chosen for r in found.rows if r.group == "network"))
    assert "1% more of the whole network" in found.verdict


def test_more_accelerators_need_a_batch_that_divides(make_job, make_slice):
    part = make_slice("p5", 64)
    layout, known = Layout(tp=2, dp=32, shard=32), calibration(part.accelerator)

    def of(batch):
        rows = gradients(make_job("llama-3.1-8b", batch), part, layout, known).rows
        return next(row.fixed for row in rows if row.name == "accelerators")

    assert of(32) is None
    assert 0.3 < of(1024) <= 1
