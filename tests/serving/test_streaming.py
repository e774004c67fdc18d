"""Runs in batches: the same as runs in one piece, bounded in memory, resumed to the same bytes."""

import numpy as np
import pytest
from test_fleet import ENGINE, shared_prompts, traffic

from armillary.errors import InputError
from armillary.serving.deployment import Failures, Pool
from armillary.serving.simulator import simulate
from armillary.serving.streaming import Extent, simulate_stream

POOL = Pool(ENGINE, 4, failures=Failures(2.0, 0.1))


def batches(requests, size):
    n = len(requests.arrival)
    return [requests.take(slice(i, i + size)) for i in range(0, n, size)]


@pytest.mark.parametrize("size", [1, 37, 10_000])
def test_batches_are_the_whole(size):
    requests = shared_prompts(3, 800)
    arrival = np.asarray(requests.arrival).copy()
    arrival[35:40] = arrival[35]  # at once, across the border of batches
    requests = requests._replace(arrival=arrival)
    extent = Extent(block_size=16, widest=int(np.diff(requests.block_offsets).max()))
    whole = simulate(requests, POOL, routing="cache_aware")
    found = simulate_stream(batches(requests, size), POOL, extent=extent, routing="cache_aware")
    assert found.counts == whole.counts._replace(events=found.counts.events)
    np.testing.assert_array_equal(found.replicas.busy, whole.replicas.busy)
    for what in ("ttft", "tpot", "e2e"):
        exact = np.nanpercentile(getattr(whole, what), [10, 50, 90, 99], method="inverted_cdf")
        np.testing.assert_allclose(getattr(found, what).percentile([10, 50, 90, 99]), exact, rtol=0.005)


def test_a_stopped_run_goes_on_to_the_same_bytes(tmp_path):
    parts = batches(traffic(1, 2000), 100)

    def stopped():
        yield from parts[:13]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate_stream(stopped(), POOL, state_file=tmp_path / "run", save_every=5)
    seen = []
    resumed = simulate_stream(
        parts, POOL, state_file=tmp_path / "run", save_every=5, progress=lambda n, _: seen.append(n)
    )
    straight = simulate_stream(parts, POOL, state_file=tmp_path / "straight", save_every=5)
    assert seen[0] == 1100
    assert seen[-1] == 2000
    assert (tmp_path / "run").read_bytes() == (tmp_path / "straight").read_bytes()
    assert resumed.counts == straight.counts
    with pytest.raises(InputError, match="another fleet"):
        simulate_stream(parts, POOL._replace(replicas=5), state_file=tmp_path / "run")
    (tmp_path / "run").write_bytes(b"nothing")
    with pytest.raises(InputError, match="not a state"):
        simulate_stream(parts, POOL, state_file=tmp_path / "run")


def test_slots_are_bounded_by_requests_in_flight():
    requests = traffic(1, 20_000, 5e-3)
    found = simulate_stream(batches(requests, 5000), Pool(ENGINE, 4), routing="least_loaded")
    assert found.counts.completed == 20_000
    assert found.counts.most_in_flight < 200


@pytest.mark.parametrize(
    ("extent", "order", "words"),
    [
        (Extent(), [1, 0], "begins at .* before the one before ends"),
        (Extent(block_size=16, widest=1), [0, 1], "block_size of batch 0"),
    ],
)
def test_wrong_streams_are_named(extent, order, words):
    parts = batches(traffic(0, 20), 10)
    with pytest.raises(InputError, match=words):
        simulate_stream([parts[i] for i in order], Pool(ENGINE), extent=extent)
