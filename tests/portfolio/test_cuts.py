"""Cuts over the first stage: bounds that hold and that reach the optimum, and plans that are theirs."""

from __future__ import annotations

import math
from functools import cache
from time import perf_counter, sleep
from types import SimpleNamespace

import numpy as np
import pytest
from markets import small
from portfolio_market import market

from armillary.portfolio import Risk, cutting, decomposition, highs, solve
from armillary.portfolio.arrays import arrays
from armillary.portfolio.assembly import assemble
from armillary.portfolio.cuts import Cuts, separable
from armillary.portfolio.decomposition import decompose
from armillary.portfolio.in_out import InOut
from armillary.portfolio.plan_tree import Part
from armillary.portfolio.states import exact, states


def without_favours(programme):
    return programme._replace(
        contracts=tuple(one._replace(most_favoured=False) for one in programme.contracts)
    )


def bought_alone(programme):
    """The first provider sells no pay-as-you-go, and has a contract."""
    mine = {site.name for site in programme.sites if site.provider == programme.sites[0].provider}
    kept = tuple(one for one in programme.offers if one.site not in mine or one.kind == "reserved")
    return programme._replace(offers=kept)


def without_limits(programme):
    """Every second site has power without end, and CPUs draw none."""
    skus = tuple(one._replace(power=0.0) if "cpu" in one.name else one for one in programme.skus)
    sites = tuple(one._replace(power=np.inf) if n % 2 else one for n, one in enumerate(programme.sites))
    return programme._replace(skus=skus, sites=sites)


def used_alone(programme):
    """Everything is paid as it is used."""
    kept = tuple(one for one in programme.offers if one.kind != "reserved")
    return programme._replace(offers=kept, options=())


MARKETS = {
    "volume": lambda: market(2, 2, 4, 6, 4, "volume"),
    "tiny": lambda: market(2, 3, 4, 6, 4, "tiny"),
    "between": lambda: market(3, 2, 4, 6, 4, scale=0.05),
    "power without end": lambda: without_limits(market(3, 2, 4, 6, 4, scale=0.05)),
    "no purchases": lambda: used_alone(market(3, 2, 4, 6, 4, scale=0.05)),
    "a provider of purchases alone": lambda: bought_alone(market(2, 2, 4, 8, 4, "volume")),
    "options by node, egress": lambda: without_favours(small(1)),
    "share": lambda: without_favours(small(2, share=0.7)),
    "share, work without value": lambda: without_favours(small(2, share=0.7, value={"run": 0.0})),
}


class Market:
    """A market over means with the cuts that its relaxation begins, all futures by themselves."""

    def __init__(self, programme):
        self.programme, self.arrays = programme, arrays(programme)
        shape = programme.calendar.quarters, programme.futures.size
        means = states(programme.futures, np.zeros(shape, int))
        self.means = assemble(programme, self.arrays, means)
        self.whole = assemble(programme, self.arrays, exact(programme.futures))
        self.relaxed = highs.solve(self.means.matrix, relaxed=True)
        self.label = np.tile(np.arange(shape[1]), (shape[0], 1))
        self.cuts = self.made(tied=True)

    def made(self, tied):
        """Cuts that tie use to parts of sites, or do not."""
        return Cuts(self.programme, self.arrays, self.means, self.relaxed.duals, self.label, tied)


@pytest.fixture(params=MARKETS)
def begun(request):
    return Market(MARKETS[request.param]())


def test_cuts_never_cost_more_than_the_optimum(begun):
    first = InOut(begun.cuts, begun.means.matrix)
    before = first.solved().bound
    first.begin(begun.relaxed.x[begun.cuts.first])
    bound = first.raised(perf_counter() + 60)
    optimum = highs.solve(begun.whole.matrix, gap=1e-7).value
    assert before * (1 - 1e-9) <= bound <= optimum * (1 + 1e-6)


