"""Fleets with everything switched on: nothing is lost, and the same seed gives the same run."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from armillary.errors import InputError
from armillary.serving.deployment import Failures, Outage, Pool, Scaling
from armillary.serving.requests import Requests
from armillary.serving.simulator import simulate
from armillary.serving.step_cost import Engine, StepCost

COST = StepCost(np.linspace(1e-3, 3e-3, 17), np.linspace(1e-3, 9e-3, 321), 1e-7, 1e-8)
ENGINE = Engine(COST, 700, 8, 64)


def traffic(seed, n=300, gap=2e-3, **more):
    rng = np.random.default_rng(seed)
    arrival = np.cumsum(rng.exponential(gap, n))
    return Requests(arrival, rng.integers(1, 250, n), rng.integers(1, 60, n), **more)


def shared_prompts(seed, n=300, families=6, block=16):
    """Prompts that begin like others: families of chats that grow."""
    rng = np.random.default_rng(seed)
    plain = traffic(seed, n)
    family = rng.integers(0, families, n)
    sizes = -(-np.asarray(plain.input) // block)
    keep = np.minimum(rng.integers(0, 12, n), sizes)
    ids = [
        np.where(np.arange(s) < k, f * 1000 + np.arange(s), 10**6 * (i + 1) + np.arange(s))
        for i, (s, k, f) in enumerate(zip(sizes, keep, family, strict=True))
    ]
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    return plain._replace(block_offsets=offsets, block_ids=np.concatenate(ids), block_size=block)


def everything(seed, routing="cache_aware"):
    rng = np.random.default_rng(seed)
    requests = shared_prompts(seed)._replace(
        model=rng.integers(0, 2, 300),
        region=rng.integers(0, 2, 300),
        priority=rng.integers(0, 3, 300),
        timeout=rng.choice([0.02, 0.3, np.inf], 300),
    )
    scaling = Scaling(target=4.0, interval=0.05, start_up=0.08, least=1, most=4)
    fragile = Failures(mtbf=0.2, mttr=0.05)
    prefill, decode = ENGINE._replace(role="prefill"), ENGINE._replace(role="decode", kv_tokens=500)
    pools = [
        Pool(ENGINE, 2, region=0, scaling=scaling, failures=fragile, queue_limit=6, spill=3.0),
        Pool(ENGINE._replace(chunked=False, max_tokens=300), 2, region=1, queue_limit=6, spill=3.0),
        Pool(prefill, 1, decode, 2, (1e-3, 1e-6), model=1, failures=fragile, decode_scaling=scaling),
    ]
    return simulate(
        requests,
        pools,
        routing=routing,
        seed=seed,
        retries=1,
        host_tokens=400,
        host_transfer=1e-6,
        region_latency=[[0.0, 0.01], [0.01, 0.0]],
        outages=[Outage(0.1, 5, 0.2)],
        ttft_limit=0.05,
    )


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**20),
    st.sampled_from(["round_robin", "random", "least_loaded", "power_of_two", "cache_aware"]),
)
def test_nothing_is_lost(seed, routing):
    found = everything(seed, routing)
    counts = found.counts
    assert (found.status > 0).all()
    assert counts.requests == 300
    assert [counts.completed, counts.rejected, counts.timed_out] == [
        (found.status == k).sum() for k in (1, 2, 3)
    ]
    assert sum(counts.reasons.values()) == counts.rejected + counts.timed_out
    done = found.completed
    assert (found.ttft[done] > 0).all()
    assert (found.finish[done] >= found.first[done]).all()
    assert (found.cached < 250).all()


def test_same_seed_same_run():
    one, other, third = (everything(seed, "power_of_two") for seed in (3, 3, 4))
    for a, b in zip(one[:10], other[:10], strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(one.finish, third.finish)


def test_all_reasons_occur():
    seen = set()
    for seed in range(6):
        seen |= set(everything(seed).counts.reasons)
    assert {"queue full", "deadline passed", "failures used up its retries"} <= seen


def test_what_never_fits_is_rejected_at_once():
    found = simulate(Requests([0.0, 1.0], [690, 10], [20, 2]), Pool(ENGINE))
    assert found.status.tolist() == [2, 1]
    assert found.finish[0] == 0.0
    assert found.counts.reasons == {"prompt and output do not fit the KV of a replica": 1}


def test_timeouts_of_waiting_and_running():
    one = ENGINE._replace(max_sequences=1)
    requests = Requests([0.0, 0.0, 0.0], [10, 10, 10], [50, 50, 5], timeout=[0.02, 0.01, np.inf])
    found = simulate(requests, Pool(one))
    assert found.status.tolist() == [3, 3, 1]
    assert found.finish[1] == 0.01
    step = COST.decode[1]
    assert 0.02 <= found.finish[0] < 0.02 + 2 * step
    assert found.first[2] > found.finish[0]


def test_priority_goes_first():
    one = ENGINE._replace(max_sequences=1)
    found = simulate(Requests([0.0] * 3, [10] * 3, [5] * 3, priority=[1, 1, 0]), Pool(one))
    assert np.argsort(found.finish).tolist() == [2, 0, 1]


def test_least_loaded_beats_round_robin_and_given_is_obeyed():
    requests = traffic(1, 3000, 1.2e-3)
    even = simulate(requests, Pool(ENGINE, 8), routing="round_robin")
    least = simulate(requests, Pool(ENGINE, 8), routing="least_loaded")
    two = simulate(requests, Pool(ENGINE, 8), routing="power_of_two")
    assert least.percentile("ttft", 99) < two.percentile("ttft", 99) < even.percentile("ttft", 99)
    where = np.arange(3000) % 8
    given_ = simulate(requests, Pool(ENGINE, 8), routing="given", assignment=where)
    np.testing.assert_array_equal(given_.replica, where)
    np.testing.assert_array_equal(given_.finish, even.finish)


def test_prefix_cache_hits_and_counts():
    block = 16
    ids = np.concatenate([np.arange(10), np.arange(10)])
    requests = Requests(
        [0, 1.0], [160, 160], [2, 2], block_offsets=[0, 10, 20], block_ids=ids, block_size=block
    )
    found = simulate(requests, Pool(ENGINE))
    assert found.cached.tolist() == [0, 144]
    assert found.ttft[1] < found.ttft[0]
    small = simulate(requests._replace(input=[161, 161]), Pool(ENGINE))
    assert small.cached.tolist() == [0, 160]


def test_blocks_on_the_host_cost_their_transfer():
    block = 16
    ids = np.concatenate([np.arange(10), 100 + np.arange(40), np.arange(10)])
    requests = Requests(
        [0, 1.0, 2.0],
        [161, 641, 161],
        [1, 1, 1],
        block_offsets=[0, 10, 50, 60],
        block_ids=ids,
        block_size=block,
    )
    gone = simulate(requests, Pool(ENGINE))
    kept = simulate(requests, Pool(ENGINE), host_tokens=4000, host_transfer=1e-4)
    assert gone.cached[2] < kept.cached[2] == 160
    free = simulate(requests, Pool(ENGINE), host_tokens=4000)
    loaded = kept.ttft[2] - free.ttft[2]
    assert 0 < loaded <= 160e-4 + 1e-12
    assert loaded / (16 * 1e-4) == pytest.approx(round(loaded / (16 * 1e-4)))


def test_cache_aware_routing_finds_more():
    requests = shared_prompts(2, 2000, families=40)
    blind = simulate(requests, Pool(ENGINE, 8), routing="least_loaded")
    aware = simulate(requests, Pool(ENGINE, 8), routing="cache_aware", guard=4)
    assert aware.counts.cached > 1.2 * blind.counts.cached


def test_an_idle_cache_changes_nothing():
    plain = traffic(4)
    sizes = np.asarray(plain.input) // 16
    ids = np.arange(sizes.sum())
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    unique = plain._replace(block_offsets=offsets, block_ids=ids, block_size=16)
    pool = Pool(ENGINE._replace(reserve=True), 2)
    found, right = simulate(unique, pool), simulate(plain, pool)
    np.testing.assert_allclose(found.finish, right.finish, rtol=1e-12)


def test_far_regions_cost_latency_and_take_the_overflow():
    requests = traffic(1, 2000, 1e-3, region=np.zeros(2000, int))
    pools = [Pool(ENGINE, 2, region=0, spill=3.0), Pool(ENGINE, 6, region=1)]
    found = simulate(requests, pools, routing="least_loaded", region_latency=[[0, 0.05], [0.05, 0]])
    far = found.completed & (found.replica >= 2)
    assert 0.2 < far.mean() < 0.99
    assert found.ttft[far].min() > 0.1


def test_scaling_follows_load():
    scaling = Scaling(target=5.0, interval=0.1, start_up=0.2, least=1, most=12)
    requests = traffic(1, 3000, 1.5e-3)
    fixed = simulate(requests, Pool(ENGINE, 1), routing="least_loaded")
    scaled = simulate(requests, Pool(ENGINE, 1, scaling=scaling), routing="least_loaded")
    assert scaled.percentile("ttft", 50) < 0.2 * fixed.percentile("ttft", 50)
    on = scaled.replicas.on
    assert on[0] == pytest.approx(scaled.counts.duration)
    assert 1.5 < on.sum() / scaled.counts.duration < 12
    assert len(on) == 12


def test_outage_sends_requests_elsewhere():
    requests = traffic(1, 500, 5e-3)
    found = simulate(requests, Pool(ENGINE, 3), outages=[Outage(0.5, 1, 1.0)], routing="least_loaded")
    assert found.counts.completed == 500 - found.counts.rejected
    assert found.counts.retried > 0
    during = (found.arrival > 0.5) & (found.arrival < 1.5)
    assert not (found.replica[during] == 1).any()
    assert (found.replica[found.arrival > 1.6] == 1).any()
    assert found.replicas.on[1] == pytest.approx(found.counts.duration - 1.0)
    one = simulate(requests, Pool(ENGINE, 1), outages=[Outage(0.5, 0, 1.0)])
    assert one.counts.reasons["no replica is on"] > 0


def test_a_long_queue_survives_a_failure_in_order():
    n = 60_000
    requests = Requests(np.linspace(0, 1, n), np.full(n, 20), np.full(n, 2), priority=np.arange(n) % 2)
    found = simulate(requests, Pool(ENGINE, 2), outages=[Outage(1.0, 0, 1.0)], routing="least_loaded")
    assert found.counts.completed == n
    assert found.counts.retried > 25_000
    first = found.first[(found.retries > 0) & (np.arange(n) % 2 == 0)]
    assert (np.diff(first) >= 0).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"routing": "best"}, "routing must be one of"),
        ({"routing": "given"}, "needs an assignment"),
        ({"routing": "cache_aware"}, "needs prefix blocks"),
        ({"retries": -1}, "retries must be 0 or more"),
        ({"outages": [Outage(1.0, 9, 1.0)]}, "outage 0 must name a replica below 2"),
        ({"region_latency": [[-1.0]]}, "region_latency must be"),
    ],
)
def test_wrong_options_are_named(change, words):
    with pytest.raises(InputError, match=words):
        simulate(traffic(0, 5), Pool(ENGINE, 2), **change)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"arrival": [1.0, 0.5]}, "arrival of request 1"),
        ({"input": [1, 0]}, "input of request 1 must be 1 or more"),
        ({"output": [1.5, 1]}, "output of request 0 must be a whole number"),
        ({"timeout": [1.0, 0.0]}, "timeout of request 1"),
        ({"block_ids": [1]}, "given together"),
        ({"model": [0]}, "model of requests has shape"),
    ],
)
def test_wrong_requests_are_named(change, words):
    with pytest.raises(InputError, match=words):
        simulate(Requests([0.0, 1.0], [1, 1], [1, 1])._replace(**change), Pool(ENGINE))


@pytest.mark.parametrize(
    ("engine", "words"),
    [
        (ENGINE._replace(max_tokens=4), "must be at least max_sequences"),
        (ENGINE._replace(cost=COST._replace(decode=COST.decode[:5])), "decode of the cost .* must have 9"),
        (ENGINE._replace(cost=COST._replace(kv=-1.0)), "kv of the cost"),
        (ENGINE._replace(role="decode"), "role of engine of pool 0 must be 'both'"),
        (ENGINE._replace(cost=COST._replace(mixed=0 * COST.mixed)), "above 0 and finite"),
    ],
)
def test_wrong_engines_are_named(engine, words):
    with pytest.raises(InputError, match=words):
        simulate(traffic(0, 5), Pool(engine))
