"""From a programme to its plan."""

from __future__ import annotations

from time import perf_counter

import numpy as np

from armillary.errors import ArmillaryError, InfeasibleError
from armillary.portfolio import highs
from armillary.portfolio.arrays import Arrays
from armillary.portfolio.arrays import arrays as arrays_of
from armillary.portfolio.assembly import Assembly, assemble
from armillary.portfolio.calendar import Floats
from armillary.portfolio.checking import check
from armillary.portfolio.conflicts import conflict
from armillary.portfolio.decomposition import Best, decompose
from armillary.portfolio.dominance import undominated
from armillary.portfolio.plan import Plan, plan_of
from armillary.portfolio.plan import gap as gap_of
from armillary.portfolio.records import Programme
from armillary.portfolio.rounding import rounded
from armillary.portfolio.states import exact

SMALL, WHOLE = 6_000, 20_000
"""Columns of use up to which a programme is solved as one, and up to which that is tried first. [-]"""
FIRST_SHARE = 0.25
"""Of the time, what is given to that try. [-]"""
SECONDS = 120.0
"""Time limit of a plan, unless another is given. [s]"""


def solve(programme: Programme, gap: float = 0.0025, seconds: float = SECONDS, servable: bool = True) -> Plan:
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
    ArmillaryError
        If a large programme's first round found no plan in time (a minute is spent on it in any case).
    """
    began = perf_counter()
    until = began + seconds
    check(programme, servable)
    arrays = arrays_of(programme)
    size = _size(programme, arrays)
    whole, found = None, None
    if size <= WHOLE:
        whole = assemble(programme, arrays, exact(programme.futures))
        share = 1.0 if size <= SMALL else FIRST_SHARE
        found = highs.solve(whole.matrix, gap=gap, seconds=(until - perf_counter()) * share)
    if whole is None or found is None or (found.status == "time limit" and size > SMALL):
        best = decompose(programme, arrays, gap, until)
        if whole is not None and found is not None:
            best = _better(best, whole, found, gap)
        if best is not None:
            best = _improved(best, gap, until)
            status = "optimal" if best.finished else "time limit"
            return plan_of(
                programme, arrays, best.assembly, best.x, status, best.bound, perf_counter() - began
            )
        if perf_counter() > until:
            raise ArmillaryError(f"no plan was found within {seconds:g} s; give it more, or ask for less")
    if whole is None or found is None:
        whole = assemble(programme, arrays, exact(programme.futures))
        found = highs.solve(whole.matrix, gap=gap, seconds=until - perf_counter())
    x = found.x
    if not len(x) and found.status == "time limit":
        x = _some(programme, arrays, whole)
    if not len(x):
        raise InfeasibleError(_why(programme))
    status = "optimal" if found.status == "optimal" else "time limit"
    return plan_of(programme, arrays, whole, x, status, found.bound, perf_counter() - began)


def _better(best: Best | None, whole: Assembly, found: highs.Solved, gap: float) -> Best | None:
    """The better plan of the rounds and of the search of the whole, with the better bound."""
    bound = found.bound if best is None else max(best.bound, found.bound)
    if len(found.x) and (best is None or found.value < best.value):
        best = Best(whole, found.x, found.value, bound, False, True)
    if best is None:
        return None
    bound = min(bound, best.value)
    return best._replace(bound=bound, finished=gap_of(best.value, bound) <= gap)


def _improved(best: Best, gap: float, until: float) -> Best:
    """Where rounds end before the time does: search the whole, from their plan, for the time that is left."""
    left = until - perf_counter()
    if best.finished or not best.every or left < 1:
        return best
    found = highs.solve(best.assembly.matrix, seconds=left, gap=gap, start=best.x)
    bound = max(best.bound, found.bound)
    x, value = best.x, best.value
    if len(found.x) and found.value < value:
        x, value = found.x, found.value
    return best._replace(x=x, value=value, bound=bound, finished=gap_of(value, bound) <= gap)


def _size(programme: Programme, arrays: Arrays) -> int:
    """Columns of pay-as-you-go use over all nodes, about."""
    nodes = sum(len(np.unique(row)) for row in programme.futures.node)
    return int(undominated(programme, arrays)[0].sum()) * nodes


def _some(programme: Programme, arrays: Arrays, whole: Assembly) -> Floats:
    """A plan where the search had no time to find one: the relaxation, rounded."""
    relaxed = highs.solve(whole.matrix, relaxed=True)
    return rounded(programme, arrays, whole, relaxed.x) if len(relaxed.x) else relaxed.x


def feasible(programme: Programme) -> bool:
    """Whether any plan holds all constraints."""
    matrix = assemble(programme, arrays_of(programme), exact(programme.futures)).matrix
    free = matrix._replace(cost=np.zeros_like(matrix.cost))
    return bool(len(highs.solve(free, gap=1.0).x))


def _why(programme: Programme) -> str:
    lines = conflict(programme, feasible)
    return "no plan holds all constraints; these conflict:\n" + "\n".join(f"  {line}" for line in lines)
