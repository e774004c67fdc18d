"""Ramps against closed forms, against a slow reading of the same rules, and what cannot be."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from armillary.errors import InputError
from armillary.portfolio.deployment import (
    Z90,
    RampSite,
    Step,
    in_order,
    overrun,
    rounds_below,
    usual_steps,
)
from armillary.portfolio.deployment_simulation import CHUNK, simulate_ramps
from armillary.portfolio.quarter_dates import DAY, quarters, seconds_after

NORMAL = NormalDist()
WHEN = quarters("2025Q4", 28)
MANY = 100_000


def block(name: str = "block", median: float = 0.0, p90: float = 0.0, **more) -> Step:
    return Step(name, median, p90, each_block=True, **more)


def one(*steps: Step, blocks: int = 1) -> RampSite:
    return RampSite("site", blocks, 100, steps)


def below(found, when: float) -> float:
    return float((found.ready.max(1) <= when).mean())


def chance(step: Step, when: float) -> float:
    """Of a lognormal."""
    return NORMAL.cdf(np.log(when / step.median) / step.spread)


def test_one_step_is_lognormal():
    step = block(median=100 * DAY, p90=200 * DAY)
    found = simulate_ramps([one(step)], WHEN, MANY)
    assert below(found, 100 * DAY) == pytest.approx(0.5, abs=0.006)
    assert below(found, 200 * DAY) == pytest.approx(0.9, abs=0.004)
    for when in (50 * DAY, 150 * DAY, 400 * DAY):
        assert below(found, when) == pytest.approx(chance(step, when), abs=0.006)


def test_many_small_steps_add_up_to_a_normal():
    """With a spread of 2% a lognormal is nearly normal; sums of normals are known."""
    medians = [10.0, 20.0, 30.0, 40.0]
    spread = 0.02
    steps, after = [], ()
    for i, median in enumerate(medians):
        steps.append(block(f"s{i}", median * DAY, median * DAY * float(np.exp(spread * Z90)), after=after))
        after = (f"s{i}",)
    found = simulate_ramps([one(*steps)], WHEN, MANY).ready.ravel() / DAY
    mean = sum(m * np.exp(spread**2 / 2) for m in medians)
    deviation = np.sqrt(sum((m * spread) ** 2 for m in medians))
    assert found.mean() == pytest.approx(mean, abs=4 * deviation / np.sqrt(MANY))
    assert found.std() == pytest.approx(deviation, rel=0.01)
    for share in (0.05, 0.5, 0.95):
        exact = NormalDist(mean, deviation).inv_cdf(share)
        assert np.quantile(found, share) == pytest.approx(exact, abs=0.03 * deviation)


SLOW, FAST = Step("slow", 100 * DAY, 180 * DAY), Step("fast", 80 * DAY, 240 * DAY)


@pytest.mark.parametrize("when", [70 * DAY, 120 * DAY, 250 * DAY])
def test_of_two_independent_steps_the_later_counts(when):
    found = simulate_ramps([one(SLOW, FAST, block(after=("slow", "fast")))], WHEN, MANY)
    assert below(found, when) == pytest.approx(chance(SLOW, when) * chance(FAST, when), abs=0.006)


@pytest.mark.parametrize("when", [70 * DAY, 120 * DAY, 250 * DAY])
def test_steps_with_all_in_common_are_late_together(when):
    both = [step._replace(causes=(("weather", 1.0),)) for step in (SLOW, FAST)]
    found = simulate_ramps([one(*both, block(after=("slow", "fast")))], WHEN, MANY)
    assert below(found, when) == pytest.approx(min(chance(SLOW, when), chance(FAST, when)), abs=0.006)


def test_sites_share_causes_by_the_products_of_their_shares():
    causes = {
        "a": (("supply", 0.8), ("weather", 0.6)),
        "b": (("supply", 0.5),),
        "c": (("weather", 0.5), ("supply", -0.5)),
        "d": (),
    }
    sites = [
        RampSite(name, 1, 1, (block(median=100 * DAY, p90=200 * DAY, causes=some),))
        for name, some in causes.items()
    ]
    found = simulate_ramps(sites, WHEN, MANY)
    logs = np.log(found.ready)
    exact = np.array([[1, 0.4, -0.1, 0], [0.4, 1, -0.25, 0], [-0.1, -0.25, 1, 0], [0, 0, 0, 1]])
    assert np.corrcoef(logs.T) == pytest.approx(exact, abs=0.015)
    assert logs.std(0) == pytest.approx([np.log(2) / Z90] * 4, rel=0.01)


def test_a_site_is_as_late_as_surveys_say_whatever_it_waits_for():
    """Building and power are late by one factor, so that the later of both has the surveys' mean."""
    certain = dict.fromkeys(("delivery", "installation", "network", "burn_in"), 0.0)
    certain |= {f"{name}_p90": 0.0 for name in certain} | {"burn_in_failure": 0.0}
    sites = [
        RampSite(name, 1, 1, usual_steps(name, 300 * DAY, power, 1, **certain))
        for name, power in (("a", 300 * DAY), ("b", 200 * DAY))
    ]
    ready = simulate_ramps(sites, WHEN, MANY).ready / DAY
    assert ready.mean(0) == pytest.approx([1.34 * 300] * 2, rel=0.005)
    assert (ready > 300).mean(0) == pytest.approx([0.9] * 2, abs=0.005)
    assert np.corrcoef(np.log(ready.T))[0, 1] == pytest.approx(0.25, abs=0.015)