def test_where_nothing_is_left_out_cuts_end_at_the_relaxation_over_all_futures():
    # No tiers, and what is chosen is held: cuts leave nothing out and price nothing.
    programme = market(2, 2, 4, 6, 4, "volume")._replace(contracts=())
    begun = Market(programme)
    best = highs.solve(begun.whole.matrix, gap=1e-6).x
    held = begun.means.matrix, begun.whole.matrix
    held = [m._replace(lower=m.lower.copy(), upper=m.upper.copy()) for m in held]
    for name in ("opened", "rights", "home"):
        value = np.round(best[begun.whole.matrix.blocks[name]])
        for m in held:
            m.lower[m.blocks[name]] = m.upper[m.blocks[name]] = value
    relaxed = highs.solve(held[0], relaxed=True)
    first = InOut(begun.cuts, held[0])
    first.begin(relaxed.x[begun.cuts.first])
    bound = first.raised(perf_counter() + 60)
    stage = np.zeros(len(held[0].cost))
    stage[begun.cuts.first] = first.good
    optimum = highs.solve(held[1], relaxed=True).value
    assert highs.solve(held[0], relaxed=True).value < optimum * (1 - 1e-4)
    assert bound == pytest.approx(optimum, rel=3e-3)
    assert bound <= optimum * (1 + 1e-6)
    # The first stage of the bound costs about as much.
    columns = begun.means.bought.columns
    m = held[1]
    m.lower[begun.whole.bought.columns] = m.upper[begun.whole.bought.columns] = stage[columns]
    assert highs.solve(m, relaxed=True).value == pytest.approx(optimum, rel=1e-2)


def test_a_cut_is_what_use_costs_where_it_was_made_and_less_elsewhere(begun):
    point = begun.relaxed.x[begun.cuts.first]
    whole = highs.solve(begun.means.matrix, gap=1e-3).x[begun.cuts.first]
    others = [whole, 0.5 * (point + whole), 0.2 * point + 0.8 * whole]
    at = [begun.cuts.made(one) for one in (point, *others)]
    for first, *rest in zip(*at, strict=True):
        for one, other in zip(others, rest, strict=True):
            true = other.at(one)
            assert (first.at(one) <= true + 1e-6 * (1 + np.abs(true))).all()


def test_cuts_are_made_only_where_quarters_are_apart():
    programme = without_favours(small(1))
    assert separable(programme, arrays(programme))
    assert not separable(small(1), arrays(small(1)))  # most-favoured
    for fields in ({"risk": Risk(0.5, 0.6)}, {"budget": np.full(5, 1.6e8)}):
        other = programme._replace(**fields)
        assert not separable(other, arrays(other))


@pytest.mark.parametrize(("scale", "charged"), [(1.0, False), (1e-3, True)])
def test_sets_of_sites_are_looked_at_where_opening_one_costs_much(scale, charged):
    programme = market(2, 2, 4, 6, 4, scale=scale)
    search = decomposition._Search(programme, arrays(programme), 0.0025, perf_counter() + 60)
    coarse = search.assembled(search.sizes[0])
    search.bounded(coarse)
    assert search.charged is charged


@pytest.mark.parametrize("regime", ["volume", "tiny"])
def test_cuts_are_made_only_where_the_next_relaxation_takes_long(regime):
    programme = market(2, 2, 4, 6, 4, regime)
    search = decomposition._Search(programme, arrays(programme), 0.0025, perf_counter() + 60)
    coarse = search.assembled(search.sizes[0])
    search.bounded(coarse)
    for pace, slow in ((1.0, True), (1e-9, False)):  # of a column
        search.pace = pace
        assert search.cutting(coarse) is slow


def test_opened_sites_give_room_for_what_is_asked_in_each_future():
    begun = Market(MARKETS["between"]())
    opened = np.zeros(len(begun.cuts.first))
    opened[np.searchsorted(begun.cuts.first, begun.means.opened[begun.means.sites_opened])] = 1.0
    rows = begun.means.matrix.row_blocks["use if opened"]
    for t, quarter in enumerate(begun.cuts.quarters):
        assert len(quarter.rooms)
        room = -quarter._added(opened)[:, quarter.rooms]
        demand = begun.arrays.demand[:, t]
        for column in room.T:  # a site gives room for all of a stream
            assert any(np.allclose(column, one) for one in demand)
        assert (quarter.rows[quarter.rooms] >= rows.start).all()
        assert (quarter.rows[quarter.rooms] < rows.stop).all()


