"""What pydantic found wrong in a file, as people read it: place, cause and cure. Knows no file's fields."""

from __future__ import annotations

from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from armillary.errors import did_you_mean
from armillary.scenario.yaml_source import Path, Problem, Source

MOST_SHOWN = 60
"""Characters of a value that are shown. [-]"""


def field_problems(error: ValidationError, source: Source, root: type[BaseModel]) -> list[Problem]:
    """Problems with their places.

    Parameters
    ----------
    error : ValidationError
        Of the file's data.
    source : Source
        The file.
    root : type of BaseModel
        Schema of the whole file, from which known fields are suggested.
    """
    found = []
    every = error.errors(include_url=False)
    for item in every:
        path = in_file(item["loc"], source)
        message, hint = item["msg"].removeprefix("Value error, "), ""
        match item["type"]:
            case "missing":
                path, message = (*path, str(item["loc"][-1])), "is missing"
            case "extra_forbidden":
                known = known_fields(root, path[:-1])
                message = f"unknown field{did_you_mean(str(path[-1]), known)}"
                hint = f"known: {', '.join(known)}" if known else ""
            case "literal_error":
                message = f"must be {item['ctx']['expected']}, got {item['input']!r}"
            case "value_error":
                pass
            case "model_type" | "dict_type":
                message = f"must be a mapping of fields, got {short(item['input'])}"
            case "tuple_type":
                message = f"must be a list, got {short(item['input'])}"
            case _:
                message = f"{message[0].lower()}{message[1:]}, got {short(item['input'])}"
        found.append(Problem(path, message, hint))
    return found


def known_fields(root: type[BaseModel], path: Path) -> list[str]:
    """Names of the fields that the mapping at a place of the file may have.

    Examples
    --------
    >>> from armillary.scenario.schema import ScenarioSpec
    >>> known_fields(ScenarioSpec, ("clusters", "ohio", "partitions", 0))
    ['system', 'count', 'ready']
    """
    here: Any = root
    for part in path:
        here = _inside(here, part)
    model = _model(here)
    return [] if model is None else [f.alias or name for name, f in model.model_fields.items()]


def models_inside(kind: Any) -> list[type[BaseModel]]:
    """Schemas of parts that a field's type holds: itself, of its entries, or of its items."""
    found = [model] if (model := _model(kind)) is not None else []
    for one in _members(kind):
        if get_origin(one) in (dict, tuple, list):
            found += [m for argument in get_args(one) if (m := _model(argument)) is not None]
    return found


def short(value: object) -> str:
    """A value as it is shown in a message."""
    text = repr(value)
    return text if len(text) <= MOST_SHOWN else text[: MOST_SHOWN - 3] + "..."


def in_file(loc: tuple[int | str, ...], source: Source) -> Path:
    """The part of pydantic's location that is in the file; its names of union members are not."""
    path: Path = ()
    for part in loc:
        if part == "[key]":
            break
        if (*path, part) in source.places:
            path = (*path, part)
    return path


def _inside(kind: Any, part: str | int) -> Any:
    """Type of a part: a field of a model, an entry of a mapping or of a list."""
    model = _model(kind)
    if model is not None:
        fields = {f.alias or name: f for name, f in model.model_fields.items()}
        return fields[str(part)].annotation if part in fields else None
    for one in _members(kind):
        arguments = get_args(one)
        if get_origin(one) is dict and len(arguments) == 2:
            return arguments[1]
        if get_origin(one) in (tuple, list) and arguments:
            return arguments[0]
    return None


def _model(kind: Any) -> type[BaseModel] | None:
    for one in _members(kind):
        if isinstance(one, type) and issubclass(one, BaseModel):
            return one
    return None


def _members(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
