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
from armillary.portfolio.calendar import Floats, Integers
from armillary.portfolio.matrix import Matrix

TOLERANCE = 1e-7
"""Of rows and of reduced costs, in scaled units: HiGHS's own default. [-]"""


Statuses = NDArray[np.int8]
"""Of columns or rows in a basis: 0 at the lower bound, 1 basic, 2 at the upper bound, 3 free at zero."""

Basis = tuple[Statuses, Statuses]
"""Of columns and rows."""


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
    basis: Basis | None = None


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
    basis: Basis | None = None,
    with_basis: bool = False,
    enough: float = math.inf,
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
    enough : float
        Bound at which to stop a linear programme that is not presolved: what costs more is of no interest.
    """
    began = perf_counter()
    highspy = library()
    model = _loaded(matrix, relaxed, lower, upper)
    for name, value in (("mip_rel_gap", gap), ("presolve", "choose" if presolve else "off")):
        model.setOptionValue(name, value)
    if math.isfinite(seconds):
        model.setOptionValue("time_limit", max(seconds, 0.01))
    if math.isfinite(enough):
        model.setOptionValue("objective_bound", enough)
    if start is not None:
        point = highspy.HighsSolution()
        point.col_value = list(start)
        model.setSolution(point)
    if basis is not None:
        model.setBasis(_begun(basis))
    model.run()
    whole = bool(matrix.integer.any()) and not relaxed
    return _read(model, highspy, whole, with_basis, perf_counter() - began)


class Relaxation:
    """A relaxation that is solved again and again with other bounds, each time from where it was before.

    Parameters
    ----------
    matrix : Matrix
    basis : tuple or None
        To begin with.
    """

    def __init__(self, matrix: Matrix, basis: Basis | None = None) -> None:
        self._model = _loaded(matrix, True, None, None)
        if basis is not None:
            self._model.setBasis(_begun(basis))
            self._model.setOptionValue("presolve", "off")

    def basis(self) -> Basis:
        """Where it is."""
        return _basis(self._model)

    def solve(
        self,
        columns: Integers,
        lower: Floats,
        upper: Floats,
        row: tuple[int, float, float] | None = None,
        enough: float = math.inf,
        seconds: float = math.inf,
    ) -> Solved:
        """Minimise with other bounds of some columns, and of one row.

        Parameters
        ----------
        columns, lower, upper : array
        row : tuple or None
            Its number and bounds.
        enough : float
            Bound at which to stop: what costs more is of no interest.
        seconds : float
            Time limit. [s]
        """
        began = perf_counter()
        model = self._model
        model.changeColsBounds(len(columns), columns.astype(np.int32), lower, upper)
        if row is not None:
            model.changeRowBounds(*row)
        model.setOptionValue("objective_bound", enough)
        # The limit is of all runs of a model together.
        model.setOptionValue("time_limit", model.getRunTime() + max(seconds, 0.01))
        model.run()
        model.setOptionValue("presolve", "off")
        return _read(model, library(), False, False, perf_counter() - began)


class Alike:
    """Linear programmes one after the other, each from where the one before ended, if entries are alike."""

    def __init__(self) -> None:
        self._model: Any = None
        self._matrix: Matrix | None = None

    def solve(self, matrix: Matrix) -> Solved:
        """Minimise."""
        began, before = perf_counter(), self._matrix
        if before is not None and before.like(matrix):
            model = self._model
            columns, rows = (np.arange(len(one), dtype=np.int32) for one in (matrix.cost, matrix.row_lower))
            model.changeColsCost(len(columns), columns, matrix.cost)
            model.changeColsBounds(len(columns), columns, matrix.lower, matrix.upper)
            model.changeRowsBounds(len(rows), rows, matrix.row_lower, matrix.row_upper)
            others = np.flatnonzero(before.value != matrix.value)
            column = np.searchsorted(matrix.start, others, side="right") - 1
            for entry in zip(matrix.row[others], column, matrix.value[others], strict=True):
                model.changeCoeff(*entry)
            model.setOptionValue("presolve", "off")
        else:
            model = self._model = _loaded(matrix, True, None, None)
        self._matrix = matrix
        model.run()
        return _read(model, library(), False, False, perf_counter() - began)


class Growing:
    """A linear programme that gets more columns and rows, and goes on from where it was.

    Parameters
    ----------
    matrix : Matrix
    presolve : bool
        Whether the first time it is solved, it is presolved.
    """

    def __init__(self, matrix: Matrix, presolve: bool = False) -> None:
        self._model = _loaded(matrix, True, None, None)
        self._model.setOptionValue("presolve", "choose" if presolve else "off")

    def columns(self, cost: Floats, lower: float, upper: float) -> Integers:
        """Add columns without entries; gives their numbers."""
        first, count, none = self._model.getNumCol(), len(cost), np.zeros(0)
        low, up = (np.full(count, bound) for bound in (lower, upper))
        self._model.addCols(count, cost, low, up, 0, none.astype(np.int32), none.astype(np.int32), none)
        return np.arange(first, first + count)

    def row(self, lower: float, columns: Integers, values: Floats) -> None:
        """Add a row of at least `lower`."""
        self._model.addRow(lower, np.inf, len(columns), columns.astype(np.int32), values)

    def rows(self, lower: Floats, start: Integers, columns: Integers, values: Floats) -> None:
        """Add rows of at least `lower`, by their entries from `start`."""
        none, begins = np.full(len(lower), np.inf), start[:-1].astype(np.int32)
        self._model.addRows(len(lower), lower, none, len(values), begins, columns.astype(np.int32), values)

    def bounds(self, columns: Integers, lower: Floats, upper: Floats) -> None:
        """Change bounds of columns."""
        self._model.changeColsBounds(len(columns), columns.astype(np.int32), lower, upper)

    def row_bounds(self, row: int, lower: float, upper: float) -> None:
        """Change bounds of a row."""
        self._model.changeRowBounds(row, lower, upper)

    def basis(self) -> Basis:
        """Where it is."""
        return _basis(self._model)

    def begin(self, basis: Basis) -> None:
        """Go on from there."""
        self._model.setBasis(_begun(basis))

    def solved(self, seconds: float = math.inf, enough: float = math.inf) -> Solved:
        """Minimise, or stop at a bound from which more is of no interest."""
        began = perf_counter()
        self._model.setOptionValue("objective_bound", enough)
        if math.isfinite(seconds):
            # The limit is of all runs of a model together.
            self._model.setOptionValue("time_limit", self._model.getRunTime() + max(seconds, 0.01))
        self._model.run()
        self._model.setOptionValue("presolve", "off")
        return _read(self._model, library(), False, False, perf_counter() - began)


def _loaded(matrix: Matrix, relaxed: bool, lower: Floats | None, upper: Floats | None) -> Any:
    highspy = library()
    model = highspy.Highs()
    for name, value in (("output_flag", False), ("threads", 2), ("random_seed", 0)):
        model.setOptionValue(name, value)
    whole = matrix.integer & (not relaxed)
    model.passModel(
        len(matrix.cost), len(matrix.row_lower), len(matrix.value),
        int(highspy.MatrixFormat.kColwise), int(highspy.ObjSense.kMinimize), 0.0,
        matrix.cost, matrix.lower if lower is None else lower, matrix.upper if upper is None else upper,
        matrix.row_lower, matrix.row_upper, matrix.start.astype(np.int32), matrix.row.astype(np.int32),
        matrix.value, whole.astype(np.int32),
    )  # fmt: skip
    return model


def _read(model: Any, highspy: Any, whole: bool, with_basis: bool, seconds: float) -> Solved:
    status = model.getModelStatus()
    kinds = highspy.HighsModelStatus
    words = {
        kinds.kOptimal: "optimal", kinds.kInfeasible: "infeasible", kinds.kUnbounded: "unbounded",
        kinds.kUnboundedOrInfeasible: "infeasible", kinds.kTimeLimit: "time limit",
        kinds.kInterrupt: "time limit", kinds.kUnknown: "unknown", kinds.kNotset: "unknown",
        kinds.kModelEmpty: "optimal",
        kinds.kObjectiveBound: "enough",
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
    if with_basis and not whole and word == "optimal" and model.getBasis().valid:
        basis = _basis(model)
    return Solved(word, x, duals, reduced, value, bound, seconds, basis)


def _begun(basis: Basis) -> Any:
    highspy = library()
    begin = highspy.HighsBasis()
    words = [highspy.HighsBasisStatus(i) for i in range(4)]
    begin.col_status, begin.row_status = ([words[i] for i in part.tolist()] for part in basis)
    begin.valid, begin.alien = True, True
    return begin


def _basis(model: Any) -> Basis:
    held = model.getBasis()
    return _statuses(held.col_status), _statuses(held.row_status)


def _statuses(held: Any) -> Statuses:
    return np.fromiter((int(s) for s in held), np.int8)
