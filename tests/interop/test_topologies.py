"""Readers of clusters' topologies: real formats, errors that name the element, there and back, fuzz."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from armillary.errors import InputError
from armillary.interop import (
    KINDS,
    SlurmTopology,
    read_description,
    read_ec2_topology,
    read_node_labels,
    read_slurm_conf,
    read_slurm_yaml,
    read_topograph_graph,
    read_topograph_model,
    read_topology,
    write_slurm_conf,
    write_slurm_yaml,
)
from armillary.interop.topologies import recognise
from armillary.network.switches import Switch

HERE = Path(__file__).parent
FILES = {
    "topology.conf": "slurm",
    "topology.yaml": "slurm",
    "topograph_tree.conf": "topograph-slurm",
    "topograph_block.conf": "topograph-slurm",
    "topograph_model.yaml": "topograph-model",
    "topograph_model_listed.yaml": "topograph-model",
    "topograph_graph.json": "topograph-graph",
    "nodes.json": "kubernetes",
    "instances.json": "ec2",
}


def shape(switch: Switch) -> object:
    """Names only: hosts of a leaf, or switches by name."""
    below = {child.name: shape(child) for child in switch.switches}
    return [*switch.nodes, below] if switch.nodes and below else below or list(switch.nodes)


@pytest.mark.parametrize(("name", "kind"), FILES.items())
def test_kinds_are_known_by_what_is_in_the_file(name, kind, tmp_path):
    assert set(FILES.values()) == set(KINDS)
    other = tmp_path / "some.file"
    other.write_text((HERE / name).read_text())
    found = read_description(other)
    assert found.kind == kind
    assert found == read_description(HERE / name)
    assert read_topology(other) == found.tree
    hosts = list(found.tree.hosts())
    assert len(set(hosts)) == len(hosts) >= 3
    assert {h for d in found.domains for h in d.hosts()} <= set(hosts)


def test_slurm_tree():
    found = read_topology(HERE / "topology.conf")
    assert shape(found) == {
        "spine1": {
            "leaf01": ["gpu001", "gpu002", "gpu003", "gpu004"],
            "leaf02": ["gpu005", "gpu006", "gpu007", "gpu010"],
        },
        "spine2": {"leaf03": ["login1", "gpu011", "gpu012"]},
    }
    assert (found.name, found.depth) == ("core", 3)


def test_slurm_yaml_gives_the_default_first_and_all_of_them():
    text = (HERE / "topology.yaml").read_text()
    fabric, nvlink, login = read_slurm_yaml(text)
    assert (fabric.name, fabric.kind, fabric.default) == ("fabric", "tree", True)
    assert (nvlink.kind, nvlink.block_sizes) == ("block", (2, 4))
    assert [d.name for d in nvlink.topology.domains] == ["rack1", "rack2"]
    assert login.kind == "flat"
    moved = text.replace("cluster_default: true", "cluster_default: false")
    moved = moved.replace("nvlink\n  cluster_default: false", "nvlink\n  cluster_default: true")
    assert recognise(moved, "x").tree == nvlink.root


def test_topograph_names_switches_by_their_comments():
    tree = read_description(HERE / "topograph_tree.conf").tree
    assert shape(tree) == {
        "core": {"spine-a": {"S-1070fd0300e1": ["node11", "node12"], "S-1070fd0300e2": ["node21", "node22"]}},
        "no-topology": ["cpu1"],
    }
    blocks = read_description(HERE / "topograph_block.conf")
    assert [(d.name, len(d.nodes)) for d in blocks.domains] == [("nvl-1-1", 18), ("nvl-1-2", 18)]


def test_comments_of_other_people_change_nothing():
    text = "# SwitchName=old Nodes=n9\n# speed=fast\nSwitchName=s1 Nodes=n[1-2]\n"
    found = recognise(text, "x")
    assert (found.kind, found.tree) == ("slurm", Switch("s1", nodes=("n1", "n2")))


def test_topograph_models_of_every_form():
    new = read_description(HERE / "topograph_model.yaml")
    assert shape(new.tree) == {"spine": {"leaf1": ["n1", "n2"], "leaf2": ["n3"]}}
    assert [(d.name, d.nodes) for d in new.domains] == [("nvl1", ("n1", "n2")), ("nvl9", ("n3",))]
    old = read_description(HERE / "topograph_model_listed.yaml")
    assert shape(old.tree) == {"sw11": ["n11-1", "n11-2"], "sw12": ["n12-1", "n12-2"]}
    assert [d.name for d in old.domains] == ["nvl1", "nvl2"]
    newest = """
