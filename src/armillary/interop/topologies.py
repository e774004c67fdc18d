"""Topology files of any known kind, recognised by what is in them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from armillary.errors import InputError
from armillary.interop import documents
from armillary.interop.ec2_topology import read_ec2_topology
from armillary.interop.slurm_topology import read_slurm_conf, read_slurm_yaml
from armillary.interop.topograph import (
    NAMED,
    read_node_labels,
    read_topograph_conf,
    read_topograph_graph,
    read_topograph_model,
)
from armillary.interop.trees import Topology
from armillary.network.switches import Switch

KINDS = {
    "slurm": "Slurm's topology.conf or topology.yaml",
    "topograph-slurm": "a topology.conf by NVIDIA Topograph",
    "topograph-model": "a cluster model of NVIDIA Topograph (YAML with switches)",
    "topograph-graph": "JSON of Topograph's graph engine",
    "kubernetes": "nodes with Topograph's labels (kubectl get nodes -o json or yaml)",
    "ec2": "JSON of aws ec2 describe-instance-topology",
}
"""Kinds of files that `read_topology` knows."""
_CONF = re.compile(r"^\s*(SwitchName|BlockName|BlockSizes|Switches|Nodes)\s*=", re.MULTILINE | re.IGNORECASE)


def read_topology(path: Path | str) -> Switch:
    """Switches of a cluster's network from a file of any kind of `KINDS`.

    Raises
    ------
    InputError
        If the file cannot be read, is of no known kind, or is wrong in itself; the message names the place.
    """
    return read_description(path).tree


def read_description(path: Path | str) -> Topology:
    """The same with the scale-up domains, where the file says them, and the kind of file.

    Raises
    ------
    InputError
        As `read_topology`.
    """
    path = Path(path)
    return recognise(documents.read_file(path), path.name)


def recognise(text: str, source: str) -> Topology:
    """Read a text of any kind of `KINDS`.

    Raises
    ------
    InputError
        As `read_topology`.
    """
    start = text.lstrip("\ufeff \t\r\n")
    if start.startswith("<"):
        if re.search(r"<system[\s>]", text):
            raise InputError(
                f"{source}: a NCCL topology describes the inside of a node, not a cluster; "
                "interop.read_nccl_topology reads it"
            )
        raise _unknown(source)
    if start[:1] in ("{", "["):
        return _json(text, source)
    if _CONF.search(text):
        if NAMED.search(text):
            return read_topograph_conf(text, source)
        return read_slurm_conf(text, source).topology
    return _yaml(text, source)


def _json(text: str, source: str) -> Topology:
    first = documents.read_json(text, source)[0]
    page = first[0] if isinstance(first, list) and first else first
    readers: dict[str, Callable[[str, str], Topology]] = {
        "Instances": read_ec2_topology,
        "instances": read_topograph_graph,
        "items": read_node_labels,
        "metadata": read_node_labels,
        "switches": read_topograph_model,
    }
    for key, reader in readers.items():
        if isinstance(page, dict) and key in page:
            return reader(text, source)
    raise _unknown(source)


def _yaml(text: str, source: str) -> Topology:
    first = documents.read_yaml(text, source)[0]
    if isinstance(first, list) and any(isinstance(item, dict) and "topology" in item for item in first):
        default = read_slurm_yaml(text, source)[0]
        if default.kind == "flat":
            raise InputError(f"{source}: the default topology {default.name!r} is flat: it has no switches")
        return default.topology
    if isinstance(first, dict) and "switches" in first:
        return read_topograph_model(text, source)
    if isinstance(first, dict) and first.get("kind") in ("List", "NodeList", "Node"):
        return read_node_labels(text, source)
    raise _unknown(source)


def _unknown(source: str) -> InputError:
    return InputError(f"{source}: no topology file of a known kind; known are {'; '.join(KINDS.values())}")
