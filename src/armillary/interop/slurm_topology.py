"""Slurm's topology.conf and topology.yaml, tree and block: read and written.

Formats: https://slurm.schedmd.com/topology.conf.html and topology.yaml.html beside it, 2026-04.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from armillary.errors import InputError, did_you_mean
from armillary.interop import documents
from armillary.interop.hostlists import Expander, compress
from armillary.interop.trees import Described, Topology, grow
from armillary.network.switches import Switch

TREE_KEYS = {"switchname": "SwitchName", "switches": "Switches", "nodes": "Nodes", "linkspeed": "LinkSpeed"}
BLOCK_KEYS = {"blockname": "BlockName", "nodes": "Nodes", "blocksizes": "BlockSizes"}
LONGEST_NAME = 64
"""Characters of a switch's name that Slurm accepts. [-]"""
_NAME = re.compile(r"[^\s,=\[\]#]+\Z")


class SlurmTopology(NamedTuple):
    """One topology of Slurm.

    name : in topology.yaml. kind : ``tree``, ``block`` or ``flat``. root : switches, or a top without a name
    over the blocks. block_sizes : hosts of the base block and of larger ones [-]. default : the cluster's.
    """

    name: str
    kind: str
    root: Switch
    block_sizes: tuple[int, ...] = ()
    default: bool = False

    @property
    def topology(self) -> Topology:
        """The same as other readers give it; blocks are scale-up domains."""
        return Topology("slurm", self.root, self.root.switches if self.kind == "block" else ())


def read_slurm_conf(text: str, source: str = "topology.conf") -> SlurmTopology:
    """Read the text of a topology.conf.

    Parameters
    ----------
    text : str
    source : str
        Name of the file, for errors.

    Notes
    -----
    ``LinkSpeed`` is not read: its unit is arbitrary and Slurm does not use it.

    Raises
    ------
    InputError
        If a line cannot be read, trees and blocks are mixed, or the switches are no tree; the message has the
        line.
    """
    switches: list[Described] = []
    blocks: list[Described] = []
    sizes: tuple[int, ...] = ()
    hosts = Expander()
    for place, pairs in _lines(text, source):
        if "switchname" in pairs:
            _known(pairs, TREE_KEYS, place)
            children = hosts(pairs.get("switches", ""), place)
            nodes = hosts(pairs.get("nodes", ""), place)
            if not children and not nodes:
                raise InputError(f"{place}: switch {pairs['switchname']!r} needs Switches= or Nodes=")
            switches.append(Described(_name(pairs["switchname"], place), children, nodes, place))
        elif "blockname" in pairs:
            _known(pairs, BLOCK_KEYS, place)
            nodes = hosts(pairs.get("nodes", ""), place)
            blocks.append(Described(_name(pairs["blockname"], place), (), nodes, place))
            sizes = _sizes(pairs["blocksizes"].split(","), place) if "blocksizes" in pairs else sizes
        elif "blocksizes" in pairs:
            _known(pairs, BLOCK_KEYS, place)
            sizes = _sizes(pairs["blocksizes"].split(","), place)
        else:
            known = {**TREE_KEYS, **BLOCK_KEYS}
            key = next(iter(pairs))
            near = did_you_mean(key, known.values()) if key not in known else ""
            raise InputError(f"{place}: a line begins with SwitchName=, BlockName= or BlockSizes={near}")
    if switches and (blocks or sizes):
        place = blocks[0].place if blocks else source
        raise InputError(f"{place}: a file describes a tree or blocks; this one has both")
    if blocks:
        return SlurmTopology("", "block", Switch("", _blocks(blocks, source)), sizes, True)
    if sizes:
        raise InputError(f"{source}: BlockSizes without a block; add lines BlockName=... Nodes=...")
    return SlurmTopology("", "tree", grow(switches, source), (), True)


def read_slurm_yaml(text: str, source: str = "topology.yaml") -> tuple[SlurmTopology, ...]:
    """Read the text of a topology.yaml: one or more topologies, the cluster's default first.

    Raises
    ------
    InputError
        If it is not YAML, not a list of topologies, or one of them is no tree or has no blocks.
    """
    found: list[SlurmTopology] = []
    for document in documents.read_yaml(text, source):
        for i, item in enumerate(documents.sequence(document, source)):
            found.append(_yaml_topology(documents.mapping(item, f"{source}: item {i + 1}"), i, source))
    names = [t.name for t in found]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{source}: two topologies have the name {name!r}")
    if not found:
        raise InputError(f"{source}: no topologies in the file")
    return tuple(sorted(found, key=lambda t: not t.default))


