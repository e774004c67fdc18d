"""`Collector`: where what is wrong with a file is collected, so that all of it comes at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path as FilePath
from typing import Any, Protocol

from armillary.catalog import Catalog
from armillary.scenario.yaml_source import Path, Problem


class Collector(Protocol):
    """What collects problems: the resolver of a file."""

    catalog: Catalog
    folder: FilePath
    problems: list[Problem]

    def attempt(self, path: Path, what: Callable[[], Any], hint: str = "") -> Any:
        """Run `what`; an error becomes a problem at `path`, and None comes back."""