def test_how_often_a_step_is_critical():
    """Of two independent lognormals, the chance that one is the later is a normal's of the logarithms."""
    found = simulate_ramps([one(SLOW, FAST, block(after=("slow", "fast")))], WHEN, MANY)
    shares = {one.step: one.share for one in found.critical}
    expected = NORMAL.cdf(
        np.log(SLOW.median / FAST.median) / np.hypot(SLOW.spread, FAST.spread),
    )
    assert shares["slow"] == pytest.approx(expected, abs=0.006)
    assert shares["slow"] + shares["fast"] == pytest.approx(1)
    assert shares["block"] == 1


def test_rounds_of_burn_in_until_all_have_passed():
    step = block(median=DAY, p90=DAY, failure=0.2, units=64)
    rounds = simulate_ramps([one(step)], WHEN, MANY).ready.ravel() / DAY
    for k in range(1, 7):
        exact = float(rounds_below(k, 0.2, 64))
        assert (rounds <= k).mean() == pytest.approx(exact, abs=0.006)
    assert rounds.min() >= 1
    assert rounds_below(1, 0.2, 1) == pytest.approx(0.8)


def test_a_fan_and_the_chance_of_a_date():
    sites = [
        RampSite(name, 8, 4608, usual_steps(name, planned * 30 * DAY, planned * 30 * DAY, racks=64))
        for name, planned in (("a", 4), ("b", 8))
    ]
    found = simulate_ramps(sites, WHEN, 20_000, seed=3)
    fan = found.fan()
    assert (np.diff(fan, axis=0) >= 0).all()
    assert (np.diff(fan, axis=1) >= 0).all()
    assert fan[-1, -1] == 2 * 8 * 4608
    assert (found.fan(one_network=True) <= fan).all()
    assert found.on_one_network.max() == 8 * 4608
    assert (found.throughout()[:, 1:] == found.usable[:, :-1]).all()
    assert (found.throughout(one_network=True) <= found.on_one_network).all()
    assert (found.usable % 4608 == 0).all()
    end = seconds_after("2025-10", "2027")
    quarter = WHEN.labels.index("2026Q4")
    assert WHEN.ends[quarter] == end
    assert found.chance_by(end).share == (found.usable[:, quarter] == 2 * 8 * 4608).mean()
    assert found.chance_by(end, 1).share >= found.chance_by(end).share
    assert 0 < found.chance_by(end).error < 0.005
    with pytest.raises(InputError, match="the quarters end at"):
        found.chance_by(1e12, 1)


def test_a_few_futures_stand_for_many_ramps():
    sites = [
        RampSite(name, 8, 4608, usual_steps(name, months * 30 * DAY, months * 30 * DAY, racks=64))
        for name, months in (("a", 4), ("b", 8))
    ]
    found = simulate_ramps(sites, WHEN, 20_000, seed=5)
    few = found.futures(20)
    assert few.shape == (2, 28, 20)
    means, mean = few.sum(0).mean(1), found.throughout().mean(0)
    assert np.abs(means - mean).max() < 0.06 * mean.max()
    whole = found.futures(20_000)
    assert whole[:, 1:].mean(2) == pytest.approx((found.up * 4608).mean(0)[:, :-1])
    assert (whole[:, 0] == 0).all()
    full = (few == few[:, -1:, :]).all(0).argmax(0)
    assert (np.diff(full) >= 0).all()  # the futures stand in the order of their ramps
    with pytest.raises(InputError, match="count is 0; expected 1 to 20,000"):
        found.futures(0)


def test_a_seed_is_a_ramp():
    site = one(SLOW, block(after=("slow",), median=DAY, p90=2 * DAY, in_turn=True), blocks=4)
    first, again, other = (simulate_ramps([site], WHEN, CHUNK + 5, seed=s) for s in (1, 1, 2))
    assert first.ready.tobytes() == again.ready.tobytes()
    assert first.critical == again.critical
    assert first.ready.shape == (CHUNK + 5, 1)
    assert not np.array_equal(first.ready, other.ready)


# ---- the same rules, read slowly


