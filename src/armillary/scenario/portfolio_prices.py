"""Prices that a file leaves out: the catalog's, those of CPUs, the cost of owning. Imports portfolio."""

from __future__ import annotations

from armillary.catalog import Catalog
from armillary.portfolio import QUARTER, inputs, owned, usable
from armillary.scenario.portfolio_spec import PurchaseSpec
from armillary.scenario.purchasing import AskedSku

OWNED = "gb200"
"""The accelerator whose cost of ownership the tables of docs/tco.md give."""
LONG = 8 * QUARTER
"""A reservation of two years or more takes the price of three years, a shorter one that of a year. [s]"""


def price_of(
    catalog: Catalog, spec: PurchaseSpec, sku: AskedSku, provider: str, region: str = ""
) -> tuple[float | None, str]:
    """Price of a unit and its source [USD/s]; None where there is none, with why.

    Parameters
    ----------
    catalog : Catalog
    spec : PurchaseSpec
    sku : AskedSku
        That is offered.
    provider, region : str
        Of the site; an offer of the region is taken before others of the provider.
    """
    if spec.price is not None:
        return spec.price, "stated in the scenario"
    if sku.cpu is not None:
        return sku.cpu.price, f"{sku.cpu.name}: {sku.cpu.source}, {sku.cpu.date}"
    chip = "" if sku.accelerator is None else sku.accelerator.name
    if spec.kind == "own":
        if chip == OWNED:
            cost = float(owned(inputs()).total / usable(inputs()))
            return cost, "cost of ownership, spares included (docs/tco.md)"
        return None, f"has no price, and {chip} no cost of ownership"
    terms: str = spec.kind
    if spec.kind == "reserved":
        terms = "reserved-3y" if (spec.term or 0.0) >= LONG else "reserved-1y"
    found = catalog.price(chip, terms=terms, provider=provider, region=region)
    if found is None:
        return None, f"has no price, and the catalog none of {provider} for {chip}, {terms}"
    kind = found.facts["price"].kind
    return found.price, f"catalog: {found.name} ({'assumption' if kind == 'assumed' else kind})"
