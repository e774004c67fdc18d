"""A sample of cells: intervals that hold, the same answer from any map, and resumption."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy import stats
from test_fleet import ENGINE

from armillary.errors import InputError
from armillary.serving.cells import LognormalTraffic, chosen, diurnal, simulate_cells, student_t
from armillary.serving.deployment import Pool

TRAFFIC = LognormalTraffic(diurnal(400.0, 4), 1.0, (60.0, 0.8), (20.0, 0.8), most=150)
POOL = Pool(ENGINE, 4)


@pytest.mark.parametrize("freedom", [1, 2, 9, 40])
def test_student_t(freedom):
    for confidence in (0.5, 0.95, 0.99):
        right = stats.t.ppf(0.5 + confidence / 2, freedom)
        assert student_t(freedom, confidence) == pytest.approx(right, rel=1e-5)


def test_intervals_of_samples_hold_what_all_cells_say():
    whole = simulate_cells(TRAFFIC, POOL, cells=60, ttft_limit=0.1)
    assert whole.counts.requests == sum(c.counts.requests for c in whole.sampled)
    assert whole.percentile("e2e", 99).low == whole.percentile("e2e", 99).high
    rng = np.random.default_rng(0)
    for what, percent in (("ttft", 50), ("ttft", 99), ("e2e", 90)):
        right = whole.percentile(what, percent).value
        held = 0
        for _ in range(100):
            picked = [whole.sampled[i] for i in rng.choice(60, 8, replace=False)]
            low, high = whole._replace(sampled=picked).percentile(what, percent)[1:]
            held += low <= right <= high
        assert 85 <= held <= 100


def test_any_map_and_resumption_give_the_same(tmp_path):
    plain = simulate_cells(TRAFFIC, POOL, cells=9, sample=3)
    seen = []
    with ThreadPoolExecutor(2) as pool:
        other = simulate_cells(
            TRAFFIC,
            POOL,
            cells=9,
            sample=[0, 3, 6],
            map=pool.map,
            state_folder=tmp_path,
            progress=lambda *done: seen.append(done),
        )
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert other.counts == plain.counts
    (tmp_path / "cell-000003").unlink()
    again = simulate_cells(TRAFFIC, POOL, cells=9, sample=3, state_folder=tmp_path)
    assert again.counts == plain.counts
    np.testing.assert_array_equal(again.ttft.counts, plain.ttft.counts)


@pytest.mark.parametrize("sample", [0, 10, [1, 1], [9], []])
def test_wrong_samples_are_named(sample):
    with pytest.raises(InputError, match="sample must be"):
        simulate_cells(TRAFFIC, POOL, cells=9, sample=sample)


def test_intervals_hold_over_many_seeds():
    """Of intervals from 4 of 12 cells as many hold what all cells say as they promise, each seed a fleet."""
    held, seeds = {0.95: 0, 0.5: 0}, 60
    for seed in range(seeds):
        traffic = TRAFFIC._replace(seed=seed, rate=(300.0, 500.0))
        whole = simulate_cells(traffic, Pool(ENGINE, 3), cells=12, seed=seed)
        part = whole._replace(sampled=[whole.sampled[i] for i in chosen(12, 4)])
        right = whole.percentile("ttft", 90).value
        for confidence in held:
            low, high = part.percentile("ttft", 90, confidence)[1:]
            held[confidence] += low <= right <= high
    assert 0.88 * seeds <= held[0.95]
    assert 0.3 * seeds <= held[0.5] <= 0.7 * seeds
