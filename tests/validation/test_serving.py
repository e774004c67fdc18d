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
from armillary.validation.serving_recipes import recipe_of
from armillary.validation.serving_rows import read_run


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


def test_a_configuration_per_worker_is_multiplied():
    notes = "disagg prefill 1x[tp8 dp1 ep8.0] bsnan, decode 1x[tp8 dp1 ep8] bsnan"
    found = recipe_of("trtllm", "0.8.1.post1", "h200", "fp8", "1024", "1024", "1152", "deepseek-R1", notes)
    assert found is not None
    assert found.decode == (9, 8, 8, True)
