"""How many replicas a rate needs; whether a group of them holds it behind a router, spares down and up."""

from __future__ import annotations

import math
from typing import NamedTuple

from armillary.serving.calibration import FrontEnd
from armillary.serving.deployment import Outage, Pool
from armillary.serving.step_cost import Engine
from armillary.serving.trials import TURNS, Trial, highest_rate, trial, turns
from armillary.serving.workload import LARGEST, Load, Targets

GROUP = 16
"""Replicas that are simulated behind one router, about, where the fleet has more. [-]"""
RAISE, RAISES = 0.03, 20
"""Part by which a pool grows when its check misses the targets [-], and how often before it is given up."""
AGES = 1e12
"""How long a spare stays down. [s]"""
FAIL_AT = 0.05
"""When spares fail, as a part of the run. [-]"""


class Fleet(NamedTuple):
    """Replicas that hold a rate.

    engine : of replicas that do both, or that decode. prefill : of those that read prompts, where apart.
    front : see `FrontEnd`. transfer : see `Pool`. stay : of a request, about [s].
    needed, prefill_needed : replicas without spares [-].
    """

    engine: Engine
    prefill: Engine | None
    front: FrontEnd
    stay: float
    transfer: tuple[float, float] = (0.0, 0.0)
    needed: int = 1
    prefill_needed: int = 0

    def pool(self, replicas: int, prefill_replicas: int) -> Pool:
        """So many of the replicas."""
        if self.prefill is None:
            return Pool(self.engine, replicas)
        before, after = self.prefill._replace(role="prefill"), self.engine._replace(role="decode")
        return Pool(before, prefill_replicas, after, replicas, self.transfer)


class Check(NamedTuple):
    """A simulation of a sized fleet, or of a part of it with the same mix.

    replicas, prefill_replicas : simulated [-]. down, prefill_down : of them, from the warm-up on [-].
    rate : of requests that come [1/s]. whole : whether that is all of the fleet. trial : what was found.
    """

    replicas: int
    prefill_replicas: int
    down: int
    prefill_down: int
    rate: float
    whole: bool
    trial: Trial


def spares(needed: int, headroom: float) -> int:
    """Replicas on top of those needed, a whole number [-]."""
    return math.ceil(needed * headroom - 1e-9)


def group_of(rate: float, each: float, most: int) -> int:
    """Replicas to simulate behind one router: those that a rate needs at what each serves, or `most` [-]."""
    return max(min(math.ceil(rate / each), most), 1)


def fewest(
    fleet: Fleet, load: Load, rate: float, one: float, targets: Targets, seed: int = 0
) -> tuple[int, float]:
    """Replicas of a pool of both phases that hold a rate together, and what each of them serves.

    Parameters
    ----------
    fleet : Fleet
    load : Load
    rate : float
        Of all requests. [1/s]
    one : float
        What each replica of a small group serves. [1/s]
    targets : Targets
    seed : int

    Returns
    -------
    replicas, each
        [-], [1/s].

    Notes
    -----
    Replicas behind a router that looks at their load serve more each than one with a queue of its own.
    A small fleet is simulated whole; of a larger one a group, at the rate that the group alone holds.
    """
    alone = math.ceil(rate / one)
    most = max(int(LARGEST / max(TURNS * one * fleet.stay, 1.0)), 2)
    group = min(alone, GROUP, most)

    def run(replicas: int, at: float) -> Trial:
        count = turns(at, fleet.stay)
        return trial(fleet.pool(replicas, 0), load, at, count, targets, fleet.front, seed=seed)

    if alone > group:
        found = highest_rate(lambda at: run(group, at), group * one)
        each = max(one, found[0] / group if found is not None else 0.0)
        return math.ceil(rate / each), each
    while group > 1 and run(group - 1, rate).holds:
        group -= 1
    return group, max(one, rate / group)


def checked(
    fleet: Fleet, load: Load, rate: float, targets: Targets, headroom: float, seed: int
) -> list[Check]:
    """Simulate a fleet at a rate: with its spares down, which fail in the warm-up, and with all replicas up.

    Of a fleet larger than `GROUP` a part with the same mix is simulated, at the larger of the pools' shares.
    """
    n, p = fleet.needed, fleet.prefill_needed
    most = LARGEST / max(TURNS * rate * fleet.stay, 1.0)
    part = min(1.0, GROUP / (n + p), most)
    fewer, more = (min(n, p), max(n, p)) if p else (n, n)
    few = max(round(fewer * part), min(fewer, 1 if p else 2))
    many = max(round(more * few / fewer), 1)
    group, before = (few, 0) if not p else (few, many) if n <= p else (many, few)
    share = max(group / n, before / p if p else 0.0)
    idle = [spares(k, headroom) for k in (n, p)]
    down, before_down = (
        max(round(s * g / k), 1) if s and g else 0
        for s, g, k in zip(idle, (group, before), (n, max(p, 1)), strict=True)
    )
    pool = fleet.pool(group + down, before + before_down)
    at = rate * share
    count = turns(at, fleet.stay)
    last = before + before_down + group + down
    which = [*range(before, before + before_down), *range(last - down, last)]
    outages = [Outage(FAIL_AT * count / at, r, AGES) for r in which]
    found = []
    for failing in [outages, []] if which else [[]]:
        told = trial(pool, load, at, count, targets, fleet.front, failing, seed)
        lost = (down, before_down) if failing else (0, 0)
        found.append(Check(group + down, before + before_down, *lost, at, share >= 1, told))
    return found


def verified(
    fleet: Fleet, load: Load, rate: float, targets: Targets, headroom: float, seed: int
) -> tuple[Fleet, list[Check]] | None:
    """Raise a fleet until its checks hold the targets; None where it does not after `RAISES`.

    Where the first token is late, more replicas read prompts; where later ones are, more decode.
    """
    for _ in range(RAISES):
        checks = checked(fleet, load, rate, targets, headroom, seed)
        missed = [c.trial for c in checks if not c.trial.holds]
        if not missed:
            return fleet, checks
        late = any(t.ttft > targets.ttft for t in missed)
        slow = any(t.tpot > targets.tpot for t in missed)
        either = not (late or slow)
        if fleet.prefill is None or slow or either:
            fleet = fleet._replace(needed=_raised(fleet.needed))
        if fleet.prefill is not None and (late or either):
            fleet = fleet._replace(prefill_needed=_raised(fleet.prefill_needed))
    return None


def _raised(needed: int) -> int:
    return needed + max(round(RAISE * needed), 1)