def write_slurm_conf(root: Switch, kind: str = "tree", block_sizes: Sequence[int] = ()) -> str:
    """Text of a topology.conf, hosts compressed.

    Parameters
    ----------
    root : Switch
        A top without a name is left out. With `kind` ``block`` its children are the blocks.
    kind : str
        ``tree`` or ``block``.
    block_sizes : sequence of int
        Of blocks; by default the hosts of the smallest. [-]

    Raises
    ------
    InputError
        If `kind` is unknown or a name is none that Slurm reads.
    """
    if kind == "block":
        sizes = tuple(block_sizes) or (min((len(tuple(b.hosts())) for b in root.switches), default=0),)
        lines = [f"BlockName={_written(b.name)} Nodes={_list(b.hosts())}" for b in _written_blocks(root)]
        return "\n".join([*lines, f"BlockSizes={','.join(map(str, sizes))}"]) + "\n"
    if kind != "tree":
        raise InputError(f"topology of kind {kind!r} cannot be written to topology.conf (known: tree, block)")
    lines = []
    for switch in _down(root):
        parts = [f"SwitchName={_written(switch.name)}"]
        if switch.switches:
            parts.append(f"Switches={_list(child.name for child in switch.switches)}")
        if switch.nodes:
            parts.append(f"Nodes={_list(switch.nodes)}")
        lines.append(" ".join(parts))
    return "\n".join(lines) + "\n"


def write_slurm_yaml(topologies: Iterable[SlurmTopology]) -> str:
    """Text of a topology.yaml with these topologies, hosts compressed.

    Raises
    ------
    InputError
        If a name is none that Slurm reads.
    """
    lines = ["---"]
    for t in topologies:
        lines += [f"- topology: {_written(t.name)}", f"  cluster_default: {str(t.default).lower()}"]
        if t.kind == "flat":
            lines.append("  flat: true")
        elif t.kind == "block":
            lines += [
                "  block:",
                "    block_sizes:",
                *(f"      - {size}" for size in t.block_sizes),
                "    blocks:",
            ]
            for block in _written_blocks(t.root):
                lines += [
                    f"      - block: {_quoted(block.name)}",
                    f"        nodes: {_quoted(_list(block.hosts()))}",
                ]
        else:
            lines += ["  tree:", "    switches:"]
            for switch in _down(t.root):
                lines.append(f"      - switch: {_quoted(switch.name)}")
                if switch.switches:
                    lines.append(f"        children: {_quoted(_list(c.name for c in switch.switches))}")
                if switch.nodes:
                    lines.append(f"        nodes: {_quoted(_list(switch.nodes))}")
    return "\n".join(lines) + "\n"


def _yaml_topology(item: Mapping[str, Any], index: int, source: str) -> SlurmTopology:
    place = f"{source}: item {index + 1}"
    name = documents.name(item.get("topology"), f"{place}: topology")
    place = f"{source}: topology {name!r}"
    default = str(item.get("cluster_default", "false")).casefold() in ("true", "yes", "on", "1")
    kinds = [kind for kind in ("tree", "block", "flat") if kind in item]
    if len(kinds) != 1:
        raise InputError(
            f"{place}: needs exactly one of tree, block and flat, has {', '.join(kinds) or 'none'}"
        )
    if kinds[0] == "flat":
        return SlurmTopology(name, "flat", Switch(""), (), default)
    body = documents.mapping(item[kinds[0]], f"{place}: {kinds[0]}")
    listed, key = ("switches", "switch") if kinds[0] == "tree" else ("blocks", "block")
    found = []
    hosts = Expander()
    for i, part in enumerate(documents.sequence(body.get(listed), f"{place}: {listed}")):
        where = f"{place}: {listed}[{i}]"
        fields = documents.mapping(part, where)
        own = _name(documents.name(fields.get(key), f"{where}: {key}"), where)
        children = hosts(_text(fields.get("children", ""), f"{where}: children"), where)
        nodes = hosts(_text(fields.get("nodes", ""), f"{where}: nodes"), where)
        found.append(Described(own, children if key == "switch" else (), nodes, where))
    if kinds[0] == "tree":
        return SlurmTopology(name, "tree", grow(found, place), (), default)
    raw = documents.sequence(body.get("block_sizes"), f"{place}: block_sizes")
    sizes = _sizes([_text(size, f"{place}: block_sizes") for size in raw], place) if raw else ()
    return SlurmTopology(name, "block", Switch("", _blocks(found, place)), sizes, default)


