"""Traces for Perfetto (ui.perfetto.dev) and chrome://tracing: the JSON of the Trace Event Format.

Format: Google, Trace Event Format, 2016: complete events (``ph`` X) on threads of processes, metadata events
(``ph`` M) with their names, counters (``ph`` C); times in microseconds.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

MOST = 100_000
"""Slices that a trace holds; with more, every k-th track is kept, and the trace says so. [-]"""


class TraceSlice(NamedTuple):
    """A slice of a track. process, track : names; category : colours in the viewer. start, end [s]."""

    process: str
    track: str
    name: str
    category: str
    start: float
    end: float


class Counter(NamedTuple):
    """A value over time. samples : (time [s], value)."""

    process: str
    name: str
    samples: Sequence[tuple[float, float]]


def perfetto_trace(
    slices: Iterable[TraceSlice], counters: Iterable[Counter] = (), title: str = "", most: int = MOST
) -> str:
    """Write slices and counters as a trace.

    Parameters
    ----------
    slices : iterable of TraceSlice
        Those of one track must not overlap in part.
    counters : iterable of Counter
    title : str
    most : int
        Slices to hold. [-]

    Returns
    -------
    str
        JSON text. Where tracks were left out, ``otherData.note`` says how many, and so does a track's name.

    Raises
    ------
    ValueError
        If a slice ends before it starts.
    """
    tracks: dict[tuple[str, str], list[TraceSlice]] = {}
    for one in slices:
        if one.end < one.start:
            raise ValueError(f"The end of {one.name!r} must not be before its start. Got {one!r} instead.")
        tracks.setdefault((one.process, one.track), []).append(one)
    total = sum(len(t) for t in tracks.values())
    every = max(-(-total // most), 1)
    kept = dict(list(tracks.items())[::every])
    note = "" if every == 1 else f"{len(kept):,} of {len(tracks):,} tracks, every {every}th"
    values = list(counters)
    processes = list(dict.fromkeys([*(process for process, _ in kept), *(c.process for c in values)]))
    events: list[dict[str, Any]] = []
    for pid, process in enumerate(processes, 1):
        name = f"{process} ({note})" if note else process
        events.append({"ph": "M", "name": "process_name", "pid": pid, "args": {"name": name}})
    for tid, ((process, track), mine) in enumerate(kept.items(), 1):
        pid = processes.index(process) + 1
        events.append({"ph": "M", "name": "thread_name", "pid": pid, "tid": tid, "args": {"name": track}})
        for s in sorted(mine, key=lambda s: (s.start, -s.end)):
            events.append(
                {
                    "ph": "X",
                    "name": s.name,
                    "cat": s.category,
                    "ts": s.start * 1e6,
                    "dur": (s.end - s.start) * 1e6,
                    "pid": pid,
                    "tid": tid,
                }
            )
    for counter in values:
        pid = processes.index(counter.process) + 1
        for time, value in counter.samples:
            events.append(
                {"ph": "C", "name": counter.name, "ts": time * 1e6, "pid": pid, "args": {"value": value}}
            )
    other = {"title": title, **({"note": note} if note else {})}
    return json.dumps({"traceEvents": events, "displayTimeUnit": "ms", "otherData": other})
