"""Collectives on a fabric: the closed form where all is clean, one answer by classes and by single flows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from armillary.errors import InfeasibleError, InputError
from armillary.network import all_gather, all_to_all
from armillary.network.clos import Level, clos
from armillary.network.simulated import MOST_FLOWS, simulate_collective

NIC, SCALE_UP, NEAR, FAR = 50e9, 450e9, 1e-6, 5e-6


def fabric(domains, domain, ratio=1.0, routing="spray", rails="none", leaf=None):
    levels = [Level("leaf", leaf or domain), Level("spine", 0, ratio)]
    return clos(domains * domain, levels, NIC, FAR, domain, SCALE_UP, NEAR, routing, rails, rail_count=domain)


@settings(max_examples=40, deadline=None)
@given(
    domains=st.integers(2, 12),
    domain=st.sampled_from([2, 4, 8]),
    size=st.floats(1e3, 1e10),
    operation=st.sampled_from(["all_reduce", "all_gather", "reduce_scatter"]),
)
def test_rings_on_a_clean_fabric_take_the_closed_form(domains, domain, size, operation):
    f = fabric(domains, domain)
    found = simulate_collective(f, operation, np.arange(f.endpoints), size)
    closed = all_gather(size, [domain, domains], [SCALE_UP, NIC], [NEAR, FAR])
    closed *= 2 if operation == "all_reduce" else 1
    assert found.time == pytest.approx(float(closed), rel=1e-9)


@settings(max_examples=25, deadline=None)
@given(domains=st.integers(2, 8), domain=st.sampled_from([2, 4]), ratio=st.sampled_from([1.0, 2.0, 4.0]))
def test_an_all_to_all_takes_the_closed_form_of_its_thinnest_ring(domains, domain, ratio):
    f = fabric(domains, domain, ratio)
    found = simulate_collective(f, "all_to_all", np.arange(f.endpoints), 1e9)
    closed = all_to_all(1e9, [domain, domains], [SCALE_UP, NIC / ratio], [0.0, 0.0])
    assert found.wire == pytest.approx(float(closed), rel=1e-9)


@pytest.mark.parametrize("broken", [[], [("host 3", 0.5)], [("leaf 1", 0.25), ("host 9", 0.5)]])
@pytest.mark.parametrize("rails", ["none", "optimised"])
def test_classes_and_single_flows_end_at_the_same_time(broken, rails):
    f = fabric(8, 4, 2.0, rails=rails, leaf=8).degraded(broken)
    by_class = simulate_collective(f, "all_to_all", np.arange(32), 1e9)
    assert by_class.traffic is None
    alone = simulate_collective(f, "all_to_all", np.arange(32)[::-1][None], 1e9)  # classes as well
    singly = _singly(f)
    assert by_class.wire == pytest.approx(alone.wire, rel=1e-12)
    assert by_class.wire == pytest.approx(singly.finish.max(), rel=1e-9)
    np.testing.assert_allclose(by_class.carried, singly.link_bytes, rtol=1e-9)


def _singly(f):
    from armillary.network.flows import simulate

    source, target = np.nonzero(~np.eye(f.endpoints, dtype=bool))
    return simulate(f.shared, f.routes(source, target), np.full(len(source), 1e9 / f.endpoints))


def test_groups_at_once_share_a_thin_spine():
    f = fabric(16, 2, 4.0)
    ranks = np.arange(32)
    alone = simulate_collective(f, "all_reduce", ranks.reshape(2, 16)[:1], 1e9)
    both = simulate_collective(f, "all_reduce", ranks.reshape(16, 2).T, 1e9)  # rail against rail
    assert both.wire > 1.5 * alone.wire


def test_a_slow_link_slows_its_ring():
    f = fabric(8, 4)
    clean = simulate_collective(f, "all_reduce", np.arange(32), 1e10)
    slow = simulate_collective(f.degraded([("domain 3", 0.1)]), "all_reduce", np.arange(32), 1e10)
    assert slow.wire == pytest.approx(2 * 1e10 * 7 / 8 / 4 / (NIC / 10))
    assert slow.wire > clean.wire


def test_a_send_is_size_over_bandwidth_and_latency():
    found = simulate_collective(fabric(4, 4), "send", [[0, 4, 8, 12]], 1e9)
    assert found.time == pytest.approx(1e9 / NIC + FAR)


def test_bytes_are_conserved():
    f = fabric(4, 4)
    found = simulate_collective(f, "all_gather", np.arange(16), 1e9)
    up = f.tier == f.tiers.index("host up")
    assert found.carried[up].sum() == pytest.approx(found.traffic.size[16:].sum())


@pytest.mark.parametrize(
    ("operation", "members", "size", "words"),
    [
        ("gather", [0, 1], 1.0, "unknown collective 'gather'"),
        ("all_reduce", [3], 1.0, "at least 2 ranks"),
        ("all_reduce", [0, 99], 1.0, "accelerator 99 is not on"),
        ("all_reduce", [0, 1, 1], 1.0, "accelerator 1 is twice in one group"),
        ("all_reduce", [0, 1], 0.0, "positive number of bytes"),
        ("all_reduce", [0, 1], float("nan"), "positive number of bytes"),
    ],
)
def test_what_cannot_be_simulated_is_named(operation, members, size, words):
    with pytest.raises(InputError, match=words):
        simulate_collective(fabric(4, 4), operation, members, size)


def test_too_many_flows_without_classes_are_refused():
    f = fabric(512, 8, routing="ecmp")
    assert f.endpoints * (f.endpoints - 1) > MOST_FLOWS
    with pytest.raises(InfeasibleError, match="single ones"):
        simulate_collective(f, "all_to_all", np.arange(f.endpoints), 1e9)
