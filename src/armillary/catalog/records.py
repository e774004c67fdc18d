"""What a row of the catalog is: typed records whose every number is a `Fact` with its source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal["datasheet", "measured", "published", "fitted", "assumed"]


@dataclass(frozen=True, slots=True)
class Fact:
    """One number with its provenance. `value` is in SI units."""

    value: float
    kind: Kind
    source: str
    """Key of the catalog's source table, or free text for a user's own file."""
    date: str
    """When the source was published or read, ISO (``2026-04``)."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """Where facts come from."""

    key: str
    title: str
    where: str
    """Address, repository@commit:path or bibliographic reference."""
    date: str


@dataclass(frozen=True, slots=True)
class Accelerator:
    """One chip as its software sees it (one GPU, one Trainium, one TPU chip).

    peak : dense FLOP/s by precision: ``bf16``, and where it has them ``fp32``, ``tf32``, ``fp8``, ``fp4``,
        ``int8``.
    memory_capacity : HBM that software can use [byte].
    memory_bandwidth : HBM, datasheet [byte/s].
    scale_up_bandwidth : NVLink or its like, one direction [byte/s].
    host_bandwidth : to the host CPU's memory (PCIe or NVLink-C2C), one direction [byte/s].
    power : thermal design power of the chip [W].
    compute_units : streaming multiprocessors, or what the vendor calls them [-]; 0 if not published.
    facility_power : provisioned per accelerator, its share of host, network, storage and cooling
        included [W]; 0 if not published.
    """

    name: str
    title: str
    vendor: str
    status: str
    peak: Mapping[str, float]
    memory_capacity: float
    memory_bandwidth: float
    scale_up_bandwidth: float
    host_bandwidth: float
    power: float
    compute_units: int
    facts: Mapping[str, Fact]
    """By field name; peaks as ``peak.bf16``. Alternatives that the catalog does not use: ``peak.bf16#2``."""
    facility_power: float = 0.0
    aliases: tuple[str, ...] = ()
    """Other names that people and tables use; looked up after `catalog.lookup.fold`."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class System:
    """What one buys: a node, an instance or an UltraServer.

    accelerators_per_node, scale_up_size : accelerators in one host, in one scale-up (NVLink) domain [-].
    nic_bandwidth : scale-out network per accelerator, one direction [byte/s].
    nic_latency : of one message between two nodes, as software sees it [s].
    scale_up_reduces : True where the scale-up switch reduces in network (NVLS / SHARP).
    cpus_per_node : vCPUs [-]; memory_per_node : host memory [byte].
    power : of one scale-up domain (rack, or node), at the plug of the IT equipment [W].
    """

    name: str
    title: str
    provider: str
    accelerator: str
    accelerators_per_node: int
    scale_up_size: int
    scale_up_reduces: bool
    nic_bandwidth: float
    nic_latency: float
    cpus_per_node: int
    memory_per_node: float
    power: float
    cooling: str
    facts: Mapping[str, Fact]
    aliases: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Offer:
    """A price for the use of an accelerator. price : per accelerator [USD/s].

    system : the system priced, empty where the price is for the accelerator in whatever system.
    """

    name: str
    provider: str
    system: str
    terms: str
    """One of `catalog.TERMS`, e.g. ``on-demand`` or ``reserved-3y``."""
    region: str
    price: float
    facts: Mapping[str, Fact]
    accelerator: str = ""
    """Always filled by the catalog; for a priced system, the accelerator in it."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Facility:
    """What a data centre adds to its accelerators; None where the source does not say.

    it_power : size of the facility that the sums below are for, as IT power [W].
    pue : power usage effectiveness, facility power over IT power [-].
    capex : all-in, IT and buildings [USD]; facility_capex : buildings, power and cooling alone [USD].
    opex : energy included [USD/s]; energy_cost : energy alone [USD/s].
    annualised : capex written off over its life, and opex [USD/s].
    energy_price : [USD/J].
    """

    name: str
    title: str
    provider: str
    it_power: float | None
    pue: float | None
    capex: float | None
    facility_capex: float | None
    opex: float | None
    energy_cost: float | None
    annualised: float | None
    energy_price: float | None
    facts: Mapping[str, Fact]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Contract:
    """A compute contract as far as it is public; None where it is not.

    signed, start, end : ISO dates to the precision that is known (``2025-11``, ``2032``), or empty.
    status : ``signed``, ``amended``, ``announced``, ``reported``, ``building``, ``guidance``,
        ``superseded`` or ``dropped``.
    value : of the whole term [USD]; term : [s]; power : [W]; accelerators : how many [-].
    terms : what else was agreed, in words.
    """

    name: str
    title: str
    customer: str
    provider: str
    signed: str
    start: str
    end: str
    status: str
    chips: str
    terms: str
    value: float | None
    term: float | None
    power: float | None
    accelerators: float | None
    facts: Mapping[str, Fact]
    aliases: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """A model's architecture as published; `model.transformer` builds the `Transformer` from it.

    architecture : keyword arguments of `model.Architecture` as plain values (see docs/model.md).
    parameters_published, active_published : total and active parameters as the publisher states them,
        0 when not published [-].
    """

    name: str
    title: str
    architecture: Mapping[str, object]
    parameters_published: float
    active_published: float
    facts: Mapping[str, Fact]
    aliases: tuple[str, ...] = ()
    """Other names that people and tables use; looked up after `catalog.lookup.fold`."""
    note: str = ""
