"""Score the memory model on measured peaks: of slices of models on one box, and of whole training runs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np

from armillary.catalog import Catalog
from armillary.catalog.records import Accelerator
from armillary.errors import ArmillaryError, InputError
from armillary.machine import Slice, build
from armillary.model import Transformer, customise, transformer
from armillary.training import Calibration, Estimate, Job, Layout, Memory, calibration, estimate, recipe
from armillary.training.layout import CONTEXT_EXCHANGES
from armillary.validation.score import Row
from armillary.validation.tables import COLUMNS, SLICES, Cells, read_table
from armillary.validation.training import default_calibration, labels
from armillary.validation.training_rows import read

GIB = 2.0**30
SLICE_COLUMNS = ("case", "model", "layers", "microbatches", "seq", "n_gpus", "gpu", "source")
"""Columns of a table of slices without which no row can be evaluated; degrees stand in `case`."""

DEGREES = ("tp", "cp", "pp", "ep")
RUN_METRIC = "mem_gib_per_gpu"
PEAK = "measured_peak_alloc_gib"
SLICE_METRICS = (PEAK, "measured_peak_reserved_gib", "measured_ms")


def read_memory_table(path: Path = SLICES) -> list[dict[str, str]]:
    """Read a table of slices (column `case`) or of runs (column `mem_gib_per_gpu`; only rows that have it).

    Raises
    ------
    InputError
        If the file cannot be read or lacks a needed column; the message names file and column.
    """
    rows = read_table(path, ())
    if rows and RUN_METRIC in rows[0]:
        return [row for row in read_table(path, (*COLUMNS, RUN_METRIC)) if (row[RUN_METRIC] or "").strip()]
    return read_table(path, SLICE_COLUMNS)


def validate_memory(
    rows: Iterable[Mapping[str, str]], catalog: Catalog, progress: Callable[[], None] | None = None
) -> list[Row]:
    """Predict the peak memory, and for slices the step time, of every row.

    Parameters
    ----------
    rows : iterable of mappings
        From `read_memory_table`.
    catalog : Catalog
    progress : callable, optional
        Called after each row.

    Returns
    -------
    list of Row
        `ratio` is predicted / measured. A row that cannot be evaluated stays in, with the reason.
    """
    scored: list[Row] = []
    for row in rows:
        scored += _slice_rows(row, catalog) if "case" in row else [_run_row(row, catalog)]
        if progress is not None:
            progress()
    return scored


def allocated(memory: Memory) -> float:
    """What PyTorch's allocator hands out: all but the context, NCCL's buffers and fragmentation [byte]."""
    return float(memory.total) - float(memory.runtime) - float(memory.fragmentation)


def reserved(memory: Memory) -> float:
    """What PyTorch's allocator takes from the device: allocated and fragmentation [byte]."""
    return float(memory.total) - float(memory.runtime)


def read_slice(row: Mapping[str, str], catalog: Catalog) -> tuple[Job, Slice, Layout, tuple[str, ...]]:
    """Make a row of a slice ready; the last part is what the row does not say.

    Raises
    ------
    ArmillaryError
        If the chip or model is unknown, a number is missing, or the layout does not multiply out.
    """
    cells = Cells(row)
    chip = catalog.accelerator(re.sub(r"-SXM$", "", cells.text("gpu")))
    model = _model(cells, catalog)
    accelerators = cells.whole("n_gpus")
    degrees = {k: int(v) for k, v in re.findall(r"(?:^|_)(tp|cp|pp|ep|dp)(\d+)", cells.text("case"))}
    if not degrees:
        raise InputError(
            f"column case: {cells.text('case')!r} names no degree of parallelism; write it as in 'x_tp2_cp4'"
        )
    tp, cp, pp, ep = (degrees.get(name, 1) for name in DEGREES)
    if min(tp, cp, pp, ep) < 1 or accelerators % (tp * cp * pp):
        raise InputError(
            f"layout does not multiply out: tp {tp} x cp {cp} x pp {pp} on {accelerators} accelerators"
        )
    dp = accelerators // (tp * cp * pp)
    if degrees.get("dp", dp) != dp:
        raise InputError(f"layout does not multiply out: dp {degrees['dp']} in case, {dp} by the others")
    exchange = CONTEXT_EXCHANGES.index("ulysses")
    layout = Layout(
        tp=tp,
        cp=cp,
        pp=pp,
        dp=dp,
        ep=ep,
        micro_batch=1,
        zero=1,
        shard=dp * cp,
        cp_exchange=exchange,
        overlap_tp=0,
        overlap_dp=0,
    )
    job = Job(model, cells.whole("seq"), cells.whole("microbatches") * dp, recipe("bf16"))
    assumed = ["micro_batch=1", f"zero=1 over {dp * cp} ranks", "recompute=none", "precision=bf16"]
    assumed += ["overlap_tp=0, overlap_dp=0, NCCL's all-to-all (Megatron's defaults)"]
    assumed += ["cp_exchange=ulysses (the source's scripts)"] if cp > 1 else []
    return job, _box(chip, accelerators, catalog), layout, (*cells.assumed, *assumed)


