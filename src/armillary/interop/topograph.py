"""What NVIDIA Topograph reads and writes: Slurm files with its comments, node labels, models, its graph.

Formats: https://github.com/NVIDIA/topograph (docs/modeling.md, docs/engines/slurm.md, docs/engines/graph.md,
docs/reference/node-labels.md, tests/models/, pkg/models/model.go; 2026-04).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from armillary.errors import InputError
from armillary.interop import documents
from armillary.interop.hostlists import Expander
from armillary.interop.slurm_topology import read_slurm_conf
from armillary.interop.trees import Described, Topology, along, gather, grow
from armillary.network.switches import Switch

PREFIX = "network.topology.nvidia.com/"
TIERS = ("core", "spine", "leaf")
"""Labels of switches, from the top down."""
AWS_TIERS = tuple(f"topology.k8s.aws/network-node-layer-{i}" for i in (1, 2, 3))
"""Labels that EC2 sets on nodes of EKS, from the top down; read where Topograph's are not there."""
NAMED = re.compile(r"^#\s*([^\s=#]+)=(\S.*?)\s*$", re.MULTILINE)
"""A comment that says what a switch or block is called outside Slurm."""


def read_topograph_conf(text: str, source: str = "topology.conf") -> Topology:
    """Read a topology.conf that Topograph wrote; switches and blocks get the names of its comments.

    Returns
    -------
    Topology
        Of kind ``slurm``, as it stands, where no comment names a switch or block.

    Raises
    ------
    InputError
        As `read_slurm_conf`; also if two would get one name.
    """
    found = read_slurm_conf(text, source).topology
    names = dict(NAMED.findall(text))
    seen: dict[str, str] = {}

    def renamed(switch: Switch) -> Switch:
        name = names.get(switch.name, switch.name)
        if name and seen.setdefault(name, switch.name) != switch.name:
            raise InputError(
                f"{source}: comments give {seen[name]!r} and {switch.name!r} the same name, {name!r}"
            )
        return Switch(name, tuple(renamed(child) for child in switch.switches), switch.nodes)

    tree = renamed(found.tree)
    if all(name == own for name, own in seen.items()):
        return found
    return Topology("topograph-slurm", tree, tree.switches if found.domains else ())


def read_node_labels(text: str, source: str = "nodes") -> Topology:
    """Read nodes of Kubernetes with Topograph's labels, as ``kubectl get nodes`` prints with -o json or yaml.

    Returns
    -------
    Topology
        Nodes by their ``core``, ``spine`` and ``leaf`` labels (those that are there), else by EC2's
        ``network-node-layer`` labels; a node with neither under ``no-topology``. `domains` are those of
        ``accelerator``; where no node says more, they are the tree.

    Raises
    ------
    InputError
        If it is no list of nodes, no node has a label of the network, or they make no tree.
    """
    paths: list[tuple[str, list[str], str]] = []
    domains: list[tuple[str, str]] = []
    for place, node in _nodes(text, source):
        metadata = documents.mapping(node.get("metadata"), f"{place}: metadata")
        host = documents.name(metadata.get("name"), f"{place}: metadata.name")
        labels = documents.mapping(metadata.get("labels"), f"{place}: metadata.labels")
        own = [PREFIX + tier for tier in TIERS]
        keys = own if any(key in labels for key in own) else AWS_TIERS
        path = [documents.name(labels[key], f"{place}: label {key}") for key in keys if labels.get(key)]
        paths.append((host, path, place))
        domain = labels.get(PREFIX + "accelerator")
        domains.append(
            (documents.name(domain, f"{place}: label {PREFIX}accelerator") if domain else "", host)
        )
    if not paths:
        raise InputError(f"{source}: no nodes in the file")
    blocks = gather(domains)
    if not blocks and not any(path for _, path, _ in paths):
        raise InputError(f"{source}: no node has a label {PREFIX}leaf, spine, core or accelerator")
    if not any(path for _, path, _ in paths):
        paths = [
            (host, [domain] if domain else [], place)
            for (host, _, place), (domain, _) in zip(paths, domains, strict=True)
        ]
    return Topology("kubernetes", along(paths, source), blocks)


def read_topograph_graph(text: str, source: str = "graph") -> Topology:
    """Read the JSON of Topograph's graph engine: instances with their network layers, the nearest first.

    Raises
    ------
    InputError
        If it is not JSON, lacks ``instances``, or they make no tree.
    """
    paths: list[tuple[str, list[str], str]] = []
    domains: list[tuple[str, str]] = []
    for page in documents.read_json(text, source):
        found = documents.mapping(page, source)
        for i, item in enumerate(documents.sequence(found.get("instances"), f"{source}: instances")):
            place = f"{source}: instances[{i}]"
            instance = documents.mapping(item, place)
            host = documents.name(instance.get("id"), f"{place}: id")
            layers = documents.sequence(instance.get("network_layers"), f"{place}: network_layers")
            path = [documents.name(layer, f"{place}: network_layers") for layer in reversed(layers)]
            paths.append((host, path, place))
            domains.append((_nvlink(instance, place), host))
    if not paths:
        raise InputError(f"{source}: no instances in the file")
    return Topology("topograph-graph", along(paths, source), gather(domains))


