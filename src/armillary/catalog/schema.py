"""Shapes of the kinds of entries, and how an entry becomes a record."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from armillary.catalog.entries import Entry, Number, Shape
from armillary.catalog.records import Accelerator, Contract, Facility, Fact, Offer, System
from armillary.errors import CatalogError

__all__ = [
    "ACCELERATOR",
    "CONTRACT",
    "FACILITY",
    "OFFER",
    "SYSTEM",
    "TERMS",
    "accelerator",
    "contract",
    "dimension",
    "facility",
    "offer",
    "system",
]

#: Terms of an offer, in the order in which `Catalog.price` prefers them.
TERMS = ("reserved-3y", "reserved-1y", "contract", "capacity-block", "on-demand", "tco", "spot")

_COUNT = Number("1", whole=True)

ACCELERATOR = Shape(
    "accelerator",
    "accelerators",
    texts={"title": True, "vendor": True, "status": False},
    numbers={
        "peak.fp32": Number("FLOP/s", required=False),
        "peak.tf32": Number("FLOP/s", required=False),
        "peak.bf16": Number("FLOP/s"),
        "peak.fp8": Number("FLOP/s", required=False),
        "peak.fp4": Number("FLOP/s", required=False),
        "peak.int8": Number("FLOP/s", required=False),
        "memory_capacity": Number("byte"),
        "memory_bandwidth": Number("byte/s"),
        "scale_up_bandwidth": Number("byte/s"),
        "host_bandwidth": Number("byte/s"),
        "power": Number("W"),
        "compute_units": Number("1", required=False, whole=True),
        "facility_power": Number("W", required=False),
    },
)

SYSTEM = Shape(
    "system",
    "systems",
    texts={"title": True, "provider": True, "accelerator": True, "cooling": True},
    numbers={
        "accelerators_per_node": _COUNT,
        "scale_up_size": _COUNT,
        "nic_bandwidth": Number("byte/s"),
        "nic_latency": Number("s"),
        "cpus_per_node": _COUNT,
        "memory_per_node": Number("byte"),
        "power": Number("W"),
    },
    flags=("scale_up_reduces",),
    choices={"cooling": ("air", "liquid")},
)

OFFER = Shape(
    "offer",
    "offers",
    texts={"provider": True, "system": False, "accelerator": False, "terms": True, "region": False},
    numbers={"price": Number("USD/s")},
    choices={"terms": TERMS},
)

FACILITY = Shape(
    "facility",
    "facilities",
    texts={"title": True, "provider": False},
    numbers={
        "it_power": Number("W", required=False),
        "pue": Number("1", required=False, least=1.0, least_itself=True),
        "capex": Number("USD", required=False),
        "facility_capex": Number("USD", required=False),
        "opex": Number("USD/s", required=False),
        "energy_cost": Number("USD/s", required=False),
        "annualised": Number("USD/s", required=False),
        "energy_price": Number("USD/J", required=False),
    },
)

CONTRACT = Shape(
    "contract",
    "contracts",
    texts={
        "title": True, "customer": True, "provider": True, "signed": False, "start": False, "end": False,
        "status": True, "chips": False, "terms": False,
    },
    numbers={
        "value": Number("USD", required=False),
        "term": Number("s", required=False),
        "power": Number("W", required=False),
        "accelerators": Number("1", required=False),
    },
    choices={
        "status": (
            "signed", "amended", "announced", "reported", "building", "guidance", "superseded", "dropped",
        ),
    },
)  # fmt: skip

_SHAPES = {shape.table: shape for shape in (ACCELERATOR, SYSTEM, OFFER, FACILITY, CONTRACT)}


def dimension(table: str, field: str) -> str:
    """Return the dimension of a fact, a key of `units.DIMENSIONS`; a model's facts are plain numbers.

    Examples
    --------
    >>> dimension("accelerators", "peak.bf16#2")
    'FLOP/s'
    """
    shape = _SHAPES.get(table)
    return shape.numbers[field.partition("#")[0]].dimension if shape else "1"


def _facts(entry: Entry) -> Mapping[str, Fact]:
    return MappingProxyType(entry.record_facts())


def accelerator(entry: Entry) -> Accelerator:
    """Build the record of a complete entry."""
    peaks = {n.removeprefix("peak."): f[0].value for n, f in entry.facts.items() if n.startswith("peak.")}
    return Accelerator(
        name=entry.name,
        title=entry.text("title"),
        vendor=entry.text("vendor"),
        status=entry.text("status", "available"),
        peak=MappingProxyType(peaks),
        memory_capacity=_stated(entry, "memory_capacity"),
        memory_bandwidth=_stated(entry, "memory_bandwidth"),
        scale_up_bandwidth=_stated(entry, "scale_up_bandwidth"),
        host_bandwidth=_stated(entry, "host_bandwidth"),
        power=_stated(entry, "power"),
        compute_units=int(entry.number("compute_units") or 0),
        facts=_facts(entry),
        facility_power=entry.number("facility_power") or 0.0,
        aliases=entry.aliases,
        note=entry.text("note"),
    )


def system(entry: Entry, accelerator_name: str) -> System:
    """Build the record of a complete entry.

    Raises
    ------
    CatalogError
        If neither of node and scale-up domain is a whole number of the other.
    """
    node, domain = (int(_stated(entry, key)) for key in ("accelerators_per_node", "scale_up_size"))
    if domain % node and node % domain:
        raise CatalogError(
            f"{entry.place}.scale_up_size: must be a multiple or a divisor of accelerators_per_node, "
            f"which is {node}. Got {domain} instead."
        )
    return System(
        name=entry.name,
        title=entry.text("title"),
        provider=entry.text("provider"),
        accelerator=accelerator_name,
        accelerators_per_node=node,
        scale_up_size=domain,
        scale_up_reduces=entry.flags.get("scale_up_reduces", False),
        nic_bandwidth=_stated(entry, "nic_bandwidth"),
        nic_latency=_stated(entry, "nic_latency"),
        cpus_per_node=int(_stated(entry, "cpus_per_node")),
        memory_per_node=_stated(entry, "memory_per_node"),
        power=_stated(entry, "power"),
        cooling=entry.text("cooling"),
        facts=_facts(entry),
        aliases=entry.aliases,
        note=entry.text("note"),
    )


def offer(entry: Entry, system_name: str, accelerator_name: str) -> Offer:
    """Build the record of a complete entry."""
    return Offer(
        name=entry.name,
        provider=entry.text("provider"),
        system=system_name,
        terms=entry.text("terms"),
        region=entry.text("region"),
        price=_stated(entry, "price"),
        facts=_facts(entry),
        accelerator=accelerator_name,
        note=entry.text("note"),
    )


def facility(entry: Entry) -> Facility:
    """Build the record of an entry."""
    return Facility(
        name=entry.name,
        title=entry.text("title"),
        provider=entry.text("provider"),
        it_power=entry.number("it_power"),
        pue=entry.number("pue"),
        capex=entry.number("capex"),
        facility_capex=entry.number("facility_capex"),
        opex=entry.number("opex"),
        energy_cost=entry.number("energy_cost"),
        annualised=entry.number("annualised"),
        energy_price=entry.number("energy_price"),
        facts=_facts(entry),
        note=entry.text("note"),
    )


def contract(entry: Entry) -> Contract:
    """Build the record of an entry."""
    return Contract(
        name=entry.name,
        title=entry.text("title"),
        customer=entry.text("customer"),
        provider=entry.text("provider"),
        signed=entry.text("signed"),
        start=entry.text("start"),
        end=entry.text("end"),
        status=entry.text("status"),
        chips=entry.text("chips"),
        terms=entry.text("terms"),
        value=entry.number("value"),
        term=entry.number("term"),
        power=entry.number("power"),
        accelerators=entry.number("accelerators"),
        facts=_facts(entry),
        aliases=entry.aliases,
        note=entry.text("note"),
    )


def _stated(entry: Entry, key: str) -> float:
    return entry.facts[key][0].value
