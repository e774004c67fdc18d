"""Training programmes: laws against the points they were fitted to, demand and dates by hand.

chinchilla_points.csv holds what Epoch AI (CC BY) read off a figure of Hoffmann et al. 2022: parameters,
training FLOP and loss of 245 models.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import logsumexp

from armillary.errors import InfeasibleError, InputError
from armillary.portfolio.quarter_dates import DAY, quarters
from armillary.portfolio.ranged_facts import KINDS, ranged_facts
from armillary.portfolio.tco import YEAR
from armillary.portfolio.training_programme import (
    Generation,
    ScalingLaw,
    finish_times,
    frontier_flop,
    loss,
    optimum,
    scaling_law,
    scaling_laws,
    training_demand,
)

POINTS = np.loadtxt(Path(__file__).with_name("chinchilla_points.csv"), delimiter=",", skiprows=1)
WHEN = quarters("2026Q1", 12)
RATE = 1e15
"""Of an accelerator. [FLOP/s]"""


def points() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Parameters, tokens, loss; without the five models of fewest tokens a parameter, as Besiroglu et al."""
    parameters, flop, measured = POINTS.T
    tokens = flop / 6 / parameters
    keep = np.argsort(tokens / parameters)[5:]
    return parameters[keep], tokens[keep], measured[keep]


def huber(error: np.ndarray, delta: float = 1e-3) -> float:
    size = np.abs(error)
    return float(np.where(size <= delta, error**2 / 2, delta * (size - delta / 2)).sum())


def residual(law: ScalingLaw) -> float:
    parameters, tokens, measured = points()
    return huber(np.log(loss(parameters, tokens, law)) - np.log(measured))


def test_the_replication_fits_the_points_that_the_original_does_not():
    assert POINTS.shape == (245, 3)
    first, second = (residual(scaling_law(name)) for name in ("hoffmann-2022", "besiroglu-2024"))
    assert second < 0.5 * first
    parameters, tokens, measured = points()
    error = loss(parameters, tokens, scaling_law("besiroglu-2024")) / measured - 1
    assert np.median(np.abs(error)) < 0.005


def test_a_new_fit_to_the_points_finds_the_replications_law():
    parameters, tokens, measured = points()
    log_n, log_d, log_l = np.log(parameters), np.log(tokens), np.log(measured)

    def objective(x: np.ndarray) -> tuple[float, np.ndarray]:
        """Huber loss of the logarithm, and its gradient; scaled, as it is tiny."""
        e, a, b, alpha, beta = x
        terms = np.stack([np.full_like(log_n, e), a - alpha * log_n, b - beta * log_d])
        whole = logsumexp(terms, axis=0)
        parts, slope = np.exp(terms - whole), np.clip(whole - log_l, -1e-3, 1e-3)
        along = np.stack([*parts, -parts[1] * log_n, -parts[2] * log_d])
        return huber(whole - log_l) * 1e4, along @ slope * 1e4

    law = scaling_law("hoffmann-2022")
    start = np.array([np.log(law.E), np.log(law.A), np.log(law.B), law.alpha, law.beta])
    for _ in range(5):  # from where it stopped: the valley is flat
        found = minimize(
            objective, start, jac=True, method="L-BFGS-B", options={"ftol": 1e-15, "maxiter": 9999}
        )
        start = found.x
    e, a, b, alpha, beta = found.x
    law = scaling_law("besiroglu-2024")
    assert np.exp(e) == pytest.approx(law.E, rel=0.01)
    assert alpha == pytest.approx(law.alpha, rel=0.02)
    assert beta == pytest.approx(law.beta, rel=0.02)
    assert np.exp(a) == pytest.approx(law.A, rel=0.10)
    assert np.exp(b) == pytest.approx(law.B, rel=0.15)


@given(
    st.floats(1e21, 1e29), st.sampled_from(sorted(scaling_laws())), st.floats(0.5, 2).filter(lambda f: f != 1)
)
def test_no_other_split_of_a_compute_loses_less(flop, name, factor):
    law = scaling_law(name)
    best = optimum(flop, law)
    assert 6 * best.parameters * best.tokens == pytest.approx(flop)
    moved = loss(best.parameters * factor, best.tokens / factor, law)
    assert moved >= best.loss - 1e-12
    assert optimum(2 * flop, law).loss < best.loss


def test_tokens_a_parameter_as_the_fits_have_them():
    law = scaling_law("besiroglu-2024")
    ratios = [(b := optimum(flop, law)).tokens / b.parameters for flop in (5.76e23, 3.8e25, 1e27)]
    assert ratios == pytest.approx([18.4, 16.6, 15.4], abs=0.2)
    both = optimum(np.array([5.76e23, 3.8e25]), law)
    assert both.tokens[1] / both.parameters[1] == pytest.approx(ratios[1])


def test_the_frontier_grows_by_its_factor_a_year():
    assert frontier_flop(0.0, 4.64e26, 4.5) == 4.64e26
    assert frontier_flop(YEAR, 1.0, np.array([4.0, 5.0])) == pytest.approx([4, 5])
    assert frontier_flop(1.5 * YEAR, 1.0, 4.0) == pytest.approx(8)


def test_facts_have_sources_and_reach():
    for name, row in ranged_facts("training_facts").items():
        assert row.kind in KINDS, name
        assert row.source, name
        assert row.low <= row.value <= row.high, name


