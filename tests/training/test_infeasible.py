import pytest

from armillary.errors import InfeasibleError, InputError
from armillary.training import calibration, options, recipe, search


def test_what_does_not_fit_says_by_how_much_and_which_term(make_job, make_slice):
    job, part = make_job("llama-3.1-405b", 8), make_slice("p5", 8)
    with pytest.raises(
        InfeasibleError, match=r"no layout fits in 86 GB.*\n.*nearest: .*needs \d+ GB, of which \d+ GB"
    ):
        _ = search(job, part, calibration(part.accelerator)).best


def test_offload_is_tried_where_nothing_fits_on_a_coherent_link(make_job, make_slice):
    job, part = make_job("llama-3.1-70b", 8, sequence=4096), make_slice("p6e-gb200", 4)
    found = search(job, part, calibration(part.accelerator))
    assert found.best.layout.offload_optimizer > 0


def test_indivisible_grants_say_what_divides(make_job, make_slice):
    job, part = make_job("llama-3.1-8b", 1024), make_slice("p6e-gb300", 7 * 72)
    with pytest.raises(InfeasibleError, match="fewer odd factors"):
        _ = search(job, part, calibration(part.accelerator)).best


def test_unknown_constraints_and_recipes_offer_near_matches(make_job, make_slice):
    job, part = make_job("llama-3.1-8b", 64), make_slice("p5", 8)
    with pytest.raises(InputError, match="did you mean 'micro_batch'"):
        options(job, part, {"microbatch": [1]})
    with pytest.raises(InputError, match="did you mean 'fp8-mx'"):
        recipe("fp8mx")


def test_invalid_combinations_are_counted_by_reason(make_job, make_slice):
    found = search(
        make_job("llama-3.1-8b", 64), make_slice("p5", 64), calibration(make_slice("p5", 64).accelerator)
    )
    assert found.invalid["interleaving needs a pipeline"] > 0
    assert all(count > 0 for count in found.invalid.values())
