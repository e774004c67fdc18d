"""Two layouts side by side: parts sum to both steps, the verdict names the faster and why."""

import pytest

from armillary.machine import build
from armillary.twin import Price, Side, compare, plan_training


@pytest.fixture(scope="module")
def sides(shipped, make_job):
    system = shipped.system("p5")
    machine = build(system, shipped.accelerator(system.accelerator), 64)
    job = make_job("llama-3.1-8b", 256)

    def side(fixed):
        plan = plan_training(job, machine, 64, 1e12, Price(1e-3, "given"), fixed, top=1)
        return Side(str(fixed), plan, plan.best)

    return side({}), side({"tp": [8], "pp": [4]})


def test_the_parts_sum_to_both_steps_and_the_largest_comes_first(sides):
    found = compare(*sides)
    assert sum(p.first for p in found.parts) == pytest.approx(sides[0].step)
    assert sum(p.change for p in found.parts) == pytest.approx(sides[1].step - sides[0].step)
    changes = [abs(p.change) for p in found.parts]
    assert changes == sorted(changes, reverse=True)


def test_the_verdict_is_the_same_either_way_round(sides):
    there, back = compare(*sides), compare(*sides[::-1])
    assert there.verdict.startswith("A is ")
    assert back.verdict == there.verdict.replace("A is", "B is", 1)
    assert there.parts[0].name in there.verdict
    assert "same layout" in compare(sides[0], sides[0]).verdict


def test_money_is_that_of_the_layout_shown(sides):
    for side in sides:
        assert side.cost == pytest.approx(side.plan.cost)
        assert side.duration == pytest.approx(side.plan.duration)


def test_fields_that_differ_come_first(sides):
    differs = [a != b for _, a, b in compare(*sides).fields]
    assert differs == sorted(differs, reverse=True)
    assert any(differs)