def _lines(text: str, source: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Place and keys of each line that says something; a backslash at its end goes on with the next."""
    whole, start = "", 0
    for number, raw in enumerate([*text.splitlines(), ""], 1):
        line = raw.split("#", 1)[0].rstrip()
        start = start if whole else number
        if line.endswith("\\"):
            whole += line[:-1] + " "
            continue
        whole += line
        if whole.strip():
            place = f"{source}:{start}"
            pairs: dict[str, str] = {}
            for word in whole.split():
                key, equals, value = word.partition("=")
                if not equals or not key or not value:
                    raise InputError(f"{place}: {word[:60]!r} is not Key=Value without spaces")
                if key.casefold() in pairs:
                    raise InputError(f"{place}: {key} stands twice on the line")
                pairs[key.casefold()] = value
            yield place, pairs
        whole = ""


def _known(pairs: Mapping[str, str], keys: Mapping[str, str], place: str) -> None:
    for key in pairs:
        if key not in keys:
            near = did_you_mean(key, keys.values())
            raise InputError(f"{place}: unknown key {key[:60]!r}{near} (known: {', '.join(keys.values())})")


def _text(value: Any, place: str) -> str:
    if isinstance(value, list):
        return ",".join(_text(part, place) for part in value if not isinstance(part, list))
    if not isinstance(value, str):
        raise InputError(f"{place}: expected names as in node[01-04]")
    return value


def _sizes(words: Sequence[str], place: str) -> tuple[int, ...]:
    sizes = []
    for word in words:
        if not re.fullmatch(r"[0-9]{1,9}", word.strip()) or int(word) < 1:
            raise InputError(f"{place}: block size {word[:60]!r} is no positive whole number")
        sizes.append(int(word))
    for smaller, larger in pairwise(sizes):
        times, rest = divmod(larger, smaller)
        if rest or times < 2 or times & (times - 1):
            raise InputError(
                f"{place}: block size {larger} is not 2, 4, 8 ... times the one before it, {smaller}"
            )
    return tuple(sizes)


def _blocks(found: Sequence[Described], source: str) -> tuple[Switch, ...]:
    if not found:
        raise InputError(f"{source}: no blocks in the file")
    top = grow(found, source)
    return top.switches if len(found) > 1 else (top,)


def _name(text: str, place: str) -> str:
    if not _NAME.match(text) or len(text) > LONGEST_NAME:
        raise InputError(
            f"{place}: {text[:80]!r} is no name of one switch or block, up to {LONGEST_NAME} long"
        )
    return text


def _down(root: Switch) -> Iterator[Switch]:
    """Switches from the top down, those without a name left out."""
    tier = [root]
    while tier:
        for switch in tier:
            if not switch.switches and not switch.nodes:
                raise InputError(f"switch {switch.name!r} has neither switches nor nodes; Slurm needs one")
        yield from (switch for switch in tier if switch.name)
        tier = [child for switch in tier for child in switch.switches]


def _written_blocks(root: Switch) -> tuple[Switch, ...]:
    return root.switches or (root,)


def _written(text: str) -> str:
    if not _NAME.match(text) or len(text) > LONGEST_NAME:
        raise InputError(
            f"{text[:80]!r} cannot be written as a name for Slurm: no spaces, commas, '=' or brackets"
        )
    return text


def _list(names: Iterable[str]) -> str:
    return compress(_written(name) for name in names)


def _quoted(text: str) -> str:
    return (
        text
        if re.fullmatch(r"[A-Za-z_][\w.\[\],-]*", text)
        else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    )
