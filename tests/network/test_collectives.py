import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from armillary import network
from armillary.network import algorithms, exchanges

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


@given(sizes, st.lists(ranks, min_size=1, max_size=3), bandwidths, latencies)
def test_equal_rings_never_beat_the_bound_of_bytes(size, counts, beta, alpha):
    n = len(counts)
    total = int(np.prod(counts))
    time = algorithms.hierarchical_all_reduce(size, counts, [beta] * n, [alpha] * n)
    bound = 2 * (total - 1) / total * size / beta
    assert time >= bound * (1 - 1e-9)
    assert algorithms.hierarchical_all_reduce(size, counts, [beta] * n, [0.0] * n) == pytest.approx(bound)


@given(sizes, ranks, bandwidths, latencies)
def test_one_level_is_the_ring(size, p, beta, alpha):
    flat = network.ring_all_reduce(size, p, beta, alpha)
    assert algorithms.hierarchical_all_reduce(size, [p], [beta], [alpha]) == pytest.approx(flat)
    assert algorithms.hierarchical_all_reduce(size, [p], [beta], [alpha], pipelined=True) == pytest.approx(
        flat
    )


@given(sizes, st.integers(1, 64), st.integers(1, 64), bandwidths, bandwidths, latencies)
def test_pipelined_rings_lie_between_the_slowest_and_the_sum(size, a, b, fast, slow, alpha):
    args = (size, [a, b], [fast, slow], [alpha, alpha])
    serial = algorithms.hierarchical_all_reduce(*args)
    assert algorithms.hierarchical_all_reduce(*args, pipelined=True) <= serial * (1 + 1e-12)
    assert network.reduce_scatter(*args) <= serial * (1 + 1e-12)


@given(sizes, st.sampled_from([2, 4, 8, 64, 1024]), bandwidths, latencies)
def test_rabenseifner_takes_the_bytes_of_a_ring_and_the_rounds_of_a_tree(size, p, beta, alpha):
    time = algorithms.recursive_halving_doubling_all_reduce(size, p, beta, alpha)
    assert time <= network.ring_all_reduce(size, p, beta, alpha) * (1 + 1e-12)
    assert algorithms.recursive_doubling_all_reduce(size, p, beta, alpha) >= time / 2 * (1 - 1e-9) - alpha


def test_the_busiest_node_of_the_two_trees():
    # Counted on the trees of NCCL's trees.cc for 3 nodes (chains 0-2-1 and 1-0-2) and 4.
    assert [float(algorithms.tree_traffic(n)) for n in (2, 3, 4, 64)] == [1.0, 1.5, 2.0, 2.0]


def test_switches_that_reduce_send_about_half():
    ring = network.ring_all_reduce(1e9, 8, 400e9, 0.0)
    assert algorithms.nvls_all_reduce(1e9, 8, 400e9, 0.0) == pytest.approx(ring * (9 / 8) / (14 / 8))
    inside = algorithms.nvls_tree_all_reduce(1e9, [8, 1], [400e9, 50e9], [1e-6, 1e-5])
    assert inside == pytest.approx(algorithms.nvls_all_reduce(1e9, 8, 400e9, 1e-6))


@given(sizes, st.integers(1, 16), st.integers(1, 16), bandwidths, bandwidths)
def test_an_even_table_is_the_direct_exchange(size, k, d, fast, slow):
    p = k * d
    table = np.full((p, p), size / p)
    even = exchanges.direct_all_to_all(size, [k, d], [fast, slow], [0, 0])
    assert exchanges.all_to_all_v(table, k, [fast, slow], [0, 0]) == pytest.approx(even)
    table[0] *= 2
    assert exchanges.all_to_all_v(table, k, [fast, slow], [0, 0]) == pytest.approx(2 * even)


@given(sizes, st.integers(2, 16), st.integers(2, 16))
def test_two_phases_save_messages_and_cost_bytes_inside(size, k, d):
    args = ([k, d], [400e9, 50e9], [0, 0])
    assert exchanges.hierarchical_all_to_all(size, *args) >= exchanges.direct_all_to_all(size, *args)
    assert exchanges.hierarchical_all_to_all(0, *args, message=1e-6) <= exchanges.direct_all_to_all(
        0, *args, message=1e-6
    )
    one_ring = exchanges.pairwise_all_to_all(size, k * d, 50e9, 0)
    assert exchanges.direct_all_to_all(size, [1, k * d], [400e9, 50e9], [0, 0]) == pytest.approx(one_ring)


@pytest.mark.parametrize(
    "function",
    [
        algorithms.ring_broadcast,
        algorithms.recursive_doubling_all_reduce,
        algorithms.recursive_halving_reduce_scatter,
        algorithms.pat_all_gather,
        algorithms.double_binary_tree_all_reduce,
        algorithms.nvls_all_reduce,
        exchanges.pairwise_all_to_all,
    ],
)
def test_one_rank_costs_nothing_and_arrays_give_what_numbers_give(function):
    assert function(1e9, 1, 1e9, 1e-5) == 0
    many = np.array([2, 3, 8, 100])
    each = [float(function(1e9, int(p), 1e9, 1e-5)) for p in many]
    assert np.allclose(function(1e9, many, 1e9, 1e-5), each, rtol=1e-12)
    assert all(function(1e9, int(p), 2e9, 1e-5) <= time for p, time in zip(many, each, strict=True))
