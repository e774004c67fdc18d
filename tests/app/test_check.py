"""``armillary check``: what is wrong is told with its place, what had to be assumed is said."""

from __future__ import annotations

import json

import pytest

from armillary.app.cli import main


def call(*arguments: str, capsys) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as done:
        main(list(arguments))
    text = capsys.readouterr()
    return int(done.value.code or 0), text.out, text.err


def test_check_refuses_with_places(tmp_path, capsys):
    path = tmp_path / "s.yaml"
    path.write_text("name: x\nclusters: {a: {provider: b, partitions: [{system: p5, count: -1}]}}\n")
    code, out, err = call("check", str(path), capsys=capsys)
    assert (code, out) == (2, "")
    assert f"{path}:2:62: error: clusters.a.partitions[0].count" in err
    assert not err.startswith("error: ")


def test_a_scenario_says_what_was_assumed_to_read_it(tmp_path, capsys):
    sizes = {"num_hidden_layers": 16, "hidden_size": 2048, "num_attention_heads": 16, "vocab_size": 32000}
    config = {"model_type": "newest", "intermediate_size": 8192, **sizes}
    (tmp_path / "config.json").write_text(json.dumps(config))
    scenario = tmp_path / "s.yaml"
    scenario.write_text(
        "name: c\nclusters: {c: {provider: x, partitions: [{system: p5, count: 1}]}}\n"
        "models: {m: {config: config.json}}\n"
        "facts: [{about: clusters.c, says: one, source: 'assumption: a test'}]\n"
    )
    told = f"assumed: {scenario}: models.m.config: config.json: model_type newest is not known"
    for command in ("check", "run"):
        code, _, err = call(command, str(scenario), capsys=capsys)
        assert code == 0
        assert told in err
    _, out, _ = call("run", str(scenario), "--json", "--out", str(tmp_path / "out"), capsys=capsys)
    answer = json.loads(out)
    assert answer["facts"] == [{"about": "clusters.c", "says": "one", "source": "assumption: a test"}]
    (words,) = answer["assumed"]
    assert words.startswith("models.m.config: config.json: model_type newest is not known")
    assert f"assumed: {words}" in (tmp_path / "out" / "report.html").read_text()


def test_a_deployment_is_checked(tmp_path, capsys):
    code, _, err = call("check", "--deployment", "two-regions", capsys=capsys)
    assert (code, err) == (0, "two-regions: no problems found\n")
    wrong = tmp_path / "d.yaml"
    wrong.write_text("name: d\npools: {one: {modl: x}}\ntraffic: {}\n")
    code, _, err = call("check", "--deployment", str(wrong), capsys=capsys)
    assert code == 2
    assert f"{wrong}:2:21: error: pools.one.modl: unknown field; did you mean 'model'?" in err
    assert f"{wrong}:3:10: error: traffic: must have at least 1 entry, has 0" in err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--deployment two-regions --json", "--json is of scenarios; a deployment is only checked"),
        ("--deployment --schema", "--schema is of scenarios; a deployment is only checked"),
        ("--deployment", "give a deployment"),
        ("", "give a scenario, or --schema"),
    ],
)
def test_what_cannot_be_asked_is_told(words, says, capsys):
    code, out, err = call("check", *words.split(), capsys=capsys)
    assert (code, out) == (2, "")
    assert says in err
