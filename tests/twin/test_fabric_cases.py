"""Fabrics to try a plan on: what each question varies, what it costs, what cannot be asked."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from armillary import catalog
from armillary.errors import InfeasibleError, InputError
from armillary.model import transformer
from armillary.training import Job, Layout, calibration, recipe
from armillary.twin import (
    QUESTIONS,
    LongHaul,
    Plan,
    Price,
    Shape,
    case_cost,
    fabric_cases,
    machine_of,
    try_fabrics,
    worth,
)

KNOWN = catalog.load()
HAUL = LongHaul(0.2e12, 10e-3)
LAYOUT = Layout(tp=4, pp=2, dp=16, zero=1, shard=16)


def plan(layout=LAYOUT, batch=64):
    system = KNOWN.system("p5en")
    chip = KNOWN.accelerator(system.accelerator)
    job = Job(transformer(KNOWN.model("llama-3.1-8b")), 4096, batch, recipe("bf16"))
    return Plan(job, machine_of(system, chip, int(layout.accelerators), 8, 1.0), layout, calibration(chip))


def cases(*questions, shape=Shape(), of=None):  # noqa: B008
    return fabric_cases(of or plan(), shape, questions, HAUL)


def test_every_question_starts_with_the_plan_as_it_is():
    found = cases(*QUESTIONS)
    assert len({c.question for c in found}) == len(QUESTIONS)
    for case in found:
        assert case.fabric.endpoints >= 128
        assert case_cost(case) >= 0


def test_a_thinner_spine_costs_less_and_is_never_faster():
    outcomes = try_fabrics(cases("oversubscription", shape=Shape(leaf=8)), case_cost)
    costs, steps = [o.network for o in outcomes], [o.step for o in outcomes]
    assert costs == sorted(costs, reverse=True)
    assert all(b >= a * (1 - 1e-9) for a, b in pairwise(steps))
    value = worth(outcomes[0], outcomes[-1], 128, Price(1e-3, "given"), 1e8)
    assert value.cost < 0
    assert value.buys == pytest.approx(128 * 1e-3 * 1e8 * (steps[0] / steps[-1] - 1))
    assert worth(outcomes[0], outcomes[-1], 128, None, 1e8).buys is None


def test_failures_keep_their_price_and_what_cuts_off_is_named():
    found = cases("failure")
    assert len({case_cost(c) for c in found}) == 1
    assert [c.label for c in found][:2] == ["none", "one spine down"]
    few = cases("failure", shape=Shape(leaf=4, rails="none", oversubscription=8.0))
    assert few[0].note == "" or few[0].note.startswith("cut off by")
    one = cases("failure", shape=Shape(leaf=8, rails="only", oversubscription=16.0))
    assert "cut off by one spine down" in one[0].note
    assert "one spine down" not in [c.label for c in one]


def test_infrequent_synchronisation_needs_halves():
    labels = [c.label for c in cases("long-haul")]
    assert labels == ["one cluster", "two, every step", "two, every 100", "two, every 500"]
    odd = plan(Layout(tp=8, dp=15, zero=1, shard=15), batch=60)
    found = cases("long-haul", of=odd)
    assert [c.label for c in found] == ["one cluster", "two, every step"]
    assert "15 data-parallel ranks do not divide by 2" in found[1].note


def test_scattered_ranks_are_the_same_domains_elsewhere():
    packed, scattered = cases("placement")[:2]
    size = 8
    assert not np.array_equal(packed.place, scattered.place)
    assert len(np.unique(scattered.place)) == 128
    np.testing.assert_array_equal(packed.place % size, scattered.place % size)


def test_what_cannot_be_asked():
    with pytest.raises(InputError, match="did you mean 'routing'"):
        cases("routin")
    system = KNOWN.system("p5en")
    chip = KNOWN.accelerator(system.accelerator)
    alone = plan()._replace(machine=machine_of(system, chip, 8, 8, 1.0), layout=Layout())
    with pytest.raises(InfeasibleError, match="one accelerator"):
        cases("routing", of=alone)
