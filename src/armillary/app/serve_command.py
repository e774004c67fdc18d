"""``armillary serve``: size deployments, simulate them."""

from __future__ import annotations

import click

from armillary.app.serve_day_command import day
from armillary.app.serve_options import EXAMPLE
from armillary.app.serve_simulate_command import simulate
from armillary.app.serve_size_command import size


@click.group(epilog=EXAMPLE)
def command() -> None:
    """Size what serves a model's users, and simulate it request by request."""


command.add_command(size)
command.add_command(simulate)
command.add_command(day)
