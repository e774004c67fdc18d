"""Price lists of SkyPilot's public catalog (vms.csv of a provider), with what is wrong in them said.

Format: the README of skypilot-org/skypilot-catalog, schema 5 to 8. Prices are USD an hour of a whole row.
Columns come in another order for each provider; those that are not needed are left.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from io import StringIO
from typing import Literal, NamedTuple

from armillary.errors import InputError, did_you_mean

NEEDED = (
    "InstanceType",
    "AcceleratorName",
    "AcceleratorCount",
    "vCPUs",
    "MemoryGiB",
    "Price",
    "SpotPrice",
    "Region",
)
HOUR, GIB = 3600.0, 2.0**30

UNKNOWN = 700.0
"""What Google's rows have as a price where there is none. [USD/h]"""

HOSTS = {
    "A100": ("a2-highgpu-{}g", "a2-megagpu-{}g"),
    "A100-80GB": ("a2-ultragpu-{}g",),
    "H100": ("a3-highgpu-{}g",),
    "H100-MEGA": ("a3-megagpu-{}g",),
    "H200": ("a3-ultragpu-{}g",),
    "B200": ("a4-highgpu-{}g",),
    "GB200": ("a4x-highgpu-{}g",),
}
"""Google's hosts by what they carry; either is priced in a row of its own (accelerator-optimized family)."""

KNOWN = {
    "A100": "a100-40",
    "A100-80GB": "a100-80",
    "A100-80GB-SXM": "a100-80",
    "H100": "h100",
    "H100-SXM": "h100",
    "H100-MEGA": "h100",
    "H200": "h200",
    "H200-SXM": "h200",
    "B200": "b200",
    "B300": "b300",
    "GB200": "gb200",
    "GB300": "gb300",
    "MI300X": "mi300x",
    "MI325X": "mi325x",
    "MI355X": "mi355x",
    "Trainium2": "trainium2",
    "tpu-v5litepod": "tpu-v5e",
    "tpu-v5p": "tpu-v5p",
    "tpu-v6e": "tpu-v6e",
}
"""Accelerators of the catalog by SkyPilot's name, which for an A100 alone means 40 GB."""

CARDS = {"runpod": ("A100-80GB", "H100")}
"""Names that mean a PCIe card at a provider that has the other form under a name of its own."""

_HOST = re.compile(r"(a2|a3|a4|a4x)-[a-z]+gpu-\d+g")
_TPU = re.compile(r"tpu-(v2|v3|v4|v5p|v5litepod|v6e)-(\d+)\Z")
_CORES = ("v2", "v3", "v4", "v5p")
"""TPU generations whose names count cores, two a chip."""

Part = Literal["whole", "host", "accelerator"]


class SkyPilotRow(NamedTuple):
    """A row. price, spot : of all of it [USD/s]; None where there is none.

    part : ``host`` where its accelerators are priced in rows of their own, ``accelerator`` where its host is.
    accelerators : chips [-]. vcpus : [-], memory : [byte]; None where not given.
    """

    line: int
    instance: str
    accelerator: str
    accelerators: float
    vcpus: float | None
    memory: float | None
    price: float | None
    spot: float | None
    region: str
    zone: str
    part: Part


class AcceleratorPrice(NamedTuple):
    """Of one accelerator with its part of the host. price, spot : [USD/s]; None where there is none.

    lines : of the file that it is made of.
    """

    provider: str
    instance: str
    accelerator: str
    accelerators: float
    region: str
    zone: str
    price: float | None
    spot: float | None
    lines: tuple[int, ...]

    @property
    def catalog_name(self) -> str:
        """The accelerator in the catalog; empty where it has none, such as a PCIe card."""
        card = self.accelerator in CARDS.get(self.provider, ()) or "pcie" in self.instance.lower()
        name = re.sub(r"^(tpu-\w+)-\d+$", r"\1", self.accelerator)
        return "" if card else KNOWN.get(name, "")


class Remark(NamedTuple):
    """What was found odd in rows, and what was done with it."""

    what: str
    lines: tuple[int, ...]

    def __str__(self) -> str:
        """Words, with the first lines."""
        shown = ", ".join(map(str, self.lines[:3])) + (", ..." if len(self.lines) > 3 else "")
        return f"{len(self.lines):,} row{'s' if len(self.lines) > 1 else ''} (line {shown}): {self.what}"


class SkyPilotCatalog(NamedTuple):
    """A provider's price list. remarks : on rows, most frequent first."""

    provider: str
    rows: tuple[SkyPilotRow, ...]
    remarks: tuple[Remark, ...]

    @property
    def accelerator_prices(self) -> tuple[AcceleratorPrice, ...]:
        """Rows with accelerators, each by the accelerator; Google's GPUs joined with their hosts."""
        found, _ = _joined(self.provider, self.rows)
        return tuple(found)


