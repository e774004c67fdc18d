"""The architecture, held by tests: who may import whom, what rooms export, what the tree must not say."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "armillary"
ROOMS = (
    "units",
    "catalog",
    "machine",
    "model",
    "network",
    "training",
    "serving",
    "portfolio",
    "scenario",
    "twin",
    "validation",
    "interop",
    "app",
)
"""In order: each imports only rooms before it."""


def imports(path: Path) -> set[str]:
    """Rooms that a file imports, at the top or inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: imports are written with their whole path"
            names = [f"{node.module}.{a.name}" for a in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "armillary" and len(parts) > 1 and parts[1] in ROOMS:
                found.add(parts[1])
    return found


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


FILES = [p for p in sorted(PACKAGE.rglob("*.py")) if room_of(p) in ROOMS]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_room_imports_only_rooms_above_it(path):
    mine = ROOMS.index(room_of(path))
    assert all(ROOMS.index(room) <= mine for room in imports(path))


@pytest.mark.parametrize("room", [r for r in ROOMS if r != "units"])
def test_a_room_imports_only_what_its_first_line_says(room):
    first = (importlib.import_module(f"armillary.{room}").__doc__ or "").splitlines()[0]
    said = re.split(r"\bimports?\b", first)[-1]
    above = ROOMS[: ROOMS.index(room)]
    may = set(above) if re.search(r"\b(above|every)\b", said) else {r for r in above if r in said} | {"units"}
    used = set().union(*(imports(path) for path in FILES if room_of(path) == room))
    assert used - {room} <= may


@pytest.mark.parametrize("room", [r for r in ROOMS if r != "units"])
def test_rooms_say_what_they_hold_and_export_just_that(room):
    module = importlib.import_module(f"armillary.{room}")
    first = (module.__doc__ or "").splitlines()[0]
    assert "oom" in first
    assert "import" in first
    assert all(hasattr(module, name) for name in module.__all__)
    assert len(set(module.__all__)) == len(module.__all__)
    assert set(module.__all__) == public(PACKAGE / room / "__init__.py")


def public(path: Path) -> set[str]:
    """Public names that a file binds at its top level, `annotations` of the future left out."""
    names = set()
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.ImportFrom | ast.Import):
            names |= {alias.asname or alias.name for alias in node.names} - {"annotations"}
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return {name for name in names if not name.startswith("_")}


def test_units_and_figures_export_just_their_public_names():
    from armillary import units
    from armillary.app import figures

    imported = {"re", "UnitError", "did_you_mean"}
    assert set(units.__all__) == public(PACKAGE / "units.py") - imported
    assert set(figures.__all__) == public(PACKAGE / "app" / "figures" / "__init__.py")


@pytest.mark.parametrize(
    "name",
    [
        "network/collectives.py",
        "network/algorithms.py",
        "network/exchanges.py",
        "training/kernels.py",
        "training/schedules.py",
        "machine/placement.py",
    ],
)
def test_formula_files_import_only_numpy(name):
    modules = set()
    for node in ast.walk(ast.parse((PACKAGE / name).read_text("utf-8"))):
        if isinstance(node, ast.Import):
            modules |= {a.name.split(".")[0] for a in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules.add((node.module or "").split(".")[0])
    assert modules <= {"__future__", "collections", "typing", "math", "numpy"}


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from armillary.app.cli import cli\n"
        "try: cli(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = ('numpy', 'numba', 'pydantic', 'rich', 'yaml', 'jinja2')\n"
        "print([m for m in heavy if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_questions_without_flows_do_not_import_numba():
    code = "import sys, armillary.network, armillary.twin; print('numba' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs a clone, to know what is in the tree")
def test_no_paths_of_machines_in_the_tree():
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    words = ("/work" + "/", "/home" + "/", "/root" + "/")
    for name in listed:
        text = (ROOT / name).read_text("utf-8", errors="ignore") if (ROOT / name).is_file() else ""
        assert not [w for w in words if w in text], name
