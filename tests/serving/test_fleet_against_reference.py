"""Fleets with everything that happens between replicas against the token-by-token reference."""

from functools import partial

import numpy as np
import pytest
import reference_fleet
from hypothesis import given, settings
from hypothesis import strategies as st
from test_against_reference import engines as every_engine

from armillary.serving.deployment import Outage, Pool, Scaling
from armillary.serving.records import REASONS
from armillary.serving.requests import Requests
from armillary.serving.simulator import simulate
from armillary.serving.step_cost import Engine, StepCost

engines = partial(every_engine, looks=False)
"""Engines as the reference of fleets knows them: they look at their queue at every step."""

BLOCK = 8


@st.composite
def asked(draw, most=40, models=1, regions=1, levels=1, block=0, patience=False):
    """Requests that arrive one by one, families of which begin alike where they have blocks."""
    rng = np.random.default_rng(draw(st.integers(0, 2**30)))
    n = draw(st.integers(1, most))
    found = Requests(
        np.cumsum(rng.exponential(10 ** draw(st.floats(-4, -1.5)), n)),
        rng.integers(1, 120, n),
        rng.integers(1, draw(st.sampled_from([2, 10, 60])), n),
        model=rng.integers(0, models, n),
        region=rng.integers(0, regions, n),
        priority=rng.integers(0, levels, n),
    )
    if patience:
        limit = 10 ** draw(st.floats(-2.5, 0)) * rng.exponential(1, n) + 1e-6
        found = found._replace(timeout=np.where(rng.random(n) < 0.5, limit, np.inf))
    if block:
        sizes = -(-np.asarray(found.input) // block)
        family, shared = rng.integers(0, 3, n), rng.integers(0, 14, n)
        ids = [
            np.where(np.arange(s) < k, f * 1000 + np.arange(s), 10**6 * (i + 1) + np.arange(s))
            for i, (s, k, f) in enumerate(zip(sizes, shared, family, strict=True))
        ]
        offsets = np.concatenate([[0], np.cumsum(sizes)])
        found = found._replace(block_offsets=offsets, block_ids=np.concatenate(ids), block_size=block)
    return found


def expected(requests, pools, routing="round_robin", retries=3, guard=8.0, host=(0.0, 0.0), latency=None,
             outages=()):  # fmt: skip
    n = len(requests.arrival)
    ends = requests.block_offsets
    columns = (requests.arrival, requests.input, requests.output, requests.model, requests.region)
    sequences = [
        reference_fleet.Sequence(i, *(c[i].item() for c in columns), requests.priority[i].item())
        for i in range(n)
    ]
    for i, s in enumerate(sequences):
        if requests.timeout is not None:
            s.timeout = requests.timeout[i].item()
        if ends is not None:
            s.blocks = tuple(requests.block_ids[ends[i] : ends[i + 1]].tolist())
    size = 0 if ends is None else requests.block_size
    regions = 1 + max([p.region for p in pools] + requests.region.tolist())
    delay = np.zeros((regions, regions)).tolist() if latency is None else latency
    fleet = reference_fleet.Fleet(sequences, pools, routing, retries, guard, size, host, delay, outages)
    return fleet.run(), fleet


def agree(requests, pools, **how):
    """The simulator and the reference end every request alike, at the same times; returns the outcome."""
    right, fleet = expected(requests, pools, **how)
    host, latency = how.pop("host", (0.0, 0.0)), how.pop("latency", None)
    found = simulate(
        requests, pools, host_tokens=host[0], host_transfer=host[1], region_latency=latency, **how
    )
    assert found.status.tolist() == [s.status for s in right]
    assert [REASONS[r] for r in found.reason] == [s.reason for s in right]
    assert found.retries.tolist() == [s.retries for s in right]
    done = found.completed
    assert found.cached[done].tolist() == [s.cached for s in right if s.status == 1]
    numbers = {id(r): i for i, r in enumerate(fleet.replicas)}
    assert found.replica[done].tolist() == [numbers[id(s.where)] for s in right if s.status == 1]
    np.testing.assert_allclose(found.finish, [s.finish for s in right], rtol=1e-9, atol=0)
    first = np.array([s.first for s in right])
    np.testing.assert_allclose(found.first[done], first[done], rtol=1e-9, atol=0)
    return found


ROUTERS = st.sampled_from(["round_robin", "least_loaded"])


@settings(max_examples=120, deadline=None)
@given(
    asked(block=BLOCK, levels=2),
    engines(),
    st.integers(1, 3),
    st.sampled_from([(0.0, 0.0), (3.0 * BLOCK, 1e-4), (400.0, 1e-5)]),
    st.sampled_from(["round_robin", "least_loaded", "cache_aware"]),
)
def test_prefix_cache_and_host_memory(requests, engine, replicas, host, routing):
    agree(requests, [Pool(engine, replicas)], host=host, routing=routing, guard=2.0)


@settings(max_examples=120, deadline=None)
@given(asked(block=BLOCK), engines("prefill"), engines("decode"), st.integers(1, 2), st.integers(1, 2))
def test_prefix_cache_with_prompts_apart(requests, prefill, decode, replicas, decode_replicas):
    pool = Pool(
        prefill, replicas, decode, decode_replicas, (1.234e-3, 1.7e-6), host_tokens=80.0, host_transfer=3e-5
    )
    agree(requests, [pool], routing="cache_aware")


outages = st.lists(
    st.builds(Outage, st.floats(1e-4, 0.3), st.integers(0, 2), st.floats(1e-3, 0.2)), min_size=1, max_size=4
)


@settings(max_examples=80, deadline=None)
@given(asked(patience=True), engines(), outages, st.integers(0, 2), ROUTERS)
def test_outages_and_retries(requests, engine, known, retries, routing):
    agree(requests, [Pool(engine, 3)], outages=known, retries=retries, routing=routing)


@settings(max_examples=60, deadline=None)
@given(asked(block=BLOCK), engines("prefill"), engines("decode"), outages)
def test_outages_with_prompts_apart(requests, prefill, decode, known):
    agree(requests, [Pool(prefill, 1, decode, 2, (2e-3, 1e-6))], outages=known, retries=1)


scalings = st.builds(
    lambda target, interval, start, least, more: Scaling(target, interval, start, least, least + more),
    st.floats(0.5, 6), st.floats(3e-3, 0.1), st.floats(0, 0.1), st.integers(1, 2), st.integers(0, 3),
)  # fmt: skip


@settings(max_examples=80, deadline=None)
@given(asked(), engines(), scalings, st.integers(1, 2), ROUTERS)
def test_scaling(requests, engine, scaling, replicas, routing):
    agree(requests, [Pool(engine, replicas, scaling=scaling)], routing=routing)


@settings(max_examples=120, deadline=None)
@given(asked(levels=2, patience=True), engines(), st.integers(1, 5), st.integers(1, 2))
def test_queue_limits(requests, engine, limit, replicas):
    agree(requests, [Pool(engine, replicas, queue_limit=limit)], routing="least_loaded")


@settings(max_examples=120, deadline=None)
@given(asked(regions=3, models=2), engines(), engines(), engines(), st.floats(0.5, 4), ROUTERS)
def test_models_and_regions_with_spill(requests, one, two, other, spill, routing):
    pools = [
        Pool(one, 1, region=0, spill=spill),
        Pool(two, 2, region=1, spill=spill),
        Pool(other, 1, model=1, region=2, front=(3e-3, 1e-6, 0.0)),
    ]
    latency = [[0.0, 0.0123, 0.0301], [0.0123, 0.0, 0.0207], [0.0301, 0.0207, 0.0]]
    agree(requests, pools, latency=latency, routing=routing)


@settings(max_examples=80, deadline=None)
@given(
    asked(60, models=2, regions=2, levels=3, block=BLOCK, patience=True),
    engines(), engines(), engines("prefill"), engines("decode"), scalings, scalings, outages,
    st.integers(0, 2), st.sampled_from(["round_robin", "least_loaded", "cache_aware"]),
)  # fmt: skip
def test_everything_at_once(requests, one, two, prefill, decode, scaling, other, known, retries, routing):
    pools = [
        Pool(one, 2, region=0, scaling=scaling, queue_limit=4, spill=3.0, front=(1e-3, 2e-6, 0.0)),
        Pool(two, 1, region=1, spill=3.0, host_tokens=200.0, host_transfer=2e-5),
        Pool(prefill, 1, decode, 2, (1e-3, 1e-6), model=1, region=1, decode_scaling=other),
    ]
    latency = [[0.0, 0.0123], [0.0123, 0.0]]
    found = agree(
        requests, pools, host=(40.0, 1e-5), latency=latency, outages=known, retries=retries, routing=routing
    )
    counts = found.counts
    assert counts.completed + counts.rejected + counts.timed_out == len(requests.arrival)
    assert sum(counts.reasons.values()) == counts.rejected + counts.timed_out


def test_the_loads_reach_what_they_are_for():
    """Hits from the host, retries, spill, scaling: the comparisons above are not of idle fleets."""
    cost = StepCost(np.linspace(1e-3, 2e-3, 9), np.linspace(1e-3, 9e-3, 65), 1e-7, 1e-8)
    engine = Engine(cost, 300, 8, 64)
    rng, n = np.random.default_rng(3), 300
    sizes = np.full(n, 12)
    ids = np.concatenate([f * 1000 + np.arange(12) for f in rng.integers(0, 8, n)])
    whole = partial(
        Requests,
        np.cumsum(rng.exponential(6e-3, n)),
        np.full(n, 97),
        rng.integers(1, 40, n),
        model=np.zeros(n, int),
        region=np.zeros(n, int),
        priority=np.zeros(n, int),
    )
    blocked = whole(block_offsets=np.concatenate([[0], np.cumsum(sizes)]), block_ids=ids, block_size=BLOCK)
    kept = agree(blocked, [Pool(engine, 2)], host=(500.0, 1e-4), routing="cache_aware")
    gone = agree(blocked, [Pool(engine, 2)], routing="cache_aware")
    assert kept.counts.cached > 1.05 * gone.counts.cached > 0
    failing = agree(whole(), [Pool(engine, 3)], outages=[Outage(0.2 * k, k % 3, 0.15) for k in range(1, 8)])
    assert failing.counts.retried > 5
    scaled = agree(whole(), [Pool(engine, 1, scaling=Scaling(3.0, 0.05, 0.07, 1, 5))], routing="least_loaded")
    assert (scaled.replicas.on > 0).sum() > 2
    far = agree(
        whole(), [Pool(engine, 1, spill=2.0), Pool(engine, 2, region=1)], latency=[[0, 0.01], [0.01, 0]]
    )
    assert 0 < (far.replica > 0).mean() < 1


def test_what_starts_is_given_up_before_what_serves():
    """With at least one replica wanted, one is always on, however short the bursts."""
    cost = StepCost(np.full(9, 1e-2), np.full(65, 1e-2), 0.0, 0.0)
    burst = np.repeat(np.arange(40) * 0.3, 6) + np.tile(np.arange(6) * 1e-3, 40)
    requests = Requests(burst, np.full(240, 10), np.full(240, 3))
    scaling = Scaling(target=4.0, interval=0.05, start_up=0.2, least=1, most=3)
    found = simulate(requests, Pool(Engine(cost, 1e4, 8, 64), 1, scaling=scaling))
    assert found.counts.completed == 240


@pytest.mark.parametrize("front", [(0.0, 0.0, 0.0), (0.02, 1e-4, 0.0), (0.0, 0.0, 2.0)])
def test_time_outside_of_engines_is_of_users_alone(front):
    cost = StepCost(np.full(9, 1e-2), np.full(65, 1e-2), 0.0, 0.0)
    requests = Requests([0.0, 0.001], [10, 20], [3, 4])
    plain = simulate(requests, Pool(Engine(cost, 1e4, 8, 64)))
    found = simulate(requests, Pool(Engine(cost, 1e4, 8, 64), front=front), ttft_limit=0.0311)
    more = front[0] + front[1] * np.array([10, 20]) + front[2] * found.tpot
    np.testing.assert_allclose(found.ttft, plain.ttft + more)
    np.testing.assert_allclose(found.e2e, plain.e2e + more)
    np.testing.assert_allclose(found.tpot, plain.tpot)
    assert found.counts.good == (found.ttft <= 0.0311).sum() == (1 if sum(front) else 2)
    late = simulate(requests, Pool(Engine(cost, 1e4, 8, 64), front=front), e2e_limit=found.e2e.min())
    assert late.counts.good == 1
