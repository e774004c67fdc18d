"""Offers of the catalog, as TOML, from a price list of SkyPilot."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import NamedTuple

from armillary.catalog import Catalog, fold
from armillary.errors import InputError
from armillary.interop.skypilot import AcceleratorPrice, SkyPilotCatalog

NAMES = {
    "aws": "AWS", "azure": "Azure", "gcp": "Google", "lambda": "Lambda", "nebius": "Nebius", "oci": "OCI",
}  # fmt: skip
"""Providers as the catalog's offers name them, by SkyPilot's folder."""


class _Priced(NamedTuple):
    """A price of one accelerator [USD/s] on some terms, and the row that says it."""

    chip: str
    terms: str
    price: float
    row: AcceleratorPrice


def skypilot_offers(
    found: SkyPilotCatalog, known: Catalog, source: str, date: str, provider: str = "", region: str = ""
) -> str:
    """Write the cheapest price of each accelerator, on demand and spot, in each region as offers.

    Parameters
    ----------
    found : SkyPilotCatalog
        What `read_skypilot` gives.
    known : Catalog
        Whose accelerators are priced, and whose systems are named where an instance is one.
    source : str
        Where the list is from, which each offer cites with its lines.
    date : str
        Of the list: a year, a month or a day.
    provider : str
        As offers are to name it; by default as the catalog's own do.
    region : str
        Of which alone; by default all.

    Returns
    -------
    str
        A TOML file for `catalog.load`; offers are named by provider, accelerator, terms and region.

    Raises
    ------
    InputError
        If nothing in the list, or in the region, is an accelerator of the catalog with a price.
    """
    provider = provider or NAMES.get(found.provider, found.provider)
    cheapest: dict[tuple[str, str, str], _Priced] = {}
    for one in _priced(found, known):
        key = one.chip, one.terms, one.row.region
        if region in ("", one.row.region) and (key not in cheapest or one.price < cheapest[key].price):
            cheapest[key] = one
    if not cheapest:
        regions = sorted({row.region for row in found.accelerator_prices})
        where = f" in {region!r}; its regions: {', '.join(regions)}" if region else ""
        raise InputError(f"{source}: prices no accelerator of the catalog{where}")
    return "\n".join(_entry(cheapest[key], known, source, date, provider) for key in sorted(cheapest))


def _priced(found: SkyPilotCatalog, known: Catalog) -> Iterator[_Priced]:
    """Prices of accelerators that the catalog knows."""
    for row in found.accelerator_prices:
        chip = row.catalog_name
        if chip in known.accelerators:
            for terms, price in (("on-demand", row.price), ("spot", row.spot)):
                if price is not None:
                    yield _Priced(chip, terms, price, row)


def _entry(one: _Priced, known: Catalog, source: str, date: str, provider: str) -> str:
    """An offer's table."""
    chip, terms, price, row = one
    system = known.systems.get(known.names("systems").get(fold(row.instance), ""))
    priced = ("system", system.name) if system and system.accelerator == chip else ("accelerator", chip)
    lines = ", ".join(map(str, sorted(row.lines)))
    note = f"{row.instance} with {row.accelerators:g}, {row.zone or row.region}"
    fields = {
        "provider": provider, priced[0]: priced[1], "terms": terms, "region": row.region,
        "source": f"SkyPilot catalog: {source}, line{'s' if len(row.lines) > 1 else ''} {lines}",
        "kind": "published", "date": date,
    }  # fmt: skip
    name = f"{provider.casefold()}-{chip}-{terms}-{row.region}"
    return "\n".join([
        f"[offers.{_text(name)}]",
        *(f"{key} = {_text(value)}" for key, value in fields.items()),
        f'price = {{ value = "{price * 3600:.6g} USD/h", note = {_text(note)} }}',
        "",
    ])  # fmt: skip


def _text(value: str) -> str:
    """A string of TOML, whose escapes are those of JSON."""
    return json.dumps(value, ensure_ascii=False)
