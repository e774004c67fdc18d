"""The simulator against the token-by-token reference: the same times for every request."""

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st

from armillary.serving.deployment import Pool
from armillary.serving.requests import Requests
from armillary.serving.simulator import simulate, simulate_closed
from armillary.serving.step_cost import Engine, StepCost

HOLDS = [(1, 1, 500), (1, 5, 100), (1, 9, 10**6)]
"""Looks at each step, and how long prompts wait for how many tokens of company."""


LOOKS = [(1, 0, 0), (2, 0, 0), (7, 0, 0)]
"""Looks at the queue every so many steps, and no waiting for company."""


def engines(role="both", looks=True):
    def build(seed, kv, sequences, tokens, per_step, reserve, chunked, looks):
        rng = np.random.default_rng(seed)
        tokens = max(tokens, sequences)
        cost = StepCost(
            np.cumsum(rng.uniform(1e-4, 2e-3, sequences + 1)),
            np.cumsum(rng.uniform(1e-5, 2e-4, tokens + 1)) + 1e-3,
            *rng.uniform(0, 1e-5, 2),
            per_step,
            *rng.uniform(0, 1e-3, 2),
        )
        return Engine(cost, kv, sequences, tokens, role, reserve, chunked, *looks)

    return st.builds(
        build,
        st.integers(0, 2**30),
        st.integers(20, 400),
        st.integers(1, 8),
        st.integers(1, 60),
        st.sampled_from([1.0, 1.0, 1.75, 2.5]),
        st.booleans(),
        st.booleans(),
        st.sampled_from([*LOOKS, *HOLDS[: 3 * (role != "decode")]] if looks else LOOKS[:1]),
    )


@st.composite
def loads(draw, most=25):
    rng = np.random.default_rng(draw(st.integers(0, 2**30)))
    n = draw(st.integers(1, most))
    arrival = np.cumsum(rng.exponential(10 ** draw(st.floats(-4, -1)), n))
    priority = rng.integers(0, draw(st.integers(1, 3)), n)
    return arrival, rng.integers(1, 120, n), rng.integers(1, draw(st.sampled_from([2, 10, 80])), n), priority


def agree(found, expected):
    assert found.status.tolist() == [2 if s.rejected else 3 if s.timed_out else 1 for s in expected]
    kept = found.status != 2
    for name in ("first", "finish"):
        right = np.array([getattr(s, name) for s in expected])
        np.testing.assert_allclose(getattr(found, name)[kept], right[kept], rtol=1e-9, atol=0)
    return kept


def rows(arrival, input, output, priority):
    return list(zip(arrival.tolist(), input.tolist(), output.tolist(), priority.tolist(), strict=True))


@settings(max_examples=250, deadline=None)
@given(loads(), engines(), st.integers(1, 3), st.sampled_from(["round_robin", "least_loaded"]))
def test_open_loop(load, engine, replicas, routing):
    arrival, input, output, priority = load
    requests = Requests(arrival, input, output, priority=priority)
    found = simulate(requests, Pool(engine, replicas), routing=routing)
    agree(found, reference.simulate(rows(*load), [engine] * replicas, routing=routing))


@pytest.mark.parametrize("hold", [1, 3, 50])
@pytest.mark.parametrize("late", [[0.05], [0.05, 0.0501], [0.08, 0.11, 0.13]])
def test_a_prompt_is_held_while_the_batch_is_full(hold, late):
    # Steps for which it is held count from its arrival, though there is no place for it.
    cost = StepCost(np.array([1e-3, 1.5e-3, 2e-3]), np.full(9, 2e-3), 1e-6, 1e-6, 1.0, 0.0, 0.0)
    engine = Engine(cost, 10**4, 2, 8, "both", False, True, 1, hold, 10**6)
    arrival = np.array([0.0, 0.0, *late])
    count = np.full(len(arrival), 8)
    output = np.array([120, 60, *[10] * len(late)])
    requests = Requests(arrival, count, output)
    expected = reference.simulate(rows(arrival, count, output, count * 0), [engine])
    assert expected[1].finish > max(late)
    agree(simulate(requests, Pool(engine, 1)), expected)


