"""Score the training model on a table of measured runs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from armillary.catalog import Catalog
from armillary.errors import ArmillaryError
from armillary.model import Transformer, model_flops_convention
from armillary.training import Calibration, Estimate, calibration, estimate
from armillary.training.layout import RECOMPUTE
from armillary.validation.score import Row
from armillary.validation.tables import Cells
from armillary.validation.training_rows import Setup, read

METRICS = (
    "tokens_per_s_per_gpu",
    "model_tflops_per_gpu",
    "step_time_s",
    "mfu_as_reported",
    "derived_step_time_s",
)
"""Columns that can be predicted, in their own units (percent for `mfu_as_reported`)."""

SAME_JOB = (
    *("source", "model", "gpu", "precision", "seq_len", "interconnect", "recompute", "fsdp_zero"),
    *("tp", "pp", "vpp", "cp", "ep", "etp"),
)
"""Columns that do not change along a scaling curve."""
SCALES = ((8, "up to 8"), (64, "9 to 64"), (512, "65 to 512"), (2048, "513 to 2048"))


def is_scored(row: Mapping[str, str]) -> bool:
    """True where the row belongs to the scored set: pre-training, quality A or B, enough said to predict."""
    return bool(
        (row.get("workload") or "pretrain") == "pretrain"
        and (row.get("quality") or "A") in ("A", "B")
        and all((row.get(c) or "").strip() for c in ("num_gpus", "global_batch", "tp", "pp"))
        and any((row.get(c) or "").strip() for c in METRICS)
    )


def validate_training(
    rows: Iterable[Mapping[str, str]],
    catalog: Catalog,
    calibrate: Callable[[Setup], Calibration] | None = None,
    progress: Callable[[], None] | None = None,
) -> list[Row]:
    """Predict every metric that every row publishes.

    Parameters
    ----------
    rows : iterable of mappings
        From `read_table`.
    catalog : Catalog
    calibrate : callable, optional
        Gives the calibration of a row; by default that of its chip and framework.
    progress : callable, optional
        Called after each row.

    Returns
    -------
    list of Row
        A row that cannot be evaluated stays in, with `predicted` None and the reason.
    """
    scored: list[Row] = []
    for row in rows:
        scored += _row(row, catalog, calibrate or default_calibration)
        if progress is not None:
            progress()
    return scored


def default_calibration(setup: Setup, known: Mapping[str, Any] | None = None) -> Calibration:
    """The calibration of a row's chip, framework and stated software features; `known` as there."""
    found = calibration(setup.machine.accelerator, setup.framework, known)
    return found.with_software(graphs=setup.graphs, dispatcher=setup.dispatcher)


def labels(row: Mapping[str, str]) -> dict[str, Any]:
    """What groups the row: chip, scale, source, runs of one model on as many of one chip, and job."""
    cells = Cells(row)
    return {
        "accelerators": _measured(row, "num_gpus") or 0.0,
        "job": "|".join(cells.text(c) for c in SAME_JOB),
        "chip": row.get("gpu", ""),
        "scale": _scale(row.get("num_gpus", "")),
        "source": row.get("source", ""),
        "group": "|".join(row.get(c, "") for c in ("model", "gpu", "num_gpus")),
    }


class Published(NamedTuple):
    """What a row publishes.

    values : by metric, in its own unit. wrong : why a metric cannot be scored. target : the one that counts.
    """

    values: dict[str, float]
    wrong: dict[str, str]
    target: str

    @property
    def metrics(self) -> list[str]:
        """Metrics to tell about, at least the one that counts."""
        return [m for m in METRICS if m in self.values or m in self.wrong] or [self.target]


def published(row: Mapping[str, str]) -> Published:
    """Read the measured cells of a row; one that is no positive number is kept with its reason."""
    texts = {m: text for m in METRICS if (text := (row.get(m) or "").strip())}
    values = {m: value for m in texts if (value := _measured(row, m)) is not None}
    wrong = {m: f"column {m}: {t!r} is no positive number" for m, t in texts.items() if m not in values}
    stated = (row.get("target_metric") or "").strip()
    target = "mfu_as_reported" if stated == "mfu" else stated
    if target in METRICS:
        if target not in texts:
            wrong[target] = f"column {target} is empty, but target_metric names it"
        return Published(values, wrong, target)
    target = next((m for m in ("step_time_s", *METRICS) if m in texts), "step_time_s")
    if stated:
        wrong[target] = f"column target_metric: unknown {stated!r}; write one of {', '.join(METRICS)}"
    elif not texts:
        wrong[target] = f"columns {', '.join(METRICS)} are empty"
    return Published(values, wrong, target)


