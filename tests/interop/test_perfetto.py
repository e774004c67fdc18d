"""Traces hold what they are given, name their tracks and say what they leave out."""

from __future__ import annotations

import json

import pytest

from armillary.interop import Counter, TraceSlice, perfetto_trace


def test_a_trace_has_slices_counters_and_names():
    slices = [
        TraceSlice("step", "stage 0", "forward 0", "forward", 0.0, 1e-3),
        TraceSlice("step", "stage 1", "forward 0", "forward", 1e-3, 2e-3),
        TraceSlice("network", "leaf up", "all_to_all", "expert", 0.5e-3, 2e-3),
    ]
    trace = json.loads(perfetto_trace(slices, [Counter("network", "use", [(0.0, 0.5), (1e-3, 0.0)])], "T"))
    events = trace["traceEvents"]
    done = [e for e in events if e["ph"] == "X"]
    assert [(e["ts"], e["dur"]) for e in done] == [(0, 1000), (1000, 1000), (500, 1500)]
    assert {e["args"]["name"] for e in events if e["name"] == "process_name"} == {"step", "network"}
    assert {e["args"]["name"] for e in events if e["name"] == "thread_name"} == {
        "stage 0",
        "stage 1",
        "leaf up",
    }
    assert len({(e["pid"], e["tid"]) for e in done}) == 3
    assert [e["args"]["value"] for e in events if e["ph"] == "C"] == [0.5, 0.0]
    assert trace["otherData"] == {"title": "T"}


def test_a_trace_that_is_too_large_keeps_whole_tracks_and_says_so():
    slices = [TraceSlice("p", f"t{i}", "x", "c", 0.0, 1.0) for i in range(100)]
    trace = json.loads(perfetto_trace(slices, most=30))
    assert sum(e["ph"] == "X" for e in trace["traceEvents"]) == 25
    assert trace["otherData"]["note"] == "25 of 100 tracks, every 4th"


def test_a_slice_that_ends_early_is_refused():
    with pytest.raises(ValueError, match="before its start"):
        perfetto_trace([TraceSlice("p", "t", "x", "c", 1.0, 0.5)])