@pytest.mark.parametrize(("name", "tied"), [("between", True), ("no purchases", False)])
def test_shares_are_tied_only_where_runs_are_limited_in_each_future(name, tied):
    # Purchases that runs may use come with rows of what a network does for them at most.
    quarters = Market(MARKETS[name]()).cuts.quarters
    assert all((one.low[:, one.asked[one._more]] > 0).any() for one in quarters)  # a run runs
    assert all((len(one.shares) > 0) is tied for one in quarters)


def test_parts_of_sites_are_tied_to_use_only_if_asked_for():
    begun = Market(MARKETS["between"]())
    free = begun.made(tied=False)
    assert not any(len(one.rooms) or len(one.shares) for one in free.quarters)
    bounds = []
    for cuts in (begun.cuts, free):
        first = InOut(cuts, begun.means.matrix)
        first.begin(begun.relaxed.x[cuts.first])
        bounds.append(first.raised(perf_counter() + 60))
    assert bounds[1] < bounds[0] * (1 - 1e-3)


@cache
def solved(size, seed, scale=1.0):
    """A market, its arrays and its optimum in scaled money."""
    programme = market(*size, seed=seed, scale=scale)
    scaled = arrays(programme)
    return programme, scaled, solve(programme, gap=1e-4).objective / scaled.scales.money


def by_cuts(monkeypatch, size, seed, seconds, scale=1.0):
    programme, scaled, optimum = solved(size, seed, scale)
    monkeypatch.setattr(decomposition._Search, "cutting", lambda *_: True)
    monkeypatch.setattr(decomposition._Search, "bettered", lambda *_: None)
    best = decompose(programme, scaled, 0.0025, perf_counter() + seconds)
    assert best is not None
    assert best.bound <= optimum * (1 + 1e-6)
    assert optimum * (1 - 1e-4) <= best.value <= optimum * 1.03
    assert best.bound >= optimum * 0.95
    return best, optimum


@pytest.mark.parametrize("seed", [0, 1])
def test_rounds_by_cuts_bound_and_plan(monkeypatch, seed):
    by_cuts(monkeypatch, (3, 2, 5, 8, 6), seed, 30)


@pytest.mark.parametrize("scale", [0.02, 0.1])
def test_cuts_and_sets_of_sites_prove_plans_between_the_regimes(monkeypatch, scale):
    best, optimum = by_cuts(monkeypatch, (3, 3, 5, 8, 4), 0, 60, scale)
    assert best.finished
    assert best.bound >= best.value * (1 - 0.0025 * 1.001)
    assert best.value <= optimum * (1 + 0.0025 * 1.001)


@pytest.mark.parametrize("wanted", [[], [0], [2, 5], [1]])
def test_bounds_hold_whatever_tiers_are_guessed(monkeypatch, wanted):
    # Plans with the tiers that are guessed are looked at in one tree, all others in another.
    sides, trees = [], []
    monkeypatch.setattr(
        cutting,
        "tiers_of",
        lambda *rest: np.isin(np.arange(len(rest[2].committed.signed)), wanted).astype(float),
    )
    search, tree = cutting._Trees.search, cutting._Trees.tree

    def searching(self, number):
        search(self, number)
        sides.append(number)

    def made(self, prices, parts, x):
        trees.append(len(parts))
        return tree(self, prices, parts, x)

    monkeypatch.setattr(cutting._Trees, "search", searching)
    monkeypatch.setattr(cutting._Trees, "tree", made)
    best, _ = by_cuts(monkeypatch, (2, 2, 4, 20, 2), 0, 15)
    assert sorted(sides) == [0, 1]  # both threads have something to do, whatever is guessed
    assert len(trees) == (2 if wanted else 1)
    assert math.isfinite(best.bound)


def test_without_contracts_there_is_one_part(monkeypatch):
    programme = market(2, 2, 5, 8, 6, "volume")._replace(contracts=())
    scaled = arrays(programme)
    whole = assemble(programme, scaled, exact(programme.futures))
    optimum = highs.solve(whole.matrix, gap=1e-4, seconds=60).value
    monkeypatch.setattr(decomposition._Search, "cutting", lambda *_: True)
    best = decompose(programme, scaled, 0.0025, perf_counter() + 15)
    assert best is not None
    assert optimum * 0.97 <= best.bound <= optimum * (1 + 1e-6)
    assert optimum * (1 - 1e-4) <= best.value <= optimum * 1.03


