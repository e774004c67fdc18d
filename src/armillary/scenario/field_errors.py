"""What pydantic found wrong in a file, as people read it: place, cause and cure. Knows no file's fields."""

from __future__ import annotations

from pydantic import BaseModel, ValidationError

from armillary.errors import did_you_mean
from armillary.scenario.schema_types import KIND, kinds, known_fields, may_be_a_name
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
            case "too_short" if any(
                len(e["loc"]) > len(item["loc"]) and e["loc"][: len(item["loc"])] == item["loc"]
                for e in every
            ):
                continue  # its items have problems of their own
            case "too_short":
                least, has = item["ctx"]["min_length"], item["ctx"]["actual_length"]
                message = f"must have at least {least} {'entry' if least == 1 else 'entries'}, has {has}"
            case "extra_forbidden":
                known = known_fields(root, path[:-1], source.data)
                message = f"unknown field{did_you_mean(str(path[-1]), known)}"
                hint = f"known: {', '.join(known)}" if known else ""
            case "literal_error":
                message = f"must be {item['ctx']['expected']}, got {item['input']!r}"
            case "union_tag_not_found":
                hint = f"one of {', '.join(kinds(root, path))}"
                path, message = (*path, KIND), "is missing"
            case "union_tag_invalid":
                known, tag = kinds(root, path), item["ctx"]["tag"]
                path = (*path, KIND)
                message = f"must be {' or '.join(map(repr, known))}, got {tag!r}{did_you_mean(tag, known)}"
            case "value_error":
                pass
            case "string_type" if known_fields(root, path):
                continue  # an entry that is no name; what is wrong with it as a mapping is said as well
            case "model_type" | "dict_type" if may_be_a_name(root, path):
                fields = " or ".join(f"{field}:" for field in known_fields(root, path))
                message = f"must be a name, or {fields}, got {short(item['input'])}"
            case "model_type" | "dict_type" | "model_attributes_type":
                message = f"must be a mapping of fields, got {short(item['input'])}"
            case "tuple_type":
                message = f"must be a list, got {short(item['input'])}"
            case _:
                message = f"{message[0].lower()}{message[1:]}, got {short(item['input'])}"
        found.append(Problem(path, message, hint))
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
