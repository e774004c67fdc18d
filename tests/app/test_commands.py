"""The command line as people meet it: answers, JSON, exit codes, help with examples."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from armillary.app.cli import COMMANDS, cli, main
from armillary.app.waterfall_view import floating

RUNS = Path(__file__).parent.parent / "validation" / "runs.csv"
SLICES = RUNS.with_name("slices.csv")
TRAIN = [
    "train",
    "--model",
    "llama-3.1-8b",
    "--system",
    "p5",
    "--gpus",
    "64",
    "--global-batch",
    "256",
    "--seq",
    "4096",
]


def call(*arguments: str, capsys) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as done:
        main(list(arguments))
    text = capsys.readouterr()
    return int(done.value.code or 0), text.out, text.err


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_has_help_with_an_example(name):
    answer = CliRunner().invoke(cli, [name, "--help"])
    assert answer.exit_code == 0
    assert "Example" in answer.output
    assert f"armillary {name}" in answer.output


def test_train_prints_plans_and_bars(capsys):
    code, out, err = call(*TRAIN, capsys=capsys)
    assert code == 0
    for words in (
        "Best layouts",
        "MFU",
        "time to train",
        "cost",
        "Where the step goes",
        "What fills the memory",
    ):
        assert words in out
    assert err == ""


def test_train_json_sums_up(capsys):
    code, out, _ = call(*TRAIN, "--json", "--price", "2 USD/h", capsys=capsys)
    answer = json.loads(out)
    best = answer["best"]
    assert code == 0
    assert sum(best["time_s"].values()) == pytest.approx(best["step_s"])
    assert sum(best["memory_byte"].values()) == pytest.approx(best["memory_total_byte"])
    way = answer["waterfall"]
    assert way["ideal_s"] + sum(x["seconds"] for x in way["losses"]) == pytest.approx(
        best["step_s"], abs=1e-9
    )
    assert answer["cost_usd"] == pytest.approx(answer["time_to_train_s"] / 3600 * 2 * 64)


def test_explain_shows_every_loss_and_draws_it(tmp_path, capsys):
    figure = tmp_path / "step.svg"
    _, out, _ = call(
        *TRAIN, "--set", "pp=2", "--set", "tp=2", "--explain", "--svg", str(figure), capsys=capsys
    )
    for words in (
        "ideal",
        "GEMM rate",
        "pipeline bubble",
        "stragglers",
        "optimizer",
        "fragmentation",
        "total",
    ):
        assert words in out
    assert "predicted" in figure.read_text()


def test_floating_bars_hang_together():
    assert floating(0, 5, 10, 4) == "██"
    assert floating(5, 8.75, 10, 4) == floating(8.75, 5, 10, 4) == "  █▌"
    assert floating(3, 3, 10, 4).strip()


def test_compare_puts_two_layouts_side_by_side(tmp_path, capsys):
    figure = tmp_path / "way.svg"
    sides = ["--compare", "fastest", "tp=8, pp=2,recompute=none,full"]
    code, out, _ = call(*TRAIN, *sides, "--svg", str(figure), capsys=capsys)
    assert code == 0
    for words in ("What explains the difference", "Verdict: A is", "MFU", "cost", "tp", "total"):
        assert words in out
    assert "from A to B" in figure.read_text()
    answer = json.loads(call(*TRAIN, *sides, "--json", capsys=capsys)[1])
    assert answer["b"]["layout"]["tp"] == 8
    assert answer["differs"]["pp"] == [answer["a"]["layout"]["pp"], 2]
    change = sum(p["change_s"] for p in answer["parts"])
    assert change == pytest.approx(answer["b"]["step_s"] - answer["a"]["step_s"])


def test_compare_knows_the_roomiest(capsys):
    answer = json.loads(call(*TRAIN, "--compare", "fastest", "roomiest", "--json", capsys=capsys)[1])
    assert answer["b"]["memory_total_byte"] <= answer["a"]["memory_total_byte"]
    assert answer["a"]["step_s"] <= answer["b"]["step_s"] <= 1.1 * answer["a"]["step_s"]


@pytest.mark.parametrize(
    ("side", "code", "says"),
    [
        ("tq=1", 2, "no field 'tq'"),
        ("micro_bath=1", 2, "did you mean 'micro_batch'"),
        ("dp=4", 2, "dp=4: cannot be fixed; it is the accelerators over tp x cp x pp"),
        ("tp=x", 2, "tp=x: must be a number"),
        ("recompute=all", 2, "recompute=all: must be one of none, selective, full"),
        ("quickest", 2, "write fastest or roomiest, or a layout as tp=8"),
        ("pp=7", 1, "--compare 'pp=7': no layout is valid"),
    ],
)
def test_bad_sides_of_a_comparison_are_refused_with_words(side, code, says, capsys):
    got, _, err = call(*TRAIN, "--compare", "fastest", side, capsys=capsys)
    assert (got, says in err) == (code, True), err


def test_a_wish_that_cannot_be_is_told_the_nearest_that_can(capsys):
    wish = ["--set", "tp=8", "--set", "pp=7"]
    code, _, err = call(*TRAIN, *wish, capsys=capsys)
    assert code == 1
    assert "no layout with tp=8 pp=7 is valid" in err
    assert "hint: change pp from 7 to" in err
    code, out, _ = call(*TRAIN, *wish, "--json", capsys=capsys)
    answer = json.loads(out)
    assert code == 1
    assert "pp=7" in answer["infeasible"]
    assert [c["field"] for c in answer["advice"]["nearest"]["changes"]] == ["pp"]


def test_a_wish_that_does_not_fit_is_told_what_it_takes(capsys):
    big = list(TRAIN)
    big[big.index("llama-3.1-8b")] = "llama-3.1-405b"
    code, _, err = call(*big, "--set", "pp=1", "--set", "zero=1", capsys=capsys)
    assert code == 1
    for words in ("no layout fits", "GB more memory an accelerator", "accelerators"):
        assert words in err


def test_a_slow_wish_is_told_what_a_change_gives(capsys):
    slow = ["--set", "tp=8", "--set", "recompute=full"]
    code, out, err = call(*TRAIN, *slow, capsys=capsys)
    assert code == 0
    assert "slower than without" in err
    assert "hint: changing " in err
    assert "hint" not in out
    assert json.loads(call(*TRAIN, *slow, "--json", capsys=capsys)[1])["advice"]["best_step_s"] > 0


def test_gradients_say_what_one_percent_more_buys(tmp_path, capsys):
    figure = tmp_path / "slopes.svg"
    wish = ["--set", "cp=1", "--set", "schedule=1f1b", "--gradients"]
    code, out, _ = call(*TRAIN, *wish, "--svg", str(figure), capsys=capsys)
    assert code == 0
    for words in ("BF16 GEMM rate", "scale-up bandwidth", "HBM capacity", "1% more of the whole network"):
        assert words in out
    assert "all of the network" in figure.read_text()
    answer = json.loads(call(*TRAIN, *wish, "--json", capsys=capsys)[1])
    rows = {row["name"]: row for row in answer["elasticities"]}
    assert 0 < rows["BF16 GEMM rate"]["same_layout"] < 1
    assert rows["HBM capacity"]["tried"] == pytest.approx(1.1)
    assert set(answer["sums"]) == {"network", "chip", "software", "scale"}


def test_one_question_at_a_time(capsys):
    code, _, err = call(*TRAIN, "--gradients", "--sweep", "scale", capsys=capsys)
    assert code == 2
    assert "ask one at a time" in err


@pytest.mark.parametrize("kind", ["scale", "domain", "oversubscription", "bandwidth", "sequence", "system"])
def test_sweeps_draw_a_curve(kind, tmp_path, capsys):
    figure = tmp_path / "sweep.svg"
    code, out, _ = call(
        *TRAIN, "--set", "cp=1", "--sweep", kind, "--svg", str(figure), "--json", capsys=capsys
    )
    assert code == 0
    points = [p for curve in json.loads(out) for p in curve["points"]]
    assert len(points) >= 5
    assert any(p["mfu"] for p in points)
    assert figure.read_text().startswith("<svg")


def test_a_sweep_of_domains_says_how_many_accelerators_each_has(tmp_path, capsys):
    figure = tmp_path / "sweep.svg"
    asked = (*TRAIN, "--set", "cp=1", "--sweep", "domain")
    _, out, _ = call(*asked, "--svg", str(figure), capsys=capsys)
    title, _, *rows = out.splitlines()
    assert "in whole domains: 64 / 72 / 72 / 144 / 576 in all" in title
    assert [row.split()[:2] for row in rows[:3]] == [["8", "64"], ["36", "72"], ["72", "72"]]
    assert "64 / 72 / 72 / 144 / 576 in all" in figure.read_text()
    _, out, _ = call(*asked, "--json", capsys=capsys)
    (curve,) = json.loads(out)
    assert [p["accelerators"] for p in curve["points"]] == [64, 72, 72, 144, 576]


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_a_sweep_without_a_feasible_value_exits_1_with_the_reason(form, capsys):
    code, out, err = call(*TRAIN, "--set", "tp=64", "--sweep", "oversubscription", *form, capsys=capsys)
    assert code == 1
    assert "15:1" in out
    assert err.startswith("error: --sweep oversubscription: no value has a feasible layout; at 1:1: ")


def test_capacity_limits_what_imbalance_costs(capsys):
    moe = ["train", "--model", "mixtral-8x7b", "--system", "p5", "--gpus", "64", "--global-batch", "256"]
    moe += ["--seq", "4096", "--set", "ep=8", "--set", "cp=1", "--set", "schedule=1f1b", "--json"]
    steps = [
        json.loads(call(*moe, *extra, capsys=capsys)[1])["best"]["step_s"]
        for extra in ([], ["--imbalance", "3"], ["--imbalance", "3", "--capacity", "1"])
    ]
    assert steps[0] == steps[2] < steps[1]


@pytest.mark.parametrize(("kind", "said"), [("llama", False), ("gpt_neox2", True)])
def test_a_model_type_that_is_not_known_is_told(kind, said, tmp_path, capsys):
    config = tmp_path / "config.json"
    sizes = {"num_hidden_layers": 16, "hidden_size": 2048, "num_attention_heads": 16, "vocab_size": 32000}
    config.write_text(json.dumps({"model_type": kind, "intermediate_size": 8192, **sizes}))
    asked = ["train", "--model", str(config), "--system", "p5", "--gpus", "8", "--seq", "4096"]
    code, out, err = call(*asked, "--set", "cp=1", "--set", "schedule=1f1b", "--json", capsys=capsys)
    assert code == 0
    assert json.loads(out)["best"]
    told = f"assumed: {config}: model_type {kind} is not known: read by its llama-like fields"
    assert (told in err) == said


def test_constraints_hold(capsys):
    _, out, _ = call(*TRAIN, "--set", "tp=4", "--set", "recompute=full", "--json", capsys=capsys)
    assert {(p["layout"]["tp"], p["layout"]["recompute"]) for p in json.loads(out)["plans"]} == {(4, 2)}


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        (["--model", "lama-3.1-8b"], 2, "unknown model 'lama-3.1-8b'; did you mean"),
        (["--model", "none.json"], 2, "none.json"),
        (["--system", "p55"], 2, "unknown system 'p55'"),
        (["--gpus", "0"], 2, "--gpus"),
        (["--global-batch", "4.1M-tokens"], 2, "nearest are"),
        (["--global-batch", "many"], 2, "write sequences as"),
        (["--precision", "fp7"], 2, "--precision"),
        (["--precision", "nvfp4"], 2, "h100 has no fp4 arithmetic"),
        (["--tokens", "few"], 2, "--tokens 'few'"),
        (["--tokens", "0"], 2, "--tokens '0': must be above 0"),
        (["--tokens", "1e400"], 2, "--tokens '1e400': must be above 0 and at most 1e+30"),
        (["--global-batch", "1e30"], 2, "must be at most 1,000,000,000 sequences"),
        (["--global-batch", "1e400"], 2, "must be at most 1,000,000,000 sequences"),
        (["--set", "tp=nan"], 2, "--set tp=nan: must be a finite number"),
        (["--oversubscription", "nan"], 2, "nan is not a finite number; write one in 1<=x<=1000"),
        (["--imbalance", "nan"], 2, "nan is not a finite number"),
        (["--capacity", "nan"], 2, "nan is not a finite number"),
        (["--price", "3 EUR/h"], 2, "is in EUR; amounts are in USD"),
        (["--set", "tp"], 2, "NAME=VALUE"),
        (["--set", "tp=x"], 2, "must be a number"),
        (["--set", "recompute=all"], 2, "must be one of"),
        (["--set", "tq=1"], 2, "cannot fix 'tq'"),
        (["--set", "dp=8"], 2, "dp=8: cannot be fixed"),
        (["--model", "llama-3.1-405b", "--gpus", "8"], 1, "no layout fits in"),
        (["--gpus", "296"], 1, "fewer odd factors"),
    ],
)
def test_bad_input_and_infeasible_wishes_have_words_and_codes(change, code, says, capsys):
    arguments = list(TRAIN)
    for name, value in zip(change[::2], change[1::2], strict=True):
        if name in arguments:
            arguments[arguments.index(name) + 1] = value
        else:
            arguments += [name, value]
    got, out, err = call(*arguments, capsys=capsys)
    assert got == code
    assert says in err
    assert "Traceback" not in err + out


def test_run_writes_one_self_contained_report(tmp_path, capsys):
    scenario = tmp_path / "s.yaml"
    scenario.write_text(
        "name: tiny\nclusters: {lab: {provider: aws, partitions: [{system: p5, count: 8}]}}\n"
        "workloads:\n  w: {kind: training, model: llama-3.1-8b, cluster: lab, share: 100%,\n"
        "      tokens: 1e11 token, global_batch: 256, sequence: 4096, constraints: {cp: 1, schedule: 1f1b}}\n"
    )
    code, out, err = call("run", str(scenario), "--out", str(tmp_path / "out"), capsys=capsys)
    assert code == 0
    assert "Fleet lab" in out
    assert "bound by" in out
    html = (tmp_path / "out" / "report.html").read_text()
    assert html.count("<svg") >= 5
    assert "http" not in html.replace("http://www.w3.org/2000/svg", "")
    assert (
        json.loads((tmp_path / "out" / "report.json").read_text())["workloads"][0]["plan"]["best"]["mfu"] > 0
    )
    assert not list((tmp_path / "out").glob(".*"))
    assert "report.html" in err


def test_run_without_a_feasible_plan_exits_1_with_the_reason(tmp_path, capsys):
    scenario = tmp_path / "s.yaml"
    scenario.write_text(
        "name: tiny\nclusters: {lab: {provider: aws, partitions: [{system: p5, count: 1}]}}\n"
        "workloads:\n  w: {kind: training, model: llama-3.1-405b, cluster: lab, share: 100%,\n"
        "      tokens: 1e11 token, global_batch: 256, sequence: 4096}\n"
    )
    code, _, err = call("run", str(scenario), capsys=capsys)
    assert code == 1
    assert "no layout fits" in err


def test_square_brackets_in_a_scenario_are_text(tmp_path, capsys):
    scenario = tmp_path / "s.yaml"
    scenario.write_text(
        'name: "tiny [/a]"\nabout: "x [/red] y [eu-west]"\n'
        "clusters: {lab: {provider: aws, partitions: [{system: p5, count: 1}]}}\n"
        'workloads:\n  "w [/z]": {kind: training, model: llama-3.1-405b, cluster: lab, share: 100%,\n'
        "      tokens: 1e11 token, global_batch: 256, sequence: 4096}\n"
    )
    code, out, err = call("run", str(scenario), capsys=capsys)
    assert code == 1
    assert "tiny [/a]" in out
    assert "x [/red] y [eu-west]" in out
    assert "w [/z]" in out
    assert "w [/z]: no layout fits" in err


def test_run_does_not_write_into_a_file(tmp_path, capsys):
    (tmp_path / "out").write_text("precious")
    code, _, err = call("run", "small", "--out", str(tmp_path / "out"), capsys=capsys)
    assert code == 2
    assert "is a file" in err
    assert (tmp_path / "out").read_text() == "precious"


def test_validate_prints_a_table_and_json_of_the_stated_shape(tmp_path, capsys):
    code, out, err = call("validate", "training", "--data", str(RUNS), "--json", capsys=capsys)
    answer = json.loads(out)
    assert code == 0
    assert set(answer["summary"]) == {"n", "median_abs_error", "p90_abs_error", "median_error", "kendall_tau"}
    assert all({"id", "metric", "measured", "predicted", "assumed"} <= set(row) for row in answer["rows"])
    assert [r["reason"] for r in answer["rows"] if r["predicted"] is None]
    page = tmp_path / "accuracy.md"
    code, out, err = call("validate", "training", "--data", str(RUNS), "--markdown", str(page), capsys=capsys)
    assert code == 0
    assert "by source" in out
    assert "scored rows evaluated" in err
    assert "| all scored rows |" in page.read_text()
    assert "Scaling slope" in out
    for name in ("scatter", "factors", "explained"):
        assert f"](images/accuracy-{name}.svg)" in page.read_text()
        assert (tmp_path / "images" / f"accuracy-{name}.svg").read_text().startswith("<svg")


def test_validate_memory_has_the_same_shape_and_figures(tmp_path, capsys):
    figures, page = tmp_path / "figures", tmp_path / "memory.md"
    options = ("--data", str(SLICES), "--figures", str(figures), "--markdown", str(page))
    code, out, _ = call("validate", "memory", *options, "--json", capsys=capsys)
    answer = json.loads(out)
    assert code == 0
    assert answer["summary"]["n"] == 4
    assert set(answer["metrics"]["measured_ms"]) == set(answer["summary"])
    assert {r["metric"] for r in answer["rows"]} >= {"measured_ms", "measured_peak_alloc_gib"}
    assert sorted(p.name for p in figures.iterdir()) == ["factors.svg", "scatter.svg"]
    assert "| llama3_70b_l12_tp4_pp1_dp2_mbc4_cef |" in page.read_text()
    code, out, _ = call("validate", "memory", "--data", str(SLICES), capsys=capsys)
    assert code == 0
    assert "peak allocated" in out


def test_validate_takes_the_shipped_measurements_and_records_only_them(capsys):
    code, out, _ = call("validate", "memory", "--no-rows", capsys=capsys)
    assert code == 0
    assert "whole runs" in out
    code, _, err = call("validate", "memory", "--data", str(SLICES), "--record", capsys=capsys)
    assert code == 2
    assert "leave out --data" in err


def options_of(command, path=()):
    if isinstance(command, click.Group):
        with click.Context(command) as context:
            for name in command.list_commands(context):
                yield from options_of(command.get_command(context, name), (*path, name))
        return
    yield from ((" ".join(path), option) for option in command.params)


def test_no_option_takes_a_number_that_is_none():
    """A range of click alone lets nan through, as it compares with no bound."""
    ranges = [(path, p) for path, p in options_of(cli) if isinstance(p.type, click.types.FloatParamType)]
    assert len(ranges) > 15
    for path, option in ranges:
        for text in ("nan", "inf", "-inf"):
            with pytest.raises(click.BadParameter):
                print(path, option.name, option.type.convert(text, option, None))


def test_unknown_commands_and_versions(capsys):
    assert call("frobnicate", capsys=capsys)[0] == 2
    assert call("--version", capsys=capsys)[0] == 0


def test_an_interrupted_search_gives_the_best_so_far_and_says_what_it_did_not_see(monkeypatch, capsys):
    room = sys.modules["armillary.training.search"]
    whole, calls = room._Run.block, []

    def block(run, part):
        calls.append(part)
        if len(calls) > room.BLOCKS_PER_WAVE:
            raise KeyboardInterrupt
        return whole(run, part)

    monkeypatch.setattr(room, "COMBINATIONS_PER_BLOCK", 2000)
    monkeypatch.setattr(room._Run, "block", block)
    code, out, _ = call(*TRAIN, capsys=capsys)
    assert code == 0
    assert re.search(r"interrupted: \d+% of the space was not seen", out)
