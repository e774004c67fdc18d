from dataclasses import replace

import pytest

from armillary import catalog
from armillary.errors import InputError
from armillary.validation import (
    moved,
    read_serving_table,
    serving_figures,
    summarise,
    validate_serving,
)
from armillary.validation.serving_loop import predict
from armillary.validation.serving_recipes import Asked, recipe_of
from armillary.validation.serving_rows import read_run
from armillary.validation.serving_settings import settings_of


@pytest.fixture(scope="module")
def scored():
    return [r for r in validate_serving(read_serving_table(), catalog.load()) if r.scored]


def test_the_score_is_the_recorded_one(scored):
    assert moved("serving", serving_figures(scored)) == []


def test_ranks_compare_the_measurement_with_the_prediction(shipped):
    """Three runs whose measured order is the predicted one agree wholly, whatever their errors."""
    runs = [{**ROW, "id": f"X{c}", "concurrency_or_rate": str(c)} for c in (4, 16, 64)]
    for metric, order in (("tpot_ms", (3, 30, 300)), ("tokens_per_s_per_gpu", (5, 50, 500))):
        for measured, tau in ((order, 1.0), (order[::-1], -1.0)):
            table = [
                {**run, "tpot_ms": "", metric: str(value)} for run, value in zip(runs, measured, strict=True)
            ]
            assert summarise(validate_serving(table, shipped)).kendall_tau == tau


def test_nearly_every_scored_row_is_evaluated(scored):
    assert sum(r.ratio is not None for r in scored) >= 0.9 * len(scored)


ROW = {
    "id": "X1",
    "source": "somewhere",
    "gpu": "H100",
    "n_gpus": "4",
    "model": "meta-llama/Llama-3.1-70B-Instruct",
    "precision": "fp8",
    "isl": "1000",
    "osl": "500",
    "concurrency_or_rate": "16",
    "tp": "4",
    "engine": "vllm 0.19.0",
    "mode": "agg",
    "metric": "output",
    "tpot_ms": "10",
}


def test_a_row_is_read_as_it_stands(shipped):
    run = read_run(ROW, shipped)
    assert (run.model.name, run.engine, run.release) == ("llama-3.1-70b", "vllm", "0.19.0")
    assert (run.decode.layout.tp, run.input, run.concurrency) == (4, 1000, 16)
    doubled = read_run(
        {
            **ROW,
            "source": "(InferenceX) x_c16_tp4_ep4_1",
            "model": "deepseek-r1",
            "n_gpus": "16",
            "tp": "16",
            "ep": "4",
        },
        shipped,
    )
    assert (doubled.decode.layout.tp, doubled.decode.layout.ep, doubled.input) == (4, 4, 900)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"gpu": "H1000"}, "H1000"),
        ({"concurrency_or_rate": "often"}, "neither a number nor saturated"),
        ({"isl": "-5"}, "outside what is sensible"),
        ({"mode": "sideways"}, "neither agg nor disagg"),
        ({"concurrency_or_rate": "1e12"}, "expected from 1 to 1000000 users"),
        ({"isl": "1e12"}, "expected from 1 to 10000000 tokens"),
        ({"tp": "four"}, "column tp: 'four' is not a number"),
        ({"n_gpus": "2.5"}, "expected a positive whole number"),
        ({"ep": "nan", "n_gpus": "inf"}, "outside what is sensible"),
        ({"mode": "disagg"}, "does not say its pools"),
        ({"engine": "homemade 1.0"}, "unknown serving engine"),
        ({"precision": "fp7"}, "fp7"),
    ],
)
def test_rows_that_say_nonsense_are_not_evaluated_and_say_why(shipped, changes, words):
    row = validate_serving([{**ROW, **changes}], shipped)[0]
    assert row.predicted is None
    assert words in row.reason


def test_a_table_without_columns_is_refused(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("id,gpu\n1,H100\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"t.csv:1: missing columns model"):
        read_serving_table(path)


H200 = Asked("trtllm", "h200", "fp8", "1024", "1024", "deepseek-R1")
B300 = Asked("sglang", "b300", "fp8", "1024", "1024", "Qwen/Qwen3.5-397B-A17B")


def test_a_configuration_per_worker_is_multiplied():
    notes = "disagg prefill 1x[tp8 dp1 ep8.0] bsnan, decode 1x[tp8 dp1 ep8] bsnan"
    found = recipe_of(H200, "0.8.1.post1", 1152, notes)
    assert found is not None
    assert found.decode == (9, 8, 8, True, 512)


def test_early_disaggregated_rows_are_told_by_their_accelerators(shipped):
    early = {
        **ROW,
        "source": "(InferenceX) deepseek_r1_gb200_trtllm_fp4_agg_8192x1024_c102_tp28_ep1_126",
        "gpu": "GB200",
        "n_gpus": "28",
        "model": "deepseek-r1",
        "precision": "fp4",
        "isl": "8192",
        "osl": "1024",
        "concurrency_or_rate": "102",
        "tp": "28",
        "engine": "trtllm",
    }
    run = read_run(early, shipped)
    assert run.prefill is not None
    assert (run.prefill.workers, run.decode.workers, run.decode.layout.tp, run.drafts) == (1, 3, 8, 0)
    drafted = read_run({**early, "concurrency_or_rate": "54"}, shipped)
    assert drafted.drafts == 3  # the configuration with 18 users a worker


def test_engines_are_started_as_the_scripts_say(shipped):
    few, many = (settings_of(B300._replace(chip="b200"), "0.5.9", 8, load) for load in (8, 64))
    assert (few.poll, many.poll, many.batch, many.cache) == (10, 30, 128, "fp8")
    assert settings_of(B300, "0.5.10.post1", 4, 64).tokens == 16384
    assert settings_of(B300._replace(engine="homemade"), "", 4, 64) is None
    row = {**ROW, "source": "(InferenceX) x", "model": "Qwen/Qwen3.5-397B-A17B", "gpu": "B200", "tp": "8"}
    run = read_run(
        {**row, "n_gpus": "8", "isl": "1024", "osl": "1024", "engine": "sglang 0.5.9", "precision": "fp8"},
        shipped,
    )
    assert (run.settings.poll, run.precision.cache) == (30, "fp8")


def test_a_look_at_the_queue_every_so_many_steps_delays_first_tokens(shipped):
    # Of equal lengths all would end together, and an engine with nothing to do looks at once.
    run = replace(read_run({**ROW, "engine": "sglang 0.5.9"}, shipped), shortest=0.8)
    at_once = predict(run)
    rarely = predict(replace(run, settings=run.settings._replace(poll=30)))
    assert rarely.ttft > at_once.ttft + 5 * at_once.tpot
