"""NCCL's topology files: what a node has, how far its parts are apart, errors, no entities."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from armillary.errors import InputError
from armillary.interop import read_nccl_topology

HERE = Path(__file__).parent
SWITCHED = (HERE / "hgx_h100_half.xml").read_text()
DIRECT = (HERE / "a100_direct.xml").read_text()


def test_a_node_with_nvswitches():
    found = read_nccl_topology(SWITCHED)
    assert (found.accelerators_per_node, found.scale_up_size, found.hosts) == (4, 4, 1)
    assert found.scale_up_bandwidth == pytest.approx(18 * 20.6e9)
    assert found.nic_bandwidth == pytest.approx(50e9)  # the 25 Gbit/s device is left out
    first = found.gpus[0]
    assert (first.architecture, first.links, first.switched, first.numa) == (90, 18, True, 0)
    assert [n.name for n in found.nearest(0)] == ["mlx5_0"]
    assert [n.name for n in found.nearest(3)] == ["mlx5_3"]
    ways = dict(zip([n.name for n in found.nics], found.paths[0], strict=True))
    assert ways == {"eno1": "PHB", "mlx5_0": "PIX", "mlx5_1": "PHB", "mlx5_2": "SYS", "mlx5_3": "SYS"}


def test_a_node_with_direct_links():
    found = read_nccl_topology(DIRECT)
    assert (found.accelerators_per_node, found.scale_up_size) == (4, 4)
    assert found.scale_up_bandwidth == pytest.approx(12 * 20e9)
    assert found.gpus[0].peers == ("0000:41:00.0", "0000:81:00.0", "0000:c1:00.0")
    assert found.nic_bandwidth == pytest.approx(2 * 25e9 / 4)
    assert [n.name for n in found.nearest(1)] == ["hsn1"]
    assert len(found.nearest(3)) == 2  # all between CPUs


def test_pairs_that_links_do_not_join_are_apart():
    lines = [line for line in DIRECT.splitlines() if "nvlink" not in line]
    assert read_nccl_topology("\n".join(lines)).scale_up_size == 1
    pairs = DIRECT
    for a, b in (("03", "81"), ("03", "c1"), ("41", "81"), ("41", "c1")):
        for bus in (a, b):
            pairs = pairs.replace(
                f'<nvlink target="0000:{bus}:00.0" count="4" tclass="0x030200"/>', f"<!--{bus}-->"
            )
    assert read_nccl_topology(pairs).scale_up_bandwidth == 0


def test_several_bridges_are_farther_than_one():
    deeper = SWITCHED.replace(
        '<pci busid="0000:11:00.0"', '<pci busid="0000:1a:00.0" class="0x060400"><pci busid="0000:11:00.0"', 1
    )
    deeper = deeper.replace("        </nic>\n      </pci>", "        </nic>\n      </pci></pci>", 1)
    found = read_nccl_topology(deeper)
    assert found.paths[0][1] == "PXB"
    assert found.paths[1][2] == "PIX"


def test_hosts_of_one_nvlink_domain_are_counted_apart():
    other = SWITCHED.replace("0x1f", "0x2e").replace('sm="90"', 'sm="100"')
    both = SWITCHED.replace("</system>", "") + other.partition("\n")[2]
    found = read_nccl_topology(both)
    assert (found.hosts, found.accelerators_per_node, found.scale_up_size) == (2, 4, 8)
    assert found.gpus[-1].bandwidth == pytest.approx(18 * 40.1e9)
    assert "" in found.paths[0]
    assert [n.host for n in found.nearest(5)] == [1]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "f:1:1: is not XML: no element found"),
        ("<system>", "is not XML"),
        ("<graphs version='1'/>", "f:1: expected <system>, as NCCL writes, got <graphs>"),
        ("<system version='1'/>", "no <gpu> in the file"),
        (SWITCHED.replace(' sm="90"', "", 1), "sm of <gpu> is missing"),
        (SWITCHED.replace('sm="90"', 'sm="ninety"', 1), "sm of <gpu> is 'ninety', not a whole number"),
        (SWITCHED.replace('count="5"', 'count="-5"', 1), "count of <nvlink> is below zero"),
        (SWITCHED.replace('speed="400000"', "", 1), "speed of <net> is missing"),
        (
            SWITCHED.replace('busid="0000:12:00.0"', 'busid="near"', 1),
            "busid 'near' is none such as 0000:18:00.0",
        ),
        (SWITCHED.replace("mlx5_1", "mlx5_0"), "<net> has the name 'mlx5_0', as that of line"),
        (SWITCHED.replace('"0000:22:00.0"', '"0000:12:00.0"'), "<gpu> has the bus id '0000:12:00.0'"),
        ("<system><cpu numaid='0'><gpu dev='0' sm='90'/></cpu></system>", "<gpu> stands in no <pci>"),
        ("<system><pci busid='0:1.0'><gpu dev='0' sm='90'/></pci></system>", "<gpu> stands in no <cpu>"),
        ("<system>" + "<pci>" * 80 + "</pci>" * 80 + "</system>", "more elements, or deeper"),
        ('<!DOCTYPE s [<!ENTITY a "aa">]><system>&a;</system>', "f:1: a DOCTYPE is not read"),
    ],
)
def test_errors_name_the_line(text, words):
    with pytest.raises(InputError) as caught:
        read_nccl_topology(text, "f")
    assert words in str(caught.value)


def test_entities_are_never_expanded():
    nested = "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 12))
    bomb = f'<?xml version="1.0"?><!DOCTYPE system [<!ENTITY a0 "lol">{nested}]><system>&a11;</system>'
    with pytest.raises(InputError, match="DOCTYPE"):
        read_nccl_topology(bomb)


@settings(max_examples=200)
@given(st.data())
def test_no_text_ends_in_a_traceback(data):
    text = data.draw(st.sampled_from([SWITCHED, DIRECT, ""]))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text)))
        to = data.draw(st.integers(at, min(at + 40, len(text))))
        new = data.draw(
            st.one_of(st.text(max_size=6), st.sampled_from(["<gpu/>", "<", "0x", "-1", "&a;", "\0"]))
        )
        text = text[:at] + new + text[to:]
    try:
        found = read_nccl_topology(text, "f")
        assert found.scale_up_size >= 1
        assert len(found.paths) == len(found.gpus) >= found.accelerators_per_node
        assert all(found.nearest(i) is not None for i in range(len(found.gpus)))
        said = "f:"
    except InputError as error:
        said = str(error)
    assert said.startswith("f:")