def slowly(site: RampSite) -> tuple[list[float], set[str]]:
    """When each block of a certain site is up, and the steps that its last block waited for."""
    ends: dict[tuple[str, int], float] = {}
    because: dict[tuple[str, int], tuple[str, int] | None] = {}
    for step in in_order(site):
        for b in range(site.blocks if step.each_block else 1):
            begin, why = step.start, None
            for name in step.after:
                for other in sorted(key for key in ends if key[0] == name):
                    mine = other[1] == b or not step.each_block or (name, 1) not in ends
                    if mine and (ends[other] > begin or (ends[other] == begin and why is None)):
                        begin, why = ends[other], other
            if step.in_turn and b and ends[step.name, b - 1] > begin:
                begin, why = ends[step.name, b - 1], (step.name, b - 1)
            ends[step.name, b], because[step.name, b] = begin + step.median, why
    last = in_order(site)[-1].name
    at = max(((last, b) for b in range(site.blocks)), key=lambda key: (ends[key], -key[1]))
    path = set()
    while at:
        path.add(at[0])
        at = because[at]
    return [ends[last, b] for b in range(site.blocks)], path


@st.composite
def certain_sites(draw):
    count = draw(st.integers(1, 6))
    steps: list[Step] = []
    for i in range(count):
        last = i == count - 1
        each = last or draw(st.booleans())
        before = [s.name for s in steps]
        after = (
            tuple(s for s in before if not any(s in other.after for other in steps))
            if last
            else tuple(draw(st.sets(st.sampled_from(before), max_size=3)) if before else ())
        )
        time = float(draw(st.integers(0, 50)))
        steps.append(
            Step(
                f"s{i}",
                time,
                time,
                tuple(sorted(after)),
                float(draw(st.integers(0, 60))),
                each,
                each and draw(st.booleans()),
            )
        )
    return RampSite("site", draw(st.integers(2, 5)), 1, tuple(steps))


@settings(max_examples=200, deadline=None)
@given(certain_sites())
def test_certain_sites_are_as_a_slow_reading_has_them(site):
    expected, path = slowly(site)
    found = simulate_ramps([site], WHEN, 2)
    assert found.ready.ravel().tolist() == [max(expected)] * 2
    first = quarters("2025Q4", 1)._replace(ends=np.array([sorted(expected)[len(expected) // 2]]))
    counted = simulate_ramps([site], first, 1).up.ravel()[0]
    assert counted == sum(end <= first.ends[0] for end in expected)
    assert {one.step for one in found.critical} == path


def test_what_surveys_say_of_lateness_is_one_lognormal():
    median, p90 = overrun(late=0.9, mean=1.34)
    spread = np.log(p90 / median) / Z90
    assert 1 - NORMAL.cdf(-np.log(median) / spread) == pytest.approx(0.9)
    assert median * np.exp(spread**2 / 2) == pytest.approx(1.34)


def test_the_grids_wait_has_the_mean_that_its_source_gives():
    from armillary.portfolio.ranged_facts import KINDS, ranged_facts

    rows = ranged_facts("deployment_facts")
    spread = np.log(rows["grid_p90"].value / rows["grid"].value) / Z90
    months = rows["grid"].value * np.exp(spread**2 / 2) / (365.25 / 12 * DAY)
    assert months == pytest.approx(48, rel=0.01)
    for name, row in rows.items():
        assert row.kind in KINDS, name
        assert row.source, name
        assert row.low <= row.value <= row.high, name


@pytest.mark.parametrize(
    ("site", "said"),
    [
        (one(Step("a", 1.0, 1.0)), "expected one last step, of each block; nothing waits for a"),
        (one(block("a"), block("b")), "nothing waits for a, b"),
        (one(block("a", after=("b",)), block("b", after=("a",))), "in a circle: a, b"),
        (one(Step("power", 1, 1), block(after=("powr",))), "waits for 'powr', .* did you mean 'power'"),
        (one(block("a", 2.0, 1.0)), "median is 2.0 and p90 1.0"),
        (one(block("a", 0.0, 1.0)), "or both 0"),
        (one(block("a", start=-1.0)), "start is -1.0"),
        (one(block("a", causes=(("x", 0.8), ("y", 0.8)))), "squares of shares of 1 in sum or less"),
        (one(block("a", causes=(("x", 0.1), ("x", 0.1)))), "expected each once"),
        (one(block("a", failure=1.0)), "failure is 1.0"),
        (one(Step("a", 1, 1, in_turn=True), block(after=("a",))), "in_turn is for steps of each block"),
        (one(block("a"), block("a")), "two steps of one name"),
        (one(block("a"), blocks=0), "0 blocks of 100"),
    ],
)
def test_what_cannot_be_is_refused(site, said):
    with pytest.raises(InputError, match=said):
        simulate_ramps([site], WHEN, 1)


def test_bad_questions():
    with pytest.raises(InputError, match="expected 1 or more of each"):
        simulate_ramps([], WHEN, 1)
    with pytest.raises(InputError, match="two sites have one name; there are site, site"):
        simulate_ramps([one(block()), one(block())], WHEN, 1)
    with pytest.raises(InputError, match="at least half of all late"):
        overrun(0.4, 1.2)
    with pytest.raises(InputError, match="unknown input 'burnin'; did you mean 'burn_in'"):
        usual_steps("a", DAY, DAY, 64, burnin=1.0)
