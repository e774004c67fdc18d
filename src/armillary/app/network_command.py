"""``armillary network``: a group whose commands are imported only when used."""

from __future__ import annotations

import click

from armillary.app.cli import LazyGroup

COMMANDS: dict[str, tuple[str, str]] = {}
"""Module of each command, which exports `command`, and its line in the help."""


@click.group(cls=LazyGroup, known=COMMANDS)
def command() -> None:
    """Time collectives, build fabrics, simulate their flows."""
