"""The constants of dispatchers.toml are those that the committed script finds, whatever it starts from."""

from __future__ import annotations

import copy
import importlib.util
from pathlib import Path

import pytest

from armillary.network.dispatchers import dispatcher_table

SCRIPT = Path(__file__).parents[2] / "tools" / "fit_dispatch.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("fit_dispatch", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_fit_finds_the_committed_constants(script):
    start = copy.deepcopy(dispatcher_table())
    for name, paths in script.FREE.items():
        for path in paths:
            script.put(start, name, path, script.START_SHARE if "share" in path else script.START_TIME)
    found = script.fit(script.samples(), start)
    for name, paths in script.FREE.items():
        for path in paths:
            committed = script.get(dispatcher_table(), name, path)
            assert script.get(found, name, path) == pytest.approx(committed, rel=0.02), (name, path)


def test_rewriting_the_file_with_the_committed_constants_changes_nothing(script):
    path = SCRIPT.parents[1] / "src" / "armillary" / "network" / "dispatchers.toml"
    assert script.written(path.read_text("utf-8"), copy.deepcopy(dispatcher_table())) == path.read_text(
        "utf-8"
    )
