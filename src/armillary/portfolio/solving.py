"""From a programme to its plan."""

from __future__ import annotations

from time import perf_counter

import numpy as np

from armillary.errors import ArmillaryError, InfeasibleError
from armillary.portfolio import highs
from armillary.portfolio.arrays import Arrays
from armillary.portfolio.arrays import arrays as arrays_of
from armillary.portfolio.assembly import Assembly, assemble
from armillary.portfolio.bounds import proven
from armillary.portfolio.branching import Tree
from armillary.portfolio.calendar import Floats
from armillary.portfolio.checking import check
from armillary.portfolio.conflicts import conflict
from armillary.portfolio.decomposition import decompose
from armillary.portfolio.dominance import undominated
from armillary.portfolio.plan import Plan, plan_of
from armillary.portfolio.plan import gap as gap_of
from armillary.portfolio.records import Programme
from armillary.portfolio.rounding import rounded
from armillary.portfolio.rounds import Best
from armillary.portfolio.states import exact

WHOLE = 20_000
"""Columns of use up to which a programme is searched as one. [-]"""
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
        At which to stop; the best plan so far and its gap are given. What a first use takes to compile is not
        counted. [s]
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
    by = branched if size <= WHOLE else by_rounds
    best = by(programme, arrays, gap, until)
    if best is not None:
        status = "optimal" if best.finished else "time limit"
        return plan_of(programme, arrays, best.assembly, best.x, status, best.bound, perf_counter() - began)
    if perf_counter() > until and size > WHOLE:
        raise ArmillaryError(f"no plan was found within {seconds:g} s; give it more, or ask for less")
    whole = assemble(programme, arrays, exact(programme.futures))
    found = highs.solve(whole.matrix, gap=gap, seconds=until - perf_counter())
    x = found.x
    if not len(x) and found.status == "time limit":
        x = _some(programme, arrays, whole)
    if not len(x):
        raise InfeasibleError(_why(programme))
    status = "optimal" if found.status == "optimal" else "time limit"
    return plan_of(programme, arrays, whole, x, status, found.bound, perf_counter() - began)


def branched(programme: Programme, arrays: Arrays, gap: float, until: float) -> Best | None:
    """Search the whole programme by branching; None where its relaxation, rounded, gives no plan.

    Parameters
    ----------
    programme, arrays
    gap : float
    until : float
        Time limit, of the performance counter. [s]
    """
    whole = assemble(programme, arrays, exact(programme.futures))
    relaxed = highs.solve(whole.matrix, relaxed=True, with_basis=True)
    x = rounded(programme, arrays, whole, relaxed.x) if len(relaxed.x) else relaxed.x
    if not len(x):
        return None
    value, bound = float(whole.matrix.cost @ x), proven(whole, relaxed.duals)
    best = Best(whole, x, value, bound, gap_of(value, bound) <= gap, True)
    return _searched(programme, arrays, best, gap, until, relaxed.basis)


def by_rounds(programme: Programme, arrays: Arrays, gap: float, until: float) -> Best | None:
    """Solve by rounds; where they end before the time does, search the whole for what is left of it."""
    best = decompose(programme, arrays, gap, until)
    if best is None or best.finished or not best.every or perf_counter() > until:
        return best
    return _searched(programme, arrays, best, gap, until)


def _searched(
    programme: Programme,
    arrays: Arrays,
    best: Best,
    gap: float,
    until: float,
    basis: highs.Basis | None = None,
) -> Best:
    """The best of all plans, from one that is known."""
    states, value, x = best.assembly.states, best.value, best.x
    within = assemble(programme, arrays, states, None, value)
    tree = Tree(programme, arrays, within, gap, value, True, basis)
    searched = tree.search([tree.root()], until)
    if searched.value < value:
        x, value = searched.x, searched.value
    bound = min(max(searched.bound, best.bound), value)
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
