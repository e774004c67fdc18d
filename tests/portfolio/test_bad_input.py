"""Bad input and questions without an answer: where, what was wrong, what would be right."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from markets import small
from test_closed_forms import UNIT, on_demand, one_stream, reserved

from armillary.errors import InfeasibleError, InputError
from armillary.portfolio import Contract, Futures, Option, Programme, Site, Sku, Tier, fan, solve


def base(**fields) -> Programme:
    return one_stream(np.full((4, 1), 10.0), [on_demand(1.0)], quarters=4)._replace(**fields)


def deal(**fields) -> tuple[Contract]:
    return (Contract("deal", "A", (Tier(1.0, 2.0, 0.1),), years=1)._replace(**fields),)


OPTION = Option("more", "here", "box", 1.0, 5.0, decided=1, start=2, term=1)
HERE = Site("here", "A")
CASES = {
    "offer 'on-demand here': prices must be finite and at least 0 USD. The least is": {
        "offers": (on_demand(-1.0),)
    },
    "offer 'reserved 0 here': a reserved offer needs a term of at least 1 quarter. Got 0": {
        "offers": (reserved(1.0, 0),)
    },
    "offer 'on-demand here': unknown SKU 'bix'; did you mean 'box'?": {
        "offers": (on_demand(1.0)._replace(sku="bix"),)
    },
    "offer 'on-demand hre': unknown site 'hre'; did you mean 'here'?": {"offers": (on_demand(1.0, "hre"),)},
    "offer 'on-demand here': unknown kind 'ondemand'": {
        "offers": (on_demand(1.0)._replace(kind="ondemand"),)
    },
    "offers: the name 'on-demand here' is given 2 times": {"offers": (on_demand(1.0), on_demand(2.0))},
    "contract 'deal': the term must be at least 1 year; it ends before it starts. Got -1": {
        "contracts": deal(years=-1)
    },
    "contract 'deal': tiers from 1 to 5 and from 4 to 9 USD overlap": {
        "contracts": deal(tiers=(Tier(4.0, 9.0, 0.2), Tier(1.0, 5.0, 0.1)))
    },
    "contract 'deal': tier 0 must go from 0 or more USD upwards. Got 5 to 2": {
        "contracts": deal(tiers=(Tier(5.0, 2.0, 0.1),))
    },
    "contract 'deal': unknown provider 'B'": {"contracts": deal(provider="B")},
    "contract 'deal': the ramp must have one share for each of 1 years": {"contracts": deal(ramp=(0.5, 0.5))},
    "option 'more': must be decided at or before its start, both within the 4 quarters from": {
        "options": (OPTION._replace(decided=3),)
    },
    "option 'more': the term must be at least 1 quarter; it ends before it starts. Got 0": {
        "options": (OPTION._replace(term=0),)
    },
    "option 'more': strike must be finite and at least 0. Got -1": {
        "options": (OPTION._replace(strike=-1.0),)
    },
    "site 'here': power must be at least 0 W": {"sites": (HERE._replace(power=-5.0),)},
    "sku 'box': performance of an unknown stream 'wrk'; did you mean 'work'?": {
        "skus": (Sku("box", {"wrk": 1.0}),)
    },
    "demand 'work': nothing can serve it: no SKU that is offered has a performance on it": {
        "skus": (Sku("box", {}),)
    },
    "futures: probabilities must be at least 0 and sum to 1": {
        "futures": Futures(np.array([0.5]), np.zeros((4, 1), int))
    },
    "share: the most of one provider must be above 0": {"share": 0.0},
    "budget: must have one amount of at least 0 USD for each quarter": {"budget": np.ones(3)},
}


@pytest.mark.parametrize("message", CASES)
def test_bad_input_is_named_with_its_cure(message):
    with pytest.raises(InputError) as found:
        solve(base(**CASES[message]))
    assert message in str(found.value)


def test_all_problems_come_at_once():
    with pytest.raises(InputError) as found:
        solve(base(offers=(on_demand(-1.0), reserved(1.0, 0)), share=0.0))
    assert len(str(found.value).splitlines()) == 3


def test_futures_that_are_one_must_have_one_demand():
    programme = one_stream([[1.0, 2.0]], [on_demand(1.0)], fan(2, 1, parted=1), 1)
    with pytest.raises(InputError, match="differ between futures that are one until then"):
        solve(programme)


def test_spot_alone_cannot_serve_what_may_not_be_interrupted():
    programme = one_stream([5.0], [on_demand(1.0)._replace(kind="spot")])
    firm = programme.demands[0]._replace(interruptible=False)
    with pytest.raises(InputError, match="only spot could"):
        solve(programme._replace(demands=(firm,)))


def test_floors_beyond_power_say_which_constraints_conflict():
    sites = (Site("here", "A", power=300.0), Site("there", "B", power=1e9), Site("far", "B", power=100.0))
    programme = one_stream([100.0], [on_demand(1.0), on_demand(2.0, "far")], sites=sites)
    heavy = programme._replace(skus=(Sku("box", {"work": 1.0}, power=5.0),))
    floor = heavy.demands[0]._replace(floor=0.9)
    with pytest.raises(InfeasibleError) as found:
        solve(heavy._replace(demands=(floor,)))
    # Either site alone is not enough to blame: with more power at one of them there would be a plan.
    lines = str(found.value).splitlines()[1:]
    assert [line.strip() for line in lines] == [
        "the power of here",
        "the power of far",
        "at least 90% of work served in every future",
    ]


def test_a_signed_commitment_beyond_the_budget_conflicts_with_it():
    contracts = deal(tiers=(Tier(100.0, 100.0, 0.0),), signed=True)
    with pytest.raises(InfeasibleError) as found:
        solve(base(contracts=contracts, budget=np.full(4, 12.0)))
    assert "the budget of each quarter" in str(found.value)
    assert "the contract deal, as signed" in str(found.value)
    assert "power" not in str(found.value)


def test_at_a_time_limit_the_best_plan_and_its_gap_are_given():
    plan = solve(small(0), gap=0.0, seconds=0.05)
    assert plan.status == "time limit"
    assert plan.gap >= 0
    best = solve(small(0), gap=1e-8)
    assert plan.bound <= best.objective * (1 + 1e-9)
    assert plan.objective >= best.objective * (1 - 1e-9)
    assert plan.costs.total == pytest.approx(plan.expected)


def test_solving_prints_nothing():
    code = "import sys; sys.path.insert(0, 'tests/portfolio'); from markets import small; "
    code += "from armillary.portfolio import solve; solve(small(0), gap=0.01)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == ""


def test_the_room_is_imported_without_the_solver():
    code = "import sys, armillary.portfolio; print('highspy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_prices_in_the_quarter_of_no_offer_do_not_matter():
    late = on_demand(1.0, capacity=np.array([0.0, 10.0, 10.0, 10.0]))
    plan = solve(base(offers=(late,)), gap=1e-9)
    assert plan.unmet[0, :, 0] == pytest.approx([10, 0, 0, 0])
    assert plan.expected == pytest.approx(1000 * 10 * UNIT / UNIT + 30)
