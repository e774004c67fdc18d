"""Fleets on an engine whose queue has a closed form: how many replicas, with spares down and up."""

import math

import numpy as np
import pytest

from armillary.serving import Targets, Workload
from armillary.serving.calibration import FrontEnd
from armillary.serving.deployment import Pool
from armillary.serving.lengths import Fixed, Mix
from armillary.serving.simulator import simulate
from armillary.serving.step_cost import Engine, StepCost
from armillary.serving.trials import highest_rate, trial, turns
from armillary.serving.verification import Fleet, checked, fewest, spares, verified
from armillary.serving.workload import drawn

FRONT = FrontEnd(0.0, 0.0, 0.0, 0.0)
SERVICE = 0.1
# One prompt at a time and one token of answer: a queue with one server and fixed service.
QUEUE = Engine(StepCost(np.full(2, SERVICE), np.full(101, SERVICE), 0.0, 0.0), 1e6, 1, 100)
LOAD = drawn(Workload(1.0, 1.0, Mix(Fixed(100), Fixed(1))), 0)
FRESH = drawn(Workload(1.0, 1.0, Mix(Fixed(100), Fixed(1))), 1)
BOTH = Fleet(QUEUE, None, FRONT, SERVICE)


def test_mean_waits_are_those_of_pollaczek_and_khinchine():
    """M/D/1 at utilisation r waits r / (2 (1 - r)) services."""
    for used in (0.3, 0.6, 0.8):
        found = simulate(LOAD.requests(used / SERVICE, 200_000), Pool(QUEUE))
        wait = float(found.ttft.mean()) - SERVICE
        assert wait == pytest.approx(SERVICE * used / (2 * (1 - used)), rel=0.05)


def test_the_highest_rate_is_the_edge_of_the_target():
    targets = Targets(ttft=0.25, percentile=90.0)

    def run(rate):
        return trial(Pool(QUEUE), LOAD, rate, 30_000, targets, FRONT)

    for guess in (0.5, 5.0, 50.0):
        rate, told = highest_rate(run, guess)
        assert told.holds
        assert told.ttft <= 0.25
        assert not run(1.04 * rate).holds
    assert highest_rate(lambda r: trial(Pool(QUEUE), LOAD, r, 6000, Targets(ttft=0.09), FRONT), 5.0) is None


def test_the_front_end_and_the_handover_are_in_the_first_token():
    front = FrontEnd(0.1, 1e-4, 2.0, 0.3)
    load = drawn(Workload(1.0, 1.0, Mix(Fixed(100), Fixed(3))), 1)
    writer = Engine(StepCost(np.full(101, 0.01), np.full(101, 0.01), 0.0, 0.0), 1e6, 100, 100)
    pools = Pool(writer), Fleet(writer, QUEUE, front, 1.0).pool(1, 1)
    one, apart = (trial(pool, load, 1e-3, 1000, Targets(), front) for pool in pools)
    assert one.ttft == pytest.approx(0.01 + 0.1 + 0.02 + 0.01)
    assert apart.ttft == pytest.approx(SERVICE + 0.1 + 0.02 + 0.01 + 0.3)
    assert one.e2e == pytest.approx(one.ttft + 0.02)
    assert apart.e2e == pytest.approx(apart.ttft + 0.02)


def test_goodput_counts_what_meets_all_at_once():
    targets = Targets(ttft=0.25, e2e=0.2, percentile=10.0)
    told = trial(Pool(QUEUE), LOAD, 6.0, 20_000, targets, FRONT)
    strict = trial(Pool(QUEUE), LOAD, 6.0, 20_000, targets._replace(goodput=told.good + 0.01), FRONT)
    lax = trial(Pool(QUEUE), LOAD, 6.0, 20_000, targets._replace(goodput=told.good - 0.01), FRONT)
    one = trial(Pool(QUEUE), LOAD, 6.0, 20_000, targets._replace(ttft=math.inf), FRONT)
    assert told.good == one.good < 1
    assert (strict.holds, lax.holds) == (False, True)


def test_a_queue_that_grows_holds_no_target_however_loose():
    """Without targets the highest rate is what the servers can do, not more."""
    for fleet, pool in ((1, Pool(QUEUE)), (8, Pool(QUEUE, 8))):
        rate, _ = highest_rate(lambda r, p=pool: trial(p, LOAD, r, 20_000, Targets(), FRONT), 2.0)
        assert 0.9 < rate * SERVICE / fleet < 1.03


