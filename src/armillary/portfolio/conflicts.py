"""Which constraints conflict, in words, where no plan holds them all.

A deletion filter over named groups: a group is left out of the conflict if the rest conflicts without it.
What remains is irreducible: without any one of its groups there is a plan.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from armillary.portfolio.records import Programme


class Group(NamedTuple):
    """Constraints under one name. words : what they say. without : the programme that lacks them."""

    words: str
    without: Callable[[Programme], Programme]


def groups(programme: Programme) -> list[Group]:
    """All that can make a programme infeasible, what binds many things first."""
    found = []
    if any(np.isfinite(np.asarray(s.power)).any() for s in programme.sites):
        found += [_power(s.name) for s in programme.sites if np.isfinite(np.asarray(s.power)).any()]
    if programme.share < 1:
        found.append(
            Group(
                f"no provider gives more than {programme.share:.0%} of the work",
                lambda p: p._replace(share=1.0),
            )
        )
    if programme.budget is not None:
        found.append(Group("the budget of each quarter", lambda p: p._replace(budget=None)))
    found += [_contract(c.name) for c in programme.contracts if c.signed]
    found += [_cluster(d.name, d.cluster, d.unit) for d in programme.demands if d.cluster > 0 and d.floor > 0]
    found += [_capacity(o.name) for o in programme.offers if np.isfinite(np.asarray(o.capacity)).all()]
    found += [_floor(d.name, d.floor) for d in programme.demands if d.floor > 0]
    return found


def _power(name: str) -> Group:
    def without(p: Programme) -> Programme:
        return p._replace(sites=tuple(s._replace(power=math.inf) if s.name == name else s for s in p.sites))

    return Group(f"the power of {name}", without)


def _contract(name: str) -> Group:
    def without(p: Programme) -> Programme:
        return p._replace(
            contracts=tuple(c._replace(signed=False) if c.name == name else c for c in p.contracts)
        )

    return Group(f"the contract {name}, as signed", without)


def _cluster(name: str, cluster: float, unit: str) -> Group:
    def without(p: Programme) -> Programme:
        return p._replace(demands=tuple(d._replace(cluster=0.0) if d.name == name else d for d in p.demands))

    return Group(f"{name} on one network, {cluster:g} {unit} at least", without)


def _capacity(name: str) -> Group:
    def without(p: Programme) -> Programme:
        return p._replace(
            offers=tuple(o._replace(capacity=math.inf) if o.name == name else o for o in p.offers)
        )

    return Group(f"the capacity of the offer {name}", without)


def _floor(name: str, floor: float) -> Group:
    def without(p: Programme) -> Programme:
        return p._replace(demands=tuple(d._replace(floor=0.0) if d.name == name else d for d in p.demands))

    return Group(f"at least {floor:.0%} of {name} served in every future", without)


def conflict(programme: Programme, feasible: Callable[[Programme], bool]) -> list[str]:
    """Words of an irreducible set of groups that conflict.

    Parameters
    ----------
    programme : Programme
        For which no plan holds.
    feasible : callable
        Whether a programme has any plan.
    """
    held = groups(programme)
    kept = _filter(programme, held, feasible)
    return [g.words for g in kept]


def _filter(programme: Programme, held: list[Group], feasible: Callable[[Programme], bool]) -> list[Group]:
    """Leave out halves at first, then one group after the other."""
    step = max(len(held) // 2, 1)
    while True:
        place = 0
        while place < len(held):
            rest = held[:place] + held[place + step :]
            if not feasible(_without(programme, held, rest)):
                held = rest
            else:
                place += step
        if step == 1:
            return held
        step = max(step // 2, 1)


def _without(programme: Programme, all_groups: Iterable[Group], kept: list[Group]) -> Programme:
    left = programme
    names = {g.words for g in kept}
    for g in groups(programme):
        if g.words not in names:
            left = g.without(left)
    return left
