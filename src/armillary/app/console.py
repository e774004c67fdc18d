"""Consoles: data on stdout, talk on stderr, progress of long work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

QUIET_SECONDS = 2.0
"""Work shorter than this shows no progress bar. [s]"""


@cache
def _console(stderr: bool) -> Console:
    from rich.console import Console

    return Console(stderr=stderr, soft_wrap=False, highlight=False)


def out() -> Console:
    """The console of the answer. Colours only on a terminal; 120 columns where the output is piped."""
    from rich.console import Console

    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=140)


def err() -> Console:
    """The console of the talk."""
    return _console(True)


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """Give a function ``(done, total)`` that draws a bar on stderr once the work has taken two seconds."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    start = monotonic()
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeRemainingColumn(),
        console=err(),
        transient=True,
    )
    task = bar.add_task(what, total=None)
    shown = False

    def step(done: int, total: int) -> None:
        nonlocal shown
        if not shown and monotonic() - start > QUIET_SECONDS and err().is_terminal:
            bar.start()
            shown = True
        if shown:
            bar.update(task, completed=done, total=total)

    try:
        yield step
    finally:
        if shown:
            bar.stop()
