"""A dense job and a mixture of experts, each on a slice that suits it."""

import pytest


@pytest.fixture(scope="module")
def dense(make_slice, make_job):
    return make_job("llama-3.1-70b", 256), make_slice("p5", 128)


@pytest.fixture(scope="module")
def moe(make_slice, make_job):
    return make_job("deepseek-v3", 1024), make_slice("p6e-gb200", 256, 64)


@pytest.fixture(scope="module")
def dense_calibration(dense):
    from armillary.training import calibration

    return calibration(dense[1].accelerator)
