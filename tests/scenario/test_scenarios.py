import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from armillary import units
from armillary.errors import ScenarioError
from armillary.scenario import as_understood, builtin_names, json_schema, parse, read


@pytest.mark.parametrize("name", builtin_names())
def test_built_in_scenarios_read_and_print_so_that_they_can_be_read_again(name, shipped):
    first = read(name, shipped)
    again = parse(as_understood(first), "again.yaml", shipped, Path())
    assert again.as_written == first.as_written
    assert again.clusters == first.clusters
    assert again.workloads == first.workloads


def test_the_deal_carries_the_articles_figures(shipped):
    deal = read("openai-aws", shipped)
    contract = deal.contracts["aws-2025"]
    assert contract.total == 38e9
    assert contract.term == pytest.approx(7 * 365.25 * 86400)
    assert contract.option_from == "2027-01"
    machine = deal.clusters["ultracluster"].machine
    assert 200_000 < machine.accelerators < 524_288
    assert all(p.ready <= "2026-12" for p in machine.partitions)
    assert {p.accelerator.name for p in machine.partitions} == {"gb200", "gb300"}
    assert len(deal.workloads) == 3
    assert all(f.source for f in deal.facts)


def test_defaults_are_marked_and_what_is_stated_is_not(shipped):
    lines = [line.strip() for line in as_understood(read("small", shipped)).splitlines()]
    assert {"pue: 1.15  # default", "imbalance: 1.0  # default", "network:  # default"} <= set(lines)
    assert {"share: 1.0", "precision: fp8-mx", "- system: p6e-gb300"} <= set(lines)


def test_what_is_printed_is_in_the_units_of_people(shipped):
    lines = {line.strip() for line in as_understood(read("openai-aws", shipped)).splitlines()}
    assert {"price: 3.1 USD/h", "term: 7 yr", "total: 38 billion USD", "power: 200 MW"} <= lines
    assert {"tokens: 15.6 Ttoken", "p95: 30 ms", "term: 6 months", "strike: 2.9 USD/h"} <= lines
    assert not any(line.endswith((".0 s", "USD/s", ".0 W", ".0 token")) for line in lines)


@given(
    st.floats(1e-9, 1e14) | st.just(0.0),
    st.sampled_from(["s", "byte", "byte/s", "W", "USD", "USD/s", "USD/byte", "token", "1/s", "FLOP"]),
)
def test_a_quantity_that_is_written_is_read_as_the_same_number(value, dimension):
    assert units.parse(units.write(value, dimension), dimension) == value


def test_names_of_several_lines_do_not_break_what_is_printed(shipped):
    text = """
name: "two\\nlines"
clusters: {"a\\nb: 1": {provider: x, partitions: [{system: p5, count: 1}]}}
"""
    found = parse(text, "n.yaml", shipped, Path())
    assert list(found.clusters) == ["a\nb: 1"]
    assert parse(as_understood(found), "again.yaml", shipped, Path()).as_written == found.as_written


def test_two_generations_without_a_stated_price_cost_their_mean(shipped):
    text = """
name: mixed
clusters:
  c: {provider: aws, partitions: [{system: p6e-gb200, count: 1}, {system: p6e-gb300, count: 3}]}
"""
    cluster = parse(text, "m.yaml", shipped, Path()).clusters["c"]
    one, other = shipped.price("p6e-gb200").price, shipped.price("p6e-gb300").price
    assert cluster.price == pytest.approx((one + 3 * other) / 4)
    assert "mean" in cluster.price_source


def test_rings_written_out(shipped):
    text = """
name: rings
clusters:
  c:
    provider: x
    partitions: [{system: p5, count: 1000}]
    network:
      rings:
        - {name: rail, size: 512}
        - {name: spine, oversubscription: 4, latency: 20 us, bandwidth: 400 Gbit/s}
"""
    rings = parse(text, "r.yaml", shipped, Path()).clusters["c"].machine.rings
    assert [(r.name, r.size, r.bandwidth) for r in rings] == [("rail", 512, 50e9), ("spine", 8000, 12.5e9)]
    assert rings[1].latency == pytest.approx(20e-6)


def test_a_config_json_beside_the_scenario(tmp_path, shipped):
    config = {
        "model_type": "llama", "num_hidden_layers": 4, "hidden_size": 512, "intermediate_size": 2048,
        "num_attention_heads": 8, "num_key_value_heads": 8, "vocab_size": 32000,
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    text = """
name: c
clusters: {c: {provider: x, partitions: [{system: p5, count: 1}]}}
models: {m: {config: config.json}}
"""
    (tmp_path / "s.yaml").write_text(text)
    found = read(str(tmp_path / "s.yaml"), shipped)
    assert found.models["m"].num_layers == 4
    assert found.assumed == ()
    (tmp_path / "config.json").write_text(json.dumps({**config, "model_type": "newest"}))
    (assumed,) = read(str(tmp_path / "s.yaml"), shipped).assumed
    assert assumed.startswith("models.m.config: config.json: model_type newest is not known")


def test_the_schema_knows_every_field():
    schema = json_schema()
    assert schema["additionalProperties"] is False
    assert {"name", "clusters", "workloads", "contracts"} <= set(schema["properties"])
    assert yaml.safe_load(json.dumps(schema)) == schema
    share = schema["$defs"]["TrainingSpec"]["properties"]["share"]["anyOf"][0]
    assert set(share["type"]) == {"string", "number"}  # 60% as people write it, 0.6 as `check` prints it


def test_the_docs_hold_the_reference_of_the_schema():
    from armillary.scenario.reference import reference
    from armillary.scenario.schema import ScenarioSpec

    page = Path(__file__).parents[2] / "docs" / "scenario.md"
    assert reference(ScenarioSpec).strip() in page.read_text("utf-8")


def test_the_docs_show_the_errors_of_their_own_example(shipped):
    page = (Path(__file__).parents[2] / "docs" / "scenario.md").read_text("utf-8")
    text = page.split("```yaml\n")[1].split("```")[0]
    assert parse(text, "lab.yaml", shipped, Path()).clusters["ohio"].machine.accelerators == 24 * 72
    for right, wrong in [("bscription: 2", "bscription: 0"), ("p6e-gb200", "p6e-gb20"), ("USD/h", "USDh")]:
        text = text.replace(right, wrong, 1)
    with pytest.raises(ScenarioError) as error:
        parse(text, "lab.yaml", shipped, Path())
    assert str(error.value) == page.split("```text\n")[1].split("```")[0].strip()


def test_the_docs_show_a_served_model_that_is_understood(shipped):
    page = (Path(__file__).parents[2] / "docs" / "scenario.md").read_text("utf-8")
    text = page.split("```yaml\n")[2].split("```")[0]
    found = parse(text, "assistant.yaml", shipped, Path())
    assert found.serving["chat"].demand.messages == pytest.approx(100e6 * 3.2 / 86400)
    assert found.serving["chat"].demand.lengths.mean.output == pytest.approx(400)
    assert found.serving["coder"].agents.tool_cpu == 8
    assert found.horizon.quarters == 8