def _row(row: Mapping[str, str], catalog: Catalog, calibrate: Callable[[Setup], Calibration]) -> list[Row]:
    said = published(row)
    scored = is_scored(row)
    known_as = labels(row)

    def failed(metric: str, reason: str, kind: str) -> Row:
        return Row(
            row["id"],
            metric,
            said.values.get(metric),
            None,
            None,
            0.0,
            (),
            reason,
            scored and metric == said.target,
            kind=kind,
            **known_as,
        )

    try:
        setup = read(row, catalog)
        known = calibrate(setup)
        answer = estimate(setup.job, setup.machine, setup.layout, known)
    except ArmillaryError as error:
        kind = "MoE" if (row.get("experts") or "").strip() else "dense"
        return [failed(m, str(error), kind) for m in said.metrics]
    kind = "MoE" if any(getattr(k.feed_forward, "experts", 0) for k in setup.job.model.kinds()) else "dense"
    assumed = (*setup.assumed, *known.assumed)
    about = factors(row, setup)
    out = []
    for metric in said.metrics:
        if metric in said.wrong:
            out.append(failed(metric, said.wrong[metric], kind))
            continue
        measured = said.values[metric]
        predicted = ratio = None
        reason = ""
        try:
            predicted = _predict(metric, row, setup.job.model, answer)
            slower = metric in ("step_time_s", "derived_step_time_s")
            ratio = predicted / measured if slower else measured / predicted
        except ArmillaryError as error:  # a way of counting FLOPs that is not known
            reason = str(error)
        out.append(
            Row(
                row["id"],
                metric,
                measured,
                predicted,
                ratio,
                answer.tokens / float(answer.time.total) / float(answer.accelerators),
                assumed,
                reason,
                scored and metric == said.target,
                kind=kind,
                factors=about,
                step=float(answer.time.total),
                **known_as,
            )
        )
    return out


def factors(row: Mapping[str, str], setup: Setup) -> tuple[tuple[str, str], ...]:
    """What a row's error may hang on, as it was evaluated, by name."""
    layout = setup.layout
    return (
        ("chip", row.get("gpu", "")),
        ("source", row.get("source", "")),
        ("precision", setup.job.recipe.name),
        ("framework", setup.framework),
        ("scale", _scale(row.get("num_gpus", ""))),
        ("model", row.get("model", "")),
        ("dispatcher", setup.dispatcher if layout.ep > 1 else "none"),
        ("micro-batch", f"{layout.micro_batch:g}"),
        ("recompute", RECOMPUTE[layout.recompute]),
        ("CUDA graphs", "yes" if setup.graphs else "no"),
    )


def _measured(row: Mapping[str, str], metric: str) -> float | None:
    match = re.match(r"\s*~?(\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)", row.get(metric) or "")
    value = float(match[1]) if match else 0.0
    return value if 0 < value < float("inf") else None


def _scale(text: str) -> str:
    try:
        size = float(text)
    except ValueError:
        return "unknown"
    return next((label for most, label in SCALES if size <= most), "over 2048")


def _convention(row: Mapping[str, str]) -> str:
    text = row.get("flops_convention") or "causal half attn"
    source = row.get("source") or ""
    if source.startswith("NeMo long-sequence"):
        # Until mid-2025 nemo/utils/flops_formulas.py counted attention in full, for Llama 3 as for Llama 2;
        # with half of it these rows of B200 would run attention above its peak.
        return "full"
    release = re.match(r"(\d\d)\.(\d\d)", row.get("release") or "")
    if "Megatron-Bridge" in text and release and (int(release[1]), int(release[2])) < (26, 6):
        return "megatron-bridge-before-26.06"
    return text


def _predict(metric: str, row: Mapping[str, str], model: Transformer, answer: Estimate) -> float:
    step = float(answer.time.total)
    rate = answer.tokens / step / float(answer.accelerators)
    if metric in ("step_time_s", "derived_step_time_s"):
        return step
    if metric == "tokens_per_s_per_gpu":
        return rate
    flops = float(model_flops_convention(model, int(float(row["seq_len"])), _convention(row))) * rate
    return flops / 1e12 if metric == "model_tflops_per_gpu" else 100 * flops / answer.peak
