"""Consoles: data on stdout, talk on stderr, progress of long work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

PIPED_COLUMNS = 140
"""Width of what is not written to a terminal, so that a file does not depend on who made it."""

QUIET_SECONDS = 2.0
"""Work shorter than this shows no progress bar. [s]"""


def out() -> Console:
    """Return the console of the answer (stdout); colours and the width of the window on a terminal only."""
    console = _console()
    return console if console.is_terminal else _console(width=PIPED_COLUMNS)


def err() -> Console:
    """Return the console of the talk (stderr)."""
    return _console(stderr=True)


def _console(**more: Any) -> Console:
    """Make a console that prints text as it is: a user's ``[x]`` and ``:x:`` are no markup and no emoji."""
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False, **more)


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """Give a function ``(done, total)`` that draws a bar once the work has taken two seconds.

    The bar is on stderr, only where that is a terminal, and gone when the work is done.
    """
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console, start = err(), monotonic()
    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
    task = bar.add_task(what, total=None)
    shown = False

    def step(done: int, total: int) -> None:
        nonlocal shown
        if not shown and console.is_terminal and monotonic() - start > QUIET_SECONDS:
            bar.start()
            shown = True
        if shown:
            bar.update(task, completed=done, total=total)

    try:
        yield step
    finally:
        if shown:
            bar.stop()


def say_if_compiling(kernels: str, room: str = "network", what: str = "the flow simulator") -> None:
    """Say on stderr that a first use compiles, where numba has not kept the machine code of a module yet.

    Parameters
    ----------
    kernels : str
        Module whose kernels are about to run, e.g. ``events``.
    room : str
        That the module stands in.
    what : str
        The simulator's name.
    """
    import click

    import armillary

    kept = Path(armillary.__file__).parent / room / "__pycache__"
    if not any(kept.glob(f"{kernels}.*.nbi")):
        click.echo(f"compiling {what}; the next time it starts at once", err=True)
