"""Parts by sites have all plans between them, and sets of sites cost no less than what is said of them."""

from __future__ import annotations

import math
from itertools import combinations
from threading import Lock
from time import perf_counter

import numpy as np
import pytest
from portfolio_market import market
from test_plan_tree import Market

from armillary.portfolio import decomposition, highs, plan_tree
from armillary.portfolio.arrays import arrays
from armillary.portfolio.assembly import assemble
from armillary.portfolio.site_sets import SiteSets
from armillary.portfolio.states import exact
from armillary.portfolio.tier_parts import Bounds


class Sites(Market):
    """A market in which opening a site costs much, and what plans with a set of sites cost at least."""

    def __init__(self):
        super().__init__(0, market(3, 2, 4, 6, 4, scale=0.1))
        self.whole = assemble(self.programme, self.arrays, exact(self.programme.futures))
        self.opened = self.held[len(self.means.home) :] + 0.0  # no -0

    def least(self, opened):
        m = self.whole.matrix
        lower, upper = m.lower.copy(), m.upper.copy()
        lower[m.blocks["opened"]] = upper[m.blocks["opened"]] = opened
        found = highs.solve(m._replace(lower=lower, upper=upper), gap=1e-6, seconds=60)
        return math.inf if found.status == "infeasible" else found.value

    def of_size(self, size):
        """All sets of so many sites."""
        for chosen in combinations(range(len(self.opened)), size):
            yield np.isin(np.arange(len(self.opened)), chosen).astype(float)


@pytest.fixture(scope="module")
def here():
    return Sites()


def has_optimum(here, part):
    held = part.held is None or (np.isnan(part.held) | (part.held == here.held)).all()
    return held and here.is_in(part.bounds) and part.fewest <= here.opened.sum() <= part.most


@pytest.mark.parametrize("few", [0, 2])
def test_parts_by_sites_have_every_plan_and_bound_it(here, monkeypatch, few):
    monkeypatch.setattr(plan_tree, "FEW", few)
    monkeypatch.setattr(plan_tree, "SITE", 1e-6)
    monkeypatch.setattr(plan_tree, "FIRST", 0.0)  # before tiers
    tree, kinds, bounds = here.tree(), set(), []
    for _ in range(60):
        if tree.over or tree.bound >= here.optimum.value * 1.02:
            break
        kinds.add(tree.open[0].by)
        tree.step(perf_counter() + 30, here.optimum.value * 1.02)
        bounds.append(tree.bound)
        with_it = [one for one in tree.open if has_optimum(here, one)]
        assert with_it
        assert min(one.bound for one in with_it) <= here.optimum.value * (1 + 1e-6)
    assert bounds == sorted(bounds)
    assert "number" in kinds
    assert bounds[-1] > bounds[0] * (1 + 1e-3)


@pytest.mark.parametrize("by", ["site", "sets", "number"])
def test_parts_have_every_plan_once(here, by):
    tree = here.tree()
    part = tree.step(perf_counter() + 30)
    number = float(here.opened.sum())
    if by != "number":
        part = part._replace(fewest=number, most=number)
    parts = tree._parted(part._replace(by=by, which=0))
    assert len(parts) > 1
    assert sum(has_optimum(here, one) for one in parts) == 1


def test_prices_bound_every_set_of_sites(here, monkeypatch):
    monkeypatch.setattr(plan_tree, "SITE", 1e-6)
    monkeypatch.setattr(plan_tree, "FIRST", 0.0)
    monkeypatch.setattr(plan_tree, "FEW", 3)
    tree = here.tree()
    part = tree.step(perf_counter() + 30)
    for size in (2, 3):
        sets = tree._in_sets(part._replace(fewest=size, most=size, by="sets"))
        assert len(sets) == math.comb(len(here.opened), size)
        found = {one.held[len(here.means.home) :].tobytes(): one.bound for one in sets}
        above = 0
        for opened in here.of_size(size):
            bound = found.pop(opened.tobytes())
            assert bound <= here.least(opened) * (1 + 1e-6)
            above += bound > part.bound
        assert not found
        assert above  # some cost more than the part by its prices alone


@pytest.fixture(scope="module")
def searched(here):
    rounds = decomposition._Search(here.programme, arrays(here.programme), 0.0025, perf_counter() + 600)
    means = rounds.assembled(rounds.sizes[0])
    rounds.bounded(means)
    sets = SiteSets(rounds, means, Lock())
    return rounds, sets


def test_sets_cost_no_less_than_is_said_and_good_ones_are_planned(here, searched):
    rounds, sets = searched
    until, plans = perf_counter() + 300, []
    for opened in here.of_size(2):
        true = here.least(opened)
        means = sets.over_means(opened, sets.every, until)
        assert means <= true * (1 + 1e-6)
        enough = here.optimum.value * 1.1
        bound = sets.settled(opened, sets.every, until, enough)
        assert bound <= true * (1 + 1e-6)
        assert bound >= means * (1 - 1e-6) or bound >= enough
        if true >= enough * 1.01:
            assert bound >= enough * (1 - 1e-6)  # it is left as soon as it costs that much
        else:
            plans.append(true)
            assert rounds.value <= min(plans) * (1 + 0.01)
    assert plans
    assert rounds.value >= here.optimum.value * (1 - 1e-4)


def test_a_set_is_looked_at_once_for_all_tiers(here, searched, monkeypatch):
    _, sets = searched
    opened, until = here.opened, perf_counter() + 60
    known = sets.settled(opened, sets.every, until, here.optimum.value * 0.9)
    assert known >= here.optimum.value * 0.9 * (1 - 1e-6)
    monkeypatch.setattr(sets, "over_means", lambda *_: pytest.fail("it is known"))
    none = Bounds(sets.every.lower, sets.every.lower, np.zeros(0))
    assert sets.settled(opened, none, until, known) == known


def test_sites_are_moved_to_cheaper_ones(here):
    rounds = decomposition._Search(here.programme, arrays(here.programme), 0.0025, perf_counter() + 600)
    means = rounds.assembled(rounds.sizes[0])
    relaxed = rounds.bounded(means)
    sets = SiteSets(rounds, means, Lock())
    sets.moved(relaxed.x, perf_counter() + 60)
    assert rounds.best is None  # there is no plan to begin with
    # All sites, which costs much.
    sets.settled(np.ones(len(here.opened)), sets.every, perf_counter() + 60, math.inf)
    every = rounds.value
    assert every > here.optimum.value * 1.05
    sets.moved(relaxed.x, perf_counter() - 1)
    assert rounds.value == every  # without time it is left as it is
    sets.moved(relaxed.x, perf_counter() + 120)
    assert rounds.value < every * 0.97
    assert rounds.value <= here.optimum.value * 1.02
