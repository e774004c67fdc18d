"""YAML with places: plain data, and the line and column of every part. Imports PyYAML and errors."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

Path = tuple[str | int, ...]
"""Keys and indices from the top of the file."""

MOST_NODES = 50_000
MOST_DEPTH = 40
MOST_SAID = 100
TOO_LARGE = "the file is too large or too deeply nested to be a scenario"
_OLD_NUMBER = re.compile(r"[-+]?(0[0-7_]+|[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?)\Z")
"""Octal and base-60 numbers of YAML 1.1 (``010`` is 8, ``1:30`` is 90), which nobody means here."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong at a place. hint : what would be right."""

    path: Path
    message: str
    hint: str = ""


@dataclass
class Source:
    """A file as data. places : line and column (from 1) of each value; keys : of each key of a mapping."""

    name: str
    data: Any = None
    places: dict[Path, tuple[int, int]] = field(default_factory=dict)
    keys: dict[Path, tuple[int, int]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def place(self, path: Sequence[str | int]) -> tuple[int, int]:
        """Line and column of the nearest part of the file on the way to `path`."""
        known: Path = tuple(path)
        while known and known not in self.places:
            known = known[:-1]
        return self.places.get(known, (1, 1))

    def render(self, problems: Sequence[Problem]) -> str:
        """One line a problem in the order of the file, its hint on a line of its own."""
        said = []
        for p in sorted(problems, key=lambda p: self.place(p.path)):
            line, column = self.place(p.path)
            where = f"{dotted(p.path)}: " if p.path else ""
            hint = f"\n  hint: {printable(p.hint)}" if p.hint else ""
            said.append(f"{self.name}:{line}:{column}: error: {printable(where + p.message)}{hint}")
        unique = list(dict.fromkeys(said))
        more = (
            [f"{self.name}: error: and {len(unique) - MOST_SAID:,} more"] if len(unique) > MOST_SAID else []
        )
        return "\n".join(unique[:MOST_SAID] + more)


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


def printable(text: str) -> str:
    r"""Text on one line that a terminal shows as it is; other characters are escaped.

    Examples
    --------
    >>> print(printable("a\nb \x1b[31m"))
    a\nb \x1b[31m
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class _Loader(yaml.SafeLoader):
    """Composes nodes up to the limits, so that a huge file is refused before it is read whole."""

    nodes = depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Compose a node, or refuse it where there are too many or they nest too deeply."""
        self.nodes += 1
        self.depth += 1
        if self.nodes > 2 * MOST_NODES or self.depth > 2 * MOST_DEPTH:  # keys are nodes too
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, TOO_LARGE, mark)
        node: yaml.Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node


def read_yaml(text: str, name: str) -> Source:
    """Read YAML text; syntax errors, duplicate keys and runaway aliases become problems, never exceptions."""
    source = Source(name)
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        if mark is not None:
            source.places[()] = (mark.line + 1, mark.column + 1)
        source.problems.append(Problem((), _what_is_wrong(error)))
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


def _what_is_wrong(error: yaml.MarkedYAMLError) -> str:
    if error.problem == TOO_LARGE:
        return TOO_LARGE
    return f"is not valid YAML: {error.problem or error.context}"


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
                self._problem(path, TOO_LARGE)
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
        except (yaml.YAMLError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            # PyYAML's constructors trip over a tag such as !!int on what is none.
            self._problem(path, f"cannot be read: {node.value[:60]!r}")
            return None
        if isinstance(value, int | float) and _OLD_NUMBER.match(node.value):
            return node.value  # as written, which is then refused where a number is due
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
            self.source.keys[here] = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
            if key in out:
                self.source.places[here] = self.source.keys[here]
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
