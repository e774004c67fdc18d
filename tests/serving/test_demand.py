from __future__ import annotations

import numpy as np
import pytest

from armillary.errors import InputError
from armillary.serving.demand import (
    DAY,
    YEAR,
    Demand,
    arrivals,
    messages,
    messages_of_users,
    rate,
    requests,
    token_rates,
)
from armillary.serving.diurnal import DayShape, day_shape, day_shapes, later, named_shape
from armillary.serving.lengths import Fixed, Lognormal, Mix

LENGTHS = Mix(Lognormal(700, 0.9, 8000), Lognormal(150, 0.8, 2000), cached=0.3)


def all_of(pieces):
    return np.concatenate(list(pieces))


@pytest.mark.parametrize("shape", day_shapes().values(), ids=lambda s: s.name)
def test_a_day_holds_its_messages(shape):
    demand = Demand(1e6, LENGTHS, shape)
    assert messages(demand) == pytest.approx(1e6, rel=1e-9)
    assert messages(demand, start=-3.3 * DAY, duration=2 * DAY) == pytest.approx(2e6, rel=1e-9)
    time = (np.arange(86400) + 0.5) * DAY / 86400
    assert rate(demand, time).mean() * DAY == pytest.approx(1e6, rel=1e-6)


@pytest.mark.parametrize(
    ("name", "mean", "trough"),
    [("language-large", 1.143, 1.45), ("language-small", 1.456, 2.21), ("reasoning", 2.194, 4.91)],
)
def test_shapes_are_those_of_servegen(name, mean, trough):
    shape = named_shape(f"servegen-{name}")
    assert shape.peak_over_mean == pytest.approx(mean, abs=1e-3)
    assert shape.peak_over_trough == pytest.approx(trough, abs=1e-2)
    assert "Apache-2.0" in shape.source


def test_shapes_move_and_wrap():
    shape = named_shape("servegen-reasoning")
    assert later(shape, 5).at(7.25 * 3600) == pytest.approx(shape.at(2.25 * 3600))
    assert shape.at(0.0) == pytest.approx(shape.at(DAY * 17))
    assert later(shape, 0).relative == shape.relative


@pytest.mark.parametrize("burstiness", [0, 0.5, 1, 3])
def test_same_seed_same_arrivals_whatever_the_chunk(burstiness):
    demand = Demand(40_000, LENGTHS, named_shape("servegen-reasoning"), burstiness)
    once = all_of(arrivals(demand, seed=5))
    assert np.array_equal(once, all_of(arrivals(demand, seed=5, chunk=777)))
    assert not np.array_equal(once, all_of(arrivals(demand, seed=6)))
    assert (np.diff(once) >= 0).all()
    assert once[0] >= 0
    assert once[-1] <= DAY


@pytest.mark.parametrize("burstiness", [0, 1, 2.5])
def test_counts_and_gaps_are_what_was_asked_for(burstiness):
    demand = Demand(2e5, LENGTHS, burstiness=burstiness)
    found = all_of(arrivals(demand, seed=1))
    assert abs(len(found) - 2e5) <= 4 * burstiness * np.sqrt(2e5) + 1
    gaps = np.diff(found)
    assert gaps.std() / gaps.mean() == pytest.approx(burstiness, rel=0.02, abs=1e-6)


def test_bursts_do_not_bend_the_expected_count():
    demand = Demand(30, LENGTHS, burstiness=3)
    counts = [sum(map(len, arrivals(demand, seed=i))) for i in range(4000)]
    assert np.mean(counts) == pytest.approx(30, abs=4 * np.std(counts) / np.sqrt(4000))


def test_arrivals_follow_the_shape():
    demand = Demand(1e6, LENGTHS, named_shape("servegen-reasoning"))
    edges = np.arange(0, 48) * 3600.0 + 1800
    found, _ = np.histogram(all_of(arrivals(demand, seed=2, start=0, duration=2 * DAY)), edges)
    expected = np.array([messages(demand, e, 3600.0) for e in edges[:-1]])
    assert (np.abs(found - expected) < 5 * np.sqrt(expected)).all()


def test_a_night_without_demand_has_no_arrivals():
    found = all_of(arrivals(Demand(5e4, LENGTHS, day_shape("office", [0, 0, 1, 1])), seed=3))
    assert not ((found > 3 * 3600) & (found < 9 * 3600)).any()
    assert ((found < 3 * 3600) | (found > 9 * 3600)).sum() == len(found) > 49_000
    assert not list(arrivals(Demand(0, LENGTHS), seed=1))


def test_growth():
    demand = Demand(1e6, LENGTHS, growth=0.8)
    assert rate(demand, YEAR) / rate(demand, 0) == pytest.approx(1.8)
    assert messages(demand, YEAR, DAY) == pytest.approx(1.8e6 * (1 + np.log(1.8) * DAY / YEAR / 2), rel=1e-5)


def test_requests_have_the_lengths_of_the_mix():
    demand = Demand(3e5, LENGTHS)
    pieces = list(requests(demand, seed=9))
    found = [np.concatenate(column) for column in zip(*pieces, strict=True)]
    assert np.array_equal(found[0], all_of(arrivals(demand, seed=9)))
    for drawn, mean in zip(found[1:], LENGTHS.mean, strict=True):
        assert drawn.mean() == pytest.approx(mean, rel=0.01)
    again = [np.concatenate(column) for column in zip(*requests(demand, seed=9), strict=True)]
    assert all(np.array_equal(a, b) for a, b in zip(found, again, strict=True))


def test_rates_of_tokens():
    demand = Demand(DAY * 10, Mix(Fixed(100), Fixed(20), cached=0.5))
    assert token_rates(demand, 5) == pytest.approx((1000, 200, 500))
    assert messages_of_users(7, 14, 7 * DAY) == pytest.approx(14)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Demand(-1, LENGTHS), "messages_per_day of Demand is -1; expected a number, 0 or more"),
        (
            lambda: Demand(1, LENGTHS, burstiness=float("nan")),
            "burstiness of Demand is nan; expected a number",
        ),
        (lambda: Demand(1, LENGTHS, growth=-1), "growth of Demand is -1; expected a part a year above -1"),
        (
            lambda: messages(Demand(1, LENGTHS), duration=0),
            "start is 0.0 s and duration 0 s; expected finite ones",
        ),
        (lambda: arrivals(Demand(1, LENGTHS), seed=-4), "seed is -4; expected a whole number, 0 or more"),
        (lambda: arrivals(Demand(1, LENGTHS), seed=4, chunk=0), "chunk is 0; expected 1 or more requests"),
        (lambda: messages_of_users(-1, 1), "-1 users with 1 messages in 86400.0 s; expected none below 0"),
        (
            lambda: named_shape("servegen-resoning"),
            "unknown day shape 'servegen-resoning'; did you mean 'servegen-r",
        ),
        (lambda: day_shape("x", [0, 0]), "values of day shape 'x' must be a list of rates, none below 0"),
        (
            lambda: DayShape("x", (1.0, 2.0)),
            "day shape 'x' must be one or more values, none below 0, of mean 1",
        ),
    ],
)
def test_errors(make, message):
    with pytest.raises(InputError) as error:
        make()
    assert str(error.value).startswith(message)