switches:
  spine: {switches: [tor]}
  tor: {}
blocks:
- switch: tor
  nodes: ["n[11-12]"]
  annotations: {accelerator.topology.test/domain: nvl1}
"""
    found = read_topograph_model(newest)
    assert shape(found.tree) == {"tor": ["n11", "n12"]}
    assert [(d.name, d.nodes) for d in found.domains] == [("nvl1", ("n11", "n12"))]


def test_topograph_graph_lists_the_nearest_layer_first():
    found = read_description(HERE / "topograph_graph.json")
    assert (found.tree.name, shape(found.tree)) == ("spine-a", {"leaf-a": ["I21", "I22"], "leaf-b": ["I34"]})
    assert [d.nodes for d in found.domains] == [("I21", "I22")]


def test_kubernetes_labels():
    found = read_description(HERE / "nodes.json")
    assert shape(found.tree) == {
        "spine1": {"leaf1": ["worker-1"], "leaf2": ["worker-2"]},
        "no-topology": ["control"],
    }
    assert [(d.name, d.nodes) for d in found.domains] == [("nvl1.1", ("worker-1", "worker-2"))]
    nodes = json.loads((HERE / "nodes.json").read_text())
    as_yaml = "kind: List\nitems:\n" + "".join(
        f"- kind: Node\n  metadata:\n    name: {n['metadata']['name']}\n    labels:\n"
        + "".join(f"      {k}: {v}\n" for k, v in n["metadata"]["labels"].items())
        for n in nodes["items"]
    )
    assert recognise(as_yaml, "x") == found
    bare = json.loads((HERE / "nodes.json").read_text())
    for node in bare["items"]:
        for tier in ("leaf", "spine"):
            node["metadata"]["labels"].pop(f"network.topology.nvidia.com/{tier}", None)
    only = read_node_labels(json.dumps(bare))
    assert shape(only.tree) == {"nvl1.1": ["worker-1", "worker-2"], "no-topology": ["control"]}
    eks = {
        "kind": "Node",
        "metadata": {
            "name": "a",
            "labels": {f"topology.k8s.aws/network-node-layer-{i}": f"nn-{i}" for i in (1, 2, 3)},
        },
    }
    assert read_node_labels(json.dumps(eks)).tree.name == "nn-1"


def test_ec2_pages_are_put_together_from_the_top_down():
    found = read_description(HERE / "instances.json")
    assert shape(found.tree) == {
        "nn-1111": {
            "nn-2222": {"nn-3333": ["i-0a1"], "nn-4444": ["i-0a2"]},
            "nn-5555": {"nn-6666": ["i-0b1"]},
        },
        "no-topology": ["i-0c1"],
    }
    assert [(d.name, d.nodes) for d in found.domains] == [("cb-01", ("i-0a1", "i-0a2"))]


names = st.from_regex(r"[a-z]{1,4}[0-9]{0,3}", fullmatch=True)


@st.composite
def trees(draw):
    """Trees of up to three tiers with names of their own."""
    switches = draw(st.lists(names, min_size=2, max_size=9, unique=True))
    hosts = draw(st.lists(names.map(lambda n: "h-" + n), min_size=9, max_size=40, unique=True))
    leaves = [Switch(f"l{n}", nodes=tuple(hosts[i :: len(switches)])) for i, n in enumerate(switches)]
    cut = draw(st.integers(1, len(leaves) - 1))
    spines = (Switch("spine-a", tuple(leaves[:cut])), Switch("spine-b", tuple(leaves[cut:])))
    return draw(st.sampled_from([Switch("", spines), Switch("core", spines), Switch("flat", tuple(leaves))]))


@given(trees())
def test_slurm_trees_come_back_as_they_were_written(tree):
    assert read_slurm_conf(write_slurm_conf(tree)).root == tree
    topology = SlurmTopology("t1", "tree", tree, (), True)
    assert read_slurm_yaml(write_slurm_yaml([topology])) == (topology,)


@given(st.integers(1, 6), st.integers(1, 30))
def test_slurm_blocks_come_back_as_they_were_written(blocks, size):
    parts = tuple(
        Switch(f"b{i}", nodes=tuple(f"n{i * size + j:05d}" for j in range(size))) for i in range(blocks)
    )
    root = Switch("", parts)
    text = write_slurm_conf(root, "block", (size, 2 * size))
    assert len(text) < 60 * (blocks + 1)
    found = read_slurm_conf(text)
    assert (found.root, found.block_sizes, found.kind) == (root, (size, 2 * size), "block")
    topology = SlurmTopology("t1", "block", root, (size,), False)
    assert read_slurm_yaml(write_slurm_yaml([topology])) == (topology,)


def test_names_that_slurm_cannot_read_are_not_written():
    for bad in (Switch("a b", nodes=("n",)), Switch("s", nodes=("n[1]",)), Switch("s", nodes=("a,b",))):
        with pytest.raises(InputError, match="cannot be written as a name for Slurm"):
            write_slurm_conf(bad)
    with pytest.raises(InputError, match="'s' has neither switches nor nodes"):
        write_slurm_conf(Switch("s"))
    with pytest.raises(InputError, match="kind 'torus'"):
        write_slurm_conf(Switch("s", nodes=("n",)), "torus")


def test_awkward_names_survive_yaml():
    tree = Switch("001", (Switch("no", nodes=("1e3", "~", "0x1f")), Switch("true", nodes=("null",))))
    topology = SlurmTopology("on", "tree", tree, (), True)
    assert read_slurm_yaml(write_slurm_yaml([topology])) == (topology,)


DEEP = "\n".join(f"SwitchName=s{i} Switches=s{i + 1}" for i in range(40)) + "\nSwitchName=s40 Nodes=n1\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (" ", "f: the file is empty"),
        ("hello", "no topology file of a known kind; known are Slurm's topology.conf"),
        ("{}", "no topology file of a known kind"),
        ("[1, 2]", "no topology file of a known kind"),
        ("<html></html>", "no topology file of a known kind"),
        ("<system version='1'/>", "describes the inside of a node"),
        ("SwitchName=a Nodes=n1\nSwitchName=a Nodes=n2", "f:2: switch 'a' is described twice; first at f:1"),
        (
            "SwitchName=a Nodes=n1\nSwitchName=b Nodes=n[1-2]",
            "f:2: node 'n1' is named twice, under 'a' and 'b'",
        ),
        ("SwitchName=a Nodes=n1,n1", "f:1: node 'n1' is named twice"),
        ("SwitchName=a Switches=b,leaf1\nSwitchName=b Nodes=x", "names 'leaf1', unknown here"),
        (
            "SwitchName=a Switches=b\nSwitchName=b Nodes=x\nSwitchName=c Switches=b",
            "'b' is named twice, under 'a'",
        ),
        ("SwitchName=a Switches=b\nSwitchName=b Switches=a", "f:1: switches 'a', 'b' go round in a circle"),
        ("SwitchName=a Switches=a", "go round in a circle"),
        (
            "SwitchName=t Nodes=n\nSwitchName=a Switches=b\nSwitchName=b Switches=a",
            "f:2: switches 'a', 'b' go round",
        ),
        (DEEP, "nested deeper than 32 tiers"),
        ("SwitchName=a", "f:1: switch 'a' needs Switches= or Nodes="),
        ("SwitchName=a Nodes=n[1-", "f:1: hostlist 'n[1-': a bracket is not closed"),
        ("SwitchName=a Nodes=n1 Colour=red", "f:1: unknown key 'colour'"),
        ("SwitchName=a Node=n1", "did you mean 'Nodes'"),
        ("SwitchName=a Nodes=n1 Nodes=n2", "Nodes stands twice on the line"),
        ("SwitchName=a Nodes = n1", "'Nodes' is not Key=Value without spaces"),
        ("SwitchName=a[1-2] Nodes=n1", "is no name of one switch or block"),
        ("Nodes=n1", "f:1: a line begins with SwitchName="),
        ("SwitchName=a Nodes=n1\nBlockName=b Nodes=n2", "f:2: a file describes a tree or blocks"),
        ("BlockSizes=4", "BlockSizes without a block"),
        ("BlockName=b Nodes=n1\nBlockSizes=4,6", "f:2: block size 6 is not 2, 4, 8 ... times"),
        ("BlockName=b Nodes=n1\nBlockSizes=0", "block size '0' is no positive whole number"),
        ("BlockName=b Nodes=n1\nBlockName=c Nodes=n1", "node 'n1' is named twice"),
        ("# x=same\n# y=same\nSwitchName=x Switches=y\nSwitchName=y Nodes=n", "the same name, 'same'"),
        ("- topology: t\n  tree: {}", "no switches in the file"),
        ("- topology: t", "needs exactly one of tree, block and flat, has none"),
        ("- topology: t\n  flat: true\n  tree: {}", "has tree, flat"),
        ("- topology: t\n  flat: true", "is flat: it has no switches"),
        ("- topology: t\n  block: {blocks: []}", "no blocks in the file"),
        ("- topology: t\n  tree: [1]", "f: topology 't': tree: expected a mapping"),
        ("- topology: t\n  tree: {switches: [{switch: a, nodes: {}}]}", "expected names as in node[01-04]"),
        ("- topology: t\n  flat: true\n- topology: t\n  flat: true", "two topologies have the name 't'"),
        ("- &a {topology: t}\n- *a", "an alias (*) is not read"),
        (
            "switches: {a: {nodes: [n1]}, a: {}}",
            "f:1:30: is not YAML that can be read: the key 'a' stands twice",
        ),
        ("switches: [", "is not YAML that can be read"),
        ("switches: {a: {switches: [b]}}", "names 'b', unknown here"),
        ("switches: {a: {nodes: n1}}", "switch 'a': nodes: expected a list"),
        (
            "switches: {a: {nodes: [n1]}}\nnodes: {n2: {}}",
            "node 'n1' is neither in nodes nor in capacity_blocks",
        ),
        ("switches: {a: {capacity_blocks: [c]}}", "capacity block 'c' is unknown here"),
        (
            "switches: {a: {capacity_blocks: [c, c]}}\ncapacity_blocks: {c: {nodes: [n]}}",
            "capacity block 'c' is named twice, first by 'a'",
        ),
        ("switches: {a: {}}\nblocks: [{switch: b, nodes: [n]}]", "switch 'b' is unknown here"),
        (
            "switches: {a: {nodes: [n]}}\nnodes: {n: {capacity_block: x}}\n"
            "capacity_blocks: {y: {nodes: [n]}}",
            "node 'n': capacity_block is 'x', but 'y' lists it",
        ),
        ('{"Instances": [{"InstanceId": "i"', "f:1:34: is not JSON"),
        ('{"Instances": []}', "no instances in the file"),
        ('{"Instances": [{}]}', "Instances[0]: InstanceId: expected a name without spaces, got nothing"),
        ('{"Instances": [{"InstanceId": "i", "NetworkNodes": "a"}]}', "NetworkNodes of i: expected a list"),
        ('{"Instances": [{"InstanceId": "i"}, {"InstanceId": "i"}]}', "node 'i' is named twice"),
        ('{"Instances": [{"InstanceId": "i", "NetworkNodes": ["a", "a"]}]}', "passes a switch twice: a > a"),
        (
            '{"Instances": [{"InstanceId": "i", "NetworkNodes": ["a", "b"]},'
            ' {"InstanceId": "j", "NetworkNodes": ["c", "b"]}]}',
            "Instances[1]: switch 'b' is under 'c' here, but under 'a' at f: Instances[0]",
        ),
        ('{"Instances": [], "Instances": []}', "the key 'Instances' stands twice in one object"),
        ('{"items": [], "kind": "PodList"}', "expected kind List or Node"),
        ('{"items": [], "kind": "List"}', "no nodes in the file"),
        ('{"items": [{"metadata": {"name": "n"}}], "kind": "List"}', "no node has a label"),
        ('{"items": [{"kind": "Pod"}], "kind": "List"}', "items[0]: expected kind Node, got 'Pod'"),
        ('{"instances": []}', "no instances in the file"),
        (
            '{"instances": [{"id": "x", "network_layers": [1]}]}',
            "expected a name without spaces, got a number",
        ),
        ("[" * 100_000, "is nested too deeply"),
        ("- " + "[" * 200 + "]" * 200, "too deeply nested"),
    ],
)
def test_errors_name_the_element(text, words):
    with pytest.raises(InputError) as caught:
        recognise(text, "f")
    assert words in str(caught.value)


def test_files_that_cannot_be_read(tmp_path):
    for content, words in ((b"", "the file is empty"), (b"\xff\xfe\x00", "is not UTF-8 text")):
        path = tmp_path / "topology.conf"
        path.write_bytes(content)
        with pytest.raises(InputError, match=words):
            read_topology(path)
    with pytest.raises(InputError, match="No such file"):
        read_topology(tmp_path / "absent")
    with pytest.raises(InputError, match="cannot be read"):
        read_topology(tmp_path)


TEXTS = [(HERE / name).read_text() for name in FILES]
READERS = (
    *(read_slurm_conf, read_slurm_yaml, read_ec2_topology, read_node_labels),
    *(read_topograph_graph, read_topograph_model, recognise),
)
PIECES = [
    "{",
    "}",
    "[",
    "]",
    '"',
    ":",
    ",",
    "=",
    "\n",
    "*a",
    "&a ",
    "!!python",
    "[1-9]",
    "null",
    "1e999",
    "\0",
    "- ",
]


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=300)
@given(st.data())
def test_no_text_ends_in_a_traceback(data):
    """Real files with parts cut out, put in twice, or replaced; and texts of nothing but marks."""
    text = data.draw(st.sampled_from([*TEXTS, ""]))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text)))
        to = data.draw(st.integers(at, min(at + 60, len(text))))
        new = data.draw(st.one_of(st.sampled_from(PIECES), st.text(max_size=5), st.just(text[at:to] * 2)))
        text = text[:at] + new + text[to:]
    for reader in READERS:
        try:
            reader(text, "f")
            said = "f"
        except InputError as error:
            said = str(error)
        assert said.startswith("f")


def test_large_clusters_are_read_in_a_breath():
    leaves = tuple(
        Switch(f"leaf{i:05d}", nodes=tuple(f"n{i * 18 + j:06d}" for j in range(18))) for i in range(4000)
    )
    spines = tuple(Switch(f"spine{i}", leaves[i * 40 : (i + 1) * 40]) for i in range(100))
    tree = Switch("core", spines)
    assert read_slurm_conf(write_slurm_conf(tree)).root == tree
