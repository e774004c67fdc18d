"""Simulations of serving as people read them: tables, JSON, a figure, a row for each request."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from armillary.app.figures import line_chart
from armillary.app.writing import written
from armillary.serving.records import COMPLETED, REASONS
from armillary.serving.service import Service, ServiceOutcome

PERCENTS = (50, 90, 95, 99)
CURVE = (0.5, 1, 2, 5, *range(10, 95, 5), 95, 98, 99, 99.5, 99.9)
"""Percentiles that the figure is drawn through."""
STATUSES = ("in flight", "completed", "rejected", "timed out")
ROWS = 50_000
"""Requests that are written at a time. [-]"""
NAMES = {"ttft": "time to first token", "tpot": "time per output token", "e2e": "end to end"}

Times = dict[str, NDArray[np.float64]]


def _times(found: ServiceOutcome) -> Times:
    """`[request]` what users see, and the engine's part of the first token; nan where there is none [s]."""
    o = found.outcome
    return {"ttft": o.ttft, "tpot": o.tpot, "e2e": o.e2e, "engine": o.ttft - found.front}


def _percentiles(times: NDArray[np.float64]) -> dict[str, float]:
    known = times[~np.isnan(times)]
    if not len(known):
        return {f"p{p}": float("nan") for p in PERCENTS}
    return {f"p{p}": float(v) for p, v in zip(PERCENTS, np.percentile(known, PERCENTS), strict=True)}


def _groups(found: ServiceOutcome, service: Service) -> dict[str, NDArray[np.bool_]]:
    """Requests by stream and, where a stream has several, by priority."""
    groups = {}
    for i, stream in enumerate(service.streams):
        mine = found.stream == i
        levels = np.unique(np.asarray(stream.priority))
        if len(levels) < 2:
            groups[stream.name] = mine
            continue
        given = np.asarray(found.requests.priority)
        for level in levels:
            groups[f"{stream.name}, priority {level}"] = mine & (given == level)
    return groups


def service_json(found: ServiceOutcome, service: Service) -> dict[str, Any]:
    """Counts, percentiles [s] and rates of a simulation; times are those of users, front end included."""
    outcome, counts, times = found.outcome, found.outcome.counts, _times(found)
    pool = found.pool
    targets = {"ttft": service.ttft, "tpot": service.tpot, "e2e": service.e2e}
    replicas = outcome.replicas
    pools = []
    for i, one in enumerate(found.pools):
        mine, own = replicas.pool == i, pool == i
        on = float(replicas.on[mine].sum())
        pools.append(
            {
                "name": one.served.name,
                "region": one.served.region,
                "model": one.served.model.name,
                "system": one.served.system.name,
                "layout": one.served.layout.words(),
                "prefill": None if one.served.prefill is None else one.served.prefill.words(),
                "replicas": one.served.replicas,
                "prefill_replicas": one.served.prefill_replicas,
                "mean_replicas": on / counts.duration if counts.duration else 0.0,
                "accelerators": one.served.accelerators,
                "kv_tokens": one.writer.room,
                "host_tokens": one.pool.host_tokens,
                "kv_transfer": {"latency": one.pool.transfer[0], "per_token": one.pool.transfer[1]},
                "utilisation": float(replicas.busy[mine].sum()) / on if on else 0.0,
                "completed": int((own & outcome.completed).sum()),
            }
        )
    mean_front = float(found.front[outcome.completed].mean()) if counts.completed else 0.0
    return {
        "requests": counts.requests,
        "completed": counts.completed,
        "rejected": counts.rejected,
        "timed_out": counts.timed_out,
        "reasons": counts.reasons,
        "preempted": counts.preempted,
        "retried": counts.retried,
        "cached_tokens": counts.cached,
        "duration": counts.duration,
        "output_tokens_per_s": counts.output / counts.duration if counts.duration else 0.0,
        "utilisation": replicas.utilisation,
        "targets": targets,
        "goodput": counts.good / counts.requests if counts.requests else 0.0,
        "good_requests_per_s": counts.good / counts.duration if counts.duration else 0.0,
        "front_end": mean_front,
        "latency": {what: _percentiles(times[what]) for what in NAMES},
        "engine": {"ttft": _percentiles(times["engine"])},
        "groups": {
            name: {"requests": int(mine.sum()), "completed": int((mine & outcome.completed).sum())}
            | {what: _percentiles(times[what][mine]) for what in NAMES}
            for name, mine in _groups(found, service).items()
        },
        "pools": pools,
    }


