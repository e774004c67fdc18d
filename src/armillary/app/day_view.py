"""A day of a fleet as people read it: a table with confidence intervals, JSON, a figure."""

from __future__ import annotations

from typing import Any

import numpy as np

from armillary.app.outcome_view import CURVE, NAMES, PERCENTS, latency_chart
from armillary.serving.cells import Estimate, FleetOutcome
from armillary.serving.demand import Demand
from armillary.serving.diurnal import DAY
from armillary.serving.fleet import BuiltPool


def _finite(found: Estimate) -> dict[str, float]:
    return {"value": found.value, "low": found.low, "high": found.high}


def day_json(found: FleetOutcome, cell: BuiltPool, demand: Demand, targets: bool) -> dict[str, Any]:
    """Counts, percentiles with 95% intervals [s]; times are those of users, front end included.

    targets : whether there were any; without, or without requests, there is no goodput.
    """
    counts, served = found.counts, cell.served
    front = cell.pool.front
    prompt = counts.input / counts.requests if counts.requests else 0.0
    busy = sum(float(one.replicas.busy.sum()) for one in found.sampled)
    on = sum(float(one.replicas.on.sum()) for one in found.sampled)
    answer = {
        "messages": demand.messages_per_day,
        "shape": demand.shape.name,
        "peak_requests_per_s": demand.messages_per_day / DAY * demand.shape.peak_over_mean,
        "cells": found.cells,
        "sampled": len(found.sampled),
        "replicas": found.cells * (served.replicas + served.prefill_replicas),
        "accelerators": found.cells * served.accelerators,
        "layout": served.layout.words(),
        "prefill": None if served.prefill is None else served.prefill.words(),
        "requests": counts.requests,
        "completed": counts.completed,
        "rejected": counts.rejected,
        "timed_out": counts.timed_out,
        "reasons": counts.reasons,
        "preempted": counts.preempted,
        "retried": counts.retried,
        "utilisation": busy / on if on else 0.0,
        "most_in_flight": counts.most_in_flight,
        "front_end": front[0] + front[1] * prompt,
        "latency": {what: {f"p{p}": _finite(found.percentile(what, p)) for p in PERCENTS} for what in NAMES},
    }
    if targets and counts.requests:
        answer["goodput"] = _finite(found.goodput())
    return answer


def print_day(found: FleetOutcome, cell: BuiltPool, demand: Demand, targets: bool) -> None:
    """Print what a day found; its goodput where there were targets and requests."""
    from rich.table import Table

    from armillary.app.console import out

    said = day_json(found, cell, demand, targets)
    console = out()
    served = cell.served
    layout = f"{served.replicas} x {said['layout']}"
    if said["prefill"] is not None:
        layout = f"{served.prefill_replicas} x {said['prefill']} for prompts, {layout} for decoding"
    console.print(
        f"{said['messages']:,.4g} messages a day, {said['peak_requests_per_s']:,.0f} a second at the peak; "
        f"{said['cells']:,} cells of {layout}: {said['replicas']:,} replicas, {said['accelerators']:,} "
        f"accelerators ({served.system.name})"
    )
    console.print(
        f"{said['sampled']:,} cells run: {said['requests']:,} requests, {said['completed']:,} completed, "
        f"{said['rejected']:,} rejected, {said['timed_out']:,} timed out; {said['preempted']:,} preemptions, "
        f"{said['retried']:,} retries; replicas busy {said['utilisation']:.0%}"
    )
    if not said["requests"]:
        console.print("no request came to the cells that were run, so there are no latencies")
        return
    for reason, count in said["reasons"].items():
        console.print(f"{count:,} requests: {reason}")
    table = Table(box=None, pad_edge=False)
    for heading in ("", *(f"p{p}" for p in PERCENTS)):
        table.add_column(heading, justify="right" if heading else "left")
    for what, name in NAMES.items():
        table.add_row(name, *(_words(value) for value in said["latency"][what].values()))
    console.print(table)
    if found.cells == len(found.sampled):
        console.print("all cells were run, request by request: nothing is estimated")
    else:
        console.print("± is the 95% confidence interval between cells (Student's t)")
    console.print(f"as users see it: the front end adds about {said['front_end'] * 1e3:,.0f} ms")
    if "goodput" in said:
        good = said["goodput"]
        half = 50 * (good["high"] - good["low"])
        console.print(f"goodput: {good['value']:.3%} ± {half:.3f} points of requests within the targets")


def _words(found: dict[str, float]) -> str:
    value, half = found["value"] * 1e3, (found["high"] - found["low"]) * 500
    if not np.isfinite(value):
        return "-"
    return f"{value:,.1f} ms" if half == 0 else f"{value:,.1f} ± {half:,.2g} ms"


def day_figure(found: FleetOutcome) -> str:
    """Share of requests that are served within a time, all cells that were run together."""
    series = []
    for what in ("ttft", "tpot"):
        values = np.asarray(getattr(found, what).percentile(CURVE))
        if np.isfinite(values).all():
            points = [(max(float(v) * 1e3, 1e-3), p / 100) for v, p in zip(values, CURVE, strict=True)]
            series.append((NAMES[what], points))
    return latency_chart(series, "Latency that users see through the day")
