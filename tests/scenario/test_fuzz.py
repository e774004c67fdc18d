"""Whatever is done to a scenario, what comes out is a scenario or an error with words."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from armillary.errors import InputError
from armillary.scenario import parse, read

TEXT = resources.files("armillary.scenario").joinpath("builtin/openai-aws.yaml").read_text("utf-8")
DATA = yaml.safe_load(TEXT)
QUIET = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(
        ["3 USD/h", "-1 token", "1e400 s", "50%", "2026-13", "llama-3.1-8b", "p5", "0x10", "1_0", "~"]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def paths(data: object, here: tuple = ()) -> list[tuple]:
    found = [here]
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        found += paths(value, (*here, key))
    return found


TAGS = ["int", "float", "bool", "null", "timestamp", "binary", "map", "seq", "set", "omap", "pairs", "str"]
PLACES = [i for i, c in enumerate(TEXT) if TEXT[i - 1 : i + 1] == ": " or c == ","]
CHANGES = ["name", "like", "config", "record", "layers", "experts", "top_k", "heads", "mixers", "tied", "x y"]

PATHS = [p for p in paths(DATA) if p]


def understood_or_refused(text: str, shipped) -> None:
    try:
        parse(text, "fuzz.yaml", shipped, Path())
    except InputError as error:
        if not str(error).strip():
            raise AssertionError("an error without words") from error


@QUIET
@given(
    st.lists(
        st.tuples(st.sampled_from(PATHS), st.sampled_from(["set", "drop", "rename"]), values),
        min_size=1,
        max_size=3,
    )
)
def test_mutated_values(shipped, changes):
    data = yaml.safe_load(TEXT)
    for path, kind, value in changes:
        parent = data
        try:
            for part in path[:-1]:
                parent = parent[part]
            if kind == "set":
                parent[path[-1]] = value
            elif kind == "drop":
                del parent[path[-1]]
            else:
                parent[str(value)] = parent.pop(path[-1])
        except (KeyError, IndexError, TypeError, AttributeError):
            continue
    understood_or_refused(yaml.safe_dump(data, allow_unicode=True), shipped)


@QUIET
@given(st.integers(0, len(TEXT) - 1), st.integers(0, 40), st.text(max_size=12))
def test_mutated_text(shipped, start, length, inserted):
    understood_or_refused(TEXT[:start] + inserted + TEXT[start + length :], shipped)


@QUIET
@given(
    st.sampled_from(PLACES), st.sampled_from(TAGS), st.sampled_from(["", "''", "x", "_", "0x", "1:2", "[]"])
)
def test_tagged_values(shipped, start, tag, value):
    understood_or_refused(f"{TEXT[:start]} !!{tag} {value} {TEXT[start + 1 :]}", shipped)


@QUIET
@given(st.dictionaries(st.sampled_from(CHANGES), values, min_size=1, max_size=3))
def test_changed_models(shipped, changes):
    data = {**DATA, "models": {**DATA["models"], "next-2t": {"like": "deepseek-v3", **changes}}}
    understood_or_refused(yaml.safe_dump(data, allow_unicode=True), shipped)


@QUIET
@given(st.binary(min_size=1, max_size=8), st.integers(0, len(TEXT) - 1))
def test_mutated_bytes(shipped, tmp_path, inserted, start):
    raw = TEXT.encode()
    path = tmp_path / "fuzz.yaml"
    path.write_bytes(raw[:start] + inserted + raw[start:])
    try:
        read(str(path), shipped)
    except InputError as error:
        if not str(error).strip():
            raise AssertionError("an error without words") from error
