"""The command line's own manners: typing slips, pipes, files, interruption; never a traceback."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from rich.table import Table

from armillary import __version__
from armillary.app import cli, console

ARMILLARY = str(Path(sys.executable).with_name("armillary"))


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as done:
        cli.main(list(arguments))
    return int(done.value.code or 0)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["trian"], "error: unknown command 'trian'; did you mean 'train'?\nhint: armillary --help\n"),
        (["train", "--modle", "x"], "--model"),
        (["train"], "error: Missing option '--model'\nhint: armillary train --help\n"),
        ([], "First steps:\n    armillary run"),
    ],
)
def test_slips_are_told_on_stderr_with_a_hint(arguments, says, capsys):
    assert call(*arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert says in said.err


def test_version_and_help_are_answers(capsys):
    assert call("--version") == 0
    assert __version__ in capsys.readouterr().out
    assert call("--help") == 0
    helped = capsys.readouterr().out
    assert all(name in helped for name in cli.COMMANDS)
    assert "\\b" not in helped


@pytest.mark.parametrize(
    ("raised", "code", "says"),
    [
        (
            OSError(28, "No space left on device", "out/report.html"),
            2,
            "error: out/report.html: No space left",
        ),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_what_goes_wrong_outside_is_a_line(raised, code, says, monkeypatch, capsys):
    def fails(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr(cli.cli, "invoke", fails)
    assert call("catalog") == code
    assert says in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="pipes end by signal on POSIX")
def test_a_reader_that_goes_away_is_not_an_error():
    with subprocess.Popen(
        [ARMILLARY, "catalog", "models"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == -13  # SIGPIPE, and not 1, which says that nothing is feasible


def test_the_answer_has_no_colours_and_a_fixed_width_unless_on_a_terminal(capsys):
    console.out().print("[bold]" + "x " * 100)
    console.err().print("talk")
    said = capsys.readouterr()
    assert "\x1b" not in said.out + said.err
    assert max(map(len, said.out.splitlines())) <= console.PIPED_COLUMNS
    assert said.err == "talk\n"


def test_square_brackets_and_colons_of_a_user_are_printed_as_they_are(capsys):
    table = Table(title="length [token]", box=None)
    table.add_column("site [/y]")
    table.add_row("one year [eu-west] :gem:")
    console.out().print("about [/red] it", table)
    console.err().print("time [s] of [/z]")
    said = capsys.readouterr()
    for words in ("about [/red] it", "length [token]", "site [/y]", "one year [eu-west] :gem:"):
        assert words in said.out
    assert said.err == "time [s] of [/z]\n"


def test_progress_is_silent_where_nobody_looks(capsys, monkeypatch):
    monkeypatch.setattr(console, "QUIET_SECONDS", -1.0)
    with console.progress("work") as step:
        step(1, 2)
    assert capsys.readouterr().err == ""
