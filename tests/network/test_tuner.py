"""NCCL's choice and the time it predicts: properties, facts of selection, bad input."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from armillary import catalog
from armillary.errors import InputError
from armillary.network.algorithms import bus_factor
from armillary.network.tuner import ALGORITHMS, PROTOCOLS, predict
from armillary.network.tuning import generation_of, harness_launch, make, network_of, table, tuning

KNOWN = catalog.load()
MIB = 2.0**20


def tuned(name, **changes):
    system = KNOWN.system(name)
    return tuning(system, KNOWN.accelerator(system.accelerator), changes=changes)


P5, P5EN, B200, NVL72 = tuned("p5"), tuned("p5en"), tuned("p6-b200"), tuned("p6e-gb300")
ops = st.sampled_from(sorted(ALGORITHMS))
sizes = st.floats(8, 2**34)
ranks = st.sampled_from([2, 4, 8, 16, 64, 72, 144, 1152, 4608])


@given(ops, sizes, ranks)
def test_the_chosen_one_is_the_fastest_that_is_allowed(op, size, n):
    best = predict(op, size, n, NVL72)
    assert best.algorithm in ALGORITHMS[op]
    assert best.protocol in PROTOCOLS[best.algorithm]
    for name in ALGORITHMS[op]:
        inside = min(n, 72)
        if "nvls" in name and (inside < NVL72.nvls_from or (name == "nvls_tree") != (n > 72)):
            continue
        if name == "pat":
            continue
        for protocol in PROTOCOLS[name]:
            assert best.time <= predict(op, size, n, NVL72, None, name, protocol).time * (1 + 1e-12)


@given(ops, sizes, ranks)
def test_parts_sum_to_the_time(op, size, n):
    answer = predict(op, size, n, P5)
    assert sum(answer.parts) == pytest.approx(answer.time, rel=1e-12)
    assert answer.algbw * answer.time == pytest.approx(min(size, 4) if op == "barrier" else size)
    assert answer.busbw == pytest.approx(answer.algbw * bus_factor(op, n))


@given(ops, sizes, ranks, st.floats(1, 8), st.floats(1, 8))
def test_more_bandwidth_is_never_slower(op, size, n, up, out):
    faster = replace(P5, scale_up_bandwidth=P5.scale_up_bandwidth * up, nic_bandwidth=P5.nic_bandwidth * out)
    assert predict(op, size, n, faster).time <= predict(op, size, n, P5).time * (1 + 1e-12)


@given(ops, st.lists(sizes, min_size=1, max_size=4), st.lists(ranks, min_size=1, max_size=3))
def test_arrays_give_what_numbers_give(op, many, groups):
    grid = predict(op, np.array(many)[:, None], np.array(groups), NVL72)
    for i, size in enumerate(many):
        for j, n in enumerate(groups):
            one = predict(op, size, n, NVL72)
            assert grid.time[i, j] == pytest.approx(one.time, rel=1e-12)
            assert (grid.algorithm[i, j], grid.protocol[i, j]) == (one.algorithm, one.protocol)


@given(st.sampled_from(["all_reduce", "all_gather", "reduce_scatter"]), sizes, ranks)
def test_bus_bandwidth_stays_below_what_the_links_carry(op, size, n):
    answer = predict(op, size, n, P5EN, None, "ring")
    assert answer.busbw < P5EN.scale_up_bandwidth
    if n > 8:
        assert answer.busbw < P5EN.nic_bandwidth * 8


@given(st.sampled_from(["all_reduce", "all_to_all"]), sizes, ranks)
def test_a_larger_message_never_takes_less(op, size, n):
    assert predict(op, size * 1.5, n, B200).time >= predict(op, size, n, B200).time * (1 - 1e-12)


@pytest.mark.parametrize(("system", "first"), [(P5EN, 5), (B200, 6)])
def test_nvls_is_taken_from_a_number_of_gpus_on(system, first):
    # ml-engineering: measured by forcing NVLS off, 8 GiB, NCCL 2.27.7.
    for n in range(2, 9):
        assert predict("all_reduce", 8192 * MIB, n, system).algorithm == ("nvls" if n >= first else "ring")


@pytest.mark.parametrize("op", ["all_gather", "reduce_scatter"])
def test_gathers_stay_on_the_ring_and_pat_is_for_one_gpu_a_node(op):
    assert predict(op, 8192 * MIB, 64, P5).algorithm == "ring"
    assert predict(op, 1024, 64, P5).algorithm == "ring"
    assert predict(op, 1024, 256, P5, ranks_inside=1).algorithm == "pat"


def test_nvls_tree_is_never_on_one_node_and_nvls_never_on_two():
    size = 2.0 ** np.arange(3, 35)
    assert "nvls_tree" not in set(predict("all_reduce", size, 8, P5).algorithm)
    assert "nvls" not in set(predict("all_reduce", size, 16, P5).algorithm)
    assert predict("all_reduce", size[-1], 16, P5).algorithm == "nvls_tree"


def test_four_p5en_nodes_run_on_the_ring_as_the_plugin_chooses():
    assert predict("all_reduce", 4096 * MIB, 32, P5EN).algorithm == "ring"
    assert predict("all_reduce", 4096 * MIB, 32, P5EN, algorithm="nvls_tree").busbw < 330e9


def test_a_rack_is_one_domain_and_two_need_the_network():
    one = predict("all_reduce", 8192 * MIB, 72, NVL72)
    two = predict("all_reduce", 8192 * MIB, 144, NVL72)
    assert (one.algorithm, two.algorithm) == ("nvls", "nvls_tree")
    assert 0.85 < two.busbw / one.busbw < 1


def test_a_tree_on_two_nodes_takes_half_of_the_ring_on_the_network():
    slow = tuned("p4d")
    ring = predict("all_reduce", 2**34, 16, slow, None, "ring", "simple")
    tree = predict("all_reduce", 2**34, 16, slow, None, "tree", "simple")
    assert 1.7 < ring.time / tree.time < 2.3


def test_links_of_a_mesh_add_up_with_peers():
    mesh = tuned("mi300x-platform")
    assert predict("all_reduce", 2**32, 8, mesh).busbw > 6 * predict("all_reduce", 2**32, 2, mesh).busbw


def test_small_messages_are_latency_and_large_ones_wire():
    small, big = predict("all_reduce", 8, 64, P5), predict("all_reduce", 2**34, 64, P5)
    assert small.protocol == "ll"
    assert small.parts.latency > 0.8 * small.time
    assert big.parts.wire > 0.95 * big.time


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"nik": "1"}, "did you mean 'nic'"),
        ({"net_latency": "15"}, "no unit"),
        ({"net_latency": "15 GB"}, "expected s"),
        ({"nic": "0"}, "a share above 0"),
        ({"hop_outside": "1 us"}, "is a table; name one of"),
        ({"hop_outside.tree": "1 us"}, "is a table"),
        ({"hop_outside.tre.ll": "1 us"}, "did you mean 'tree'"),
        ({"ll_bus": "1 GB/s"}, "three bandwidths"),
        ({"fill_size": 0.0}, "must be positive"),
        ({"launch": float("nan")}, "finite"),
    ],
)
def test_coefficients_that_cannot_be_set(changes, says):
    with pytest.raises(InputError, match=says):
        tuned("p5", **changes)


def test_a_set_coefficient_moves_the_time_and_nothing_else():
    near = tuned("p5", **{"hop_outside.tree.ll": "1 us", "net_latency": "2 us"})
    assert predict("all_reduce", 8, 16, near).time < predict("all_reduce", 8, 16, P5).time - 30e-6
    assert tuned("p5") == P5


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("all_reduse", 8, 8), "did you mean 'all_reduce'"),
        (("all_gather", 8, 8, "tree"), "all_gather has no algorithm 'tree'; it has ring, pat"),
        (("all_reduce", 8, 8, "rign"), "did you mean 'ring'"),
        (("all_reduce", 8, 8, "nvls", "ll"), "algorithm nvls has no protocol ll"),
        (("all_reduce", 8, 8, None, "eager"), "unknown protocol 'eager'"),
        (("all_reduce", 8, 0), "at least 1 rank"),
        (("all_reduce", -1, 8), "0 bytes"),
    ],
)
def test_questions_that_cannot_be_answered(arguments, says):
    op, size, n, *more = arguments
    with pytest.raises(InputError, match=says):
        predict(op, size, n, P5, None, *more)


def test_what_cannot_run_takes_for_ever():
    assert predict("all_reduce", MIB, 8, tuned("mi300x-platform"), algorithm="nvls").time == np.inf


def test_every_system_of_the_catalog_has_a_network_of_its_own():
    listed = [name for entry in table()["networks"].values() for name in entry["systems"]]
    assert len(set(listed)) == len(listed)
    assert set(listed) == set(KNOWN.systems)


def test_what_has_no_measurement_says_so():
    assert any("no published measurement" in words for words in NVL72.assumed)
    assert P5.assumed == ()
    assert any("Hopper" in words for words in tuned("trn2.48xlarge").assumed)


def test_every_table_says_where_its_numbers_are_from():
    known = table()
    entries = [
        known["common"],
        *(e for room in ("generations", "networks", "harness") for e in known[room].values()),
    ]
    kinds = ("published", "fitted", "measured", "assumed", "by definition")
    assert all(any(kind in e["provenance"] for kind in kinds) for e in entries)


def test_unknown_keys_are_named_with_near_ones():
    with pytest.raises(InputError, match="did you mean 'hopper'"):
        make("hoper", "infiniband", 8, 450e9, 50e9, True)
    with pytest.raises(InputError, match="unknown network 'infinband'; did you mean 'infiniband'"):
        make("hopper", "infinband", 8, 450e9, 50e9, True)


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("p4de.24xlarge EFA", "efa-p4d"),
        ("p5.48xlarge EFAv2", "efa-p5"),
        ("p5en.48xlarge EFAv3 4 nodes", "efa-p5en"),
        ("p6-b300.48xlarge EFAv4 16x400G", "efa-p6-b300"),
        ("GCP a3-megagpu-8g GPUDirect-TCPXO", "gcp-tcpxo"),
        ("OCI BM.GPU.B4.8 RoCE, 2 nodes", "roce"),
        ("CoreWeave GB200 NVL72 + Quantum-X800 IB", "infiniband"),
        ("Azure ND H200_v5", "azure"),
        ("something else", None),
    ],
)
def test_networks_in_free_text(text, network):
    assert network_of(text) == network


def test_generations_and_harnesses_in_free_text():
    assert generation_of("MI300X") == "amd"
    assert generation_of("A100-40GB") == "ampere"
    assert generation_of("some npu") == "other"
    assert harness_launch("all_reduce_bench.py torch2.9.1") > harness_launch("nccl-tests") == 0