@settings(max_examples=200, deadline=None)
@given(loads(60), engines(), st.integers(1, 2), st.floats(-2.5, 0))
def test_impatient_users(load, engine, replicas, patience):
    arrival, input, output, priority = load
    timeout = 10**patience * np.random.default_rng(len(arrival)).exponential(1, len(arrival)) + 1e-6
    requests = Requests(arrival, input, output, priority=priority, timeout=timeout)
    expected = [(*row, limit) for row, limit in zip(rows(*load), timeout.tolist(), strict=True)]
    found = simulate(requests, Pool(engine, replicas))
    agree(found, reference.simulate(expected, [engine] * replicas))


@settings(max_examples=150, deadline=None)
@given(loads(), engines(), st.integers(1, 10))
def test_closed_loop(load, engine, users):
    arrival, input, output, _ = load
    found = simulate_closed(engine, input, output, users)
    zero = np.zeros(len(arrival), int)
    agree(found, reference.simulate(rows(zero, input, output, zero), [engine], users=users))


@settings(max_examples=150, deadline=None)
@given(
    loads(),
    engines("prefill"),
    engines("decode"),
    st.integers(1, 2),
    st.integers(1, 2),
    st.booleans(),
    st.sampled_from(["prefill", "decode"]),
)
def test_prompts_and_decoding_apart(load, prefill, decode, replicas, decode_replicas, closed, told):
    arrival, input, output, _ = load
    zero = np.zeros(len(arrival), int)
    transfer = (1.234e-3, 1.7e-6)
    if closed:
        found = simulate_closed(
            prefill,
            input,
            output,
            4,
            replicas=replicas,
            decode=decode,
            decode_replicas=decode_replicas,
            transfer=transfer,
            first_token=told,
        )
    else:
        pool = Pool(prefill, replicas, decode, decode_replicas, transfer, first_token=told)
        found = simulate(Requests(arrival, input, output), pool, routing="least_loaded")
    expected = reference.simulate(
        rows(zero if closed else arrival, input, output, zero),
        [prefill] * replicas,
        [decode] * decode_replicas,
        transfer,
        "least_loaded",
        4 if closed else 0,
        told == "decode",
    )
    agree(found, expected)


def test_preemption_happens_and_agrees():
    rng = np.random.default_rng(5)
    cost = StepCost(np.linspace(1e-3, 2e-3, 17), np.linspace(1e-3, 9e-3, 65), 1e-7, 1e-8)
    engine = Engine(cost, 300, 16, 64)
    arrival, input, output = (
        np.cumsum(rng.exponential(5e-3, 200)),
        rng.integers(1, 60, 200),
        rng.integers(1, 90, 200),
    )
    found = simulate(Requests(arrival, input, output), Pool(engine))
    agree(found, reference.simulate(rows(arrival, input, output, 0 * input), [engine]))
    assert found.counts.preempted > 50
    assert found.counts.preempted == found.preempted.sum()


@pytest.mark.parametrize("chunked", [True, False])
def test_latencies_by_hand(chunked):
    cost = StepCost(np.array([0, 1.0, 2.0]), np.arange(101) * 0.1 + 1, kv=0.01, chunk_kv=0.001)
    found = simulate(Requests([1.0], [10], [3]), Pool(Engine(cost, 100, 2, 100, chunked=chunked)))
    first = 1.0 + (1 + 1.0) + 0.001 * 10 * 5
    assert found.first[0] == pytest.approx(first)
    assert found.finish[0] == pytest.approx(first + (1 + 0.11) + (1 + 0.12))
    assert found.tpot[0] == pytest.approx(((1 + 0.11) + (1 + 0.12)) / 2)
