"""Every kind of bad input is refused with file, line, field, cause and cure, all problems at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from armillary.errors import ScenarioError
from armillary.scenario import parse, read

GOOD = """\
name: test
clusters:
  lab:
    provider: aws
    network: {oversubscription: 2}
    partitions:
      - {system: p6e-gb300, count: 4, ready: 2026-09}
    price: 3 USD/h
models:
  mine: {like: deepseek-v3, layers: 30}
workloads:
  run:
    kind: training
    model: mine
    cluster: lab
    share: 50%
    tokens: 1e12 token
    global_batch: 4.194304 Mtoken
    sequence: 4096
    precision: fp8-mx
    constraints: {tp: [1, 2], recompute: none}
contracts:
  deal: {provider: aws, total: 1e9 USD, term: 3 yr, start: 2026-01, option: {from: 2027-01}}
"""


def problems(text: str, shipped) -> str:
    with pytest.raises(ScenarioError) as error:
        parse(text, "s.yaml", shipped, Path())
    return str(error.value)


def test_the_good_one_is_understood(shipped):
    found = parse(GOOD, "s.yaml", shipped, Path())
    work = found.workloads["run"]
    assert work.slice.accelerators == 144
    assert work.global_batch == 1024
    assert work.model.num_layers == 30
    assert work.constraints == {"tp": [1, 2], "recompute": [0]}
    assert found.clusters["lab"].price == pytest.approx(3 / 3600)
    assert found.clusters["lab"].machine.rings[0].bandwidth == pytest.approx(100e9 / 2)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("price: 3 USD/h", "price: 3", "s.yaml:8:12: error: clusters.lab.price: 3 has no unit"),
        ("price: 3 USD/h", "price: 3 GB", "is in byte, expected USD/s"),
        ("price: 3 USD/h", "price: 3 USDh", "unknown unit 'USDh'; did you mean 'USD/h'"),
        ("price: 3 USD/h", "price: -3 USD/h", "outside what is sensible, 0 USD/h to 3,600,000 USD/h"),
        ("price: 3 USD/h", "price: 3 EUR/h", "'3 EUR/h' is in EUR; amounts are in USD: convert it and write"),
        ("price: 3 USD/h", "price: 3 MEUR/yr", "is in EUR; amounts are in USD"),
        ("price: 3 USD/h", "price: 3 $/h", "write $ as USD, as in '3.1 USD/h'"),
        ("3 USD/h", "1e400 USD/h", "not a finite number"),
        ("tokens: 1e12 token", "tokens: .nan", "cannot read"),
        ("tokens: 1e12 token", "tokens: 1e30 token", "outside what is sensible"),
        ("tokens: 1e12 token", "tokens: 5 token", "fewer than one step"),
        ("system: p6e-gb300", "system: p6e-gb30", "unknown system 'p6e-gb30'; did you mean 'u-p6e-gb300x72'"),
        ("like: deepseek-v3", "like: deepsek-v3", "s.yaml:10:16: error: models.mine.like: unknown model"),
        ("layers: 30", "layrs: 30", "did you mean 'layers'"),
        ("layers: 30", "layers: -30", "models.mine"),
        ("model: mine", "model: yours", "unknown model 'yours'"),
        ("cluster: lab", "cluster: lob", "no cluster 'lob'; did you mean 'lab'?"),
        ("count: 4", "count: -4", "s.yaml:7:36: error: clusters.lab.partitions[0].count"),
        ("count: 4", "count: 4.5", "valid integer"),
        ("count: 4", "count: true", "valid integer"),
        ("count: 4", "count: 9000000", "more than sensible"),
        ("share: 50%", "share: 150%", "'150%' is outside what is sensible, above 0% to 100%"),
        ("share: 50%", "share: 1%", "less than one scale-up domain"),
        ("share: 50%", "accelerators: 100", "do not divide into scale-up domains of 72"),
        ("share: 50%", "accelerators: 720", "needs 10 domains|need 10 domains|no partition"),
        ("share: 50%", "", "needs either accelerators: or share:"),
        ("4.194304 Mtoken", "4.2 Mtoken", "are not a whole number of sequences"),
        ("4.194304 Mtoken", "0", "must be 1 to 1e9 sequences"),
        ("precision: fp8-mx", "precision: fp7", "must be 'bf16', 'fp8'"),
        ("kind: training", "kind: servng", "must be 'training' or 'serving', got 'servng'; did you mean"),
        ("kind: training", "knd: training", "s.yaml:13:5: error: workloads.run.kind: is missing"),
        ("tp: [1, 2]", "tq: 1", "cannot constrain 'tq'"),
        ("tp: [1, 2]", "tp: []", "allows nothing"),
        ("tp: [1, 2]", "tp: [x]", "must be a whole number"),
        ("recompute: none", "recompute: some", "must be one of none, selective, full"),
        ("ready: 2026-09", "ready: soon", "must be a month such as 2026-09"),
        ("from: 2027-01", "from: 2025-01", "is before the contract's start"),
        ("{provider: aws, total", "{provider: azure, total", "no cluster is of provider 'azure'"),
        ("oversubscription: 2", "oversubscription: 0", "greater than or equal to 1"),
        ("oversubscription: 2", "oversubscripton: 2", "did you mean 'oversubscription'"),
        ("oversubscription: 2", "preset: ec3", "must be 'flat'"),
        ("name: test", "name: test\nname: again", "s.yaml:2:1: error: name: is given twice"),
        ("name: test", "nmae: test", "s.yaml:1:1: error: name: is missing"),
        ("provider: aws\n    net", "provider: [aws\n    net", "is not valid YAML"),
        ("name: test", "name: &a [*a]", "alias refers to what it stands in"),
        ("name: test", "<<: {name: test}", "merge keys"),
        ("name: test", "name: !!int ''", "s.yaml:1:7: error: name: cannot be read"),
        ("name: test", "name: !!bool x", "s.yaml:1:7: error: name: cannot be read"),
        ("name: test", "name: !!timestamp x", "s.yaml:1:7: error: name: cannot be read"),
        ("name: test", 'name: test\n"a\\nb\\e[31m": 1', r"error: a\nb\x1b[31m: unknown field"),
        ("count: 4", "count: 010", "valid integer, got '010'"),
        ("count: 4", "count: 1:30", "valid integer, got '1:30'"),
        ("layers: 30", "name: other", "models.mine.name: unknown field"),
        ("layers: 30", "layers: x", "s.yaml:10:37: error: models.mine.layers: "),
        ("{like: deepseek-v3, layers: 30}", "5", "must be a name, or like: or config:, got 5"),
        ("tp: [1, 2]", "sharding: 1", "cannot constrain 'sharding'\n"),
        ("oversubscription: 2", "oversubscription: true", "must be a number, got True"),
        ("oversubscription: 2", "rings: 5", "must be a list, got 5"),
        ("from: 2027-01", "from: 2029-02", "2029-02 is after the contract's end 2029-01"),
        ("ready: 2026-09", "ready: 2029-02", "after the last contract with aws ends, 2029-01"),
    ],
)
def test_bad_input_names_place_cause_and_cure(old, new, says, shipped):
    import re

    assert old in GOOD
    text = problems(GOOD.replace(old, new, 1), shipped)
    assert re.search(says if "|" in says else re.escape(says), text), text
    assert all(line.startswith(("s.yaml:", "  hint: ")) for line in text.splitlines())


def test_all_problems_come_at_once(shipped):
    text = (
        GOOD.replace("count: 4", "count: -4").replace("3 USD/h", "3 Gb/s").replace("share: 50%", "share: 2")
    )
    assert problems(text, shipped).count("error:") == 3


def test_unknown_names_are_reported_beside_wrong_values(shipped):
    text = GOOD.replace("p6e-gb300", "p6e-gb3000").replace("3 USD/h", "3 Gb/s")
    found = problems(text, shipped)
    assert "unknown system" in found
    assert "unknown unit" in found


def test_overbooking_is_a_contradiction(shipped):
    second = (
        GOOD[GOOD.index("  run:") : GOOD.index("contracts:")]
        .replace("  run:", "  again:")
        .replace("50%", "75%")
    )
    text = problems(GOOD.replace("contracts:", second + "contracts:"), shipped)
    assert "360 accelerators are placed on u-p6e-gb300x72 of lab, 288 are deployed" in text


@pytest.mark.parametrize("raw", [b"", b"\xff\xfe\x00", b"- 1\n- 2\n", b"just words", b"\t: :", b"a: b: c"])
def test_files_that_are_no_scenario(raw, tmp_path, shipped):
    path = tmp_path / "bad.yaml"
    path.write_bytes(raw)
    with pytest.raises(ScenarioError, match=r"bad\.yaml:?.* error: "):
        read(str(path), shipped)


def test_missing_files_and_folders(tmp_path, shipped):
    with pytest.raises(ScenarioError, match="did you mean 'openai-aws'"):
        read("openai-aw", shipped)
    with pytest.raises(ScenarioError, match="cannot be read"):
        read(str(tmp_path), shipped)


def test_billion_laughs_are_refused(shipped):
    bomb = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 9))
    assert "too large or too deeply nested" in problems(bomb, shipped)
    assert "too large or too deeply nested" in problems("a: " + "[" * 60 + "]" * 60, shipped)


def test_a_hint_follows_each_of_two_problems(shipped):
    text = problems(GOOD.replace("oversubscription: 2", "oversub: 2, over: 3"), shipped)
    assert text.count("  hint: known: preset, oversubscription, rings") == 2


def test_an_entry_may_have_the_name_of_a_field(shipped):
    text = GOOD.replace("  lab:", "  network:").replace("cluster: lab", "cluster: network")
    assert parse(text, "s.yaml", shipped, Path()).clusters["network"].machine.accelerators == 288
    assert "did you mean 'price'" in problems(text.replace("price:", "prise:"), shipped)


def test_many_problems_are_counted_not_all_said(shipped):
    text = problems(GOOD + "".join(f"k{i}: 1\n" for i in range(300)), shipped)
    assert text.count("unknown field") == 100
    assert text.endswith("s.yaml: error: and 200 more")


def test_endless_files_are_refused(shipped):
    with pytest.raises(ScenarioError, match="is larger than"):
        read("/dev/zero", shipped)


def test_a_folder_does_not_hide_the_built_in_scenario_of_its_name(tmp_path, monkeypatch, shipped):
    (tmp_path / "small").mkdir()
    monkeypatch.chdir(tmp_path)
    assert read("small", shipped).name == "small"