def test_what_fails_in_one_thread_ends_the_other(monkeypatch):
    programme, scaled, _ = solved((2, 2, 4, 20, 2), 0)
    monkeypatch.setattr(decomposition._Search, "cutting", lambda *_: True)

    def failing(self):
        raise KeyboardInterrupt

    left = []

    def waiting(self):
        until = self.rounds.until
        while self.rounds.left() > 0:
            sleep(0.01)
        left.append(until - perf_counter())

    monkeypatch.setattr(cutting._Trees, "of_near", waiting)
    monkeypatch.setattr(cutting._Trees, "of_others", failing)
    with pytest.raises(KeyboardInterrupt):
        decompose(programme, scaled, 0.0, perf_counter() + 120)
    assert left[0] > 0  # it did not go on until its time was over


def test_without_time_a_plan_is_made_of_the_rounded_relaxation(monkeypatch):
    programme, scaled, optimum = solved((3, 2, 5, 8, 6), 0)
    monkeypatch.setattr(decomposition._Search, "cutting", lambda *_: True)
    monkeypatch.setattr(decomposition._Search, "bettered", lambda *_: None)
    monkeypatch.setattr(cutting, "_searched", lambda *_: pytest.fail("there is no time to look at all plans"))
    best = decompose(programme, scaled, 0.0025, perf_counter() - 1)
    assert best.bound <= optimum * (1 + 1e-6)
    assert optimum * (1 - 1e-4) <= best.value <= optimum * 1.1


class Tree:
    """What threads ask of a tree of parts."""

    over = False

    def __init__(self, bound):
        self.bound = bound


def test_threads_take_trees_that_nobody_works_at_and_give_up_those_that_are_done():
    trees = object.__new__(cutting._Trees)
    near, far, done = Tree(90.0), Tree(95.0), Tree(99.0)
    trees.trees, trees.bounds, trees.asking = ([], [near, far, done]), [math.inf, 90.0], [True, False]
    trees.busy, trees.done = [None, near], math.inf
    trees.rounds = SimpleNamespace(best=None, value=math.inf, gap=0.02)
    trees.take(0, 98.0)
    assert trees.trees == ([far], [near, done])  # not the one that the other works at
    assert trees.bounds == [95.0, 90.0]
    assert trees.asking == [False, False]
    trees.take(0, 98.0)
    assert trees.trees == ([far], [near, done])  # it has one of interest
    trees.forget(1)
    assert trees.trees[1] == [near, done]  # without a plan nothing is done for good
    trees.rounds = SimpleNamespace(best=object(), value=100.0, gap=0.02)
    trees.forget(1)
    assert trees.trees[1] == [near]
    assert trees.done == 99.0  # still a bound of all plans


def test_a_part_is_promising_where_its_tiers_are_new_and_whole_and_its_bound_is_low_for_long():
    trees = object.__new__(cutting._Trees)
    trees.rounds, trees.planned = SimpleNamespace(best=object(), charged=False), {np.ones(3).tobytes()}
    part = Part(90.0, 0, None, None, by="home", gain=0.5, signed=np.array([1.0, 0.0, 1.0]), looked_at=True)
    assert trees.promising(part, 100.0)
    assert not trees.promising(part._replace(gain=2.0), 100.0)  # five such cuts, and it is of no interest
    assert trees.promising(part._replace(by="tier", saved=2.0), 100.0)
    assert not trees.promising(part._replace(by="tier", saved=5.0), 100.0)
    assert not trees.promising(part._replace(by="site"), 100.0)
    assert not trees.promising(part._replace(signed=np.ones(3)), 100.0)  # a plan was made with these
    trees.planned.add(part.signed.tobytes() + np.zeros(2).tobytes())  # and homes of runs
    assert not trees.promising(part, 100.0)
    trees.planned.clear()
    assert not trees.promising(part._replace(looked_at=False), 100.0)
    for rounds in (SimpleNamespace(best=None, charged=False), SimpleNamespace(best=object(), charged=True)):
        trees.rounds = rounds
        assert not trees.promising(part, 100.0)
