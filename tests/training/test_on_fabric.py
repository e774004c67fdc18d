"""The third fidelity: equal to the closed form where nothing contends, slower where something does."""

from __future__ import annotations

import numpy as np
import pytest

from armillary import catalog
from armillary.errors import InputError
from armillary.model import transformer
from armillary.network.traffic import ring_flows
from armillary.training import Job, Layout, calibration, recipe
from armillary.training.communication import CLEAR, Group
from armillary.training.on_fabric import Background, _company, _mean_slowdown, on_fabric
from armillary.training.traffic import exchanges, members, placed
from armillary.twin.fabric_cases import Plan, Shape, fabric_of, machine_of

KNOWN = catalog.load()


def plan(layout, model="deepseek-v3", system="p5en", used=8, batch=2048, ratio=1.0):
    found = KNOWN.system(system)
    chip = KNOWN.accelerator(found.accelerator)
    machine = machine_of(found, chip, int(layout.accelerators), used, ratio)
    job = Job(transformer(KNOWN.model(model)), 4096, batch, recipe("bf16"))
    return Plan(job, machine, layout, calibration(chip))


MIXED = Layout(tp=2, pp=4, dp=32, ep=32, micro_batch=1, zero=1, shard=32, overlap_ep=1)
DENSE = Layout(tp=4, cp=2, pp=2, vpp=2, dp=16, zero=1, shard=32)
FIXTURES = [
    (MIXED, "deepseek-v3", "p5en", 8),
    (MIXED, "deepseek-v3", "p6e-gb300", 64),
    (DENSE, "llama-3.1-70b", "p5en", 8),
    (DENSE._replace(zero=0), "llama-3.1-70b", "p5en", 8),
    (DENSE._replace(cp_exchange=2, order=1), "llama-3.1-70b", "p6-b200", 8),
    (DENSE._replace(zero=3, shard=8, pp=1, vpp=1, dp=32), "llama-3.1-70b", "p5en", 8),
]


@pytest.mark.parametrize(("layout", "model", "system", "used"), FIXTURES)
def test_alone_on_a_clean_fabric_every_kind_takes_what_the_closed_form_says(layout, model, system, used):
    p = plan(layout, model, system, used)
    found = on_fabric(*p, fabric_of(p.machine, Shape()))
    np.testing.assert_allclose(found.alone, 1.0, rtol=0.05)
    kinds = {e.kind for e in found.exchanges}
    assert kinds >= {"tensor", "data"}
    assert float(found.loaded.time.total) >= float(found.clear.time.total) * (1 - 1e-9)


def test_one_kind_alone_gives_the_closed_form_step():
    p = plan(Layout(dp=64, zero=1, shard=64), "llama-3.1-8b")
    found = on_fabric(*p, fabric_of(p.machine, Shape()))
    assert float(found.loaded.time.total) == pytest.approx(float(found.clear.time.total), rel=1e-9)
    np.testing.assert_allclose(found.congestion, CLEAR, rtol=1e-9)


