"""YAML with places: plain data, and the line and column of every part. Imports PyYAML and errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

Path = tuple[str | int, ...]
"""Keys and indices from the top of the file."""

MOST_NODES = 50_000
MOST_DEPTH = 40


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong at a place. hint : what would be right."""

    path: Path
    message: str
    hint: str = ""


@dataclass
class Source:
    """A file as data. places : line and column (from 1) of each value and, for mappings, of each key."""

    name: str
    data: Any = None
    places: dict[Path, tuple[int, int]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def place(self, path: Sequence[str | int]) -> tuple[int, int]:
        """Line and column of the nearest part of the file on the way to `path`."""
        known: Path = tuple(path)
        while known and known not in self.places:
            known = known[:-1]
        return self.places.get(known, (1, 1))

    def render(self, problems: Sequence[Problem]) -> str:
        """One line a problem in the order of the file, its hint on a line of its own."""
        lines = []
        for p in sorted(problems, key=lambda p: self.place(p.path)):
            line, column = self.place(p.path)
            where = f"{dotted(p.path)}: " if p.path else ""
            lines.append(f"{self.name}:{line}:{column}: error: {where}{p.message}")
            if p.hint:
                lines.append(f"  hint: {p.hint}")
        return "\n".join(dict.fromkeys(lines))


def dotted(path: Sequence[str | int]) -> str:
    """Write a path as people do.

    Examples
    --------
    >>> dotted(("clusters", "ohio", "partitions", 0, "count"))
    'clusters.ohio.partitions[0].count'
    """
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def read_yaml(text: str, name: str) -> Source:
    """Read YAML text; syntax errors, duplicate keys and runaway aliases become problems, never exceptions."""
    source = Source(name)
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        if mark is not None:
            source.places[()] = (mark.line + 1, mark.column + 1)
        source.problems.append(Problem((), f"is not valid YAML: {error.problem or error.context}"))
        return source
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        source.problems.append(Problem((), f"is not valid YAML: {' '.join(str(error).split())}"))
        return source
    if node is None:
        source.problems.append(Problem((), "is empty", "a scenario starts with 'name:' and 'clusters:'"))
        return source
    builder = _Builder(source)
    source.data = builder.build(node, ())
    return source


class _Builder:
    def __init__(self, source: Source) -> None:
        self.source = source
        self.scalars = yaml.constructor.SafeConstructor()
        self.count = 0
        self.open: set[int] = set()

    def build(self, node: yaml.Node, path: Path) -> Any:
        """Plain data of a node; places are noted on the way."""
        self.source.places.setdefault(path, (node.start_mark.line + 1, node.start_mark.column + 1))
        self.count += 1
        if self.count > MOST_NODES or len(path) > MOST_DEPTH:
            if self.count == MOST_NODES + 1 or len(path) == MOST_DEPTH + 1:
                self._problem(path, "the file is too large or too deeply nested to be a scenario")
            return None
        if id(node) in self.open:
            self._problem(path, "an alias refers to what it stands in")
            return None
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        self.open.add(id(node))
        try:
            if isinstance(node, yaml.SequenceNode):
                return [self.build(item, (*path, i)) for i, item in enumerate(node.value)]
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node, path)
        finally:
            self.open.discard(id(node))
        return None

    def _scalar(self, node: yaml.ScalarNode, path: Path) -> Any:
        try:
            value = self.scalars.construct_object(node)
        except (yaml.YAMLError, ValueError, OverflowError):
            self._problem(path, f"cannot be read: {node.value[:60]!r}")
            return None
        if isinstance(value, str | int | float) or value is None:
            return value
        return node.value  # dates stay as written

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            if key is None or not isinstance(key, str):
                self._problem(path, "a key must be plain text")
                continue
            here = (*path, key)
            if key == "<<":
                self._problem(path, "merge keys (<<) are not supported", "write the fields out")
                continue
            if key in out:
                self.source.places[here] = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
                self._problem(here, "is given twice")
                continue
            self.source.places[here] = (value_node.start_mark.line + 1, value_node.start_mark.column + 1)
            out[key] = self.build(value_node, here)
        return out

    def _problem(self, path: Path, message: str, hint: str = "") -> None:
        self.source.problems.append(Problem(path, message, hint))


def as_mapping(value: Any) -> Mapping[str, Any]:
    """The value where it is a mapping, else an empty one."""
    return value if isinstance(value, dict) else {}
