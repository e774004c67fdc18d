"""One plan on many fabrics: what each makes of the step, and what its network costs against that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from armillary.network.fabric import Fabric
from armillary.training.on_fabric import FabricStep, on_fabric
from armillary.training.step import Busy, StepTime
from armillary.twin.fabric_cases import Case
from armillary.twin.plan import Price

COMMUNICATION = Busy._fields
"""Parts of a step that the network decides."""


class Outcome(NamedTuple):
    """What a case makes of the plan.

    clear, step : by closed form and at flow level, `extra` included [s]. exposed_clear, exposed : of it,
    communication that compute does not hide [s]. slowdown : the largest of a kind's [-]. busiest : name and
    mean use of the busiest tier above the scale-up domain, over links that carry anything [-].
    network : cost of the network [USD].
    """

    case: Case
    on: FabricStep
    clear: float
    step: float
    exposed_clear: float
    exposed: float
    slowdown: tuple[str, float]
    busiest: tuple[str, float]
    network: float


class Worth(NamedTuple):
    """A network against another. cost : more that it costs [USD]; buys : worth of the time it saves [USD].

    Both over `life`; None without a price of accelerators.
    """

    cost: float
    buys: float | None


def try_fabrics(
    cases: Sequence[Case],
    cost: Callable[[Case], float],
    progress: Callable[[int, int], None] | None = None,
) -> list[Outcome]:
    """Take one plan over many fabrics.

    Parameters
    ----------
    cases : sequence of Case
        See `fabric_cases`.
    cost : callable
        Of the network of a case [USD].
    progress : callable, optional
        Called with cases done, and how many there are.

    Raises
    ------
    InputError
        If a fabric is too small for the plan, or disconnected.
    """
    outcomes = []
    for done, case in enumerate(cases, 1):
        on = on_fabric(*case.plan, case.fabric, case.place, case.background, paths=case.shape.queue_pairs)
        outcomes.append(_outcome(case, on, cost(case)))
        if progress is not None:
            progress(done, len(cases))
    return outcomes


def _outcome(case: Case, on: FabricStep, network: float) -> Outcome:
    extra = case.extra(on) if case.extra is not None else 0.0
    worst = max(on.congestion._asdict().items(), key=lambda kind: float(kind[1]))
    return Outcome(
        case,
        on,
        float(on.clear.time.total) + extra,
        float(on.loaded.time.total) + extra,
        exposed(on.clear.time) + extra,
        exposed(on.loaded.time) + extra,
        (worst[0], float(worst[1])),
        _busiest(case.fabric, on),
        network,
    )


def exposed(time: StepTime) -> float:
    """Communication that compute does not hide [s]."""
    return sum(float(getattr(time, name)) for name in COMMUNICATION)


def _busiest(fabric: Fabric, on: FabricStep) -> tuple[str, float]:
    used = on.utilisation
    means = {
        name: float(used[(fabric.tier == t) & (used > 0)].mean())
        for t, name in enumerate(fabric.tiers)
        if not name.startswith("scale-up") and bool(np.any(used[fabric.tier == t] > 0))
    }
    return max(means.items(), key=lambda item: item[1]) if means else ("none", 0.0)


def worth(base: Outcome, other: Outcome, accelerators: int, price: Price | None, life: float) -> Worth:
    """What a network costs more than another, and what the time that it saves is worth.

    Parameters
    ----------
    base, other : Outcome
        The network compared with, and the one asked about.
    accelerators : int
        That wait for the network. [-]
    price : Price, optional
        Of an accelerator's time.
    life : float
        Years of use that both are counted over. [s]

    Notes
    -----
    Over its life the machine does :math:`L / t` steps; those that the other network adds would have cost
    :math:`N c L (t_{base} / t - 1)` on the base machine.
    """
    cost = other.network - base.network
    if price is None:
        return Worth(cost, None)
    return Worth(cost, accelerators * price.per_accelerator * life * (base.step / other.step - 1))
