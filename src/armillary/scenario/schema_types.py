"""What a file's schema has at each place: parts, their fields, and the kinds of those that come in kinds."""

from __future__ import annotations

from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from armillary.scenario.yaml_source import Path

KIND = "kind"
"""Field that tells the parts apart that may stand at one place."""


def known_fields(root: type[BaseModel], path: Path, data: Any = None) -> list[str]:
    """Names of the fields that the mapping at a place of a file may have.

    Parameters
    ----------
    root : type of BaseModel
        Schema of the whole file.
    path : tuple
        Keys and indices from the top.
    data : mapping or None
        The file's, which says of what kind a part is.

    Examples
    --------
    >>> from armillary.scenario.schema import ScenarioSpec
    >>> known_fields(ScenarioSpec, ("clusters", "ohio", "partitions", 0))
    ['system', 'count', 'ready']
    """
    here, inside = _at(root, path, data)
    part = _part(here, inside)
    return [] if part is None else list(_fields(part))


def kinds(root: type[BaseModel], path: Path) -> list[str]:
    """Kinds of the parts that may stand at a place."""
    return [kind for part in _parts(_at(root, path)[0]) for kind in _kinds(part)]


def may_be_a_name(root: type[BaseModel], path: Path) -> bool:
    """Whether a name may stand at a place instead of a part."""
    members = [_bare(one) for one in _members(_at(root, path)[0])]
    return str in members


def every_part(root: type[BaseModel]) -> list[tuple[str, type[BaseModel]]]:
    """All parts with a title of each, the outer ones first."""
    found: list[tuple[str, type[BaseModel]]] = [("the file", root)]
    titles, parts = {"the file"}, {root}
    within = {root: ""}
    for _, outer in found:  # it grows
        for name, kind in _fields(outer).items():
            for how, part in _held(kind):
                if part in parts:
                    continue
                title = how.format(f"`{name}`")
                told = _kinds(part) if len(_held(kind)) > 1 else []  # of several at one place
                title += "".join(f", `{KIND}: {one}`" for one in told)
                title += f" of `{within[outer]}`" if title in titles else ""
                found.append((title, part))
                titles.add(title)
                parts.add(part)
                within[part] = name
    return found


def _fields(part: type[BaseModel]) -> dict[str, Any]:
    """Types of a part's fields, by the names that files have."""
    return {f.alias or name: f.annotation for name, f in part.model_fields.items()}


def _at(root: Any, path: Path, data: Any = None) -> tuple[Any, Any]:
    """The type at a place, and the data."""
    here = root
    for key in path:
        part = _part(here, data)
        here = _fields(part).get(str(key)) if part is not None else _entry(here)
        try:
            data = data[key]
        except (KeyError, IndexError, TypeError):
            data = None
    return here, data


def _held(kind: Any) -> list[tuple[str, type[BaseModel]]]:
    """Parts that a field's type holds: itself, its entries, its items."""
    own = [("{}", part) for part in _parts(kind)]
    entry = _entry(kind)
    inside = "an entry of {}" if any(get_origin(one) is dict for one in _members(kind)) else "{}"
    return own + [(inside, part) for part in _parts(entry)]


def _entry(kind: Any) -> Any:
    """Type of the entries of a mapping or the items of a list; None of others."""
    for one in _members(kind):
        arguments = get_args(one)
        if get_origin(one) is dict and len(arguments) == 2:
            return arguments[1]
        if get_origin(one) in (tuple, list) and arguments:
            return arguments[0]
    return None


def _part(kind: Any, data: Any) -> type[BaseModel] | None:
    """The part that a type is, that of the data's kind where there are several."""
    parts = _parts(kind)
    said = data.get(KIND) if isinstance(data, dict) else None
    return next((part for part in parts if said in _kinds(part)), parts[0] if parts else None)


def _parts(kind: Any) -> list[type[BaseModel]]:
    return [one for one in map(_bare, _members(kind)) if isinstance(one, type) and issubclass(one, BaseModel)]


def _kinds(part: type[BaseModel]) -> list[str]:
    kind = _fields(part).get(KIND)
    return list(get_args(kind)) if get_origin(kind) is Literal else []


def _members(kind: Any) -> tuple[Any, ...]:
    kind = _bare(kind)
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)


def _bare(kind: Any) -> Any:
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind
