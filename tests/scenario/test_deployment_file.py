"""Deployment files: what is wrong is said with its place, cause and cure, all at once."""

from pathlib import Path

import pytest

from armillary.errors import ScenarioError
from armillary.scenario import deployment_file
from armillary.scenario.deployment_file import builtin_deployments, parse_deployment, read_deployment
from armillary.scenario.deployment_schema import DeploymentSpec
from armillary.scenario.reference import reference

GOOD = """\
name: good
duration: 20 s
pools:
  one:
    model: llama-3.1-8b
    system: p5en
    region: here
    replicas: 2
  two: {model: llama-3.1-8b, system: p5en, region: there, prefill: {replicas: 2}}
traffic:
  users: {model: llama-3.1-8b, region: here, rate: 3 per s}
latency:
  - {between: [here, there], time: 20 ms}
outages:
  - {pool: two, replica: 1, prompts: true, at: 5 s, for: 3 s}
"""


def read(text, shipped):
    return parse_deployment(text, "d.yaml", shipped, Path())


def test_a_good_file_is_as_written(shipped):
    found = read(GOOD, shipped)
    assert [(p.name, p.region, p.replicas, p.prefill_replicas) for p in found.pools] == [
        ("one", "here", 2, 0),
        ("two", "there", 1, 2),
    ]
    assert found.latency == {("here", "there"): 0.02}
    assert found.outages[0][1:] == (1, 5.0, 3.0, True)
    assert 20 < len(found.streams[0].requests.arrival) < 110
    assert (found.streams[0].requests.arrival < 20).all()


@pytest.mark.parametrize("name", builtin_deployments())
def test_built_in_files_are_good(name, shipped):
    assert read_deployment(name, shipped).pools


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("replicas: 2\n", "replica: 2\n", "error: pools.one.replica: unknown field; did you mean 'replicas'"),
        ("replicas: 2\n", "replicas: 0\n", "8:15: error: pools.one.replicas: input should be greater than"),
        ("replicas: 2\n", "layout: {tp: 4, ep: 3}\n", "8:25: error: pools.one.layout.ep: 3 does not divide"),
        ("replicas: 2\n", "layout: {tp: 3}\n", "8:18: error: pools.one.layout.tp: 3 does not divide the 32"),
        ("replicas: 2\n", "layout: {pp: 64}\n", "error: pools.one.layout.pp: 64 stages are more than the 32"),
        ("replicas: 2\n", "engine: vlm\n", "8:13: error: pools.one.engine: unknown serving engine 'vlm'"),
        ("replicas: 2\n", "precision: fp9\n", "8:16: error: pools.one.precision: unknown serving precision"),
        (
            "replicas: 2\n",
            "scale: {target: 3, every: 1 s, start_up: 1 s, least: 3, most: 2}\n",
            "error: pools.one.scale.least: 3 is above most, 2",
        ),
        (
            "replicas: 2\n",
            "scale: {target: 3, every: 1 us, start_up: 1 s, most: 2}\n",
            "error: pools.one.scale.every: 1e-06 s is below 0.1 s",
        ),
        ("system: p5en\n", "system: p5enn\n", "6:13: error: pools.one.system: "),
        ("here, rate: 3 per s", "here, rate: 3", "11:52: error: traffic.users.rate: 3 has no unit"),
        ("here, rate: 3 per s", "here", "11:10: error: traffic.users: says nothing of how much is asked"),
        ("rate: 3 per s", "rate: 3 per s, messages: 5 per day", "traffic.users: has rate and messages"),
        ("rate: 3 per s", "rate: 3 per s, mix: azure", "traffic.users.mix: unknown mix 'azure'; known"),
        ("rate: 3 per s", "messages: 5 per day, shape: flatt", "users.shape: unknown day shape 'flatt'"),
        ("rate: 3 per s", "rate: 3e7 per s", "more than 50,000,000; shorten duration, or ask `serve day`"),
        ("rate: 3 per s", "trace: none.csv", "11:53: error: traffic.users.trace: none.csv: cannot be read"),
        ("users: {model: llama-3.1-8b", "users: {model: llama-3.1-70b", "no pool serves 'llama-3.1-70b'"),
        ("between: [here, there]", "between: [here, their]", "13:15: error: latency[0].between: unknown"),
        ("  - {between: [here, there], time: 20 ms}", "  []", "latency: between here and there is missing"),
        ("pool: two", "pool: tow", "15:12: error: outages[0].pool: unknown pool 'tow'; did you mean 'two'?"),
        ("replica: 1", "replica: 2", "error: outages[0].replica: 2 is not there\n  hint: two has 0 to 1"),
        ("pool: two", "pool: one", "error: outages[0].prompts: no replica of one only reads prompts"),
        ("at: 5 s", "at: soon", "error: outages[0].at: "),
        ("prefill: {replicas: 2}", "prefill: {replicas: 9}, transfer: scale-up", "9:8: error: pools.two"),
        ("model: llama-3.1-8b\n", "model: llama-3.1-405b\n", "pools.one: nobody asks for 'llama-3.1-405b'"),
        ("name: good\n", "name: good\nname: good\n", "2:1: error: name: is given twice"),
        ("pools:", "pools: [", "is not valid YAML"),
    ],
)  # fmt: skip
def test_problems_name_place_cause_and_cure(old, new, says, shipped):
    assert GOOD.count(old) == 1
    with pytest.raises(ScenarioError) as error:
        read(GOOD.replace(old, new), shipped)
    assert says in str(error.value)
    assert all(line.startswith(("d.yaml:", "  hint: ")) for line in str(error.value).splitlines())


