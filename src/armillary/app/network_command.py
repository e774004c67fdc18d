"""``armillary network``: a group whose commands are imported only when used."""

from __future__ import annotations

import click

from armillary.app.cli import LazyGroup

COMMANDS: dict[str, tuple[str, str]] = {
    "collective": ("armillary.app.collective_command", "Predict a collective's time over sizes."),
    "fabric": ("armillary.app.fabric_command", "Build a fabric: links, switches, what failures leave."),
    "simulate": ("armillary.app.simulate_command", "Run a collective on a fabric, flow by flow."),
    "whatif": ("armillary.app.whatif_command", "Take one plan over many fabrics."),
}
"""Module of each command, which exports `command`, and its line in the help."""


EXAMPLE = """
\b
Example:
  armillary network collective --system p6e-gb300 --gpus 1152 --op all_reduce
"""


@click.group(cls=LazyGroup, known=COMMANDS, epilog=EXAMPLE)
def command() -> None:
    """Time collectives, build fabrics, simulate their flows."""
