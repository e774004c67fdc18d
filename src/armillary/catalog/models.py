"""Read the model files of the catalog: TOML entries to `ModelRecord`s.

An entry states an architecture in the words of `model.Architecture` (flat: one key a number), one source
for all of it, and the totals that its publisher states::

    [models."my-model"]
    title = "My model"
    aliases = ["MyModel_70B"]
    like = "llama-3.1-70b"          # optional: start from another entry, change what differs
    source = "my-config"            # a key of the source table, or free text
    date = "2026-04"
    kind = "published"
    parameters = 70.6e9             # optional; as published, with published_source when it is another one
    active = 70.6e9

    [models."my-model".architecture]
    layers = 80
    ...
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import cast, get_args

from armillary.catalog.records import Fact, Kind, ModelRecord
from armillary.errors import CatalogError, did_you_mean

__all__ = ["read_models"]

_TEXTS = (
    *("title", "like", "source", "date", "kind", "note"),
    *("published_source", "published_date", "published_kind", "published_note"),
)
_KEYS = (*_TEXTS, "aliases", "parameters", "active", "architecture")
_REQUIRED = ("source", "date", "kind")


def read_models(paths: Iterable[Path]) -> dict[str, ModelRecord]:
    """Read the ``[models]`` tables of TOML files; a later file overrides or adds to an earlier one.

    Parameters
    ----------
    paths : iterable of Path
        Files; tables other than ``models`` are left to other readers.

    Returns
    -------
    dict
        Records by name, in the order of the files.

    Raises
    ------
    CatalogError
        If a file cannot be read, or an entry has an unknown or missing key, a value of the wrong type,
        or is `like` an entry that is not there. The message names file, entry and key.
    """
    entries: dict[str, tuple[str, dict[str, object]]] = {}
    for path in paths:
        for name, entry in _models(path).items():
            entries[name] = (f"{path}: models.{name}", _checked(f"{path}: models.{name}", entry))
    return {name: _record(name, entries) for name in entries}


def _models(path: Path) -> Mapping[str, object]:
    try:
        with path.open("rb") as file:
            tables = tomllib.load(file)
    except OSError as error:
        raise CatalogError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CatalogError(f"{path}: is not valid TOML: {error}") from error
    models = tables.get("models", {})
    if not isinstance(models, dict):
        raise CatalogError(f"{path}: models must be a table of entries. Got {models!r} instead.")
    return models


def _checked(place: str, entry: object) -> dict[str, object]:
    if not isinstance(entry, dict):
        raise CatalogError(f"{place}: must be a table. Got {entry!r} instead.")
    for key, value in entry.items():
        if key not in _KEYS:
            raise CatalogError(f"{place}: unknown key {key!r}{did_you_mean(key, _KEYS)}")
        if key in _TEXTS and not isinstance(value, str):
            raise CatalogError(f"{place}.{key}: must be text. Got {value!r} instead.")
        if key in ("parameters", "active") and (
            not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < 1e18
        ):
            raise CatalogError(
                f"{place}.{key}: must be a number of parameters above zero. Got {value!r} instead."
            )
        if key == "aliases" and not (isinstance(value, list) and all(isinstance(a, str) for a in value)):
            raise CatalogError(f"{place}.aliases: must be a list of texts. Got {value!r} instead.")
        if key == "architecture":
            _check_architecture(f"{place}.architecture", value)
    for key in ("kind", "published_kind"):
        if key in entry and entry[key] not in get_args(Kind):
            raise CatalogError(
                f"{place}.{key}: must be one of {', '.join(get_args(Kind))}. Got {entry[key]!r} instead."
            )
    missing = [key for key in _REQUIRED if key not in entry]
    if missing:
        raise CatalogError(f"{place}: lacks {', '.join(missing)}; every entry says where it comes from")
    return entry


def _check_architecture(place: str, value: object) -> None:
    if not isinstance(value, dict):
        raise CatalogError(f"{place}: must be a table. Got {value!r} instead.")
    for key, part in value.items():
        if not isinstance(part, int | str):
            raise CatalogError(
                f"{place}.{key}: must be a whole number, true or false, or text. Got {part!r} instead."
            )


def _record(name: str, entries: Mapping[str, tuple[str, dict[str, object]]]) -> ModelRecord:
    place, entry = entries[name]
    source, date, note = (cast(str, entry.get(key, "")) for key in ("source", "date", "note"))
    kind = cast(Kind, entry["kind"])
    architecture = _architecture(name, entries, ())
    if not architecture:
        raise CatalogError(f"{place}: needs an architecture table, or a model that it is like")
    facts = {
        f"architecture.{key}": Fact(float(value), kind, source, date, note)
        for key, value in architecture.items()
        if isinstance(value, int)
    }
    totals = {key: float(cast(float, entry[key])) for key in ("parameters", "active") if key in entry}
    facts |= {
        key: Fact(
            value=value,
            kind=cast(Kind, entry.get("published_kind", kind)),
            source=cast(str, entry.get("published_source", source)),
            date=cast(str, entry.get("published_date", date)),
            note=cast(str, entry.get("published_note", "")),
        )
        for key, value in totals.items()
    }
    return ModelRecord(
        name=name,
        title=cast(str, entry.get("title", name)),
        architecture=architecture,
        parameters_published=totals.get("parameters", 0.0),
        active_published=totals.get("active", 0.0),
        facts=facts,
        aliases=tuple(cast(list[str], entry.get("aliases", []))),
        note=note,
    )


def _architecture(
    name: str, entries: Mapping[str, tuple[str, dict[str, object]]], seen: tuple[str, ...]
) -> dict[str, object]:
    place, entry = entries[name]
    own = cast(dict[str, object], entry.get("architecture", {}))
    like = entry.get("like")
    if like is None:
        return dict(own)
    if like not in entries:
        raise CatalogError(f"{place}.like: no model {like!r}{did_you_mean(str(like), entries)}")
    if like in seen:
        raise CatalogError(f"{place}.like: goes in a circle: {' -> '.join((*seen, name, str(like)))}")
    return {**_architecture(str(like), entries, (*seen, name)), **own}
