"""Files that commands write: whole or not at all, to where links lead, straight into pipes and devices."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import click

from armillary.errors import InputError

DEVICES = ("/dev/", "/proc/")
"""Where files are others than they seem: /dev/stdout is whatever the output goes to."""


class OutputFile(click.Path):
    """An option's name of a file to write; a folder or nothing is refused before the work begins."""

    def __init__(self) -> None:
        super().__init__(dir_okay=False, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Take a path that can be a file's.

        Raises
        ------
        click.BadParameter
            If it is empty or a folder.
        """
        if not os.fspath(value):
            self.fail("the name is empty; write that of a file", param, ctx)
        return super().convert(value, param, ctx)


@contextmanager
def written(path: Path) -> Iterator[TextIO]:
    """Open a file that is there when all was written; what fails before leaves the old one, and no other.

    Raises
    ------
    InputError
        If it is a folder, or cannot be written.
    """
    if "\0" in os.fspath(path):
        raise InputError(f"{os.fspath(path)!r}: cannot be written: a name has no zero byte")
    try:
        if path.is_dir():
            raise InputError(f"{path}: cannot be written: is a folder; name a file in it")
        if os.fspath(path).startswith(DEVICES) or (path.exists() and not path.is_file()):
            with path.open("w", encoding="utf-8", newline="") as file:
                yield file
        else:
            with _renamed(Path(os.path.realpath(path))) as file:
                yield file
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from None


@contextmanager
def _renamed(path: Path) -> Iterator[TextIO]:
    """A temporary file beside it that takes its place at the end, and is gone if that does not come."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:32]}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            yield file
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def write_file(path: Path, text: str) -> None:
    """Write a file whole or not at all.

    Raises
    ------
    InputError
        As `written`.
    """
    with written(path) as file:
        file.write(text)


def write_figure(path: Path, figure: str) -> None:
    """Write a figure and say so."""
    write_file(path, figure)
    click.echo(f"wrote {path}", err=True)
