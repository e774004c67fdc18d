"""States by quarter: more of them where futures are apart, none where they are alike."""

from __future__ import annotations

import numpy as np
from portfolio_market import market

from armillary.portfolio import Risk
from armillary.portfolio.arrays import arrays
from armillary.portfolio.grouping import grouped, labelled, parted


def test_groups_are_of_near_points_and_never_more_than_asked():
    points = np.concatenate([np.zeros((3, 2)), np.ones((4, 2)), np.full((2, 2), 5.0)])
    assert len(np.unique(grouped(points, 3))) == 3
    assert len(np.unique(grouped(points, 9))) == 3
    assert len(set(grouped(points, 2)[:7])) == 1


def test_late_quarters_get_more_states_than_early_ones():
    programme = market(2, 2, 4, 12, 8)
    labels = labelled(programme, arrays(programme), 36)
    states = np.array([len(np.unique(row)) for row in labels])
    assert states.sum() == 36
    assert states[0] == 1
    assert states[-3:].min() > states[1:4].max()


def test_all_futures_are_apart_where_there_is_room_for_all():
    programme = market(2, 2, 4, 6, 4)
    labels = labelled(programme, arrays(programme), 1000)
    assert [len(np.unique(row)) for row in labels] == [len(np.unique(r)) for r in programme.futures.node]


def test_demand_whose_prices_are_alike_is_parted_last():
    money = np.array([[[1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0]]])
    prices = np.array([[[1.0, 1.0, 1.0, 1.0], [1.0, 2.0, 3.0, 4.0]]])
    states = [len(np.unique(row)) for row in parted(money, 4, money, prices)]
    assert states == [1, 3]


def test_where_risk_counts_whole_futures_are_grouped():
    programme = market(2, 2, 4, 6, 5)._replace(risk=Risk(0.5, 0.8))
    labels = labelled(programme, arrays(programme), 18)
    assert (labels == labels[0]).all()
    assert len(np.unique(labels[0])) == 3
