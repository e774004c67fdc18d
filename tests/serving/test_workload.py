"""What a size is asked for: growth, targets, samples, and traces replayed at other rates."""

import math

import numpy as np
import pytest

from armillary.errors import InputError
from armillary.serving import Targets, Workload
from armillary.serving.deployment import Pool
from armillary.serving.lengths import Fixed, Mix, joint, reuse
from armillary.serving.simulator import simulate
from armillary.serving.step_cost import Engine, StepCost
from armillary.serving.traces import Blocks, Trace
from armillary.serving.trials import with_prefixes
from armillary.serving.workload import busiest_hour, check_question, drawn, replayed

MIX = Mix(Fixed(800), Fixed(200), cached=0.25)


def chats(requests=400, users=20, turn=64, seed=0):
    """Conversations of a few users, each prompt a user's whole history, one block longer than the last."""
    rng = np.random.default_rng(seed)
    who, turns, blocks = rng.integers(0, users, requests), np.zeros(users, int), []
    for user in who:
        turns[user] += 1
        blocks.append([1000 * (user + 1) + k for k in range(turns[user])])
    counts = np.array([len(b) for b in blocks])
    offsets = np.concatenate(([0], np.cumsum(counts)))
    arrival = np.sort(rng.random(requests)) * 1000
    arrival[0] = 0.0
    return Trace(
        arrival,
        counts * turn,
        np.full(requests, 10),
        Blocks(offsets, np.concatenate(blocks).astype(np.int64)),
        turn,
        "mooncake",
    )


def test_growth_is_compound_and_leaves_the_rest():
    grown = Workload(10.0, 15.0, MIX, margin=0.2).grown(0.8, 2.0)
    assert grown.mean == pytest.approx(32.4)
    assert grown.built_for == pytest.approx(15 * 1.8**2 * 1.2)
    assert grown.lengths is MIX
    with pytest.raises(InputError, match="growth must be above -1"):
        Workload(1.0, 1.0, MIX).grown(-1.0, 2.0)


def test_a_target_has_its_own_percentile_or_the_shared_one():
    targets = Targets(ttft=1.0, tpot=0.03, percentile=90.0, ttft_percentile=99.0)
    assert targets.percentiles == (99.0, 90.0, 90.0)
    assert targets.limits == (1.0, 0.03, math.inf)


def test_cached_tokens_count_only_where_asked_for():
    asked, not_asked = (drawn(Workload(1.0, 1.0, MIX, cached=counted), 3) for counted in (True, False))
    assert asked.cached.mean() == pytest.approx(200, rel=1e-3)
    assert (asked.read + asked.cached == 800).all()
    assert not not_asked.cached.any()
    assert (asked.gaps == not_asked.gaps).all()
    assert asked.context == not_asked.context == 900


@pytest.mark.parametrize("burstiness", [0.0, 0.5, 1.0, 2.0])
def test_gaps_have_their_spread(burstiness):
    gaps = drawn(Workload(1.0, 1.0, MIX, burstiness=burstiness), 0).gaps
    assert gaps.mean() == pytest.approx(1.0, abs=0.02)
    assert gaps.std() == pytest.approx(burstiness, abs=0.03)


@pytest.mark.parametrize("rate", [0.1, 0.4, 2.0, 9.3])
def test_a_replay_has_its_rate_and_copies_share_nothing(rate):
    trace = chats()
    found = replayed(trace, rate, 3000, seed=1)
    n = len(np.asarray(found.arrival))
    assert n / float(np.asarray(found.arrival)[-1]) == pytest.approx(rate, rel=0.02)
    assert (np.diff(found.arrival) >= 0).all()
    copies = max(round(rate / (trace.requests / float(trace.arrival[-1]))), 1)
    owner = np.asarray(found.block_ids) % copies
    first = owner[np.asarray(found.block_offsets)[:-1]]
    assert (owner == np.repeat(first, np.diff(found.block_offsets))).all()
    # Each copy is a stretch of the trace: what it shares within itself is what that stretch shares.
    for copy in range(copies):
        own = found.take(first == copy)
        part = Trace(
            np.asarray(own.arrival),
            np.asarray(own.input),
            np.asarray(own.output),
            Blocks(np.asarray(own.block_offsets), np.asarray(own.block_ids)),
            64,
            "mooncake",
        )
        assert reuse(part).sum() <= reuse(trace).sum()
        assert 0 < len(np.asarray(own.arrival)) <= trace.requests
    assert (replayed(trace, rate, 3000, seed=1).block_ids == found.block_ids).all()