def slice_calibration(machine: Slice) -> Calibration:
    """Megatron with what it sends tokens with by default, NCCL's all-to-all."""
    return calibration(machine.accelerator).with_software(dispatcher="nccl")


def _model(cells: Cells, catalog: Catalog) -> Transformer:
    """The first layers of a model: at most one dense layer before the experts, no multi-token prediction."""
    record = catalog.model(cells.text("model"))
    layers, whole = cells.whole("layers"), transformer(record)
    if layers >= whole.num_layers:
        return whole
    before = int(str(record.architecture.get("first_dense_layers", 0)))
    dense = min(before, 1)
    if whole.mtp_layers or dense != before:
        cells.assumed.append(f"{dense} dense layer, mtp_layers=0 (slice)")
    return customise(record, layers=layers, first_dense_layers=dense, mtp_layers=0)


def _box(chip: Accelerator, accelerators: int, catalog: Catalog) -> Slice:
    system = next((s for s in catalog.systems.values() if s.accelerator == chip.name), None)
    if system is None:
        raise InputError(f"no system in the catalog has {chip.name}")
    return build(system, chip, max(accelerators, system.scale_up_size)).slice(accelerators)


def _slice_rows(row: Mapping[str, str], catalog: Catalog) -> list[Row]:
    measured = {m: _positive(row[m]) for m in SLICE_METRICS if (row.get(m) or "").strip()}
    known = {**row, "num_gpus": row.get("n_gpus", ""), "seq_len": row.get("seq", "")}
    predicted: dict[str, float] = {}
    reason, assumed, about = "", tuple[str, ...](), tuple[tuple[str, str], ...]()
    try:
        job, machine, layout, assumed = read_slice(row, catalog)
        predicted = _predicted(estimate(job, machine, layout, slice_calibration(machine)))
        split = " ".join(f"{k} {v}" for k, v in layout._asdict().items() if k in DEGREES and v > 1)
        about = (("model", row["model"]), ("layout", split), ("sequence", f"{job.sequence:,}"))
    except ArmillaryError as error:
        reason = str(error)
    kind = "MoE" if re.search(r"_ep\d|deepseek", row["case"]) else "dense"
    rows = []
    for m in [m for m in SLICE_METRICS if m in measured or (m == PEAK and PEAK in row)] or [PEAK]:
        values = measured.get(m), predicted.get(m)
        rows.append(_row(row["case"], m, *values, assumed, reason, m == PEAK, known, kind, about))
    return rows


def _run_row(row: Mapping[str, str], catalog: Catalog) -> Row:
    measured = _positive(row[RUN_METRIC])
    kind = "MoE" if (row.get("experts") or "").strip() else "dense"
    predicted: float | None = None
    reason, assumed = "", tuple[str, ...]()
    try:
        setup = read(row, catalog)
        known = default_calibration(setup)
        answer = estimate(setup.job, setup.machine, setup.layout, known)
        predicted = reserved(fullest(answer)) / GIB
        assumed = (*setup.assumed, *known.assumed)
    except ArmillaryError as error:
        reason = str(error)
    scored = (row.get("quality") or "A") in ("A", "B") and (row.get("workload") or "pretrain") == "pretrain"
    return _row(row["id"], RUN_METRIC, measured, predicted, assumed, reason, scored, row, kind)


def fullest(answer: Estimate) -> Memory:
    """The stage of which the allocator holds most."""
    return max((answer.first_stage, answer.last_stage), key=lambda m: np.asarray(allocated(m)).item())


def _predicted(answer: Estimate) -> dict[str, float]:
    memory = fullest(answer)
    values = (allocated(memory) / GIB, reserved(memory) / GIB, float(answer.time.total) * 1e3)
    return dict(zip(SLICE_METRICS, values, strict=True))


def _row(
    name: str,
    metric: str,
    measured: float | None,
    predicted: float | None,
    assumed: tuple[str, ...],
    reason: str,
    scored: bool,
    row: Mapping[str, str],
    kind: str,
    factors: tuple[tuple[str, str], ...] = (),
) -> Row:
    known = predicted is not None and measured is not None
    return Row(
        name,
        metric,
        measured,
        predicted,
        predicted / measured if predicted is not None and measured is not None else None,
        1 / predicted if predicted else 0.0,
        assumed,
        reason or ("" if known else f"column {metric} is empty or no number"),
        scored,
        kind=kind,
        factors=factors,
        **labels(row),
    )


def _positive(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 < value < float("inf") else None
