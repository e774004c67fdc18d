"""Simulations of serving as people read them: a table, JSON."""

from __future__ import annotations

from typing import Any

from armillary.serving.calibration import front_end
from armillary.serving.candidates import Candidate
from armillary.serving.outcome import Outcome


def outcome_json(outcome: Outcome, served: Candidate) -> dict[str, Any]:
    """Counts, percentiles [s] and rates of a simulation."""
    counts = outcome.counts
    front = front_end(served.replica.engine)
    prompt = counts.input / counts.requests if counts.requests else 0.0
    percentiles = {
        what: {f"p{p}": float(outcome.percentile(what, p)) for p in (50, 90, 95, 99)}
        for what in ("ttft", "tpot", "e2e")
    }
    return {
        "requests": counts.requests,
        "completed": counts.completed,
        "rejected": counts.rejected,
        "timed_out": counts.timed_out,
        "reasons": counts.reasons,
        "preempted": counts.preempted,
        "duration": counts.duration,
        "output_tokens_per_s": counts.output / counts.duration if counts.duration else 0.0,
        "utilisation": outcome.replicas.utilisation,
        "kv_tokens": served.room,
        "front_end": {"latency": front.latency, "service": front.service(prompt)},
        "latency": percentiles,
    }


def print_outcome(outcome: Outcome, served: Candidate, replicas: int) -> None:
    """Print what a simulation found."""
    from rich.table import Table

    from armillary.app.console import out

    found = outcome_json(outcome, served)
    console = out()
    console.print(
        f"{found['requests']:,} requests on {replicas} x {served.replica.layout.words()}: "
        f"{found['completed']:,} completed, {found['rejected']:,} rejected, "
        f"{found['timed_out']:,} timed out, {found['preempted']:,} preemptions"
    )
    console.print(
        f"{found['output_tokens_per_s']:,.0f} output tokens/s over {found['duration']:,.1f} s; replicas busy "
        f"{found['utilisation']:.0%}; {served.room:,.0f} tokens of KV each"
    )
    for reason, count in found["reasons"].items():
        console.print(f"{count:,} requests: {reason}")
    table = Table(box=None, pad_edge=False)
    for heading in ("", "p50", "p90", "p95", "p99"):
        table.add_column(heading, justify="right" if heading else "left")
    for what, name in (
        ("ttft", "time to first token"),
        ("tpot", "time per output token"),
        ("e2e", "end to end"),
    ):
        table.add_row(name, *(f"{value * 1e3:,.1f} ms" for value in found["latency"][what].values()))
    console.print(table)
    front = found["front_end"]
    console.print(
        f"at the engine; the front end adds about {(front['latency'] + front['service']) * 1e3:,.0f} ms "
        f"to the first token and to the end"
    )
