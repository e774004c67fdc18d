"""Documentation cannot go stale: every Python block runs, every shown command runs and prints what is shown.

Console blocks (```console) hold lines ``$ armillary ...`` (a backslash continues a line) and below them
what is printed, matched as a doctest with ELLIPSIS; a command that shows nothing only has to run.
"""

from __future__ import annotations

import doctest
import re
import shlex
from pathlib import Path

import pytest

from armillary.app.cli import main

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def blocks(language: str) -> list:
    found = []
    for page in PAGES:
        for i, (name, body) in enumerate(BLOCK.findall(page.read_text("utf-8"))):
            if name == language:
                found.append(pytest.param(page, body, id=f"{page.relative_to(ROOT)}-{i}"))
    return found


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    "page", [p for p in PAGES if "```python" in p.read_text("utf-8")], ids=lambda p: p.name
)
def test_python_blocks(page):
    """All blocks of a page, in order, as one program."""
    names: dict = {"__name__": "__docs__"}
    for language, body in BLOCK.findall(page.read_text("utf-8")):
        if language == "python" and ">>>" in body:
            test = doctest.DocTestParser().get_doctest(body, names, page.name, str(page), 0)
            assert doctest.DocTestRunner(optionflags=FLAGS).run(test, clear_globs=False).failed == 0
        elif language == "python":
            exec(compile(body, str(page), "exec"), names)


@pytest.mark.parametrize(("page", "body"), blocks("console"))
def test_console_blocks(page, body, capsys):
    for command, shown in re.findall(
        r"^\$ armillary (.*?[^\\])\n(.*?)(?=^\$ |\Z)", body, re.MULTILINE | re.DOTALL
    ):
        with pytest.raises(SystemExit) as done:
            main(shlex.split(command.replace("\\\n", " ")))
        printed = capsys.readouterr()
        whole = printed.out + printed.err
        assert (done.value.code not in (0, None)) == ("error:" in shown), f"$ armillary {command}\n{whole}"
        if shown.strip():
            assert doctest.OutputChecker().check_output(shown, whole, FLAGS), (
                f"$ armillary {command}\n{whole}"
            )


def test_the_pages_have_blocks_to_run():
    assert len(blocks("console")) >= 5
    assert len(blocks("python")) >= 3
