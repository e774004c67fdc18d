"""The search: what the mesh computes is what one layout gives; pruning and threads change nothing."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from armillary.training import calibration, estimate, search, space
from armillary.training.search import _Run
from armillary.training.space import CHOICES, DEGREES

EVERYTHING = 10**9


@pytest.fixture(scope="module", autouse=True)
def small_blocks():
    """Many waves even in small spaces, so that bounds have something to rule out."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules["armillary.training.search"], "COMBINATIONS_PER_BLOCK", 2400)
        yield


def ranking(found):
    return (
        [c.layout for c in found.fastest],
        [c.layout for c in found.front],
        [c.layout for c in found.roomiest],
    )


@pytest.mark.parametrize("which", ["dense", "moe"])
def test_one_layout_gives_what_the_mesh_gives(which, request):
    job, part = request.getfixturevalue(which)
    known = calibration(part.accelerator)
    offload = {"offload_activations": [0.0, 1.0], "offload_optimizer": [0.0, 1.0], "overlap_dp": [0, 1]}
    run = _Run(space(job, part, {"micro_batch": [1, 2], **offload}), known, EVERYTHING, pruning=False)
    rng = np.random.default_rng(0)
    for block in list(run.space.blocks(150))[:12]:
        found = run.block(block).found
        for item in (found[i] for i in rng.integers(0, len(found), 15 if found else 0)):
            alone = estimate(job, part, item.layout, known)
            assert float(alone.time.total) == pytest.approx(item.time, rel=1e-12)
            assert float(alone.memory_total) == pytest.approx(item.memory, rel=1e-12)


@pytest.mark.parametrize("which", ["dense", "moe"])
def test_every_valid_layout_multiplies_out(which, request):
    job, part = request.getfixturevalue(which)
    found = space(job, part)
    assert set(DEGREES) | {"dp"} == set(found.degrees)
    seen = 0
    for some in found.blocks(500):
        layout = found.block(some).layout
        rows = {name: np.ravel(getattr(layout, name)) for name in (*DEGREES, "dp", "micro_batch")}
        assert np.all(rows["tp"] * rows["cp"] * rows["pp"] * rows["dp"] == part.accelerators)
        assert np.all((rows["tp"] * rows["cp"] * rows["dp"]) % (rows["ep"] * rows["etp"]) == 0)
        assert np.all(job.global_batch % (rows["dp"] * rows["micro_batch"]) == 0)
        seen += 1
    assert seen > 1
    assert np.all(np.diff(found.degrees["pp"] > 1) >= 0)


def test_the_fastest_is_the_fastest_of_all_and_every_valid_layout_is_counted(dense):
    job, part = dense
    known = calibration(part.accelerator)
    fixed = {"cp": [1, 2], "order": [0], "schedule": [0], "micro_batch": [1, 2]}
    found = search(job, part, known, fixed, top=3)
    laid_out = space(job, part, fixed)
    steps, valid = [], 0
    for some in laid_out.blocks(10_000):
        block = laid_out.block(some)
        answer = estimate(job, part, block.layout, known)
        steps.append(np.broadcast_to(answer.step, block.valid.shape)[block.valid])
        valid += int(block.valid.sum())
    assert float(found.best.estimate.time.total) == pytest.approx(np.concatenate(steps).min(), rel=1e-12)
    assert found.evaluated == found.valid == valid
    assert found.too_large == np.count_nonzero(np.isinf(np.concatenate(steps)))
    times = [float(c.estimate.time.total) for c in found.front]
    rooms = [float(c.estimate.memory.total) for c in found.front]
    assert times == sorted(times)
    assert rooms == sorted(rooms, reverse=True)


@settings(max_examples=20, deadline=None)
@given(
    which=st.sampled_from(["dense", "moe"]),
    accelerators=st.sampled_from([32, 64, 96, 256]),
    batch=st.sampled_from([96, 256, 1024]),
    top=st.integers(1, 6),
    cp=st.sampled_from([[1], [1, 2]]),
    orders=st.sampled_from([[0], [0, 1]]),
)
def test_pruning_changes_no_ranking(which, accelerators, batch, top, cp, orders, make_job, make_slice):
    model, system, domain = {
        "dense": ("llama-3.1-70b", "p5", 8),
        "moe": ("qwen3-30b-a3b", "p6e-gb200", 32),
    }[which]
    job, part = make_job(model, batch), make_slice(system, accelerators, domain)
    known = calibration(part.accelerator)
    fixed = {"cp": cp, "order": orders, "cp_exchange": [0]}
    whole = search(job, part, known, fixed, top, prune=False)
    pruned = search(job, part, known, fixed, top, prune=True)
    assert ranking(pruned) == ranking(whole)
    assert pruned.valid == whole.valid
    assert whole.pruned == 0


def test_pruning_spares_most_of_the_work_and_threads_change_nothing(moe):
    job, part = moe
    known = calibration(part.accelerator)
    one, two = (search(job, part, known, {"cp": [1]}, prune=True, threads=n) for n in (1, 3))
    assert one.pruned > one.evaluated
    assert (ranking(one), one.evaluated, one.pruned) == (ranking(two), two.evaluated, two.pruned)


def test_an_interrupt_gives_the_best_so_far_and_says_what_was_not_seen(moe):
    job, part = moe
    calls = []

    def stop(done, total):
        calls.append((done, total))
        if len(calls) == 2:
            raise KeyboardInterrupt

    found = search(job, part, calibration(part.accelerator), progress=stop)
    done, total = calls[-1]
    assert 0 < done < total
    assert found.unseen == pytest.approx(1 - done / total)
    assert found.best.layout.accelerators == part.accelerators


def test_choices_that_make_no_difference_are_not_counted_twice(dense):
    job, part = dense
    known = calibration(part.accelerator)
    fixed = {"tp": [1], "pp": [1], "cp": [1]}
    doubled = {**fixed, "sp": [1, 0], "overlap_tp": [1, 0], "overlap_pp": [1, 0], "schedule": [0, 1]}
    assert search(job, part, known, doubled).valid == search(job, part, known, fixed).valid


def test_constraints_are_hard(dense):
    job, part = dense
    found = search(job, part, calibration(part.accelerator), {"tp": [2], "recompute": [2]})
    assert {(c.layout.tp, c.layout.recompute) for c in found.fastest} == {(2, 2)}
    assert set(CHOICES).isdisjoint(DEGREES)
