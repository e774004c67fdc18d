"""Score the serving models on a table of measured deployments: closed loops, simulated request by request."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from armillary.catalog import Catalog
from armillary.errors import ArmillaryError
from armillary.validation.score import Row, summarise
from armillary.validation.serving_loop import Measured, predict
from armillary.validation.serving_rows import SATURATED, ServingRun, model_named, read_run
from armillary.validation.tables import SHIPPED, read_table

METRICS = ("tpot_ms", "ttft_ms", "tokens_per_s_per_gpu")
COLUMNS = ("id", "gpu", "model", "isl", "osl", "concurrency_or_rate", "engine", "mode")
"""Columns of a table of deployments without which no row can be evaluated."""
SERVING = SHIPPED / "measured_serving.csv"
"""Published deployments, with sources."""


def read_serving_table(path: Path = SERVING) -> list[dict[str, str]]:
    """Read a table of measured deployments.

    Raises
    ------
    InputError
        If the file cannot be read or lacks a needed column; the message names it.
    """
    return read_table(path, COLUMNS)


def is_scored_serving(row: Mapping[str, str], catalog: Catalog) -> bool:
    """True where a row has a model of the catalog, lengths, and a concurrency or saturation."""
    load = (row.get("concurrency_or_rate") or "").strip()
    if not (re.fullmatch(r"\d+(\.\d+)?", load) or SATURATED.search(load)):
        return False
    if not all((row.get(c) or "").strip() for c in ("isl", "osl")):
        return False
    try:
        model_named(row.get("model") or "", catalog)
    except ArmillaryError:
        return False
    return True


def validate_serving(
    rows: Iterable[Mapping[str, str]],
    catalog: Catalog,
    progress: Callable[[], None] | None = None,
    seed: int = 0,
) -> list[Row]:
    """Predict every metric that every row publishes.

    Parameters
    ----------
    rows : iterable of mappings
        From `read_serving_table`.
    catalog : Catalog
    progress : callable, optional
        Called after each row.
    seed : int
        Of the drawn lengths.

    Returns
    -------
    list of Row
        A row that cannot be evaluated stays in, with `predicted` None and the reason.
    """
    scored: list[Row] = []
    found: dict[Any, Measured] = {}
    for row in rows:
        scored += _row(row, catalog, found, seed)
        if progress is not None:
            progress()
    return scored


def _row(row: Mapping[str, str], catalog: Catalog, found: dict[Any, Measured], seed: int) -> list[Row]:
    published = {m: value for m in METRICS if (value := _number(row, m)) is not None}
    if "output" not in (row.get("metric") or "output"):
        published.pop("tokens_per_s_per_gpu", None)
    group = "|".join((row.get(c) or "") for c in ("model", "gpu", "isl", "osl", "engine"))
    about: dict[str, Any] = {
        "chip": row.get("gpu", ""),
        "scale": row.get("n_gpus", ""),
        "source": (row.get("source") or "").split(" ")[0],
        "group": group,
        "accelerators": _number(row, "n_gpus") or 0.0,
    }
    scored = is_scored_serving(row, catalog)
    try:
        run = read_run(row, catalog)
        key = run.question
        if key not in found:
            found[key] = predict(run, seed)
        answer = found[key]
    except ArmillaryError as error:
        return [
            Row(row["id"], m, published.get(m), None, None, 0.0, (), str(error), scored, kind="", **about)
            for m in (list(published) or METRICS[2:])
        ]
    rate = _rate(row, run, answer)
    predicted = {"tpot_ms": 1e3 * answer.tpot, "ttft_ms": 1e3 * answer.ttft, "tokens_per_s_per_gpu": rate}
    moe = any(getattr(k.feed_forward, "experts", 0) for k in run.model.kinds())
    factors = (
        ("metric", ""),
        ("chip", run.chip.name),
        ("engine", run.engine),
        ("release", f"{run.engine} {run.release}".strip()),
        ("model", run.model.name),
        ("mode", "disaggregated" if run.prefill is not None else "aggregated"),
        ("precision", run.precision_name),
        ("drafts", str(run.drafts)),
        ("layout", run.decode.layout.words()),
    )
    rows = []
    for metric, measured in published.items():
        value = predicted[metric]
        rows.append(
            Row(
                row["id"],
                metric,
                measured,
                value,
                value / measured,
                1.0 / value,  # what ranks rows: times `ratio` it is the inverse of the measurement
                tuple(run.assumed),
                "",
                scored,
                kind="MoE" if moe else "dense",
                factors=(("metric", metric), *factors[1:]),
                step=answer.tpot,
                **about,
            )
        )
    return rows


def _rate(row: Mapping[str, str], run: ServingRun, answer: Measured) -> float:
    """Tokens per second and accelerator as the row counts them."""
    if "derived" in (row.get("metric") or "") and math.isfinite(run.concurrency):
        osl = float(row["osl"])
        total = run.concurrency * osl / (answer.ttft + answer.tpot * (osl - 1))
    else:
        total = answer.rate
    return total / run.accelerators


def _number(row: Mapping[str, str], name: str) -> float | None:
    try:
        value = float((row.get(name) or "").strip())
    except ValueError:
        return None
    return value if 0 < value < 1e12 else None


def serving_figures(scored: Iterable[Row]) -> dict[str, float]:
    """Figures of the serving model, by metric."""
    rows = [r for r in scored if r.ratio is not None]
    found: dict[str, float] = {"n": float(len(rows))}
    for metric, name in zip(METRICS, ("tpot", "ttft", "rate"), strict=True):
        s = summarise([r for r in rows if r.metric == metric])
        found |= {f"{name}_median": s.median_abs_error, f"{name}_p90": s.p90_abs_error}
        found |= {f"{name}_bias": s.median_error}
        if s.kendall_tau is not None:
            found[f"{name}_tau"] = s.kendall_tau
    return found
