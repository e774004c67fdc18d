"""What schemas have at each place: fields by kind, names instead of parts, all parts once."""

from __future__ import annotations

import pytest

from armillary.scenario.deployment_schema import DeploymentSpec
from armillary.scenario.schema import ScenarioSpec
from armillary.scenario.schema_types import every_part, kinds, known_fields, may_be_a_name


@pytest.mark.parametrize(("kind", "field"), [("training", "tokens"), ("serving", "demand")])
def test_fields_are_those_of_the_kind_that_the_data_says(kind, field):
    data = {"workloads": {"w": {"kind": kind}}}
    mine = known_fields(ScenarioSpec, ("workloads", "w"), data)
    assert field in mine
    other = {"training": "demand", "serving": "tokens"}[kind]
    assert other not in mine


def test_fields_of_parts_inside_a_kind():
    data = {"workloads": {"w": {"kind": "serving"}}}
    assert "p95" not in known_fields(ScenarioSpec, ("workloads", "w", "demand"), data)
    assert "growth" in known_fields(ScenarioSpec, ("workloads", "w", "demand"), data)
    assert known_fields(ScenarioSpec, ("portfolio", "contracts", "deal", "tiers", 2)) != []


@pytest.mark.parametrize("path", [("name",), ("clusters", "c", "provider"), ("nowhere", 3)])
def test_what_is_no_part_has_no_fields(path):
    assert known_fields(ScenarioSpec, path) == []


def test_kinds_and_names():
    assert kinds(ScenarioSpec, ("workloads", "w")) == ["training", "serving"]
    assert kinds(ScenarioSpec, ("clusters", "c")) == []
    assert may_be_a_name(ScenarioSpec, ("models", "m"))
    assert not may_be_a_name(ScenarioSpec, ("clusters", "c"))


@pytest.mark.parametrize("root", [ScenarioSpec, DeploymentSpec])
def test_every_part_has_a_title_of_its_own_after_the_part_that_holds_it(root):
    found = every_part(root)
    titles, parts = zip(*found, strict=True)
    assert len(set(titles)) == len(titles)
    assert len(set(parts)) == len(parts)
    assert titles[0] == "the file"
    assert parts[0] is root
    if root is ScenarioSpec:
        assert titles.index("an entry of `clusters`") < titles.index("`partitions`") < titles.index("`rings`")
        assert "an entry of `workloads`, `kind: serving`" in titles
        assert "an entry of `contracts` of `portfolio`" in titles
