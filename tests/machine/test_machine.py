import tracemalloc

import pytest

from armillary.errors import InputError
from armillary.machine import PRESETS, Machine, Partition, Ring, build, preset_rings


def test_half_a_million_accelerators_are_counted_not_copied(shipped):
    system, chip = shipped.system("p6e-gb300"), shipped.accelerator("gb300")
    tracemalloc.start()
    machine = build(system, chip, 524_288)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert machine.accelerators == 7282 * 72
    assert peak < 1_000_000


def test_two_generations_on_one_network(shipped):
    parts = tuple(
        Partition(shipped.system(f"p6e-{g}"), shipped.accelerator(g), n)
        for g, n in (("gb200", 10), ("gb300", 20))
    )
    machine = Machine("mixed", parts, (Ring("cluster", 30 * 72, 100e9, 1e-5),))
    assert machine.accelerators == 30 * 72
    assert machine.power == 10 * parts[0].system.power + 20 * parts[1].system.power
    # GB200's NIC is half of GB300's: each partition keeps its own below the ring's bound.
    assert [machine.rings_of(p)[1].bandwidth for p in parts] == [50e9, 100e9]
    assert machine.bisection(machine.rings[0]) == pytest.approx(720 * 50e9 / 2 + 1440 * 100e9 / 2)


@pytest.mark.parametrize(
    ("accelerators", "used", "domains"), [(4608, 72, 64), (512, 64, 8), (7, 7, 1), (64, 64, 1), (144, 72, 2)]
)
def test_a_slice_uses_the_largest_divisor_of_each_domain(make_slice, accelerators, used, domains):
    part = make_slice("p6e-gb300", accelerators, used)
    assert (part.domain_used, part.domains, part.rings[0].size) == (used, domains, used)


def test_a_slice_keeps_only_the_rings_it_crosses(shipped):
    system, chip = shipped.system("p5"), shipped.accelerator("h100")
    rings = preset_rings("meta-24k", 24576, system.nic_bandwidth, system.nic_latency)
    machine = build(system, chip, 24576, rings)
    assert [r.name for r in machine.slice(8).rings] == ["scale-up", "pod"]
    assert [r.name for r in machine.slice(2048).rings] == ["scale-up", "pod"]
    outer = machine.slice(8192).rings[-1]
    assert outer.name == "cluster"
    assert outer.bandwidth == pytest.approx(system.nic_bandwidth / 7)


def test_oversubscription_multiplies_on_the_outermost_ring():
    rings = preset_rings("meta-24k", 24576, 50e9, 1e-5, oversubscription=2)
    assert [r.oversubscription for r in rings] == [1, 14]


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        (lambda m: m.slice(0), "at least 1"),
        (lambda m: m.slice(10_000), "no partition"),
        (lambda m: m.slice(144, domain_used=100), "divisor"),
        (lambda m: m.slice(128, domain_used=1), "has 2"),
        (lambda m: m.with_ring("rail", latency=1e-6), "no ring 'rail'"),
    ],
)
def test_impossible_questions_say_what_would_be_right(shipped, ask, says):
    machine = build(shipped.system("p6e-gb300"), shipped.accelerator("gb300"), 144)
    with pytest.raises(InputError, match=says):
        ask(machine)


@pytest.mark.parametrize(
    ("preset", "accelerators", "rings"),
    [
        ("hpn7", 512, [("segment", 512, 1)]),
        ("hpn7", 15360, [("segment", 1024, 1), ("pod", 15360, 1)]),
        ("hpn7", 30720, [("segment", 1024, 1), ("pod", 15360, 1), ("core", 30720, 15)]),
        ("meta-24k", 3072, [("pod", 3072, 1)]),
        ("flat", 8, [("cluster", 8, 1)]),
    ],
)
def test_a_cluster_inside_one_pod_does_not_cross_its_uplinks(preset, accelerators, rings):
    found = preset_rings(preset, accelerators, 50e9, 1e-5)
    assert [(r.name, r.size, r.oversubscription) for r in found] == rings


def test_every_preset_names_its_source():
    assert all(len(p.source) > 20 for p in PRESETS.values())
    with pytest.raises(InputError, match="did you mean 'meta-24k'"):
        preset_rings("meta24k", 100, 1e9, 1e-6)


def test_a_slice_grows_by_whole_domains_and_its_outermost_ring_with_it(make_slice):
    part = make_slice("p6e-gb300", 128, 64)
    grown = part.grown(640)
    assert (grown.accelerators, grown.domains, grown.domain_used) == (640, 10, 64)
    assert grown.rings[0] == part.rings[0]
    assert grown.rings[-1].size >= 640
    assert part.grown(128) == part
    with pytest.raises(InputError, match="whole domains of 64"):
        part.grown(100)
