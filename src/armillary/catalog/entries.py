"""Catalog entries as TOML states them: texts, flags and facts, checked against the shape of their kind."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date as Date
from pathlib import Path
from typing import Any, cast, get_args

from armillary.catalog.lookup import fold
from armillary.catalog.records import Fact, Kind
from armillary.errors import CatalogError, UnitError, did_you_mean
from armillary.units import parse

__all__ = ["Document", "Entry", "Number", "Shape", "combine", "read_document", "shown", "tables"]

_DATE = re.compile(r"\d{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01]))?)?\Z")
_DEFAULTS = ("source", "kind", "date")
_FACT_KEYS = ("value", *_DEFAULTS, "note")


@dataclass(frozen=True, slots=True)
class Number:
    """A number that an entry states.

    dimension : a key of `units.DIMENSIONS`.
    required : whether an entry must have it.
    whole : whether it counts something.
    least : smallest value in SI units; the value itself is only allowed where `least_itself`.
    """

    dimension: str
    required: bool = True
    whole: bool = False
    least: float = 0.0
    least_itself: bool = False


@dataclass(frozen=True, slots=True)
class Shape:
    """What the entries of one kind look like.

    what : singular, for messages; table : the TOML table that holds them.
    texts : allowed texts, True where required. choices : allowed values of a text.
    numbers : by field; ``peak.bf16`` is the field `bf16` of the table `peak`.
    flags : true-or-false fields, false when not stated.
    """

    what: str
    table: str
    texts: Mapping[str, bool]
    numbers: Mapping[str, Number]
    flags: tuple[str, ...] = ()
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def keys(self) -> list[str]:
        """Every key that may stand in an entry."""
        groups = dict.fromkeys(name.partition(".")[0] for name in self.numbers)
        return [*self.texts, "note", "aliases", "like", *_DEFAULTS, *groups, *self.flags]


@dataclass(frozen=True, slots=True)
class Document:
    """A TOML file that has been read. content : its bytes."""

    path: Path
    tables: Mapping[str, Any]
    content: bytes = b""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry, not yet a record. place : file and table. facts : the one used first, then alternatives."""

    name: str
    place: str
    texts: Mapping[str, str]
    flags: Mapping[str, bool]
    facts: Mapping[str, tuple[Fact, ...]]
    aliases: tuple[str, ...] = ()

    def text(self, key: str, default: str = "") -> str:
        """Return a text, or `default` where the entry does not state it."""
        return self.texts.get(key, default)

    def number(self, key: str) -> float | None:
        """Return the value in use, None where the entry does not state it. [SI]"""
        facts = self.facts.get(key)
        return facts[0].value if facts else None

    def record_facts(self) -> dict[str, Fact]:
        """Return facts by field name, alternatives as ``field#2``, ``field#3``, ..."""
        return {
            name if i == 1 else f"{name}#{i}": fact
            for name, facts in self.facts.items()
            for i, fact in enumerate(facts, 1)
        }