def test_weights_that_do_not_fit_have_a_place(shipped):
    with pytest.raises(ScenarioError, match=r"d.yaml:5:5: error: pools.one: .*does not fit as one acc"):
        read(GOOD.replace("llama-3.1-8b", "llama-3.1-405b"), shipped)


def test_all_problems_at_once(shipped):
    bad = (
        GOOD.replace("p5en\n", "nothing\n").replace("20 ms", "20").replace("rate: 3 per s", "rate: -1 per s")
    )
    with pytest.raises(ScenarioError) as error:
        read(bad, shipped)
    assert len([line for line in str(error.value).splitlines() if ": error: " in line]) == 2  # fields first
    bad = GOOD.replace("system: p5en\n", "system: nothing\n").replace("pool: two", "pool: three")
    with pytest.raises(ScenarioError) as error:
        read(bad, shipped)
    assert len([line for line in str(error.value).splitlines() if ": error: " in line]) == 2


def test_the_docs_hold_the_reference_and_the_built_in_file():
    page = (Path(__file__).parents[2] / "docs" / "deployments.md").read_text("utf-8")
    assert reference(DeploymentSpec).strip() in page
    written = Path(deployment_file.__file__).parent / "deployments" / "two-regions.yaml"
    assert written.read_text("utf-8") in page


@pytest.mark.parametrize("text", ["", "[]", "3", "name: x", "\x00", "pools: {a: {}}\ntraffic: 3"])
def test_files_that_are_none(text, shipped):
    with pytest.raises(ScenarioError, match=r"d.yaml:\d+:\d+: error: "):
        read(text, shipped)


def test_files_that_cannot_be_read(shipped, tmp_path):
    with pytest.raises(ScenarioError, match="no such file, and no built-in deployment"):
        read_deployment(str(tmp_path / "none.yaml"), shipped)
    (tmp_path / "latin").write_bytes(b"name: \xe9")
    with pytest.raises(ScenarioError, match="is not UTF-8"):
        read_deployment(str(tmp_path / "latin"), shipped)
    with pytest.raises(ScenarioError, match="cannot be read"):
        read_deployment(str(tmp_path), shipped)


def test_the_docs_show_errors_as_they_are(shipped):
    page = (Path(__file__).parents[2] / "docs" / "deployments.md").read_text("utf-8")
    shown = [line for line in page.splitlines() if line.startswith("my.yaml:")]
    lab = (
        "name: lab\npools:\n  chat:\n    model: llama-3.1-8b\n    system: p5en\n"
        "traffic:\n  users: {model: llama-3.1-8b, rate: 3 per s}\n"
    )
    changes = (("3 per s", "3"), ("p5en\n", "p5enn\n"), ("llama-3.1-8b", "llama-3.1-405b"))
    assert len(shown) == len(changes)
    for line, (old, new) in zip(shown, changes, strict=True):
        with pytest.raises(ScenarioError) as error:
            parse_deployment(lab.replace(old, new), "my.yaml", shipped, Path())
        assert str(error.value).startswith(line.removesuffix("..."))