def print_service(found: ServiceOutcome, service: Service) -> None:
    """Print what a simulation found."""
    from rich.table import Table

    from armillary.app.console import out

    said = service_json(found, service)
    console = out()
    console.print(
        f"{said['requests']:,} requests: {said['completed']:,} completed, {said['rejected']:,} rejected, "
        f"{said['timed_out']:,} timed out; {said['preempted']:,} preemptions, {said['retried']:,} retries"
    )
    for reason, count in said["reasons"].items():
        console.print(f"{count:,} requests: {reason}")
    console.print(
        f"{said['output_tokens_per_s']:,.0f} output tokens/s over {said['duration']:,.1f} s; replicas busy "
        f"{said['utilisation']:.0%}; {said['cached_tokens']:,.0f} prompt tokens from prefix caches"
    )
    for one in said["pools"]:
        console.print(_pool_words(one))
    table = Table(box=None, pad_edge=False)
    for heading in ("", *(f"p{p}" for p in PERCENTS)):
        table.add_column(heading, justify="right" if heading else "left")
    rows = [(name, said["latency"][what]) for what, name in NAMES.items()]
    rows.insert(1, ("  of it the engine's own", said["engine"]["ttft"]))
    if len(said["groups"]) > 1:
        for group, own in said["groups"].items():
            rows += [(f"{group}: {name}", own[what]) for what, name in NAMES.items()]
    for name, values in rows:
        shown = [f"{v * 1e3:,.1f} ms" if v == v else "-" for v in values.values()]
        table.add_row(name, *shown)
    console.print(table)
    console.print(
        f"as users see it: the front end adds about {said['front_end'] * 1e3:,.0f} ms to the first token and "
        f"to the end"
    )
    limits = ", ".join(
        f"{words} {said['targets'][what] * 1e3:g} ms"
        for what, words in (("ttft", "TTFT"), ("tpot", "TPOT"), ("e2e", "end to end"))
        if said["targets"][what] < np.inf
    )
    if limits:
        console.print(
            f"goodput: {said['goodput']:.2%} of requests within {limits}, "
            f"{said['good_requests_per_s']:,.1f} a second"
        )


def _pool_words(one: dict[str, Any]) -> str:
    layout = f"{one['replicas']} x {one['layout']}"
    if one["prefill"] is not None:
        layout = f"{one['prefill_replicas']} x {one['prefill']} for prompts, {layout} for decoding"
    where = f" in {one['region']}" if one["region"] else ""
    more = ""
    if one["prefill"] is not None and one["kv_transfer"]["per_token"]:
        more += f", KV moves at {1 / one['kv_transfer']['per_token']:,.3g} tokens/s"
    if one["host_tokens"]:
        more += f", {one['host_tokens']:,.0f} more in host memory"
    return (
        f"{one['name']}{where}: {layout} of {one['model']} on {one['system']} ({one['accelerators']} "
        f"accelerators), {one['mean_replicas']:.3g} on average, busy {one['utilisation']:.0%}, "
        f"{one['kv_tokens']:,.0f} tokens of KV a replica{more}; {one['completed']:,} completed"
    )


def latency_figure(found: ServiceOutcome) -> str:
    """Share of requests that are served within a time: first token, the engine's part of it, each further."""
    times = _times(found)
    series = []
    for what, name in (
        ("ttft", NAMES["ttft"]),
        ("engine", "its part in the engine"),
        ("tpot", NAMES["tpot"]),
    ):
        known = times[what][~np.isnan(times[what])]
        if len(known):
            values = np.percentile(known, CURVE)
            series.append((name, [(max(v * 1e3, 1e-3), p / 100) for v, p in zip(values, CURVE, strict=True)]))
    return latency_chart(series, "Latency that users see")


def latency_chart(series: Sequence[tuple[str, Sequence[tuple[float, float]]]], title: str) -> str:
    """Draw shares of requests against times [ms]."""
    return line_chart(series, "ms", "share of requests within it", title, log_x=True, percent=True)


COLUMNS = (
    "request", "stream", "priority", "arrival_s", "input_tokens", "output_tokens", "cached_tokens", "status",
    "reason", "pool", "replica", "preempted", "retries", "ttft_s", "engine_ttft_s", "tpot_s", "e2e_s",
)  # fmt: skip


def write_requests(path: Path, found: ServiceOutcome, service: Service) -> None:
    """Write what became of each request as CSV, whole or not at all.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    with written(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for rows in _rows(found, service):
            writer.writerows(rows)
    click.echo(f"wrote {path}", err=True)


def _rows(found: ServiceOutcome, service: Service) -> Iterator[list[tuple[Any, ...]]]:
    o, pool, times = found.outcome, found.pool, _times(found)
    arrival, prompts = np.asarray(o.arrival), np.asarray(found.requests.input)
    given = found.requests.priority
    level = np.zeros(len(prompts), np.int64) if given is None else np.asarray(given)
    names, streams = [one.served.name for one in found.pools], [s.name for s in service.streams]
    for begin in range(0, len(prompts), ROWS):
        part = slice(begin, begin + ROWS)
        seen = [
            ["" if v != v else f"{v:.9g}" for v in times[what][part]]
            for what in ("ttft", "engine", "tpot", "e2e")
        ]
        yield list(
            zip(
                range(begin, begin + len(prompts[part])),
                [streams[i] for i in found.stream[part]],
                level[part].tolist(),
                [f"{a:.9f}" for a in arrival[part]],
                prompts[part].tolist(),
                np.asarray(o.output)[part].tolist(),
                np.where(o.status[part] == COMPLETED, o.cached[part], 0).tolist(),
                [STATUSES[s] for s in o.status[part]],
                [REASONS[r] for r in o.reason[part]],
                [names[i] if i >= 0 else "" for i in pool[part]],
                ["" if r < 0 else int(r) for r in o.replica[part]],
                o.preempted[part].tolist(),
                o.retries[part].tolist(),
                *seen,
                strict=True,
            )
        )
