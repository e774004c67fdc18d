"""The ``armillary`` command: a group whose commands are imported only when used."""

from __future__ import annotations

import sys
from importlib import import_module

import click

from armillary import __version__
from armillary.errors import ArmillaryError, ScenarioError

COMMANDS: dict[str, tuple[str, str]] = {
    "run": ("armillary.app.run_command", "Answer a scenario: fleet, training plans, sensitivities, report."),
    "check": ("armillary.app.check_command", "Check a scenario file and print it as understood."),
    "train": ("armillary.app.train_command", "Find the best layouts to train a model on a system."),
    "catalog": ("armillary.app.catalog_command", "List and show accelerators, systems, models, offers."),
    "validate": ("armillary.app.validate_command", "Score the models on measured runs."),
}
"""Module of each command, which exports `command`, and its line in the help."""


class LazyGroup(click.Group):
    """A group that knows its commands' names and imports them on use, so that ``--help`` stays fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        command = import_module(COMMANDS[cmd_name][0]).command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, about) for name, (_, about) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="armillary")
def cli() -> None:
    r"""Armillary, the digital twin and planner of AI superclusters.

    \b
    First steps:
      armillary run openai-aws --out out
      armillary train --model llama3.1-405b --system p6e-gb300 --gpus 4608
      armillary catalog show gb300
    """


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; exit 0 answered, 1 no feasible answer, 2 bad input, 130 interrupted."""
    try:
        status = cli.main(arguments, prog_name="armillary", standalone_mode=False)
        sys.exit(status if isinstance(status, int) else 0)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except ScenarioError as error:
        click.echo(str(error), err=True)  # its lines name their places themselves
        sys.exit(error.exit_code)
    except ArmillaryError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.exceptions.Abort):
        click.echo("interrupted", err=True)
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