def read_document(path: Path) -> Document:
    """Read a TOML file.

    Raises
    ------
    CatalogError
        If it cannot be read or is not TOML.
    """
    try:
        content = path.read_bytes()
        return Document(path, tomllib.loads(content.decode()), content)
    except OSError as error:
        raise CatalogError(f"{path}: cannot be read ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise CatalogError(f"{path}: is not valid TOML: not UTF-8 text ({error.reason})") from error
    except ValueError as error:
        raise CatalogError(f"{path}: is not valid TOML: {error}") from error
    except RecursionError as error:
        raise CatalogError(f"{path}: is not valid TOML: nested too deeply") from error


def combine(
    shape: Shape, documents: list[Document], source_date: Callable[[str], str | None]
) -> dict[str, Entry]:
    """Read the entries of one kind from files; a later file adds to or overrides an earlier one.

    An entry with the name or an alias of an earlier one changes only the fields it states, and what it
    replaces stays as an alternative. A new entry may be ``like`` one above it.

    Parameters
    ----------
    shape : Shape
        Of the kind.
    documents : list of Document
        Files in order of precedence, the last wins.
    source_date : callable
        The date of a source by key, None if there is no such source; asked only where a fact has no date.

    Raises
    ------
    CatalogError
        If an entry is malformed or incomplete; the message names file, entry, field and cure.
    """
    entries: dict[str, Entry] = {}
    owners: dict[str, str] = {}
    for document in documents:
        for name, raw in tables(document, shape.table):
            entry, like = _entry(f"{document.path}: {shape.table}.{name}", name, raw, shape, source_date)
            owner = owners.setdefault(fold(name), name)
            if owner in entries:
                if like is not None:
                    raise CatalogError(
                        f"{entry.place}.like: {owner!r} is in the catalog; state what to change"
                    )
                entry = _override(entries[owner], entry)
            elif like is not None:
                base = owners.get(fold(like), "")
                if base not in entries:
                    raise CatalogError(
                        f"{entry.place}.like: no {shape.what} {like!r} above it{did_you_mean(like, entries)}"
                    )
                entry = _derive(entries[base], entry)
            entries[owner] = entry
            for alias in entry.aliases:
                owners.setdefault(fold(alias), owner)
    for entry in entries.values():
        _complete(entry, shape)
    return entries


def tables(document: Document, table: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Go through the entries of one table of a file, unread.

    Raises
    ------
    CatalogError
        If the table or an entry is not a table, or an entry has no name.
    """
    entries = document.tables.get(table, {})
    if not isinstance(entries, dict):
        raise CatalogError(
            f"{document.path}: {table} must be a table of entries. Got {shown(entries)} instead."
        )
    for name, raw in entries.items():
        if not fold(name):
            raise CatalogError(f"{document.path}: {table}: an entry needs a name. Got {shown(name)} instead.")
        if not isinstance(raw, dict):
            raise CatalogError(f"{document.path}: {table}.{name}: must be a table. Got {shown(raw)} instead.")
        yield name, raw


def _override(old: Entry, new: Entry) -> Entry:
    return replace(
        old,
        place=new.place,
        texts={**old.texts, **new.texts},
        flags={**old.flags, **new.flags},
        facts={**old.facts, **{name: facts + old.facts.get(name, ()) for name, facts in new.facts.items()}},
        aliases=tuple(dict.fromkeys((*old.aliases, *new.aliases))),
    )


def _derive(base: Entry, new: Entry) -> Entry:
    texts = {key: text for key, text in base.texts.items() if key not in ("title", "note")}
    return replace(
        new,
        texts={"title": new.name, **texts, **new.texts},
        flags={**base.flags, **new.flags},
        facts={**base.facts, **new.facts},
    )


def _complete(entry: Entry, shape: Shape) -> None:
    texts = [key for key, required in shape.texts.items() if required and key not in entry.texts]
    numbers = [key for key, number in shape.numbers.items() if number.required and key not in entry.facts]
    if texts or numbers:
        raise CatalogError(
            f"{entry.place}: lacks {', '.join(texts + numbers)}; a new {shape.what} states them, "
            f"or is like another one"
        )


def _entry(
    place: str,
    name: str,
    raw: Mapping[str, Any],
    shape: Shape,
    source_date: Callable[[str], str | None],
) -> tuple[Entry, str | None]:
    texts: dict[str, str] = {}
    flags: dict[str, bool] = {}
    facts: dict[str, tuple[Fact, ...]] = {}
    keys = shape.keys()
    read = _FactReader(place, {key: raw[key] for key in _DEFAULTS if key in raw}, source_date)
    groups = {n.partition(".")[0] for n in shape.numbers if "." in n}
    for key, value in raw.items():
        if key not in keys:
            raise CatalogError(f"{place}: unknown field {key!r}{did_you_mean(key, keys) or _allowed(keys)}")
        if key in _DEFAULTS:
            continue
        if key in shape.texts or key in ("note", "like"):
            texts[key] = _text(f"{place}.{key}", value, shape.choices.get(key))
        elif key in shape.flags:
            if not isinstance(value, bool):
                raise CatalogError(f"{place}.{key}: must be true or false. Got {shown(value)} instead.")
            flags[key] = value
        elif key in groups:
            if not isinstance(value, dict):
                raise CatalogError(f"{place}.{key}: must be a table. Got {shown(value)} instead.")
            members = [n.partition(".")[2] for n in shape.numbers if n.startswith(f"{key}.")]
            for member, fact in value.items():
                if member not in members:
                    cure = did_you_mean(member, members) or _allowed(members)
                    raise CatalogError(f"{place}.{key}: unknown field {member!r}{cure}")
                facts[f"{key}.{member}"] = read(f"{key}.{member}", fact, shape.numbers[f"{key}.{member}"])
        elif key != "aliases":
            facts[key] = read(key, value, shape.numbers[key])
    aliases = raw.get("aliases", [])
    if not isinstance(aliases, list) or not all(isinstance(a, str) and fold(a) for a in aliases):
        raise CatalogError(f"{place}.aliases: must be a list of names. Got {shown(aliases)} instead.")
    like = texts.pop("like", None)
    return Entry(name, place, texts, flags, facts, tuple(aliases)), like


def shown(value: object) -> str:
    """Write a value of a user's file in a message, shortened where it is long."""
    try:
        text = repr(value)
    except ValueError:
        return "a number of thousands of digits"
    return text if len(text) <= 80 else f"{text[:77]}..."


def _allowed(keys: list[str]) -> str:
    return f"; there are {', '.join(keys)}"


def _text(place: str, value: object, choices: tuple[str, ...] | None) -> str:
    if isinstance(value, Date):
        value = value.isoformat()
    if not isinstance(value, str):
        raise CatalogError(f"{place}: must be text. Got {shown(value)} instead.")
    if choices is not None and value not in choices:
        raise CatalogError(f"{place}: must be one of {', '.join(choices)}. Got {shown(value)} instead.")
    return value


@dataclass(frozen=True, slots=True)
class _FactReader:
    """Reads the facts of one entry, which may state source, kind and date once for all of them.

    A fact with a source of its own does not take the entry's date: it states one, or has its source's.
    """

    place: str
    defaults: Mapping[str, Any]
    source_date: Callable[[str], str | None]

    def __call__(self, name: str, raw: object, number: Number) -> tuple[Fact, ...]:
        table: dict[str, Any] = dict(raw) if isinstance(raw, dict) else {"value": raw}
        alternatives = table.pop("alternatives", [])
        if not isinstance(alternatives, list) or not all(isinstance(a, dict) for a in alternatives):
            raise CatalogError(
                f"{self.place}.{name}.alternatives: must be a list of tables. "
                f"Got {shown(alternatives)} instead."
            )
        return (
            self._fact(f"{self.place}.{name}", table, number),
            *(self._fact(f"{self.place}.{name}#{i}", a, number) for i, a in enumerate(alternatives, 2)),
        )

    def _fact(self, place: str, table: Mapping[str, Any], number: Number) -> Fact:
        for key in table:
            if key not in _FACT_KEYS:
                raise CatalogError(f"{place}: unknown field {key!r}{did_you_mean(key, _FACT_KEYS)}")
        if "value" not in table:
            raise CatalogError(f"{place}: lacks value, as in {{ value = '...', source = '...' }}")
        defaults = {k: v for k, v in self.defaults.items() if k != "date" or "source" not in table}
        said = {**defaults, **table}
        for key in ("source", "kind"):
            if key not in said:
                raise CatalogError(f"{place}: lacks {key}; every number says where it comes from")
        source = _text(f"{place}.source", said["source"], None)
        kind = cast(Kind, _text(f"{place}.kind", said["kind"], get_args(Kind)))
        return Fact(
            value=_value(place, table["value"], number),
            kind=kind,
            source=source,
            date=self._date(place, said, source),
            note=_text(f"{place}.note", said.get("note", ""), None),
        )

    def _date(self, place: str, said: Mapping[str, Any], source: str) -> str:
        if "date" not in said:
            known = self.source_date(source)
            if known is None:
                raise CatalogError(f"{place}: lacks date, and there is no source {source!r} to take it from")
            return known
        date = _text(f"{place}.date", said["date"], None)
        if not _DATE.match(date):
            raise CatalogError(
                f"{place}.date: must be an ISO date such as '2026-04'. Got {shown(date)} instead."
            )
        return date


def _value(place: str, raw: object, number: Number) -> float:
    if isinstance(raw, int) and raw.bit_length() > 1000:
        raise CatalogError(f"{place}: is too large a number")
    try:
        value = parse(cast("str | float", raw), number.dimension)
    except UnitError as error:
        raise CatalogError(f"{place}: {error}") from error
    if value < number.least or (value == number.least and not number.least_itself):
        bound = "at least" if number.least_itself else "above"
        raise CatalogError(f"{place}: must be {bound} {number.least:g}. Got {shown(raw)} instead.")
    if number.whole and value != int(value):
        raise CatalogError(f"{place}: must be a whole number. Got {shown(raw)} instead.")
    return value
