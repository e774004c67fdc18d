"""What `aws ec2 describe-instance-topology` prints, one page or several.

Format: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_InstanceTopology.html (2026-11): network
nodes are named from the top down, and a Capacity Block identifies the UltraServer an instance is part of.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from armillary.errors import InputError
from armillary.interop import documents
from armillary.interop.trees import Topology, along, gather


def read_ec2_topology(text: str, source: str = "instance topology") -> Topology:
    """Read the JSON of DescribeInstanceTopology.

    Parameters
    ----------
    text : str
        Pages of output, one behind the other, or in a list.
    source : str
        Name of the file, for errors.

    Returns
    -------
    Topology
        Instances by their network nodes; one without any (stopped, or of a type that is not supported) under
        ``no-topology``. `domains` are the UltraServers.

    Raises
    ------
    InputError
        If it is not JSON, lacks ``Instances``, an instance is named twice, or the network nodes are no tree.
    """
    paths: list[tuple[str, list[str], str]] = []
    domains: list[tuple[str, str]] = []
    for place, instance in _instances(text, source):
        host = documents.name(instance.get("InstanceId"), f"{place}: InstanceId")
        nodes = documents.sequence(instance.get("NetworkNodes"), f"{place}: NetworkNodes of {host}")
        path = [documents.name(node, f"{place}: NetworkNodes of {host}") for node in nodes]
        paths.append((host, path, place))
        block = instance.get("CapacityBlockId")
        domains.append((documents.name(block, f"{place}: CapacityBlockId") if block else "", host))
    if not paths:
        raise InputError(f"{source}: no instances in the file")
    return Topology("ec2", along(paths, source), gather(domains))


def _instances(text: str, source: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    count = 0
    for value in documents.read_json(text, source):
        for page in value if isinstance(value, list) else [value]:
            if not isinstance(page, dict) or "Instances" not in page:
                raise InputError(
                    f"{source}: expected objects with Instances, as DescribeInstanceTopology gives"
                )
            for instance in documents.sequence(page["Instances"], f"{source}: Instances"):
                place = f"{source}: Instances[{count}]"
                count += 1
                yield place, documents.mapping(instance, place)
