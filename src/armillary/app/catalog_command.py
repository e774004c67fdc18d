"""``armillary catalog``: lists and shows the facts, each with its source."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from armillary.app import skypilot_command
from armillary.app.options import catalog_option, echo_json, json_option

if TYPE_CHECKING:
    from rich.console import RenderableType

    from armillary.catalog import Catalog

EXAMPLES = """
\b
Examples:
  armillary catalog accelerators --vendor nvidia
  armillary catalog show gb300
  armillary catalog offers --filter gb200 --json
  armillary catalog show my-chip --catalog mine.toml
"""

#: Columns of each list: heading and field, which is a fact such as ``peak.bf16`` or a text of the record.
COLUMNS: dict[str, list[tuple[str, str]]] = {
    "accelerators": [
        ("name", "name"), ("status", "status"), ("BF16", "peak.bf16"), ("FP8", "peak.fp8"),
        ("FP4", "peak.fp4"), ("memory", "memory_capacity"), ("bandwidth", "memory_bandwidth"),
        ("scale-up", "scale_up_bandwidth"), ("power", "power"),
    ],
    "systems": [
        ("name", "name"), ("provider", "provider"), ("accelerator", "accelerator"),
        ("per node", "accelerators_per_node"), ("domain", "scale_up_size"), ("NIC each", "nic_bandwidth"),
        ("latency", "nic_latency"), ("vCPUs", "cpus_per_node"), ("power", "power"),
    ],
    "models": [
        ("name", "name"), ("title", "title"), ("parameters", "parameters"), ("active", "active"),
    ],
    "offers": [
        ("name", "name"), ("provider", "provider"), ("accelerator", "accelerator"), ("system", "system"),
        ("terms", "terms"), ("region", "region"), ("price", "price"),
    ],
    "facilities": [
        ("name", "name"), ("title", "title"), ("PUE", "pue"), ("IT power", "it_power"), ("capex", "capex"),
        ("a year", "annualised"), ("energy", "energy_price"),
    ],
    "contracts": [
        ("name", "name"), ("provider", "provider"), ("status", "status"), ("signed", "signed"),
        ("value", "value"), ("term", "term"), ("power", "power"),
    ],
    "sources": [("key", "key"), ("title", "title"), ("where", "where"), ("date", "date")],
}  # fmt: skip
SHORT = {
    "accelerators": "Chips: peaks, memory, links, power.",
    "systems": "Nodes, instances and UltraServers.",
    "models": "Architectures.",
    "offers": "Prices of an accelerator, by terms and provider.",
    "facilities": "Data centres: PUE, capital and running costs.",
    "contracts": "Compute contracts as far as public.",
    "sources": "Where the numbers come from.",
}
OWNERS = {
    "accelerators": "vendor", "systems": "provider", "offers": "provider", "facilities": "provider",
    "contracts": "provider",
}  # fmt: skip


@click.group(invoke_without_command=True, epilog=EXAMPLES)
@click.pass_context
def command(context: click.Context) -> None:
    """List and show accelerators, systems, models, offers; every number with its source.

    Without a command: how many entries there are of each kind, and the catalog's version.
    """
    if context.invoked_subcommand is not None:
        return
    from armillary.catalog import KINDS, load

    catalog = load()
    rows = [[kind, str(len(catalog.table(kind))), SHORT[kind]] for kind in KINDS]
    _print(_table(["kind", "entries", ""], rows))
    click.echo(f"version {catalog.version}; list a kind with 'armillary catalog KIND'", err=True)


@command.command(
    epilog="\b\nExamples:\n  armillary catalog show gb300\n  armillary catalog show p6e-gb300 --json"
)
@click.argument("name")
@click.option(
    "--kind", type=click.Choice(list(COLUMNS)), help="Where a name stands for entries of two kinds."
)
@json_option
@catalog_option
def show(name: str, kind: str | None, as_json: bool, catalogs: tuple[Path, ...]) -> None:
    """Show an entry: every number with unit, kind, source, date and the alternatives not used."""
    from armillary.catalog import load
    from armillary.errors import CatalogError, did_you_mean

    catalog = load(*catalogs)
    found = {k: record for k, record in catalog.named(name).items() if kind in (None, k)}
    if not found:
        known = [n for k in COLUMNS if kind in (None, k) for n in catalog.table(k)]
        where = f"in {kind} " if kind else ""
        raise CatalogError(f"no entry {where}has the name {name!r}{did_you_mean(name, known)}")
    if as_json:
        echo_json([_entry_json(catalog, k, record) for k, record in found.items()])
        return
    for k, record in found.items():
        _print_entry(catalog, k, record)


def _listing(kind: str) -> click.Command:
    owner = OWNERS.get(kind, "")

    def list_entries(
        text: str, as_json: bool, catalogs: tuple[Path, ...], owned_by: str | None = None
    ) -> None:
        from armillary.catalog import fold, load

        catalog = load(*catalogs)
        records = [
            record
            for record in catalog.table(kind).values()
            if fold(text) in fold(_words(record))
            and (owned_by is None or fold(owned_by) in fold(getattr(record, owner)))
        ]
        if as_json:
            echo_json([_values(record) for record in records])
            return
        rows = [[_cell(kind, record, field) for _, field in COLUMNS[kind]] for record in records]
        _print(_table([heading for heading, _ in COLUMNS[kind]], rows))
        click.echo(f"{len(records)} of {len(catalog.table(kind))} {kind}", err=True)

    example = f"\b\nExample:\n  armillary catalog {kind} --filter {_EXAMPLE[kind]}"
    function: Callable[..., Any] = catalog_option(json_option(list_entries))
    if owner:
        function = click.option(f"--{owner}", "owned_by", help=f"Only of this {owner}.")(function)
    function = click.option(
        "--filter", "text", default="", help="Only entries with this text in a name, title or other word."
    )(function)
    return click.command(kind, help=SHORT[kind], epilog=example)(function)


_EXAMPLE = {
    "accelerators": "gb300", "systems": "nvl72", "models": "llama", "offers": "capacity-block",
    "facilities": "aws", "contracts": "openai-aws", "sources": "mlperf",
}  # fmt: skip
for _kind in COLUMNS:
    command.add_command(_listing(_kind))
command.add_command(skypilot_command.command)


def _words(record: Any) -> str:
    values = [getattr(record, field.name) for field in fields(record)]
    aliases = [alias for value in values if isinstance(value, tuple) for alias in value]
    return "\n".join([*(value for value in values if isinstance(value, str)), *aliases])


def _values(record: Any) -> dict[str, Any]:
    """Values in SI units, without facts."""
    values = {field.name: getattr(record, field.name) for field in fields(record) if field.name != "facts"}
    return {name: dict(v) if isinstance(v, Mapping) else v for name, v in values.items()}


def _entry_json(catalog: Catalog, kind: str, record: Any) -> dict[str, Any]:
    from armillary.catalog import dimension

    facts = {}
    for name, fact in getattr(record, "facts", {}).items():
        source = catalog.sources.get(fact.source)
        facts[name] = {
            "value": fact.value, "unit": dimension(kind, name), "kind": fact.kind, "source": fact.source,
            "where": source.where if source else "", "date": fact.date, "note": fact.note,
        }  # fmt: skip
    return {"entry": kind, **_values(record), "facts": facts}


def _cell(kind: str, record: Any, field: str) -> str:
    from armillary.catalog import dimension

    fact = getattr(record, "facts", {}).get(field)
    if fact is not None:
        return people(fact.value, dimension(kind, field))
    text = getattr(record, field, "")
    return text if isinstance(text, str) else ""


def people(value: float, dimension: str) -> str:
    """Write an SI value as people write it.

    Examples
    --------
    >>> people(2.5e15, "FLOP/s"), people(1e11, "byte/s"), people(3.96 / 3600, "USD/s")
    ('2.5 PFLOP/s', '100 GB/s', '3.96 USD/h')
    >>> people(38e9, "USD"), people(0.065 / 3.6e6, "USD/J"), people(7 * 365.25 * 86400, "s")
    ('38 billion USD', '0.065 USD/kWh', '7 yr')
    """
    from armillary.units import show

    if dimension == "1":
        for scale, word in ((1e12, "trillion"), (1e9, "billion"), (1e6, "million")):
            if value >= scale:
                return f"{value / scale:.4g} {word}"
        return f"{value:g}"
    if dimension == "USD":
        return f"{value / 1e9:.4g} billion USD"
    if dimension == "USD/s":
        a_year = value * 365.25 * 86400
        return f"{a_year / 1e9:.4g} billion USD/yr" if a_year > 1e8 else f"{value * 3600:.4g} USD/h"
    if dimension == "USD/J":
        return f"{value * 3.6e6:.4g} USD/kWh"
    return show(value, dimension.replace("byte", "B"), digits=4)


def _print_entry(catalog: Catalog, kind: str, record: Any) -> None:
    from armillary.catalog import dimension

    texts = [
        (field.name, _said(value))
        for field in fields(record)
        if (value := getattr(record, field.name)) not in ("", ())
        and isinstance(value, str | tuple | bool)
        and field.name not in ("name", "key")
    ]
    name = record.key if kind == "sources" else record.name
    _print(_table([name, kind], [[key, text] for key, text in texts]))
    facts = getattr(record, "facts", {})
    if not facts:
        return
    rows = [
        [
            f"  or {field}" if "#" in field else field,
            people(fact.value, dimension(kind, field)),
            fact.kind,
            fact.source,
            fact.date,
            fact.note,
        ]
        for field, fact in facts.items()
    ]
    _print(_table(["field", "value", "kind", "source", "date", "note"], rows))
    keys = dict.fromkeys(fact.source for fact in facts.values())
    known = [catalog.sources[key] for key in keys if key in catalog.sources]
    _print(_table(["source", "title", "where"], [[s.key, s.title, s.where] for s in known]))


def _said(value: str | bool | tuple[str, ...]) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(value) if isinstance(value, tuple) else value


def _table(headings: list[str], rows: list[list[str]]) -> RenderableType:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for i, heading in enumerate(headings):
        table.add_column(heading, no_wrap=i == 0, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def _print(what: RenderableType) -> None:
    from armillary.app.console import out

    out().print(what)
