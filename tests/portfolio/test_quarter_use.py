"""Use of a quarter costs what the solver says, and its prices are right for sites that are closed, too."""

from __future__ import annotations

import numpy as np
import pytest
from test_cuts import MARKETS, Market

from armillary.portfolio import highs, mixing


@pytest.fixture(scope="module", params=MARKETS)
def begun(request):
    return Market(MARKETS[request.param]())


def stages(begun):
    """First stages, from a relaxation to whole ones."""
    part = begun.relaxed.x[begun.cuts.first]
    whole = highs.solve(begun.means.matrix, gap=1e-3).x[begun.cuts.first]
    return part, whole, 0.5 * (part + whole), 0.1 * part + 0.9 * whole, np.zeros(len(part))


def true(quarter, first):
    """What use costs at least, by the solver, `[future]`; NaN where means leave no room in one."""
    added = quarter._added(first)
    low, high = quarter.low - added, quarter.high - added
    room = (high[:, quarter.adds] > -1e-6).all(1)
    high[:, quarter.adds] = np.maximum(high[:, quarter.adds], 0.0)
    return np.array([
        highs.solve(quarter.part._replace(row_lower=a, row_upper=b), relaxed=True).value if fits else np.nan
        for a, b, fits in zip(low, high, room, strict=True)
    ])  # fmt: skip


def same(found, exact, near=1e-5):
    """Whether costs are the same where they are known."""
    known = np.isfinite(exact)
    assert known.any()
    scale = 1 + np.abs(exact[known]).max()
    assert (found[known] <= exact[known] + 1e-6 * scale).all()
    return found[known] == pytest.approx(exact[known], abs=near * scale)


def test_use_costs_what_the_solver_says(begun):
    for first in stages(begun):
        for quarter in begun.cuts.quarters:
            assert same(quarter.cut(first).at(first), true(quarter, first))


def test_use_costs_the_same_wherever_prices_were_begun_with(begun):
    points = stages(begun)
    for quarter in begun.cuts.quarters:
        at = [quarter.cut(first).at(first) for first in points]
        again = [quarter.cut(first).at(first) for first in points[::-1]][::-1]
        listed = np.zeros(len(quarter._listed.row_lower))
        assert np.allclose(quarter.cut(points[0], None, listed).at(points[0]), at[0], rtol=1e-6, atol=1e-6)
        for one, other in zip(at, again, strict=True):
            assert other == pytest.approx(one, abs=2e-5 * (1 + np.abs(one).max()))


def test_prices_of_groups_hold_in_each_future(begun):
    part, whole, *_ = stages(begun)
    for quarter in begun.cuts.quarters:
        futures = len(quarter.low)
        together = quarter.cut(part, np.zeros(futures, np.int64))
        for first in (part, whole):
            exact = true(quarter, first)
            assert not (together.at(first) > exact + 1e-6 * (1 + np.abs(exact))).any()
        assert same(quarter.cut(part, np.arange(futures)).at(part), true(quarter, part))


def test_spending_is_worth_more_in_each_future_by_itself(begun):
    first, random = stages(begun)[0], np.random.default_rng(1)
    for quarter in begun.cuts.quarters:
        futures, rows = len(quarter.low), len(quarter._listed.row_lower)
        worth = random.uniform(0, 0.3, (futures, rows))
        found = quarter.cut(first, None, worth)
        for f in range(futures):
            alone = quarter.cut(first, None, worth[f]).at(first)[f]
            assert found.at(first)[f] == pytest.approx(alone, rel=1e-5, abs=1e-5)
        # What is spent is how fast worth saves: by no other does it save more.
        scale = 1 + np.abs(found.at(first))
        for other in (0 * worth, worth * 0.5, worth * 2):
            saved = ((other - worth) * found.spent).sum(1)
            assert (quarter.cut(first, None, other).at(first) <= found.at(first) - saved + 1e-5 * scale).all()


def test_any_prices_bound_what_use_costs(begun):
    random, (part, whole, *_) = np.random.default_rng(0), stages(begun)
    for quarter in begun.cuts.quarters:
        prices = random.normal(0, 1, quarter.low.shape)
        found = quarter.proven(prices)
        for first in (part, whole):
            assert not (found.at(first) > true(quarter, first) + 1e-6).any()


@pytest.mark.parametrize("tied", [False, True])
def test_a_closed_site_is_worth_what_it_would_earn(begun, tied):
    # A cut where a site is closed, and nothing is bought, says what opening a little of it saves. Where use
    # is tied to parts of sites it may say more of a provider's first site, which limits the provider's share.
    cuts = begun.made(tied)
    opened = np.searchsorted(cuts.first, begun.means.opened[begun.means.sites_opened])
    owner = begun.arrays.provider[begun.means.sites_opened]
    for site, provider in zip(opened, owner, strict=True):
        closed = np.zeros(len(cuts.first))
        closed[opened] = 0.5
        closed[site] = 0.0
        little = closed.copy()
        little[site] = 1e-5
        for quarter in cuts.quarters[1:]:
            found, exact = quarter.cut(closed).at(little), true(quarter, little)
            first = (owner == provider).sum() == 1 and len(quarter.shares) > 0
            if not first:
                assert same(found, exact, 5e-7)
            known = np.isfinite(exact)
            assert (found <= exact + 1e-6 * (1 + np.abs(exact)))[known].all()
        assert tied or not first


def test_kernels_compile_once(begun):
    mixing.compiled()
    begun.cuts.made(stages(begun)[0])
    begun.cuts.made(stages(begun)[0], exact=False)
    assert len(mixing.priced.signatures) == 1
    assert mixing.compiled() < 1