def test_a_thin_spine_costs_scattered_domains_and_spares_packed_ones():
    # 256 accelerators are one block of leaves: packed, nothing crosses the spine.
    p = plan(MIXED, ratio=8.0)
    shape = Shape(oversubscription=8.0)
    fabric = fabric_of(p.machine, shape)
    packed = on_fabric(*p, fabric)
    assert packed.alone.expert < 0.2  # the closed form takes the thin ring for every byte outside a domain
    two = plan(MIXED._replace(dp=64, ep=64), batch=4096, ratio=8.0)
    wide = fabric_of(two.machine, shape)
    size = two.machine.system.scale_up_size
    order = np.random.default_rng(0).permutation(wide.endpoints // size)
    place = placed(two.machine, wide.endpoints, 512)
    apart = on_fabric(*two, wide, order[place // size] * size + place % size)
    near = on_fabric(*two, wide)
    assert float(apart.loaded.time.total) > 1.05 * float(near.loaded.time.total)


def test_hashed_paths_are_slower_than_sprayed_ones():
    p = plan(MIXED._replace(dp=128, ep=128), batch=4096)
    times = {}
    for routing in ("spray", "ecmp"):
        times[routing] = float(on_fabric(*p, fabric_of(p.machine, Shape(routing=routing))).loaded.time.total)
    assert times["ecmp"] > times["spray"]
    many = on_fabric(*p, fabric_of(p.machine, Shape(routing="ecmp")), paths=32)
    assert times["spray"] < float(many.loaded.time.total) < times["ecmp"]


def test_a_failure_and_a_neighbour_slow_the_step():
    p = plan(MIXED)
    fabric = fabric_of(p.machine, Shape())
    base = on_fabric(*p, fabric)
    slow = on_fabric(*p, fabric.degraded([("rail 0", 0.5)]))
    assert slow.alone.expert == pytest.approx(2.0, rel=0.01)
    other = Background(ring_flows(np.arange(256).reshape(1, -1), fabric.domain, 1.0), weight=4.0)
    beside = on_fabric(*p, fabric, background=other)
    for worse in (slow, beside):
        assert float(worse.loaded.time.total) > 1.02 * float(base.loaded.time.total)


def test_utilisation_is_of_links_that_something_uses():
    p = plan(MIXED)
    fabric = fabric_of(p.machine, Shape())
    found = on_fabric(*p, fabric)
    assert (found.utilisation >= 0).all()
    assert 0 < found.utilisation.max() < 1
    spine = fabric.tier == fabric.tiers.index("leaf up")
    assert (found.utilisation[spine] == 0).all()  # one block holds the job


def test_groups_tile_the_ranks():
    place = np.arange(64)
    for group in (Group(4, 1), Group(4, 4), Group(8, 8), Group(2, 32)):
        found = members(group, place)
        assert sorted(found.ravel().tolist()) == place.tolist()
        assert (np.diff(found, axis=1) == group.stride).all()


def test_places_are_checked():
    p = plan(MIXED)
    fabric = fabric_of(p.machine, Shape())
    place = placed(p.machine, fabric.endpoints, 256)
    with pytest.raises(InputError, match="accelerator 5 of the fabric is given to more than one rank"):
        on_fabric(*p, fabric, np.where(place == 6, 5, place))
    with pytest.raises(InputError, match="rank 0 is placed on accelerator 9999"):
        on_fabric(*p, fabric, np.where(place == 0, 9999, place))
    with pytest.raises(InputError, match="needs one accelerator each, got 3"):
        on_fabric(*p, fabric, np.arange(3))


def test_company_excludes_kinds_that_follow_each_other():
    kinds = ["tensor", "expert", "pipeline", "data"]
    assert _company("tensor", kinds) == [(), ("data",), ("pipeline",), ("pipeline", "data")]
    assert ("tensor", "expert") not in _company("data", kinds)
    assert len(_company("data", kinds)) == 6


def test_mean_slowdown_lies_between_the_extremes_and_follows_the_duty():
    slow = {(): 1.0, ("data",): 2.0}
    assert _mean_slowdown(slow, {"data": 0.0}) == 1.0
    assert _mean_slowdown(slow, {"data": 1.0}) == 2.0
    assert _mean_slowdown(slow, {"data": 0.5}) == pytest.approx(4 / 3)
    layers = {(): 1.0, ("tensor",): 2.0, ("expert",): 4.0}
    assert _mean_slowdown(layers, {"tensor": 0.5, "expert": 0.5}) == pytest.approx(1 / (0.25 + 0.125))


def test_expert_exchanges_shrink_with_deduplication():
    p = plan(MIXED)
    place = placed(p.machine, 256, 256)
    domain = np.arange(256) // 8
    found = {e.kind: e for e in exchanges(*p, place, domain) if e.kind == "expert"}
    across = domain[found["expert"].traffic.source] != domain[found["expert"].traffic.target]
    per_rank = found["expert"].traffic.size[across].sum() / 256
    software = p.calibration.software
    copies = 8.0 if software.deduplicates else 1.0
    domains = 4
    expected = (1 - 1 / domains) * domains * (1 - (1 - 1 / domains) ** copies) / copies
    assert per_rank == pytest.approx(expected, rel=1e-9)
