"""The nearest layout of a wish is feasible and really the nearest; other ways out are true."""

import numpy as np
import pytest

from armillary.training import Layout, advise, calibration, estimate, nearest, search, space
from armillary.training.nearest import Change, changed, said

WISHES = [
    {"tp": [1], "pp": [1], "sharding": [(0, "all")], "recompute": [0]},
    {"tp": [8], "pp": [3]},
    {"tp": [3], "cp": [3], "micro_batch": [16]},
    {"tp": [2], "pp": [4], "vpp": [5], "schedule": [1]},
    {"tp": [2], "recompute": [2]},
]


@pytest.fixture(scope="module")
def small(make_job, make_slice):
    return make_job("llama-3.1-8b", 64), make_slice("p5", 16)


def brute(job, part, known, wish):
    """Fewest changes, then least time, over every layout of the whole space one by one."""
    best = (np.inf, np.inf)
    whole = space(job, part)
    for some in whole.blocks(10_000):
        block = whole.block(some)
        layout, valid = block.layout, block.valid
        answer = estimate(job, part, layout, known)
        time = np.broadcast_to(answer.time.total, valid.shape)
        fits = valid & np.broadcast_to(answer.memory_total <= answer.capacity, valid.shape)
        for index in np.argwhere(fits):
            at = tuple(int(i) for i in index)
            one = layout.at(at, valid.shape)
            best = min(best, (len(changed(wish, one)), float(time[at])))
    return best


@pytest.mark.parametrize("wish", WISHES, ids=str)
def test_the_nearest_layout_is_feasible_and_the_nearest(small, wish):
    job, part = small
    known = calibration(part.accelerator)
    near = nearest(job, [part], known, wish)
    answer = estimate(job, part, near.candidate.layout, known)
    assert bool(answer.fits)
    assert near.candidate.layout.accelerators == part.accelerators
    assert (len(near.changes), near.step) == pytest.approx(brute(job, part, known, wish))
    if near.changes:
        assert not search(job, part, known, wish).fastest


def test_what_lacks_memory_is_told_what_would_do(make_job, make_slice):
    job, part = make_job("llama-3.1-70b", 64), make_slice("p5", 16)
    known = calibration(part.accelerator)
    told = advise(job, [part], known, {"sharding": [(0, "all")], "recompute": [0]})
    assert "no layout fits" in told.why
    assert told.missing == pytest.approx(told.needed - part.accelerator.memory_capacity)
    assert told.missing > 0
    grown = part.grown(told.accelerators)
    assert search(job, grown, known, {"sharding": [(0, "all")], "recompute": [0]}).fastest
    assert told.policies is None or bool(told.policies.candidate.estimate.fits)


def test_what_does_not_divide_is_told_accelerators_that_do(small):
    job, part = small
    told = advise(job, [part], calibration(part.accelerator), {"tp": [8], "pp": [16]})
    assert told.why == "no layout with tp=8 pp=16 is valid: degrees do not multiply to the accelerators"
    assert told.accelerators % 128 == 0
    assert [c.field for c in told.nearest.changes] == ["pp"]
    assert told.missing == 0


def test_a_slow_wish_is_told_the_best_single_change(small):
    job, part = small
    known = calibration(part.accelerator)
    wish = {"tp": [8], "recompute": [2]}
    step = float(search(job, part, known, wish).best.estimate.time.total)
    told = advise(job, [part], known, wish, step)
    assert told.best == pytest.approx(float(search(job, part, known).best.estimate.time.total))
    assert told.best < told.nearest.step < step
    assert len(told.nearest.changes) == 1
    assert advise(job, [part], known, {}, step) is None
    assert advise(job, [part], known, wish, told.best * 1.05) is None


def test_changes_read_as_words():
    assert str(Change("recompute", (0, 1), 2)) == "recompute from none or selective to full"
    assert str(changed({"sharding": [(0, "all")]}, Layout(zero=3))[0]) == "zero from 0 to 3"
    assert said("sharding", (3, "domain")) == "3/domain"
