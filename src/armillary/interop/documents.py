"""JSON and YAML of other tools as plain data: bounded, without aliases, a key once. Imports PyYAML."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import yaml

from armillary.errors import InputError

MOST_BYTES = 1 << 28
"""Of a file. [byte]"""
MOST_PARTS = 4_000_000
MOST_NESTING = 64


def read_file(path: Path) -> str:
    """Text of a file.

    Raises
    ------
    InputError
        If it cannot be read, is not UTF-8, empty, or larger than `MOST_BYTES`.
    """
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise InputError(f"{path}: {size:,} bytes are more than a topology takes, {MOST_BYTES:,}")
        text = path.read_text("utf-8-sig")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "is not UTF-8 text"
        raise InputError(f"{path}: cannot be read: {reason}") from None
    if not text.strip():
        raise InputError(f"{path}: the file is empty")
    return text


def read_json(text: str, source: str) -> list[Any]:
    """All JSON values of a text, one behind the other (pages of a command's output).

    Raises
    ------
    InputError
        If it is not JSON, a key stands twice in an object, or it nests too deeply.
    """
    decoder = json.JSONDecoder(object_pairs_hook=lambda pairs: _once(pairs, source))
    found, at = [], 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        try:
            value, at = decoder.raw_decode(text, at)
        except json.JSONDecodeError as error:
            raise InputError(f"{source}:{error.lineno}:{error.colno}: is not JSON: {error.msg}") from None
        except RecursionError:
            raise InputError(f"{source}: is nested too deeply") from None
        except ValueError as error:  # a number of thousands of digits
            raise InputError(f"{source}: is not JSON that can be read: {error}") from None
        found.append(value)
    if not found:
        raise InputError(f"{source}: the file is empty")
    return found


def read_yaml(text: str, source: str) -> list[Any]:
    """All YAML documents of a text; every scalar is text as written, so ``001`` and ``no`` stay names.

    Raises
    ------
    InputError
        If it is not YAML, uses an anchor, has a key twice, is too large or nests too deeply.
    """
    try:
        found = [value for value in yaml.load_all(text, Loader=_Loader) if value not in ("", None)]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise InputError(f"{source}{place}: is not YAML that can be read: {error.problem}") from None
    except (yaml.YAMLError, RecursionError, ValueError, OverflowError) as error:
        said = " ".join(str(error).split())[:200]
        raise InputError(f"{source}: is not YAML that can be read: {said}") from None
    if not found:
        raise InputError(f"{source}: the file is empty")
    return found


def mapping(value: Any, place: str) -> Mapping[str, Any]:
    """Take the value as a mapping; an empty one where it is empty.

    Raises
    ------
    InputError
        If it is something else.
    """
    if value in ("", None):
        return {}
    if not isinstance(value, dict):
        raise InputError(f"{place}: expected a mapping of names to values, got {_kind(value)}")
    return value


def sequence(value: Any, place: str) -> list[Any]:
    """Take the value as a list; an empty one where it is empty.

    Raises
    ------
    InputError
        If it is something else.
    """
    if value in ("", None):
        return []
    if not isinstance(value, list):
        raise InputError(f"{place}: expected a list, got {_kind(value)}")
    return value


def name(value: Any, place: str) -> str:
    """Take the value as a name.

    Raises
    ------
    InputError
        If it is empty, something else than text, or holds white space.
    """
    if not isinstance(value, str) or not value or any(c.isspace() or not c.isprintable() for c in value):
        raise InputError(f"{place}: expected a name without spaces, got {_kind(value)}")
    return value


def _kind(value: Any) -> str:
    words = {dict: "a mapping", list: "a list", bool: "true or false", type(None): "nothing", int: "a number"}
    if isinstance(value, str):
        return repr(value if len(value) <= 60 else value[:57] + "...")
    return words.get(type(value), "a number")


def _once(pairs: list[tuple[str, Any]], source: str) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        counted = Counter(key for key, _ in pairs)
        twice = counted.most_common(1)[0][0]
        raise InputError(f"{source}: the key {twice[:60]!r} stands twice in one object")
    return found


class _Loader(yaml.BaseLoader):
    """Scalars as text; no aliases; parts and nesting bounded."""

    parts = nesting = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Compose a node, or refuse an alias, too many nodes, or nodes too deep."""
        self.parts += 1
        self.nesting += 1
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        words = ""
        if isinstance(event, yaml.AliasEvent):
            words = "an alias (*) is not read; write it out"
        elif self.parts > MOST_PARTS or self.nesting > MOST_NESTING:
            words = "it is too large or too deeply nested"
        if words:
            raise yaml.composer.ComposerError(None, None, words, event.start_mark)
        node: yaml.Node | None = super().compose_node(parent, index)
        self.nesting -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Construct a mapping, or refuse keys that are no text or stand twice."""
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a key is no plain text", key.start_mark)
            if key.value in seen:
                words = f"the key {key.value[:60]!r} stands twice"
                raise yaml.constructor.ConstructorError(None, None, words, key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)
