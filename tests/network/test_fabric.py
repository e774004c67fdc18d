"""Explicit fabrics: every path is walked by the names of its links; capacities, failures and bad input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from armillary import catalog
from armillary.errors import InputError
from armillary.machine import build, preset_rings
from armillary.network.clos import Level, clos
from armillary.network.fabric import ROUTINGS
from armillary.network.fabrics import ring_fabric, slice_fabric, switch_fabric
from armillary.network.switches import Switch

THREE = [Level("leaf", 8), Level("pod", 32), Level("core", 0, 2.0)]


def fabric(routing="ecmp", levels=THREE, accelerators=128, **more):
    given = {"domain": 4, "scale_up_bandwidth": 400e9, **more}
    return clos(accelerators, levels, 50e9, 5e-6, routing=routing, **given)


def all_pairs(n):
    source, target = np.nonzero(~np.eye(n, dtype=bool))
    return source, target


def walk(f, source, target, names, leaf_of):
    """Follow a path by the names of its links; fails where one does not continue the other."""
    if len(names) == 2 and names[0].startswith("scale-up"):
        assert names == [f"scale-up {source} up", f"scale-up {target} down"]
        assert f.domain[source] == f.domain[target]
        return
    ups = [n for n in names if n.endswith(" up")]
    downs = [n for n in names if n.endswith(" down")]
    assert names == ups + downs
    assert len(ups) == len(downs)
    assert ups[0].startswith(f"host {source} ")
    assert downs[-1].startswith(f"host {target} ")
    for level, (up, down) in enumerate(zip(ups[1:], reversed(downs[:-1]), strict=True)):
        kind, number, *cable = up.split()[:-1]
        other_kind, other_number, *other_cable = down.split()[:-1]
        assert kind == other_kind
        assert int(number) == leaf_of[level][source]
        assert int(other_number) == leaf_of[level][target]
        assert number != other_number
        assert cable == other_cable  # the same spine on the way up and down


@pytest.mark.parametrize("routing", ROUTINGS)
@pytest.mark.parametrize("rails", ["none", "optimised"])
def test_every_path_can_be_walked(routing, rails):
    levels = [Level("leaf", 8 if rails == "none" else 4), Level("pod", 32), Level("core", 0, 2.0)]
    f = fabric(routing, levels, rails=rails, rail_count=4, planes=2)
    own = np.arange(128)
    leaf = own // 8 if rails == "none" else own // 16 * 4 + own % 4
    source, target = all_pairs(128)
    routes = f.routes(source, target)
    for flow in range(0, routes.flows, 7):
        names = [f.link_name(int(i)) for i in routes.of(flow)]
        walk(f, source[flow], target[flow], names, [leaf, own // 32])
        if f.domain[source[flow]] != f.domain[target[flow]]:
            a, b = int(source[flow]), int(target[flow])
            apart = int(leaf[a] != leaf[b]) + int(a // 32 != b // 32)
            assert len(names) == 2 + 2 * apart


@settings(max_examples=40, deadline=None)
@given(
    leaf=st.sampled_from([2, 4, 8]),
    pods=st.integers(1, 4),
    ratio=st.sampled_from([0.5, 1.0, 2.0, 7.0]),
    planes=st.sampled_from([1, 2, 4]),
    routing=st.sampled_from(ROUTINGS),
)
def test_tiers_have_the_capacity_of_their_oversubscription(leaf, pods, ratio, planes, routing):
    levels = [Level("leaf", leaf), Level("pod", leaf * 4, 1.0), Level("core", 0, ratio)]
    f = clos(leaf * 4 * pods, levels, 50e9, 5e-6, routing=routing, planes=planes)
    each = f.per_endpoint()
    for way in ("up", "down"):
        assert each[f"host {way}"] == pytest.approx(50e9)
        assert each[f"leaf {way}"] == pytest.approx(50e9)
        assert each[f"pod {way}"] == pytest.approx(50e9 / ratio)


def test_hashed_paths_collide_and_are_the_same_each_time():
    f = fabric("ecmp", [Level("leaf", 8), Level("spine", 0)], domain=1)
    source = np.arange(0, 8)
    target = source + 64
    one, again = f.routes(source, target), f.routes(source, target)
    np.testing.assert_array_equal(one.links, again.links)
    up = [int(i) for flow in range(8) for i in one.of(flow) if f.link_name(int(i)).startswith("leaf 0 ")]
    assert len(set(up)) < 8  # eight flows, eight cables, and some share one
    other = f.routes(source, target, key=np.arange(8))
    assert not np.array_equal(one.links, other.links)


def test_static_paths_do_not_collide_where_targets_differ_in_rest():
    f = fabric("static", [Level("leaf", 8), Level("spine", 0)], domain=1)
    source = np.arange(0, 8)
    routes = f.routes(source, source + 64)
    assert len(np.unique(routes.links)) == len(routes.links)


@pytest.mark.parametrize("routing", ["ecmp", "static"])
def test_single_paths_go_around_what_is_down(routing):
    f = fabric(routing, [Level("leaf", 8), Level("spine", 0)], domain=1)
    dead = f.degraded([("spine 3", 0), ("spine 5", 0)])
    source, target = all_pairs(128)
    routes = dead.routes(source, target)
    assert (dead.capacity[routes.links] > 0).all()
    assert (f.capacity > 0).all()
    assert not np.array_equal(routes.links, f.routes(source, target).links)


def test_spraying_spreads_over_the_spines_that_are_left():
    f = fabric("spray", [Level("leaf", 8), Level("spine", 0)], domain=1)
    left = f.degraded([("spine 3", 0), ("spine 5", 0)]).per_endpoint()
    assert left["leaf up"] == pytest.approx(50e9 * 6 / 8)
    slow = f.degraded([("host 3", 0.5)])
    assert slow.capacity.sum() == pytest.approx(f.capacity.sum() - 2 * 25e9)


def test_a_part_takes_the_same_capacity_sprayed_or_by_cable():
    for part in ("leaf 2", "pod 1", "core 3", "plane 1", "host 7", "domain 3", "leaf up"):
        lost = []
        for routing in ("spray", "ecmp"):
            f = fabric(routing, planes=2)
            lost.append(f.capacity.sum() - f.degraded([(part, 0)]).capacity.sum())
        assert lost[0] == pytest.approx(lost[1]), part
        assert lost[0] > 0


def test_rails_only_relays_over_the_scale_up_switch():
    levels = [Level("leaf", 4), Level("spine", 0)]
    f = fabric("spray", levels, 64, rails="only", rail_count=4)
    names = [f.link_name(int(i)) for i in f.routes([0], [41]).of(0)]
    assert names[:2] == ["scale-up 0 up", "scale-up 1 down"]
    assert names[2] == "host 1 up"
    assert names[-1] == "host 41 down"
    with pytest.raises(InputError, match="no spine joins them"):
        clos(64, levels, 50e9, 5e-6, rails="only", rail_count=4).routes([0], [41])


def test_latency_is_that_of_the_levels():
    levels = [Level("leaf", 8), Level("pod", 32, latency=1e-6), Level("core", 0, latency=2e-6)]
    f = fabric("spray", levels, scale_up_latency=2e-6)
    times = f.latency_of(f.routes([0, 0, 0, 0], [1, 4, 8, 64]))
    np.testing.assert_allclose(times, [2e-6, 5e-6, 6e-6, 8e-6])


def test_a_thin_long_haul_is_a_level_with_a_bandwidth():
    levels = [Level("leaf", 8), Level("cluster", 64), Level("region", 0, bandwidth=20e9, latency=10e-3)]
    f = fabric("spray", levels)
    assert f.per_endpoint()["cluster up"] == pytest.approx(2 * 20e9 / 128)


def test_rings_and_fabric_have_the_same_bandwidth():
    known = catalog.load()
    system = known.system("p5en")
    rings = preset_rings("meta-24k", 24576, system.nic_bandwidth, system.nic_latency)
    machine = build(system, known.accelerator("h200"), 24576, rings)
    f = slice_fabric(machine.slice(24576))
    each = f.per_endpoint()
    assert each["leaf up"] == pytest.approx(rings[0].bandwidth)
    assert each["pod up"] == pytest.approx(rings[1].bandwidth)
    assert f.endpoints == 24576
    half = machine.slice(4096, domain_used=4)
    assert slice_fabric(half).endpoints == 8192


def test_a_tree_from_a_file_becomes_a_fabric():
    leaves = [Switch(f"s{i}", nodes=tuple(f"n{i}{j}" for j in range(4)), bandwidth=80e9) for i in range(3)]
    root = Switch("top", tuple(leaves))
    f = switch_fabric(root, 8, 50e9, 5e-6, 450e9, 2e-6)
    assert f.endpoints == 96
    assert f.capacity[f.routes([0], [95]).links].min() == 50e9
    assert f.per_endpoint()["leaf up"] == pytest.approx(3 * 80e9 / 96)
    uneven = Switch("top", (*leaves, Switch("m", (Switch("x", nodes=("a",)),))))
    with pytest.raises(InputError, match="different depths"):
        switch_fabric(uneven, 8, 50e9, 5e-6, 450e9, 2e-6)
    with pytest.raises(InputError, match="no host hangs"):
        switch_fabric(Switch("top"), 8, 50e9, 5e-6, 450e9, 2e-6)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"accelerators": 0}, "positive whole number of accelerators"),
        ({"nic_bandwidth": 0.0}, "bandwidth of a NIC must be positive"),
        ({"nic_bandwidth": float("nan")}, "bandwidth of a NIC must be positive"),
        ({"domain": 8, "scale_up_bandwidth": -1.0}, "scale-up domain of 8 needs a bandwidth"),
        ({"routing": "spry"}, "did you mean 'spray'"),
        ({"rails": "some"}, "unknown rails"),
        ({"rails": "only", "domain": 4, "rail_count": 3}, "3 rails do not divide"),
        ({"levels": []}, "at least one level"),
        ({"levels": [Level("leaf", 8), Level("spine", 16)]}, "disconnected: the last level 'spine' joins 16"),
        ({"levels": [Level("leaf", 8), Level("spine", 0, 0.0)]}, "positive oversubscription"),
        ({"levels": [Level("leaf", 8), Level("pod", 12), Level("core", 0)]}, "must hold whole groups"),
        ({"levels": [Level("leaf", 8), Level("spine", 0, bandwidth=0.0)]}, "needs a positive bandwidth"),
    ],
)
def test_what_makes_no_fabric_is_named(changed, words):
    arguments = {"accelerators": 64, "levels": [Level("leaf", 8), Level("spine", 0)],
                 "nic_bandwidth": 50e9, "nic_latency": 5e-6,
                 "domain": 4, "scale_up_bandwidth": 1e9, **changed}  # fmt: skip
    with pytest.raises(InputError, match=words):
        clos(**arguments)


@pytest.mark.parametrize(
    ("source", "target", "words"),
    [([3], [3], "from accelerator 3 to itself"), ([0], [128], "to accelerator 128"), ([-1], [0], "from acc")],
)
def test_flows_that_cannot_be_are_named(source, target, words):
    with pytest.raises(InputError, match=words):
        fabric().routes(source, target)


def test_failures_that_cannot_be_are_named():
    f = fabric()
    for part, words in (
        ("leef 3", "did you mean 'leaf'"),
        ("leaf 99", "it has leaf 0 to 15"),
        ("", "no part"),
    ):
        with pytest.raises(InputError, match=words):
            f.degraded([(part, 0)])
    with pytest.raises(InputError, match="share from 0 to 1"):
        f.degraded([("leaf 0", 2.0)])
    with pytest.raises(
        InputError, match=r"disconnected: no path from accelerator 0 to 127.*host 0 up is down"
    ):
        f.degraded([("host 0", 0)]).routes([0], [127])


def test_half_a_million_accelerators_are_a_few_arrays():
    levels = [Level("leaf", 32), Level("pod", 8192), Level("core", 0, 2.0)]
    f = clos(524288, levels, 50e9, 5e-6, 64, 900e9)
    size = f.capacity.nbytes + f.latency.nbytes + f.tier.nbytes + f.domain.nbytes
    assert size < 200e6


def test_ring_fabric_wants_whole_domains():
    from armillary.machine import Ring

    with pytest.raises(InputError, match="not whole scale-up domains of 8"):
        ring_fabric([Ring("scale-up", 8, 1e9, 1e-6), Ring("cluster", 64, 1e9, 1e-6)], 12, 1e9)


def test_queue_pairs_spread_a_flow_and_conserve_it():
    f = fabric("ecmp", [Level("leaf", 8), Level("spine", 0)], domain=1)
    source, target = np.array([0, 1, 2]), np.array([64, 65, 7])
    routes = f.routes(source, target, paths=8)
    for flow in range(3):
        mine = slice(routes.offsets[flow], routes.offsets[flow + 1])
        names = [f.link_name(int(i)) for i in routes.links[mine]]
        shares = dict(zip(names, routes.usage[mine], strict=True))
        assert shares[f"host {source[flow]} up"] == shares[f"host {target[flow]} down"] == 1
        up = [share for name, share in shares.items() if name.startswith("leaf") and name.endswith("up")]
        assert sum(up) == pytest.approx(1 if flow < 2 else 0)
        assert flow == 2 or len(up) > 1
    same = fabric("spray").routes(source, target, paths=8)
    assert same.usage is None
    with pytest.raises(InputError, match="at least one queue pair"):
        f.routes(source, target, paths=0)
