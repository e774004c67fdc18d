"""Cuts of years say what takes cost in every future by itself, which cuts of quarters do not."""

from __future__ import annotations

from time import perf_counter

import numpy as np
import pytest
from portfolio_market import market
from test_cuts import Market

from armillary.portfolio import highs, in_out
from armillary.portfolio.committing import years
from armillary.portfolio.cuts import MEANS, Cuts
from armillary.portfolio.in_out import InOut
from armillary.portfolio.tier_parts import Bounds, priced

HELD = (
    "bought",
    "cluster",
    "opened",
    "rights",
    "home",
    "exercised",
    "signed",
    "committed",
    "free",
    "power of",
)
"""Blocks of columns that are the first stage and are the same over any states."""


class Signed(Market):
    """A market in which each contract is signed at its first tier, and cuts are priced at what that saves."""

    def __init__(self, seed):
        super().__init__(market(2, 2, 4, 8, 6, "volume", seed=seed, spread=0.4))
        self.signed = (self.means.committed.tier == 0).astype(float)
        part = Bounds(self.signed, self.signed, np.zeros(0))
        prices = priced(self.programme, self.means, self.arrays.factor, self.relaxed.duals, part, every=True)
        label = np.tile(np.arange(6), (8, 1))
        self.cuts = Cuts(self.programme, self.arrays, self.means, prices, label)

    def bounds(self, point=None):
        """The matrix over means with the first tiers signed, and with what another point commits to."""
        m, committed = self.means.matrix, self.means.committed
        lower, upper = m.lower.copy(), m.upper.copy()
        lower[committed.signed] = upper[committed.signed] = self.signed
        if point is not None:
            lower[committed.total] = upper[committed.total] = point[committed.total]
        return m._replace(lower=lower, upper=upper)

    def whole_stage(self, part):
        """A first stage that commits to a part of what is spent in the mean of the leanest year."""
        m, committed = self.bounds(), self.means.committed
        point = highs.solve(m, gap=1e-4).x
        for i, (c, signed) in enumerate(zip(committed.contract, self.signed, strict=True)):
            contract = self.programme.contracts[c]
            quarter, column = committed.spend[i]
            kept = point[column] * (1 - contract.tiers[0].discount)
            lean = min(
                kept[(quarter >= first) & (quarter < end)].sum() / (contract.minimum_take * share)
                for first, end, share in years(contract, 8)
            )
            point[committed.total[i]] = signed * part * lean
        m.lower[committed.total] = m.upper[committed.total] = point[committed.total]
        # How much is committed is the test's: no tier is too small or too large for it.
        rows = [m.row_blocks["least committed"], m.row_blocks["most committed"]]
        for one in rows:
            m.row_lower[one], m.row_upper[one] = -np.inf, np.inf
        return highs.solve(m, gap=1e-4).x

    def cost(self, point):
        """What futures cost with a first stage, by the solver, without rows that no cut counts."""
        m = self.whole.matrix
        lower, upper = m.lower.copy(), m.upper.copy()
        low, high = m.row_lower.copy(), m.row_upper.copy()
        for name, block in m.row_blocks.items():
            if name.startswith((*MEANS, "least committed", "most committed", "paid if signed")):
                low[block], high[block] = -np.inf, np.inf
        m = m._replace(row_lower=low, row_upper=high)
        for name, block in m.blocks.items():
            if name.startswith(HELD):
                lower[block] = upper[block] = point[self.means.matrix.blocks[name]]
        return highs.solve(m._replace(lower=lower, upper=upper), relaxed=True).value

    def first(self, point=None):
        """The programme over the first stage, at prices that are right for it."""
        first = InOut(self.cuts, self.bounds(point))
        first.worth = -self.cuts.priced[self.cuts.listed]
        return first


@pytest.fixture(scope="module", params=[0, 1])
def here(request):
    return Signed(request.param)


def claimed(first, stage, wholes):
    """What cuts say of a first stage with the cheapest spending under its contracts."""
    made = first.cuts.made(stage)
    return first.cuts.cost(first._counted(stage, made, wholes), made, wholes)


@pytest.mark.parametrize("part", [1.1, 1.2])
def test_a_first_stage_costs_what_futures_do_with_their_takes(here, part, monkeypatch):
    point = here.whole_stage(part)
    true, stage, first = here.cost(point), point[here.cuts.first], here.first(point)
    made = here.cuts.made(stage)
    mean = claimed(first, stage, first._wholes(stage, first.worth, made, exact=False))
    first.fine = True
    costs = claimed(first, stage, first._wholes(stage, first.worth, made))
    assert mean < true * (1 - 5e-3)  # takes are missed in some futures, which means do not see
    assert costs <= true * (1 + 1e-6)
    assert true - costs < 0.15 * (true - mean)
    # Where missing takes costs little, these cuts are not worth their time.
    first.fine, years = False, here.cuts.groups + len(here.cuts.quarters)
    monkeypatch.setattr(in_out, "MISSED", 1.0)
    assert all(one.number < years for one in first._wholes(stage, first.worth, made))


def test_a_cut_of_a_year_holds_at_every_first_stage(here):
    cuts, wholes = here.cuts, []
    points = [here.whole_stage(part) for part in (0.8, 1.0, 1.2)]
    for point in points:
        stage, first = point[cuts.first], here.first(point)
        first.fine = True
        wholes += [
            one
            for one in first._wholes(stage, first.worth, cuts.made(stage))
            if one.number >= cuts.groups + len(cuts.quarters)
        ]
    assert len({one.number for one in wholes}) > 1
    for point in points:
        true, first = here.cost(point), here.first(point)
        for one in wholes:
            assert claimed(first, point[cuts.first], [one]) <= true * (1 + 1e-6)


def test_bounds_with_takes_of_all_futures_hold(here):
    m, committed = here.whole.matrix, here.whole.committed
    lower, upper = m.lower.copy(), m.upper.copy()
    lower[committed.signed] = upper[committed.signed] = here.signed
    optimum = highs.solve(m._replace(lower=lower, upper=upper), gap=1e-4, seconds=60).value
    bounds = []
    for rising in (True, False):
        first = here.first()
        first.fine, first.rising = True, rising
        first.begin(here.relaxed.x[here.cuts.first])
        bounds.append(first.raised(perf_counter() + 20, slow=1e-5))
    assert bounds[1] <= optimum * (1 + 1e-6)
    assert bounds[0] <= bounds[1] * (1 + 1e-4)
    assert bounds[1] > optimum * 0.98


def test_a_first_stage_that_fills_its_takes_costs_what_quarters_do(here):
    point = here.whole_stage(0.3)
    stage, first = point[here.cuts.first], here.first(point)
    first.fine, made = True, here.cuts.made(stage)
    wholes = first._wholes(stage, first.worth, made)
    assert all(one.number < here.cuts.groups + len(here.cuts.quarters) for one in wholes)
    assert claimed(first, stage, wholes) == pytest.approx(here.cost(point), rel=1e-6)
