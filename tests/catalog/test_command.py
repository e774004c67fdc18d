"""``armillary catalog``: lists, filters, shows, and fails politely."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from armillary import catalog
from armillary.app.catalog_command import command
from armillary.app.cli import main


def ask(*arguments: str) -> str:
    result = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


@pytest.mark.parametrize("kind", catalog.KINDS)
def test_lists_every_kind(kind: str) -> None:
    names = list(catalog.load().table(kind))
    text = ask(kind)
    assert names[0] in text
    assert len(json.loads(ask(kind, "--json"))) == len(names)


def test_overview_counts_the_kinds() -> None:
    text = ask()
    assert all(kind in text for kind in catalog.KINDS)


def test_filters() -> None:
    nvidia = json.loads(ask("accelerators", "--vendor", "nvidia", "--json"))
    assert {entry["vendor"] for entry in nvidia} == {"NVIDIA"}
    gb300 = json.loads(ask("systems", "--filter", "p6e gb300", "--json"))
    assert [entry["name"] for entry in gb300] == ["u-p6e-gb300x72"]
    assert json.loads(ask("offers", "--provider", "nobody", "--json")) == []


def test_show_prints_unit_source_date_and_alternatives() -> None:
    text = ask("show", "b300")
    assert "14 PFLOP/s" in text
    assert "peak.fp4#2" in text
    assert "12.6 PFLOP/s" in text
    assert "ai-dynamo/aiconfigurator" in text
    assert "2026-07" in text


def test_show_as_json_has_si_values_and_provenance() -> None:
    (entry,) = json.loads(ask("show", "P6e-GB300", "--json"))
    assert entry["entry"] == "systems"
    latency = entry["facts"]["nic_latency"]
    assert (latency["value"], latency["unit"], latency["kind"]) == (pytest.approx(18e-6), "s", "assumed")
    assert latency["where"]


@pytest.mark.parametrize(
    "name", ["gb300", "u-p6e-gb300x72", "deepseek-v3", "gigawatt", "openai-aws", "aws-p5-spot", "inferencex"]
)
def test_show_of_every_kind(name: str) -> None:
    assert name in ask("show", name)


def test_own_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        '[accelerators.cool-h100]\nlike = "h100"\n'
        'power = { value = "600 W", kind = "assumed", source = "my plan", date = "2026-11" }\n'
    )
    text = ask("show", "cool-h100", "--catalog", str(path))
    assert "600 W" in text
    assert "my plan" in text


def test_bad_input_exits_2_without_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[accelerators.h100]\npower = 650\n")
    questions = {
        ("show", "gb30"): "no entry has the name 'gb30'; did you mean 'gb300'",
        ("show", "gb300", "--kind", "models"): "no entry in models has the name 'gb300'",
        ("accelerators", "--catalog", str(path)): "mine.toml: accelerators.h100.power: lacks source",
        ("accelerators", "--catalog", str(tmp_path / "none.toml")): "cannot be read",
        ("chips",): "No such command 'chips'",
    }
    for arguments, message in questions.items():
        with pytest.raises(SystemExit) as ended:
            main(["catalog", *arguments])
        printed = capsys.readouterr()
        assert ended.value.code == 2
        assert message in printed.err
        assert printed.out == ""


@pytest.mark.parametrize("arguments", [(), ("show",), *((kind,) for kind in catalog.KINDS)])
def test_help_has_an_example(arguments: tuple[str, ...]) -> None:
    text = ask(*arguments, "--help")
    assert "armillary catalog" in text.partition("Example")[2]


def test_importing_the_command_is_light() -> None:
    heavy = "{'rich', 'numpy', 'tomllib'} & set(sys.modules)"
    code = f"import sys, armillary.app.catalog_command; print(*{heavy})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "\n"