@pytest.mark.parametrize("rate", [15.0, 40.0, 90.0])
def test_a_small_fleet_has_the_fewest_replicas_that_hold(rate):
    targets = Targets(ttft=0.3, percentile=95.0)
    one = highest_rate(lambda r: trial(Pool(QUEUE), LOAD, r, 30_000, targets, FRONT), 5.0)[0]
    found, each = fewest(BOTH, LOAD, rate, one, targets)
    count = turns(rate, SERVICE)
    assert trial(Pool(QUEUE, found), LOAD, rate, count, targets, FRONT).holds
    assert not trial(Pool(QUEUE, found - 1), LOAD, rate, count, targets, FRONT).holds
    assert math.ceil(rate * SERVICE) <= found <= math.ceil(rate / one)
    assert found * each >= rate


def test_a_large_fleet_pools_but_never_beats_its_servers():
    """What a router gives over queues of their own lies between one replica's rate and full use."""
    targets = Targets(ttft=0.3, percentile=95.0)
    one = highest_rate(lambda r: trial(Pool(QUEUE), LOAD, r, 30_000, targets, FRONT), 5.0)[0]
    found, each = fewest(BOTH, LOAD, 2000.0, one, targets)
    assert one < each < 1 / SERVICE
    assert found == math.ceil(2000.0 / each)


def test_spares_are_whole_and_on_top():
    assert [spares(n, 0.1) for n in (0, 1, 10, 11, 30)] == [0, 1, 1, 2, 3]
    assert spares(100, 0.0) == 0


@pytest.mark.parametrize("needed", [3, 10, 400])
def test_checks_see_spares_down_then_up(needed):
    targets = Targets(ttft=0.3)
    rate = 0.9 * needed / SERVICE
    down, up = checked(BOTH._replace(needed=needed), FRESH, rate, targets, 0.1, 0)
    assert down.down >= 1
    assert up.down == 0
    assert down.replicas == up.replicas
    assert down.rate / (down.replicas - down.down) == pytest.approx(rate / needed)
    assert down.whole == (needed <= 16)
    assert up.trial.e2e < down.trial.e2e
    # With the spares down, what is left does as if there were none.
    (bare,) = checked(BOTH._replace(needed=needed), FRESH, rate, targets, 0.0, 0)
    assert down.trial.ttft == pytest.approx(bare.trial.ttft, rel=0.1)


def test_pools_apart_are_checked_in_their_mix():
    both = Fleet(QUEUE._replace(max_sequences=1), QUEUE, FRONT, 0.2, (0.0, 0.0), 300, 5)
    load = drawn(Workload(1.0, 1.0, Mix(Fixed(100), Fixed(3))), 1)
    down, up = checked(both, load, 20.0, Targets(), 0.1, 0)
    assert (down.replicas - down.down) / (down.prefill_replicas - down.prefill_down) == 60
    assert (down.prefill_down, up.prefill_down) == (1, 0)
    assert down.rate == pytest.approx(20.0 / 5)


def test_a_fleet_that_misses_is_raised_until_it_holds():
    targets = Targets(ttft=0.3)
    settled, checks = verified(BOTH._replace(needed=5), FRESH, 60.0, targets, 0.2, 0)
    assert settled.needed > 6  # five serve at most 50 requests a second
    assert all(c.trial.holds for c in checks)
    before = checked(BOTH._replace(needed=settled.needed - 1), FRESH, 60.0, targets, 0.2, 0)
    assert not all(c.trial.holds for c in before)
    assert verified(BOTH, FRESH, 60.0, Targets(ttft=0.09), 0.1, 0) is None


def test_of_pools_apart_the_one_that_is_late_is_raised():
    load = drawn(Workload(1.0, 1.0, Mix(Fixed(100), Fixed(2))), 1)
    writer = Engine(StepCost(np.full(101, 0.01), np.full(101, 0.01), 0.0, 0.0), 1e6, 100, 100)
    fleet = Fleet(writer, QUEUE, FRONT, 0.2, (0.0, 0.0), 2, 2)
    settled, _ = verified(fleet, load, 40.0, Targets(ttft=0.5, tpot=0.1), 0.0, 0)
    assert settled.needed == 2
    assert settled.prefill_needed >= 4