class TestDemand:
    def test_a_run_gets_its_compute_whatever_quarters_it_lies_in(self):
        runs = [
            Generation("a", 1e26, ready=200 * DAY, duration=100 * DAY),
            Generation("b", 4e26, ready=700 * DAY, duration=150 * DAY, minimum=60_000),
        ]
        found = training_demand(runs, RATE, WHEN)
        done = (found.runs * WHEN.lengths).sum(1) * RATE
        assert done == pytest.approx([1e26, 4e26])
        assert found.cluster[0] == pytest.approx(1e26 / RATE / (100 * DAY))
        assert found.cluster[1] == 60_000
        assert found.starts[1] == pytest.approx(700 * DAY - 4e26 / RATE / 60_000)
        assert (found.total == found.runs.sum(0)).all()
        quarter = int(np.searchsorted(WHEN.ends, 650 * DAY))
        assert found.on_one_network[quarter] == 60_000
        assert (found.runs <= found.cluster[:, None] + 1e-9).all()

    def test_research_is_its_share_of_all(self):
        run = Generation("a", 1e26, ready=500 * DAY, duration=100 * DAY, lead=400 * DAY)
        found = training_demand([run], RATE, WHEN, research_share=0.9)
        runs, research = ((part * WHEN.lengths).sum() for part in (found.runs, found.research))
        assert research / (runs + research) == pytest.approx(0.9)
        assert found.total == pytest.approx(found.runs[0] + found.research[0])

    @given(st.floats(1.1, 10))
    def test_a_shorter_run_takes_as_much_more(self, factor):
        long = Generation("a", 1e26, ready=500 * DAY, duration=200 * DAY)
        short = long._replace(duration=long.duration / factor)
        a, b = (training_demand([run], RATE, WHEN) for run in (long, short))
        assert b.cluster[0] == pytest.approx(factor * a.cluster[0])
        assert (b.runs * WHEN.lengths).sum() == pytest.approx((a.runs * WHEN.lengths).sum())

    def test_what_cannot_be_in_time_says_what_would(self):
        run = Generation("too soon", 1e26, ready=50 * DAY, duration=100 * DAY)
        with pytest.raises(InfeasibleError, match=r"begin 50 days before 2026Q1; .* 23,148 if it began"):
            training_demand([run], RATE, WHEN)
        with pytest.raises(InfeasibleError, match="wished for after 2028Q4"):
            training_demand([run._replace(ready=5000 * DAY)], RATE, WHEN)


class TestFinish:
    def test_a_demand_that_is_met_is_done_when_wished_for(self):
        run = Generation("a", 1e26, ready=float(WHEN.ends[1]), duration=float(WHEN.ends[1]))
        needed = training_demand([run], RATE, WHEN).cluster[0]
        there = np.full(12, needed)
        assert finish_times([run], RATE, WHEN, there) == pytest.approx([run.ready])

    def test_runs_follow_one_another_and_wait_for_their_minimum(self):
        runs = [Generation("a", 1e25, 0, 1), Generation("b", 1e25, 0, 1, minimum=5000)]
        there = np.array([1000.0] * 4 + [5000.0] * 8)
        first, second = finish_times(runs, RATE, WHEN, there)
        assert first == pytest.approx(1e25 / RATE / 1000)
        assert second == pytest.approx(WHEN.ends[3] + 1e25 / RATE / 5000)

    def test_never_is_infinite_and_passes_on(self):
        runs = [Generation("a", 1e25, 0, 1, minimum=1e6), Generation("b", 1.0, 0, 1)]
        assert np.isinf(finish_times(runs, RATE, WHEN, np.full(12, 5000.0))).all()

    def test_more_is_never_later_and_one_ramp_is_its_row(self):
        rng = np.random.default_rng(0)
        there = rng.integers(0, 5000, (50, 12)).astype(float)
        runs = [Generation("a", 2e25, 0, 1), Generation("b", 8e25, 0, 1)]
        all_of_them = finish_times(runs, RATE, WHEN, there)
        assert all_of_them.shape == (50, 2)
        assert (finish_times(runs, RATE, WHEN, there * 1.5) <= all_of_them).all()
        for row, found in zip(there, all_of_them, strict=True):
            assert finish_times(runs, RATE, WHEN, row) == pytest.approx(found)
            work = np.concatenate([[0.0], np.cumsum(row * WHEN.lengths * RATE)])
            edges = np.concatenate([[0.0], WHEN.ends])
            for total, end in zip((2e25, 10e25), found, strict=True):
                if np.isfinite(end):  # on what is there at all times, work done by then is all work
                    assert np.interp(end, edges, work) == pytest.approx(total)
                else:
                    assert work[-1] < total


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: scaling_law("hoffman-2022"), "did you mean 'hoffmann-2022'"),
        (lambda: training_demand([], 0.0, WHEN), "rate is 0.0"),
        (lambda: training_demand([], 1.0, WHEN, research_share=1.0), "research_share is 1.0"),
        (lambda: training_demand([Generation("a", -1.0, 1.0, 1.0)], 1.0, WHEN), "flop is -1.0"),
        (lambda: training_demand([Generation("a", 1.0, -1.0, 1.0)], 1.0, WHEN), "ready is -1.0"),
        (lambda: finish_times([], 1.0, WHEN, np.ones(3)), r"available has shape \(3,\)"),
        (lambda: finish_times([], 1.0, WHEN, -np.ones(12)), "0 or more for each quarter"),
    ],
)
def test_what_cannot_be_is_refused(call, said):
    with pytest.raises(InputError, match=said):
        call()