def read_topograph_model(text: str, source: str = "model") -> Topology:
    """Read a cluster model of Topograph: switches by name, or in a list as its older models have them.

    Returns
    -------
    Topology
        `domains` by ``attributes.nvlink`` of node or capacity block, else by capacity block.

    Raises
    ------
    InputError
        If it is not YAML, lacks ``switches``, names something that is not there, or is no tree.
    """
    (document, *more) = documents.read_yaml(text, source)
    model = documents.mapping(document, source)
    if more or "switches" not in model:
        raise InputError(
            f"{source}: expected one document with switches, as docs/modeling.md of Topograph says"
        )
    blocks = dict(_entries(model.get("capacity_blocks"), f"{source}: capacity_blocks"))
    hosts = dict(_entries(model.get("nodes"), f"{source}: nodes"))
    names = Expander()
    members = {
        name: _names(block, "nodes", f"{source}: capacity block {name!r}", names)
        for name, block in blocks.items()
    }
    known = set(hosts).union(*members.values())
    below, domains = _attached(model.get("blocks"), f"{source}: blocks", names)
    placed: dict[str, str] = {}
    described = []
    for name, switch in _entries(model["switches"], f"{source}: switches"):
        place = f"{source}: switch {name!r}"
        nodes = _names(switch, "nodes", place, names)
        for node in nodes:
            if known and node not in known:
                raise InputError(f"{place}: node {node!r} is neither in nodes nor in capacity_blocks")
        for block in _names(switch, "capacity_blocks", place, names):
            if block not in members:
                raise InputError(f"{place}: capacity block {block!r} is unknown here")
            if block in placed:
                raise InputError(
                    f"{place}: capacity block {block!r} is named twice, first by {placed[block]!r}"
                )
            placed[block] = name
            nodes += members[block]
        nodes += below.pop(name, [])
        described.append(Described(name, _names(switch, "switches", place, names), nodes, place))
    if below:
        raise InputError(f"{source}: blocks: switch {next(iter(below))!r} is unknown here")
    domains += _domains(hosts, blocks, members, source)
    return Topology("topograph-model", grow(described, source), gather(domains))


def _attached(value: Any, place: str, names: Expander) -> tuple[dict[str, list[str]], list[tuple[str, str]]]:
    """Nodes by switch of the section `blocks` of newer models, and their domains."""
    below: dict[str, list[str]] = {}
    domains: list[tuple[str, str]] = []
    for i, item in enumerate(documents.sequence(value, place)):
        where = f"{place}[{i}]"
        fields = documents.mapping(item, where)
        nodes = _names(fields, "nodes", where, names)
        below.setdefault(documents.name(fields.get("switch"), f"{where}: switch"), []).extend(nodes)
        notes = documents.mapping(fields.get("annotations"), f"{where}: annotations")
        said = next((text for key, text in notes.items() if key.endswith("/domain")), "")
        domain = documents.name(said, f"{where}: annotations") if said else ""
        domains += [(domain, node) for node in nodes]
    return below, domains


def _domains(
    hosts: Mapping[str, Any], blocks: Mapping[str, Any], members: Mapping[str, list[str]], source: str
) -> Iterator[tuple[str, str]]:
    """Pairs of domain and host: what the host says, else what its block does."""
    owner: dict[str, str] = {}
    for block, nodes in members.items():
        for node in nodes:
            if owner.setdefault(node, block) != block:
                raise InputError(
                    f"{source}: node {node!r} is in capacity blocks {owner[node]!r} and {block!r}"
                )
    for node in dict.fromkeys([*hosts, *owner]):
        fields = hosts.get(node) or {}
        place = f"{source}: node {node!r}"
        named = fields.get("capacity_block")
        block = documents.name(named, f"{place}: capacity_block") if named else ""
        if block and owner.get(node, block) != block:
            raise InputError(f"{place}: capacity_block is {block!r}, but {owner[node]!r} lists it")
        block = block or owner.get(node, "")
        said = blocks.get(block) or {}
        yield _nvlink(fields, place) or _nvlink(said, f"{source}: capacity block {block!r}") or block, node


def _nvlink(fields: Mapping[str, Any], place: str) -> str:
    attributes = documents.mapping(fields.get("attributes"), f"{place}: attributes")
    value = attributes.get("nvlink") or fields.get("nvlink")
    return documents.name(value, f"{place}: nvlink") if value else ""


def _entries(value: Any, place: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Names and fields of a section: a mapping by name, or a list of mappings with a name."""
    if isinstance(value, list):
        seen = set()
        for i, item in enumerate(value):
            where = f"{place}[{i}]"
            fields: Mapping[str, Any] = (
                {"name": item} if isinstance(item, str) else documents.mapping(item, where)
            )
            name = documents.name(fields.get("name"), f"{where}: name")
            if name in seen:
                raise InputError(f"{where}: {name!r} is named twice")
            seen.add(name)
            yield name, fields
    else:
        for name, fields in documents.mapping(value, place).items():
            yield documents.name(name, place), documents.mapping(fields, f"{place}.{name}")


def _names(fields: Mapping[str, Any], key: str, place: str, names: Expander) -> list[str]:
    """Names of a list, ranges written out."""
    found: list[str] = []
    for item in documents.sequence(fields.get(key), f"{place}: {key}"):
        found += names(documents.name(item, f"{place}: {key}"), f"{place}: {key}")
    return found


def _nodes(text: str, source: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    json_like = text.lstrip()[:1] in ("{", "[")
    values = documents.read_json(text, source) if json_like else documents.read_yaml(text, source)
    count = 0
    for value in values:
        top = documents.mapping(value, source)
        if top.get("kind") not in ("List", "NodeList", "Node"):
            raise InputError(f"{source}: expected kind List or Node, as kubectl get nodes -o json prints")
        items = [top] if top["kind"] == "Node" else documents.sequence(top.get("items"), f"{source}: items")
        for item in items:
            place = f"{source}: items[{count}]"
            count += 1
            node = documents.mapping(item, place)
            if node.get("kind", "Node") != "Node":
                raise InputError(f"{place}: expected kind Node, got {str(node['kind'])[:60]!r}")
            yield place, node
