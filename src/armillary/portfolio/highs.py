"""HiGHS over sparse arrays; the library is imported when a programme is solved, not before."""

from __future__ import annotations

import math
import os
from functools import cache
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from armillary.errors import ArmillaryError
from armillary.portfolio.calendar import Floats
from armillary.portfolio.matrix import Matrix

TOLERANCE = 1e-7
"""Of rows and of reduced costs, in scaled units: HiGHS's own default. [-]"""


Statuses = NDArray[np.int8]
"""Of columns or rows in a basis: 0 at the lower bound, 1 basic, 2 at the upper bound, 3 free at zero."""


class Solved(NamedTuple):
    """What HiGHS found. status : `optimal`, `infeasible`, `unbounded` or `time limit`.

    x : a feasible point, empty where none was found. duals : of the rows, empty for integers. value : of x.
    bound : no point is cheaper; -inf where nothing was proven. seconds : that it took.
    """

    status: str
    x: Floats
    duals: Floats
    reduced: Floats
    value: float
    bound: float
    seconds: float
    basis: tuple[Statuses, Statuses] | None = None


@cache
def library() -> Any:
    """The library.

    Its first model writes a banner to standard output, which is ours for data: it is kept away.
    """
    import highspy

    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        highspy.Highs()  # type: ignore[no-untyped-call]
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)
    return highspy


def solve(
    matrix: Matrix,
    relaxed: bool = False,
    seconds: float = math.inf,
    gap: float = 1e-6,
    presolve: bool = True,
    start: Floats | None = None,
    lower: Floats | None = None,
    upper: Floats | None = None,
    basis: tuple[Statuses, Statuses] | None = None,
    with_basis: bool = False,
) -> Solved:
    """Minimise.

    Parameters
    ----------
    matrix : Matrix
    relaxed : bool
        Integers may be fractions.
    seconds : float
        Time limit. [s]
    gap : float
        Relative gap at which a search over integers stops. [-]
    presolve : bool
        Without it a linear programme that is stopped still gives the prices that it had.
    start : array or None
        A point to begin the search over integers with.
    lower, upper : array or None
        Bounds of columns instead of the matrix's.
    basis : tuple or None
        Of columns and rows, to begin the simplex method with.
    with_basis : bool
        Whether the basis at the end is asked for.
    """
    began = perf_counter()
    highspy = library()
    model = highspy.Highs()
    for name, value in (
        ("output_flag", False), ("mip_rel_gap", gap), ("threads", 2), ("random_seed", 0),
        ("presolve", "choose" if presolve else "off"),
    ):  # fmt: skip
        model.setOptionValue(name, value)
    if math.isfinite(seconds):
        model.setOptionValue("time_limit", max(seconds, 0.01))
    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = len(matrix.cost), len(matrix.row_lower)
    lp.col_cost_ = matrix.cost
    lp.col_lower_ = matrix.lower if lower is None else lower
    lp.col_upper_ = matrix.upper if upper is None else upper
    lp.row_lower_, lp.row_upper_ = matrix.row_lower, matrix.row_upper
    lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    lp.a_matrix_.start_, lp.a_matrix_.index_, lp.a_matrix_.value_ = matrix.start, matrix.row, matrix.value
    whole = matrix.integer.any() and not relaxed
    if whole:
        kinds = (highspy.HighsVarType.kContinuous, highspy.HighsVarType.kInteger)
        lp.integrality_ = [kinds[int(i)] for i in matrix.integer]
    model.passModel(lp)
    if start is not None:
        point = highspy.HighsSolution()
        point.col_value = list(start)
        model.setSolution(point)
    if basis is not None:
        begin = highspy.HighsBasis()
        words = [highspy.HighsBasisStatus(i) for i in range(4)]
        begin.col_status = [words[i] for i in basis[0].tolist()]
        begin.row_status = [words[i] for i in basis[1].tolist()]
        begin.valid, begin.alien = True, True
        model.setBasis(begin)
    model.run()
    return _read(model, highspy, bool(whole), with_basis, perf_counter() - began)


def _read(model: Any, highspy: Any, whole: bool, with_basis: bool, seconds: float) -> Solved:
    status = model.getModelStatus()
    kinds = highspy.HighsModelStatus
    words = {
        kinds.kOptimal: "optimal", kinds.kInfeasible: "infeasible", kinds.kUnbounded: "unbounded",
        kinds.kUnboundedOrInfeasible: "infeasible", kinds.kTimeLimit: "time limit",
        kinds.kInterrupt: "time limit", kinds.kUnknown: "unknown", kinds.kModelEmpty: "optimal",
    }  # fmt: skip
    if status not in words:
        raise ArmillaryError(f"HiGHS stopped with: {model.modelStatusToString(status)}")
    info, solution = model.getInfo(), model.getSolution()
    word = words[status]
    feasible = solution.value_valid and (
        word == "optimal" or info.primal_solution_status == highspy.SolutionStatus.kSolutionStatusFeasible
    )
    none = np.zeros(0)
    x = np.asarray(solution.col_value) if feasible else none
    with_duals = not whole and solution.dual_valid
    duals = np.asarray(solution.row_dual) if with_duals else none
    reduced = np.asarray(solution.col_dual) if with_duals else none
    value = float(info.objective_function_value) if feasible else math.inf
    bound = float(info.mip_dual_bound) if whole else (value if word == "optimal" else -math.inf)
    basis = None
    if with_basis and not whole and word == "optimal" and (held := model.getBasis()).valid:
        parts = (np.fromiter((int(s) for s in part), np.int8) for part in (held.col_status, held.row_status))
        basis = (next(parts), next(parts))
    return Solved(word, x, duals, reduced, value, bound, seconds, basis)
