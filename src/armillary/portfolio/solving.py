"""From a programme to its plan."""

from __future__ import annotations

import math
from time import perf_counter

import numpy as np

from armillary.errors import InfeasibleError
from armillary.portfolio import highs
from armillary.portfolio.arrays import arrays as arrays_of
from armillary.portfolio.assembly import assemble
from armillary.portfolio.checking import check
from armillary.portfolio.conflicts import conflict
from armillary.portfolio.plan import Plan, plan_of
from armillary.portfolio.records import Programme
from armillary.portfolio.states import exact


def solve(
    programme: Programme, gap: float = 0.0025, seconds: float = math.inf, servable: bool = True
) -> Plan:
    """The plan with the least expected cost plus weighted CVaR, with a proven gap.

    Parameters
    ----------
    programme : Programme
    gap : float
        At which to stop, as a share of the plan's objective. [-]
    seconds : float
        At which to stop; the best plan so far and its gap are given. [s]
    servable : bool
        Whether demand that nothing can serve is refused; it is unmet at its penalty else.

    Raises
    ------
    InputError
        If anything given is wrong; the message has a line for each problem.
    InfeasibleError
        If no plan holds all constraints; the message says which conflict.
    """
    began = perf_counter()
    check(programme, servable)
    arrays = arrays_of(programme)
    whole = assemble(programme, arrays, exact(programme.futures))
    found = highs.solve(whole.matrix, gap=gap, seconds=seconds - (perf_counter() - began))
    if not len(found.x):
        raise InfeasibleError(_why(programme))
    status = "optimal" if found.status == "optimal" else "time limit"
    return plan_of(programme, arrays, whole, found.x, status, found.bound, perf_counter() - began)


def feasible(programme: Programme) -> bool:
    """Whether any plan holds all constraints."""
    matrix = assemble(programme, arrays_of(programme), exact(programme.futures)).matrix
    free = matrix._replace(cost=np.zeros_like(matrix.cost))
    return bool(len(highs.solve(free, gap=1.0).x))


def _why(programme: Programme) -> str:
    lines = conflict(programme, feasible)
    return "no plan holds all constraints; these conflict:\n" + "\n".join(f"  {line}" for line in lines)
