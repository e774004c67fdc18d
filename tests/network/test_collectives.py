import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from armillary import network

sizes = st.floats(1e3, 1e11)
ranks = st.integers(1, 512)
bandwidths = st.floats(1e8, 1e12)
latencies = st.floats(0, 1e-4)


@given(sizes, ranks, bandwidths, latencies)
def test_one_ring_is_the_textbook_form(size, p, beta, alpha):
    nested = network.all_gather(size, [p], [beta], [alpha])
    assert nested == pytest.approx(network.ring_all_gather(size, p, beta, alpha))


@given(sizes, st.lists(ranks, min_size=2, max_size=3), bandwidths, latencies)
def test_equal_rings_move_no_more_than_one_flat_ring(size, counts, beta, alpha):
    n = len(counts)
    nested = network.all_gather(size, counts, [beta] * n, [alpha] * n)
    flat = network.ring_all_gather(size, int(np.prod(counts)), beta, alpha)
    assert nested <= flat * (1 + 1e-12)


@given(sizes, ranks, ranks, bandwidths, bandwidths, latencies)
def test_all_reduce_is_never_slower_than_its_halves_nor_with_more_bandwidth(size, a, b, fast, slow, alpha):
    args = (size, [a, b], [fast, slow], [alpha, alpha])
    halves = network.reduce_scatter(*args) + network.all_gather(*args)
    time = network.all_reduce(*args)
    assert time <= halves * (1 + 1e-12)
    assert network.all_reduce(size, [a, b], [2 * fast, 2 * slow], [alpha, alpha]) <= time * (1 + 1e-12)


def test_reduction_in_network_sends_once():
    plain = network.all_reduce(1e9, [8], [400e9], [0.0])
    in_switch = network.all_reduce(1e9, [8], [400e9], [0.0], reduces=True)
    assert plain == pytest.approx(2 * 7 / 8 * 1e9 / 400e9)
    assert in_switch == pytest.approx(1e9 / 400e9)


def test_all_to_all_crossing_share():
    # 32 ranks, 8 a node: 24/32 of the bytes leave the node at 50 GB/s.
    assert network.all_to_all(1e9, [8, 4], [1e15, 50e9], [0, 0]) == pytest.approx(0.75 * 1e9 / 50e9)


@given(st.integers(1, 64), st.integers(1, 16))
def test_tokens_cross_once_a_domain_at_most(groups, copies):
    assert network.distinct_groups(groups, copies) <= min(groups, copies) + 1e-9


@given(st.lists(st.integers(1, 64), min_size=1, max_size=5), sizes)
def test_arrays_give_what_numbers_give(counts, size):
    many = network.all_to_all(size, [np.array(counts), 4], [4e11, 5e10], [1e-6, 1e-5], 2.0)
    each = [network.all_to_all(size, [p, 4], [4e11, 5e10], [1e-6, 1e-5], 2.0) for p in counts]
    assert np.allclose(many, each, rtol=1e-12)


def test_alone_costs_nothing():
    assert network.ring_all_reduce(1e9, 1, 1e9, 1e-5) == 0
    assert network.tree_all_reduce(1e9, 1, 1e9, 1e-5) == 0
    assert network.all_to_all(1e9, [1, 1], [1e9, 1e9], [1e-5, 1e-5]) == 0
    assert network.all_reduce(1e9, [1, 1], [1e9, 1e9], [1e-5, 1e-5], reduces=True) == 0
