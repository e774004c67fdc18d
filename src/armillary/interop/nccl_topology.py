"""NCCL's topology files (NCCL_TOPO_FILE, NCCL_TOPO_DUMP_FILE): the inside of one node, read.

Format: NVIDIA/nccl, src/graph/xml.cc and topo.cc. A file with a DOCTYPE is refused, so that no entity is ever
expanded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple
from xml.parsers import expat

from armillary.errors import InputError

LINK_BANDWIDTH = ((100, 40.1e9), (90, 20.6e9), (86, 12.0e9), (80, 20.0e9), (70, 20.0e9), (60, 18.0e9))
"""Of one NVLink, one direction, from this compute capability up; SM86 is that one alone [byte/s]. What NCCL
counts with: NVIDIA/nccl 2.30, src/graph/topo.h, SM60_NVLINK_BW to SM100_NVLINK_BW."""
NVSWITCH = "0x0680"
"""PCI class of an NVSwitch, at the far end of a link."""
MOST_ELEMENTS, MOST_NESTING = 500_000, 64
PATHS = ("PIX", "PXB", "PHB", "SYS")
"""NCCL's names of the way between devices: one PCI switch, several, the CPU's host bridge, between CPUs."""


class Gpu(NamedTuple):
    """An accelerator. device, rank [-]; architecture : compute capability, 90 for Hopper [-].

    host : which host of the file, 0 for the first [-]. links : NVLinks [-]. bandwidth : of all of them, one
    direction [byte/s]. switched : True where they go to NVSwitches. peers : bus ids of accelerators at the
    other end, where they go there directly.
    """

    device: int
    rank: int
    architecture: int
    bus: str
    host: int
    numa: int
    links: int
    bandwidth: float
    switched: bool
    peers: tuple[str, ...]


class Nic(NamedTuple):
    """A network device. bandwidth : one direction [byte/s]. port, host, numa [-]."""

    name: str
    bandwidth: float
    port: int
    bus: str
    host: int
    numa: int


class NodeTopology(NamedTuple):
    """What a file says of a node (of several, where NVLink spans hosts).

    paths : `[gpu][nic]` way between them, one of `PATHS`; empty text between hosts.
    """

    gpus: tuple[Gpu, ...]
    nics: tuple[Nic, ...]
    paths: tuple[tuple[str, ...], ...]

    @property
    def hosts(self) -> int:
        """Hosts in the file [-]."""
        return 1 + max(g.host for g in self.gpus)

    @property
    def accelerators_per_node(self) -> int:
        """Accelerators of the host that has most [-]."""
        return max(sum(g.host == h for g in self.gpus) for h in range(self.hosts))

    @property
    def scale_up_size(self) -> int:
        """Accelerators that NVLink joins: all on NVSwitches, else the largest group of peers [-]."""
        switched = sum(g.switched for g in self.gpus)
        return switched or max(len(group) for group in _joined(self.gpus))

    @property
    def scale_up_bandwidth(self) -> float:
        """NVLink bandwidth of the accelerator that has least, one direction; 0 without NVLink [byte/s]."""
        return min(g.bandwidth for g in self.gpus)

    @property
    def nic_bandwidth(self) -> float:
        """Network bandwidth of an accelerator, one direction: of the fastest kind of NIC [byte/s].

        Slower devices are those that hosts are managed with; 0 without a NIC.
        """
        fastest = max((n.bandwidth for n in self.nics), default=0.0)
        return sum(n.bandwidth for n in self.nics if n.bandwidth == fastest) / len(self.gpus)

    def nearest(self, gpu: int) -> tuple[Nic, ...]:
        """NICs that are nearest to the accelerator of this index, the fastest first."""
        ways = self.paths[gpu]
        best = min((PATHS.index(way) for way in ways if way), default=None)
        found = [n for n, way in zip(self.nics, ways, strict=True) if best is not None and way == PATHS[best]]
        return tuple(sorted(found, key=lambda n: -n.bandwidth))


@dataclass
class _Element:
    tag: str
    attributes: Mapping[str, str]
    line: int
    parent: _Element | None = None
    children: list[_Element] = field(default_factory=list)

    def up(self) -> Iterator[_Element]:
        """The element and those around it, outwards."""
        at: _Element | None = self
        while at is not None:
            yield at
            at = at.parent

    def around(self, tag: str) -> _Element | None:
        """Nearest element of this tag that holds it."""
        return next((e for e in self.up() if e.tag == tag), None)

    def all(self, tag: str) -> Iterator[_Element]:
        """Elements of this tag below, in order."""
        for child in self.children:
            if child.tag == tag:
                yield child
            yield from child.all(tag)


def read_nccl_topology(text: str, source: str = "topology.xml") -> NodeTopology:
    """Read the XML of a NCCL topology.

    Parameters
    ----------
    text : str
    source : str
        Name of the file, for errors.

    Raises
    ------
    InputError
        If it is not XML, has a DOCTYPE, is no NCCL topology, has no accelerator, or a needed attribute is
        missing or no number; the message has the line.
    """
    system = _parse(text, source)
    if system.tag != "system":
        raise InputError(
            f"{source}:{system.line}: expected <system>, as NCCL writes, got <{system.tag[:60]}>"
        )
    hosts: dict[str, int] = {}
    gpu_elements, nic_elements = list(system.all("gpu")), list(system.all("net"))
    if not gpu_elements:
        raise InputError(f"{source}:{system.line}: no <gpu> in the file")
    gpus = tuple(_gpu(e, hosts, source) for e in gpu_elements)
    nics = tuple(_nic(e, hosts, source) for e in nic_elements)
    _once([(g.host, g.bus) for g in gpus], gpu_elements, "bus id", source)
    _once([(n.host, n.name, n.port) for n in nics], nic_elements, "name", source)
    paths = tuple(
        tuple(_path(a, b) if g.host == n.host else "" for n, b in zip(nics, nic_elements, strict=True))
        for g, a in zip(gpus, gpu_elements, strict=True)
    )
    return NodeTopology(gpus, nics, paths)


def link_bandwidth(architecture: int) -> float:
    """Bandwidth of one NVLink of a compute capability, one direction, as NCCL takes it [byte/s].

    Examples
    --------
    >>> link_bandwidth(90)
    20600000000.0
    """
    for least, bandwidth in LINK_BANDWIDTH:
        if architecture >= least and (least != 86 or architecture == 86):
            return bandwidth
    return 0.0


def _parse(text: str, source: str) -> _Element:
    parser = expat.ParserCreate("utf-8")
    parser.buffer_text = True
    tops: list[_Element] = []
    stack: list[_Element] = []
    count = 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal count
        count += 1
        line = parser.CurrentLineNumber
        if count > MOST_ELEMENTS or len(stack) >= MOST_NESTING:
            raise InputError(f"{source}:{line}: more elements, or deeper, than a topology has")
        element = _Element(tag, attributes, line, stack[-1] if stack else None)
        (stack[-1].children if stack else tops).append(element)
        stack.append(element)

    def doctype(*_: object) -> None:
        raise InputError(f"{source}:{parser.CurrentLineNumber}: a DOCTYPE is not read; NCCL writes none")

    parser.StartElementHandler = start
    parser.EndElementHandler = lambda tag: stack.pop()
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(text.encode("utf-8", "replace"), True)
    except expat.ExpatError as error:
        words = expat.ErrorString(error.code)
        raise InputError(f"{source}:{error.lineno}:{error.offset + 1}: is not XML: {words}") from None
    return tops[0]


def _gpu(element: _Element, hosts: dict[str, int], source: str) -> Gpu:
    architecture = _whole(element, "sm", source)
    pci = element.around("pci")
    if pci is None:
        raise InputError(f"{source}:{element.line}: <gpu> stands in no <pci>")
    links = [(link, _whole(link, "count", source)) for link in element.all("nvlink")]
    switched = any(link.attributes.get("tclass", "").startswith(NVSWITCH) for link, _ in links)
    peers = (
        tuple(dict.fromkeys(link.attributes.get("target", "").casefold() for link, _ in links))
        if not switched
        else ()
    )
    total = sum(count for _, count in links)
    host, numa = _where(element, hosts, source)
    return Gpu(
        _whole(element, "dev", source),
        _whole(element, "rank", source, default=-1),
        architecture,
        _bus(pci, source),
        host,
        numa,
        total,
        total * link_bandwidth(architecture),
        switched,
        peers,
    )


def _nic(element: _Element, hosts: dict[str, int], source: str) -> Nic:
    name = element.attributes.get("name", "")
    if not name:
        raise InputError(f"{source}:{element.line}: <net> has no name")
    pci = element.around("pci")
    host, numa = _where(element, hosts, source)
    speed = _whole(element, "speed", source)
    port = _whole(element, "port", source, default=0)
    return Nic(name, speed * 1e6 / 8, port, _bus(pci, source) if pci else "", host, numa)


def _where(element: _Element, hosts: dict[str, int], source: str) -> tuple[int, int]:
    """Number of the host, and NUMA node."""
    cpu = element.around("cpu")
    if cpu is None:
        raise InputError(f"{source}:{element.line}: <{element.tag}> stands in no <cpu>")
    host = hosts.setdefault(cpu.attributes.get("host_hash", ""), len(hosts))
    return host, _whole(cpu, "numaid", source, default=0)


def _path(a: _Element, b: _Element) -> str:
    """Way between two devices: by the bridges below the nearest element that holds both."""
    mine = [id(e) for e in a.up() if e.tag in ("pci", "cpu")]
    for steps, element in enumerate([e for e in b.up() if e.tag in ("pci", "cpu")]):
        if id(element) in mine:
            if element.tag == "cpu":
                return "PHB"
            return "PIX" if max(steps, mine.index(id(element))) <= 1 else "PXB"
    return "SYS"


def _bus(pci: _Element, source: str) -> str:
    bus = pci.attributes.get("busid", "").casefold()
    if not re.fullmatch(r"[0-9a-f]+:[0-9a-f]+(:[0-9a-f]+)?\.[0-9a-f]+", bus):
        raise InputError(f"{source}:{pci.line}: busid {bus[:60]!r} is none such as 0000:18:00.0")
    return bus


def _whole(element: _Element, name: str, source: str, default: int | None = None) -> int:
    text = element.attributes.get(name)
    if text is None and default is not None:
        return default
    if text is None or not re.fullmatch(r"-?[0-9]{1,12}|0x[0-9a-fA-F]{1,16}", text):
        said = "is missing" if text is None else f"is {text[:60]!r}, not a whole number"
        raise InputError(f"{source}:{element.line}: {name} of <{element.tag}> {said}")
    value = int(text, 16) if text.startswith("0x") else int(text)
    if value < 0 and default is None:
        raise InputError(f"{source}:{element.line}: {name} of <{element.tag}> is below zero: {value}")
    return value


def _once(keys: list[tuple[object, ...]], elements: list[_Element], what: str, source: str) -> None:
    seen: dict[tuple[object, ...], int] = {}
    for key, element in zip(keys, elements, strict=True):
        if key in seen:
            place = f"{source}:{element.line}"
            raise InputError(
                f"{place}: <{element.tag}> has the {what} {key[1]!r}, as that of line {seen[key]}"
            )
        seen[key] = element.line


def _joined(gpus: tuple[Gpu, ...]) -> list[set[tuple[int, str]]]:
    """Groups of accelerators (host, bus id) that links join, directly or over others."""
    groups: list[set[tuple[int, str]]] = []
    known = {(g.host, g.bus) for g in gpus}
    for gpu in gpus:
        mine = {(gpu.host, gpu.bus), *({(gpu.host, peer) for peer in gpu.peers} & known)}
        apart = [group for group in groups if not group & mine]
        for group in groups:
            if group & mine:
                mine |= group
        groups = [*apart, mine]
    return groups
