"""The ``armillary`` command: a group whose commands are imported only when used."""

from __future__ import annotations

import io
import signal
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any, NoReturn

import click

from armillary import __version__
from armillary.errors import ArmillaryError, ScenarioError, did_you_mean

COMMANDS: dict[str, tuple[str, str]] = {
    "run": ("armillary.app.run_command", "Answer a scenario: fleet, training plans, sensitivities, report."),
    "check": ("armillary.app.check_command", "Check a scenario file and print it as understood."),
    "train": ("armillary.app.train_command", "Find the best layouts to train a model on a system."),
    "serve": ("armillary.app.serve_command", "Size what serves a model's users; simulate it."),
    "portfolio": (
        "armillary.app.portfolio_command",
        "Plan what to buy, from whom, when and how.",
    ),
    "network": ("armillary.app.network_command", "Time collectives, build fabrics, simulate their flows."),
    "catalog": ("armillary.app.catalog_command", "List and show accelerators, systems, models, offers."),
    "validate": ("armillary.app.validate_command", "Score the models on measured runs."),
}
"""Module of each command, which exports `command`, and its line in the help."""

FIRST_STEPS = """
\b
First steps:
  armillary run openai-aws --out out
  armillary train --model llama3.1-405b --system p6e-gb300 --gpus 4608
  armillary catalog show gb300
"""


class LazyGroup(click.Group):
    """A group that knows its commands' names and imports them on use, so that ``--help`` stays fast."""

    def __init__(self, *arguments: Any, known: Mapping[str, tuple[str, str]], **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.known = known

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the help."""
        return list(self.known)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in self.known:
            return None
        command = import_module(self.known[cmd_name][0]).command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the words start with.

        Raises
        ------
        click.UsageError
            If there is no such command; the message suggests near ones.
        """
        if args[0] not in self.known:
            raise click.UsageError(f"unknown command {args[0]!r}{did_you_mean(args[0], self.known)}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, about) for name, (_, about) in self.known.items()])


@click.group(
    cls=LazyGroup,
    known=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=FIRST_STEPS,
)
@click.version_option(__version__, prog_name="armillary")
def cli() -> None:
    """Armillary, the digital twin and planner of AI superclusters."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; exit 0 answered, 1 no feasible answer, 2 bad input, 130 interrupted.

    Where the reader of a pipe has gone, the process ends by SIGPIPE, as others do.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what the terminal cannot show becomes a question mark
            stream.reconfigure(errors="replace")
    if arguments is None and sys.platform != "win32":
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        status = cli.main(arguments, prog_name="armillary", standalone_mode=False)
        sys.stdout.flush()
        sys.exit(status if isinstance(status, int) else 0)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        _end(error.format_message(), 2)
    except click.ClickException as error:
        where = error.ctx if isinstance(error, click.UsageError) else None
        hint = f"\nhint: {where.command_path} --help" if where is not None else ""
        _end(f"error: {error.format_message().rstrip('.')}{hint}", 2)
    except ScenarioError as error:
        _end(str(error), error.exit_code)  # its lines name their places themselves
    except ArmillaryError as error:
        _end(f"error: {error}", error.exit_code)
    except (KeyboardInterrupt, click.exceptions.Abort):
        _end("interrupted", 130)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        _end(f"error: {place}{error.strerror or error}", 2)


def _end(words: str, code: int) -> NoReturn:
    click.echo(words, err=True)
    sys.exit(code)
