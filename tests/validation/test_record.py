"""The gate: the score on the shipped measurements is the recorded one, neither worse nor silently better."""

from __future__ import annotations

import tomllib

import pytest

from armillary.validation import (
    PEAK,
    collectives_figures,
    memory_figures,
    moved,
    read_collectives,
    read_memory_table,
    read_table,
    record,
    recorded,
    training_figures,
    validate_collectives,
    validate_memory,
    validate_training,
)


@pytest.fixture(scope="session")
def found(shipped):
    runs = [r for r in validate_training(read_table(), shipped) if r.scored]
    slices = [r for r in validate_memory(read_memory_table(), shipped) if r.metric == PEAK]
    times = validate_collectives(read_collectives(), shipped)
    return {
        "training": training_figures(runs),
        "memory": memory_figures(slices),
        "collectives": collectives_figures(times),
    }


@pytest.mark.parametrize("section", ["training", "memory", "collectives"])
def test_the_score_is_the_recorded_one(found, section):
    assert moved(section, found[section]) == []


def test_what_moved_is_named_with_its_cure(tmp_path):
    path = tmp_path / "recorded.toml"
    before = {"n": 10.0, "median": 0.07, "tau": 0.6, "moe_p90": 0.4, "bias": -0.01}
    path.write_text(record("training", before, path))
    assert moved("training", before, path) == []
    assert moved("training", {**before, "median": 0.0704, "bias": 0.0103}, path) == []
    (worse,) = moved("training", {**before, "median": 0.08}, path)
    assert "training.median is worse: 0.0800, recorded 0.0700" in worse
    assert "mend it, or move the record (armillary validate training --record)" in worse
    assert "CHANGELOG.md" in worse
    (better,) = moved("training", {**before, "tau": 0.7}, path)
    assert "training.tau is better" in better
    assert "is worse" in moved("training", {**before, "n": 9.0}, path)[0]
    assert "is worse" in moved("training", {**before, "moe_p90": float("nan")}, path)[0]
    assert "is not recorded" in moved("training", {**before, "slope": 0.1}, path)[0]


def test_a_record_keeps_the_other_sections(tmp_path):
    path = tmp_path / "recorded.toml"
    path.write_text(record("training", {"n": 3.0, "median": 0.5}, path))
    path.write_text(record("memory", {"n": 2.0, "bias": -0.25}, path))
    assert recorded(path) == {"training": {"n": 3, "median": 0.5}, "memory": {"n": 2, "bias": -0.25}}
    assert tomllib.loads(path.read_text()) == recorded(path)
