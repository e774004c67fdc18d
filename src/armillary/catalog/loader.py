"""`load`: the shipped catalog, with a user's own files on top; each kind is read when first asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cached_property, lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar, final

from armillary.catalog import schema
from armillary.catalog.entries import Document, Entry, Shape, combine, read_document, shown, tables
from armillary.catalog.lookup import find, fold, index, resolve
from armillary.catalog.models import read_models
from armillary.catalog.records import (
    Accelerator,
    Contract,
    Facility,
    ModelRecord,
    Offer,
    Source,
    System,
)
from armillary.errors import CatalogError, did_you_mean

__all__ = ["KINDS", "Catalog", "load"]

DATA = Path(__file__).parent / "data"

#: Names of the catalog's tables, which are also the properties of `Catalog`.
KINDS = ("accelerators", "systems", "models", "offers", "facilities", "contracts", "sources")

Record = Accelerator | System | ModelRecord | Offer | Facility | Contract | Source
T = TypeVar("T", bound=Record)


def load(*extra: Path | str) -> Catalog:
    """Open the catalog.

    Parameters
    ----------
    *extra : Path or str
        A user's own TOML files (docs/catalog.md); the last one wins. They are read and checked at once,
        the shipped files when their entries are first asked for.

    Raises
    ------
    CatalogError
        If a file cannot be read, or an entry in it is wrong; the message names file, entry and field.

    Examples
    --------
    >>> load().accelerator("NVIDIA H100 SXM").name
    'h100'
    """
    if not extra:
        return _shipped()
    catalog = Catalog(tuple(read_document(Path(path)) for path in extra))
    for document in catalog.extra:
        for table in document.tables:
            if table not in KINDS:
                raise CatalogError(
                    f"{document.path}: unknown table {table!r}{did_you_mean(table, KINDS)}; "
                    f"there are {', '.join(KINDS)}"
                )
            catalog.table(table)
            try:
                catalog.names(table)
            except CatalogError as error:
                raise CatalogError(f"{document.path}: {table}: {error}") from error
    return catalog


@lru_cache(maxsize=1)
def _shipped() -> Catalog:
    return Catalog(())


@final
class Catalog:
    """The facts, by kind. Mappings are read-only and in the order of the files. Made by `load`.

    extra : files of a user, read over the shipped ones.
    """

    def __init__(self, extra: tuple[Document, ...]) -> None:
        self.extra = extra
        self._names: dict[str, dict[str, str]] = {}

    @cached_property
    def sources(self) -> Mapping[str, Source]:
        """Where facts come from, by key."""
        documents = [read_document(DATA / name) for name in ("sources.toml", "models-sources.toml")]
        found: dict[str, Source] = {}
        for document in (*documents, *self.extra):
            for key, table in tables(document, "sources"):
                found[key] = _source(f"{document.path}: sources.{key}", key, table)
        return MappingProxyType(found)

    @cached_property
    def accelerators(self) -> Mapping[str, Accelerator]:
        """Chips."""
        entries = self._entries(schema.ACCELERATOR)
        return MappingProxyType({n: schema.accelerator(e) for n, e in entries.items()})

    @cached_property
    def systems(self) -> Mapping[str, System]:
        """Nodes, instances and UltraServers."""
        entries = self._entries(schema.SYSTEM)
        return MappingProxyType(
            {n: schema.system(e, self._named("accelerators", e, "accelerator")) for n, e in entries.items()}
        )

    @cached_property
    def offers(self) -> Mapping[str, Offer]:
        """Prices."""
        entries = self._entries(schema.OFFER)
        return MappingProxyType({n: self._offer(e) for n, e in entries.items()})

    @cached_property
    def facilities(self) -> Mapping[str, Facility]:
        """Data centres: power usage effectiveness, capital and running costs."""
        entries = self._entries(schema.FACILITY)
        return MappingProxyType({n: schema.facility(e) for n, e in entries.items()})

    @cached_property
    def contracts(self) -> Mapping[str, Contract]:
        """Compute contracts as far as public."""
        entries = self._entries(schema.CONTRACT)
        return MappingProxyType({n: schema.contract(e) for n, e in entries.items()})

    @cached_property
    def models(self) -> Mapping[str, ModelRecord]:
        """Architectures."""
        own = [document.path for document in self.extra if "models" in document.tables]
        return MappingProxyType(read_models([*sorted(DATA.glob("models*.toml")), *own]))

    @cached_property
    def version(self) -> str:
        """Twelve hex digits of a hash of everything that the catalog holds, the same on every machine."""
        digest = hashlib.sha256()
        shipped = [(path.name, path.read_bytes()) for path in sorted(DATA.glob("*.toml"))]
        for name, content in (*shipped, *(("", document.content) for document in self.extra)):
            digest.update(f"\0{name}\0".encode() + content.replace(b"\r\n", b"\n"))
        return digest.hexdigest()[:12]

    def accelerator(self, name: str) -> Accelerator:
        """Return the chip of that name or alias.

        Case, spaces, ``_``, ``-``, ``.``, a vendor in front and ``SXM`` do not matter.

        Raises
        ------
        CatalogError
            If there is none; the message offers near matches.
        """
        return self._get("accelerators", self.accelerators, name)

    def system(self, name: str) -> System:
        """Return the system of that name or alias; raises as `accelerator`."""
        return self._get("systems", self.systems, name)

    def model(self, name: str) -> ModelRecord:
        """Return the model of that name or alias; raises as `accelerator`."""
        return self._get("models", self.models, name)

    def offer(self, name: str) -> Offer:
        """Return the offer of that name; raises as `accelerator`."""
        return self._get("offers", self.offers, name)

    def facility(self, name: str) -> Facility:
        """Return the facility of that name; raises as `accelerator`."""
        return self._get("facilities", self.facilities, name)

    def contract(self, name: str) -> Contract:
        """Return the contract of that name or alias; raises as `accelerator`."""
        return self._get("contracts", self.contracts, name)

    def table(self, kind: str) -> Mapping[str, Record]:
        """Return the mapping of one of `KINDS`.

        Raises
        ------
        CatalogError
            If there is no such kind.
        """
        if kind not in KINDS:
            raise CatalogError(f"no table {kind!r}{did_you_mean(kind, KINDS)}; there are {', '.join(KINDS)}")
        found: Mapping[str, Record] = getattr(self, kind)
        return found

    def names(self, kind: str) -> Mapping[str, str]:
        """Return the names of a kind: every folded name and alias, with the entry it stands for.

        Raises
        ------
        CatalogError
            If two entries answer to one name.
        """
        if kind not in self._names:
            self._names[kind] = index(
                {name: _aliases(record) for name, record in self.table(kind).items()}, _SINGULAR[kind]
            )
        return self._names[kind]

    def named(self, name: str) -> dict[str, Record]:
        """Return the entries that answer to a name, by kind; empty if there is none."""
        found: dict[str, Record] = {}
        for kind in KINDS:
            owner = find(name, self.names(kind))
            if owner is not None:
                found[kind] = self.table(kind)[owner]
        return found

    def price(
        self, name: str, terms: str | None = None, provider: str | None = None, region: str = ""
    ) -> Offer | None:
        """Choose the price of a system or accelerator.

        The offers that count are those for the system itself and those for its accelerator in whatever
        system or in another one. Of these, in this order of precedence: terms as in `schema.TERMS` (a long
        commitment first, because a training fleet is one; list and spot prices after); the very system
        before others; the system's own provider before others; a source before an assumption; the region
        asked for before others; the newest; the cheapest.

        Parameters
        ----------
        name : str
            Of a system or an accelerator, or an alias.
        terms : str, optional
            Only these terms, e.g. ``"on-demand"``.
        provider : str, optional
            Only offers of this provider, e.g. ``"aws"``.
        region : str
            Offers of this region before others, e.g. ``"us-east-1"``.

        Returns
        -------
        Offer or None
            None if the catalog has no price for it on such terms.

        Raises
        ------
        CatalogError
            If neither a system nor an accelerator has that name, or there are no such terms.
        """
        if terms is not None and terms not in schema.TERMS:
            cure = did_you_mean(terms, schema.TERMS) or f"; there are {', '.join(schema.TERMS)}"
            raise CatalogError(f"unknown terms {terms!r}{cure}")
        system, chip = self._priced(name)
        own_provider = fold(system.provider) if system is not None else ""
        candidates = [
            offer
            for offer in self.offers.values()
            if offer.accelerator == chip
            and terms in (None, offer.terms)
            and (provider is None or fold(provider) == fold(offer.provider))
        ]

        def order(offer: Offer) -> tuple[Any, ...]:
            fact = offer.facts["price"]
            return (
                schema.TERMS.index(offer.terms),
                system is None or offer.system != system.name,
                fold(offer.provider) != own_provider,
                fact.kind == "assumed",
                bool(region) and fold(region) not in map(fold, offer.region.split(",")),
                *(-int(part) for part in (fact.date + "-00-00").split("-")[:3]),
                offer.price,
                offer.name,
            )

        return min(candidates, key=order, default=None)

    def _priced(self, name: str) -> tuple[System | None, str]:
        system = find(name, self.names("systems"))
        if system is not None:
            return self.systems[system], self.systems[system].accelerator
        chip = find(name, self.names("accelerators"))
        if chip is None:
            near = did_you_mean(name, [*self.systems, *self.accelerators])
            raise CatalogError(f"unknown system or accelerator {name!r}{near}")
        return None, chip

    def _offer(self, entry: Entry) -> Offer:
        system = self._named("systems", entry, "system") if entry.text("system") else ""
        chip = self._named("accelerators", entry, "accelerator") if entry.text("accelerator") else ""
        if not system and not chip:
            raise CatalogError(f"{entry.place}: lacks system or accelerator; an offer prices one of them")
        inside = self.systems[system].accelerator if system else chip
        if chip and chip != inside:
            raise CatalogError(
                f"{entry.place}.accelerator: must be {inside!r}, as {system!r} has. Got {chip!r}"
            )
        return schema.offer(entry, system, inside)

    def _named(self, kind: str, entry: Entry, key: str) -> str:
        try:
            return resolve(entry.text(key), self.names(kind), _SINGULAR[kind])
        except CatalogError as error:
            raise CatalogError(f"{entry.place}.{key}: {error}") from error

    def _get(self, kind: str, table: Mapping[str, T], name: str) -> T:
        return table[resolve(name, self.names(kind), _SINGULAR[kind])]

    def _entries(self, shape: Shape) -> dict[str, Entry]:
        documents = [read_document(DATA / f"{shape.table}.toml"), *self.extra]
        return combine(shape, documents, lambda key: self.sources[key].date if key in self.sources else None)


_SINGULAR = {
    "accelerators": "accelerator", "systems": "system", "models": "model", "offers": "offer",
    "facilities": "facility", "contracts": "contract", "sources": "source",
}  # fmt: skip


def _aliases(record: Record) -> tuple[str, ...]:
    return record.aliases if isinstance(record, Accelerator | System | ModelRecord | Contract) else ()


def _source(place: str, key: str, table: Mapping[str, Any]) -> Source:
    keys = ("title", "where", "date")
    for name in keys:
        if not isinstance(table.get(name), str):
            raise CatalogError(f"{place}.{name}: must be text. Got {shown(table.get(name))} instead.")
    for name in table:
        if name not in keys:
            raise CatalogError(f"{place}: unknown field {name!r}{did_you_mean(name, keys)}")
    return Source(key, table["title"], table["where"], table["date"])