def test_a_whole_copy_at_its_own_rate_is_the_trace():
    trace = chats()
    found = replayed(trace, trace.requests / float(trace.arrival[-1]), trace.requests)
    assert np.asarray(found.arrival) == pytest.approx(trace.arrival)
    assert (np.asarray(found.input) == trace.input).all()
    again = Trace(*(np.asarray(a) for a in found[:3]), Blocks(found.block_offsets, found.block_ids), 64, "x")
    assert (reuse(again) == reuse(trace)).all()


def test_prefixes_scale_the_cache_and_the_prompts_exactly_in_the_mean():
    """One prompt of u tokens behind c takes what the cost says, and a cache holds as many sequences."""
    cost = StepCost(np.full(101, 1e-3), np.full(2001, 1e-2), kv=1e-9, chunk_kv=1e-8)
    engine = Engine(cost, 90_000.0, 100, 2000)
    load = drawn(Workload(1.0, 1.0, MIX, cached=True), 0, 1000)
    load = load._replace(cached=np.full_like(load.cached, 200))
    found = with_prefixes(engine, load)
    one = simulate(load.requests(1e-3, 1), Pool(found))
    assert one.ttft[0] == pytest.approx(1e-2 + 1e-8 * 600 * (200 + 300))
    assert found.kv_tokens / (600 + 100) == pytest.approx(90_000 / (800 + 100))
    assert found.cost.kv * (600 + 100) == pytest.approx(1e-9 * (800 + 100))
    assert with_prefixes(engine, load._replace(cached=np.zeros_like(load.cached))) is engine


def test_a_long_trace_has_its_busiest_hour():
    """Three hours of one, three and two requests a second: the mean is two, the peak three."""
    times = np.concatenate([3600 * h + np.arange(3600 * n) / n for h, n in enumerate((1, 3, 2))])
    ones = np.ones(len(times), int)
    trace = Trace(np.append(times, 3 * 3600.0), np.append(ones, 1), np.append(ones, 1), None, 0, "azure")
    assert busiest_hour(trace) == pytest.approx(1.5, rel=1e-3)
    assert busiest_hour(trace._replace(arrival=trace.arrival / 2)) == 1.0


@pytest.mark.parametrize(
    ("workload", "targets", "headroom", "says"),
    [
        ({"mean": 2.0, "peak": 1.0}, {}, 0.1, "rates must rise"),
        ({"margin": -0.1}, {}, 0.1, "margin of the peak"),
        ({"burstiness": math.nan}, {}, 0.1, "burstiness must be"),
        ({}, {"tpot": 0.0}, 0.1, "tpot target must be above 0"),
        ({}, {"ttft_percentile": 100.0}, 0.1, "percentile of ttft must be between"),
        ({}, {"goodput": 1.0}, 0.1, "goodput must be a share"),
        ({}, {}, -0.1, "headroom must be a share"),
    ],
)
def test_what_is_out_of_range_is_refused(workload, targets, headroom, says):
    asked = Workload(**({"mean": 1.0, "peak": 1.0, "lengths": MIX} | workload))
    with pytest.raises(InputError, match=says):
        check_question(asked, Targets(**targets), headroom)


def test_a_trace_without_blocks_replays_no_prefixes():
    trace = chats()._replace(blocks=None)
    with pytest.raises(InputError, match="no blocks"):
        check_question(Workload(1.0, 1.0, joint(trace), trace=trace), Targets(), 0.1)
    with pytest.raises(InputError, match="without hash_ids"):
        replayed(trace, 1.0, 100)