def read_skypilot(text: str, provider: str, source: str = "vms.csv") -> SkyPilotCatalog:
    """Read a provider's vms.csv.

    Parameters
    ----------
    text : str
        Of the file.
    provider : str
        As SkyPilot names its folder: ``aws``, ``gcp``, ``oci``, ...
    source : str
        Name of the file, for errors.

    Notes
    -----
    A price of 700 on Google's list means unknown. A spot price of exactly a tenth of the list's is a
    placeholder and dropped. Names of TPUs up to v5p count cores, two a chip. All of it is among the remarks.

    Raises
    ------
    InputError
        If it is no such table; the message has the file, the line and the column.

    Examples
    --------
    >>> text = '''InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,Price,SpotPrice,Region
    ... p5.48xlarge,H100,8,192,2048,55.04,14.246,us-east-1
    ... p5.48xlarge,H100,8,192,2048,75.9552,7.5955,ap-southeast-3'''
    >>> found = read_skypilot(text, "aws")
    >>> [round(row.price * 3600, 2) for row in found.accelerator_prices]
    [6.88, 9.49]
    >>> print(found.remarks[0])
    1 row (line 3): the spot price is exactly a tenth of the list's, a placeholder; dropped
    """
    reader = csv.reader(StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
    rows: list[SkyPilotRow] = []
    odd: dict[str, list[int]] = {}
    try:
        columns = _columns(next(reader, []), source)
        width = max(columns.values()) + 1
        for fields in reader:
            if not fields:
                continue
            place = f"{source}:{reader.line_num}"
            if len(fields) < width:
                raise InputError(f"{place}: {len(fields)} fields; expected {width} or more, as in the header")
            row = _row(
                {name: fields[i].strip() for name, i in columns.items()}, reader.line_num, provider, place
            )
            rows.append(_judged(row, provider, odd))
    except csv.Error as error:
        raise InputError(f"{source}:{reader.line_num}: {error}; expected a table in CSV") from error
    if not rows:
        raise InputError(f"{source}: no rows below the header")
    _, left = _joined(provider, rows)
    left["the list price is below half of that in the dearest region, as of a commitment; kept"] = _cheap(
        rows
    )
    for what, lines in left.items():
        odd.setdefault(what, []).extend(lines)
    remarks = [Remark(what, tuple(lines)) for what, lines in odd.items() if lines]
    return SkyPilotCatalog(provider, tuple(rows), tuple(sorted(remarks, key=lambda r: -len(r.lines))))


def _columns(header: Sequence[str], source: str) -> dict[str, int]:
    names = [name.strip() for name in header]
    for name in NEEDED:
        if name not in names:
            cure = did_you_mean(name, names) or f"; the header is {','.join(names)[:120] or 'empty'}"
            raise InputError(f"{source}:1: lacks the column {name!r}{cure}")
        if names.count(name) > 1:
            raise InputError(f"{source}:1: has the column {name!r} twice")
    return {name: names.index(name) for name in (*NEEDED, "AvailabilityZone") if name in names}


def _row(field: dict[str, str], line: int, provider: str, place: str) -> SkyPilotRow:
    instance, accelerator = field["InstanceType"], field["AcceleratorName"]
    if not instance and not accelerator:
        raise InputError(f"{place}: InstanceType and AcceleratorName are both empty; expected one of them")
    if not field["Region"]:
        raise InputError(f"{place}: Region is empty; expected a name such as us-east-1")
    count = _number(field, "AcceleratorCount", place) or 0.0
    if accelerator and not count:
        raise InputError(f"{place}: AcceleratorCount is {field['AcceleratorCount']!r} for {accelerator!r}")
    memory, price, spot = (_number(field, name, place) for name in ("MemoryGiB", "Price", "SpotPrice"))
    part: Part = "whole"
    if provider == "gcp" and _HOST.match(instance) and not accelerator:
        part = "host"
    elif provider == "gcp" and accelerator and not instance and not accelerator.startswith("tpu"):
        part = "accelerator"
    return SkyPilotRow(
        line,
        instance,
        accelerator,
        count * _chips(accelerator),
        _number(field, "vCPUs", place),
        None if memory is None else memory * GIB,
        None if price is None else price / HOUR,
        None if spot is None else spot / HOUR,
        field["Region"],
        field.get("AvailabilityZone", ""),
        part,
    )


def _number(field: dict[str, str], name: str, place: str) -> float | None:
    text = field[name]
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise InputError(f"{place}: {name} is {text!r}; expected a number of 0 or more, or nothing")
    return value


def _chips(accelerator: str) -> float:
    """Chips in what a name of a TPU slice stands for; 1 for all others. [-]"""
    match = _TPU.match(accelerator)
    if not match:
        return 1.0
    return int(match[2]) / (2 if match[1] in _CORES else 1)


def _judged(row: SkyPilotRow, provider: str, odd: dict[str, list[int]]) -> SkyPilotRow:
    """Leave out what is no price, and note what is odd."""

    def note(what: str) -> None:
        odd.setdefault(what, []).append(row.line)

    unknown = UNKNOWN / HOUR
    if provider == "gcp" and unknown in (row.price, row.spot):
        note("a price of 700 stands for unknown; dropped")
        row = row._replace(
            price=None if row.price == unknown else row.price, spot=None if row.spot == unknown else row.spot
        )
    if row.price == 0:
        note("a price of 0 is none; dropped")
        row = row._replace(price=None)
    if row.spot == 0:
        row = row._replace(spot=None)
    if row.price and row.spot:
        ratio = row.spot / row.price
        if abs(ratio - 0.1) < 1e-6:
            note("the spot price is exactly a tenth of the list's, a placeholder; dropped")
            row = row._replace(spot=None)
        elif ratio == 1:
            note("the spot price is the list's; kept")
        elif ratio > 1:
            note("the spot price is above the list's, which may be that of a commitment; both kept")
    if row.accelerator.startswith("tpu"):
        match = _TPU.match(row.accelerator)
        if not match:
            note("a TPU whose name does not tell how many chips it has; left out of prices by accelerator")
        elif match[1] in _CORES:
            note("the name counts cores, two a chip; counted as chips")
    if row.price is None and row.spot is None:
        note("no price at all; left out of prices by accelerator")
    elif row.price is None and row.accelerator:
        note("a spot price alone, none on demand; kept")
    return row


def _cheap(rows: Sequence[SkyPilotRow]) -> list[int]:
    """Lines whose price is below half of the highest for the same."""
    most: dict[tuple[str, str, float], float] = {}
    for row in rows:
        key = (row.instance, row.accelerator, row.accelerators)
        most[key] = max(most.get(key, 0.0), row.price or 0.0)
    return [
        row.line
        for row in rows
        if row.price and row.price < most[row.instance, row.accelerator, row.accelerators] / 2
    ]


def _joined(
    provider: str, rows: Iterable[SkyPilotRow]
) -> tuple[list[AcceleratorPrice], dict[str, list[int]]]:
    """Prices by accelerator, and lines that could not be made into one."""
    hosts: dict[tuple[str, str, str], SkyPilotRow] = {}
    kept = list(rows)
    for row in kept:
        if row.part == "host":
            hosts.setdefault((row.instance, row.region, row.zone), row)
    found: list[AcceleratorPrice] = []
    seen: set[tuple[str, str, float, str, str]] = set()
    used: set[int] = set()
    twice, lonely = [], []
    for row in kept:
        unnamed = row.accelerator.startswith("tpu") and not _TPU.match(row.accelerator)
        if not row.accelerator or unnamed or (row.price is None and row.spot is None):
            continue
        key = (row.instance, row.accelerator, row.accelerators, row.region, row.zone)
        if key in seen:
            twice.append(row.line)
            continue
        seen.add(key)
        host = None
        if row.part == "accelerator":
            names = [pattern.format(f"{row.accelerators:g}") for pattern in HOSTS.get(row.accelerator, ())]
            near = [hosts[k] for name in names if (k := (name, row.region, row.zone)) in hosts]
            if not near:
                lonely.append(row.line)
                continue
            host = near[0]
            used.add(host.line)
        found.append(_each(provider, row, host))
    empty = [row.line for row in hosts.values() if row.line not in used]
    return found, {
        "a second row for the same in the same zone; the first is used": twice,
        "accelerators whose host has no price there; left out of prices by accelerator": lonely,
        "a host alone, whose accelerators have no price there; left out of prices by accelerator": empty,
    }


def _each(provider: str, row: SkyPilotRow, host: SkyPilotRow | None) -> AcceleratorPrice:
    """By the accelerator; with a host, a price needs both."""

    def by_one(mine: float | None, its: float | None) -> float | None:
        if mine is None or (host is not None and its is None):
            return None
        return (mine + (its or 0.0)) / row.accelerators

    return AcceleratorPrice(
        provider,
        host.instance if host else row.instance or row.accelerator,
        row.accelerator,
        row.accelerators,
        row.region,
        row.zone,
        by_one(row.price, host.price if host else None),
        by_one(row.spot, host.spot if host else None),
        (row.line, host.line) if host else (row.line,),
    )
