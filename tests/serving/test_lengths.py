from __future__ import annotations

import numpy as np
import pytest

from armillary.errors import InputError
from armillary.serving.lengths import (
    Fixed,
    Joint,
    Lognormal,
    Mix,
    Uniform,
    joint,
    lognormal_of_mean,
    lognormal_of_p90,
    reuse,
    spread_around,
    spread_below,
)
from armillary.serving.mixes import fit_lengths, named_mix, named_mixes
from armillary.serving.traces import Blocks, Trace

N = 200_000


@pytest.fixture
def rng():
    return np.random.default_rng(11)


@pytest.mark.parametrize(
    "lengths",
    [
        Fixed(7),
        Uniform(3, 9),
        spread_around(1000, 0.5),
        spread_below(1000, 0.1),
        Lognormal(500, 0.8),
        Lognormal(5000, 1.4, most=9000),
        lognormal_of_mean(1155, 1020),
        lognormal_of_p90(100, 700, most=1000),
    ],
)
def test_means_of_samples_are_means(lengths, rng):
    drawn = lengths.sample(rng, N)
    assert drawn.dtype == np.int64
    assert drawn.min() >= 1
    assert abs(drawn.mean() - lengths.mean) <= 5 * drawn.std() / np.sqrt(N) + 0.05
    assert np.array_equal(
        lengths.sample(np.random.default_rng(3), 9), lengths.sample(np.random.default_rng(3), 9)
    )


def test_lognormals_are_what_was_asked_for(rng):
    assert lognormal_of_mean(1155, 1020).mean == pytest.approx(1155)
    drawn = lognormal_of_p90(400, 2000).sample(rng, N)
    assert np.percentile(drawn, [50, 90]) == pytest.approx([400, 2000], rel=0.02)
    assert Lognormal(5000, 1.4, most=9000).sample(rng, N).max() == 9000


def test_ranges_reach_both_ends(rng):
    drawn = spread_around(100, 0.1).sample(rng, 10_000)
    assert (drawn.min(), drawn.max()) == (90, 110)


def test_cached_is_a_share_below_the_input(rng):
    mix = Mix(Uniform(1, 9), Fixed(4), cached=0.9)
    drawn = Mix(Uniform(100, 900), Fixed(4), cached=0.35).sample(rng, N)
    assert drawn.cached.sum() / drawn.input.sum() == pytest.approx(0.35, abs=1e-3)
    small = mix.sample(rng, N)
    assert (small.cached < small.input).all()
    assert mix.mean == (5, 4, 4.5)


def test_joint_keeps_what_goes_together(rng):
    source = np.arange(1, 100)
    drawn = Joint(source, 2 * source, source - 1).sample(rng, 1000)
    assert np.array_equal(drawn.output, 2 * drawn.input)
    assert np.array_equal(drawn.cached, drawn.input - 1)


def test_reuse_is_what_was_seen_from_the_beginning():
    ids = [[1, 2, 3], [1, 2, 4], [5, 2], [1, 2, 3], [], [6]]
    counts = [len(one) for one in ids]
    tokens = np.array([1200, 1500, 900, 1536, 0, 512])
    blocks = Blocks(np.concatenate(([0], np.cumsum(counts))), np.array([i for one in ids for i in one]))
    trace = Trace(np.zeros(6), tokens, np.ones(6, int), blocks, 512, "mooncake")
    found = reuse(trace._replace(input=np.maximum(tokens, 1)))
    assert found.tolist() == [0, 1024, 0, 1535, 0, 0]
    brief = joint(trace._replace(input=np.maximum(tokens, 1)))
    assert brief.cached.tolist() == found.tolist()
    assert joint(trace._replace(blocks=None, input=tokens + 1), 0.5).cached[0] == 600


def test_fits_find_a_lognormal_again(rng):
    fit = fit_lengths(Lognormal(700, 0.9, most=6000).sample(rng, N))
    assert fit.lognormal.median == pytest.approx(700, rel=0.03)
    assert fit.lognormal.sigma == pytest.approx(0.9, abs=0.03)
    assert fit.lognormal.mean == pytest.approx(fit.mean)
    assert fit.residual < 0.01


@pytest.mark.parametrize("name", named_mixes())
def test_named_mixes_have_the_means_of_their_traces(name):
    entry = named_mix(name)
    assert entry.mix.mean.input == pytest.approx(entry.input.mean, rel=1e-3)
    assert entry.mix.mean.output == pytest.approx(entry.output.mean, rel=1e-3)
    assert entry.kind == "fitted"
    assert entry.source
    assert entry.date


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Fixed(0), "tokens of Fixed is 0; expected 1 or more"),
        (lambda: Uniform(5, 4), "most of Uniform is 4; expected 5 or more"),
        (lambda: Lognormal(5, -1), "sigma of Lognormal is -1; expected 0 or more"),
        (lambda: lognormal_of_mean(5, 9), "mean is 5; expected 9 or more"),
        (lambda: lognormal_of_p90(5, float("nan")), "p90 is nan; expected 5 or more"),
        (lambda: Mix(Fixed(1), Fixed(1), 1.0), "cached of Mix is 1.0; expected a share from 0 to below 1"),
        (lambda: spread_below(9, 1.5), "ratio is 1.5; expected a share from 0 to 1"),
        (lambda: fit_lengths(np.ones(3, int)), "3 lengths to fit; expected 20 or more"),
        (
            lambda: Joint(np.array([9, 4]), np.ones(2, int), np.array([1, 4])),
            "request 1 of Joint has 4 cached of 4 tokens; expected less than its input",
        ),
        (
            lambda: named_mix("azure-2023-conv"),
            "unknown mix 'azure-2023-conv'; did you mean 'azure-2023-code' or 'azure-2023-conversation'?; "
            "known are azure-2023-conversation, azure-2023-code, mooncake-conversation",
        ),
    ],
)
def test_errors(make, message):
    with pytest.raises(InputError) as error:
        make()
    assert str(error.value) == message
