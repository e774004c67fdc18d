"""A simulated collective: in the terminal, as a figure, as plain data."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from armillary.app.figures import heat_map, timeline
from armillary.app.figures.timeline import Span
from armillary.interop import TraceSlice, perfetto_trace
from armillary.network.algorithms import bus_factor
from armillary.network.fabric import Fabric, Floats, Integers
from armillary.network.simulated import Simulated
from armillary.units import show

TRACKS = 16
"""Accelerators, or classes of flows, that a timeline shows. [-]"""


class TierLoad(NamedTuple):
    """Links of one tier over a collective. mean, most : use of those that carry anything [-]."""

    name: str
    links: int
    down: int
    carried: float
    mean: float
    most: float


def utilisation(fabric: Fabric, found: Simulated) -> Floats:
    """Bytes over what each link could carry until the last arrived, `[link]` [-]."""
    able = fabric.capacity * found.wire
    used: Floats = found.carried / np.where(able > 0, able, np.inf)
    return used


def tier_loads(fabric: Fabric, found: Simulated) -> list[TierLoad]:
    """What each tier carried, those that carried nothing left out."""
    used = utilisation(fabric, found)
    loads = []
    for number, name in enumerate(fabric.tiers):
        mine = fabric.tier == number
        busy = used[mine & (used > 0)]
        if busy.size:
            loads.append(
                TierLoad(
                    name,
                    int(mine.sum()),
                    int((fabric.capacity[mine] == 0).sum()),
                    float(found.carried[mine].sum()),
                    float(busy.mean()),
                    float(busy.max()),
                )
            )
    return loads


def bandwidths(found: Simulated, size: float, ranks: int) -> tuple[float, float]:
    """Algorithm and bus bandwidth as nccl-tests define them [byte/s]."""
    algorithm = size / found.time
    return algorithm, algorithm * float(
        bus_factor("send_recv" if found.operation == "send" else found.operation, ranks)
    )


def simulated_view(fabric: Fabric, found: Simulated, size: float, ranks: int, title: str) -> RenderableType:
    """Time, bandwidths and a table of tiers."""
    algorithm, bus = bandwidths(found, size, ranks)
    done = found.completion
    exact = "exact" if done.exact else f"within {done.error_bound:.2%}"
    table = Table(box=None, pad_edge=False)
    for name in ("tier", "links", "down", "carried", "mean use", "highest use"):
        table.add_column(name, justify="left" if name == "tier" else "right")
    for t in tier_loads(fabric, found):
        table.add_row(
            t.name,
            f"{t.links:,}",
            f"{t.down:,}",
            show(t.carried, "B"),
            f"{t.mean:.0%}",
            f"{t.most:.0%}",
        )
    flows = int(found.classes.sum())
    rows = len(found.classes)
    stand = f" in {rows:,} classes" if rows < flows else ""
    return Group(
        Text(title, style="bold"),
        f"last byte after {show(found.time, 's')}, of which {show(found.time - found.wire, 's')} latency; "
        f"algorithm bandwidth {show(algorithm, 'B/s')}, bus bandwidth {show(bus, 'B/s')}",
        f"{flows:,} flows{stand}, {done.events:,} events, {exact}",
        "",
        table,
    )


def load_figure(fabric: Fabric, found: Simulated, title: str) -> str:
    """Heat map of the use of links, tier by tier."""
    used = utilisation(fabric, found)
    names = [t.name for t in tier_loads(fabric, found)]
    return heat_map([(n, used[fabric.tier == fabric.tiers.index(n)]) for n in names], title)


def trace(fabric: Fabric, found: Simulated, title: str) -> str:
    """Trace for Perfetto: a track for each accelerator that sends, or for each class of flows."""
    start, finish = found.completion.start, found.completion.finish
    if found.traffic is None:
        slices = [
            TraceSlice(
                "classes of flows", f"class {i}: {found.classes[i]:,} flows", found.operation, "class",
                float(start[i]), float(finish[i]),
            )
            for i in range(len(finish))
        ]  # fmt: skip
    else:
        lanes = _lanes(found.traffic.source)
        slices = [
            TraceSlice(
                "accelerators",
                f"accelerator {source}" + (f", flow {lane}" if lane else ""),
                f"to {target}",
                found.operation,
                float(start[i]),
                float(finish[i]),
            )
            for i, (source, target, lane) in enumerate(
                zip(found.traffic.source.tolist(), found.traffic.target.tolist(), lanes, strict=True)
            )
        ]
    return perfetto_trace(slices, title=title)


def flow_timeline(fabric: Fabric, found: Simulated, title: str) -> str:
    """Timeline of flows: of the classes, or of accelerators spread evenly over those that send."""
    start, finish = found.completion.start, found.completion.finish
    if found.traffic is None:
        last = np.argsort(-finish, kind="stable")[:TRACKS]
        rows = [
            (
                f"{found.classes[i]:,} flows",
                [Span(found.operation, "class of flows", float(start[i]), float(finish[i]))],
            )
            for i in np.sort(last).tolist()
        ]
        return timeline(rows, title)
    source, target = found.traffic.source, found.traffic.target
    senders = np.unique(source)
    chosen = senders[:: max(-(-len(senders) // TRACKS), 1)]
    inside = fabric.domain[source] == fabric.domain[target]
    rows = []
    for one in chosen.tolist():
        mine = np.flatnonzero(source == one)
        spans = {
            "inside the domain": mine[inside[mine]],
            "across domains": mine[~inside[mine]],
        }
        for kind, flows in spans.items():
            if flows.size:
                last_one = int(flows[np.argmax(finish[flows])])
                name = f"to {target[last_one]}" if flows.size == 1 else f"{flows.size} flows"
                span = Span(name, kind, float(start[flows].min()), float(finish[last_one]))
                rows.append((f"accelerator {one}", [span]))
    return timeline(rows, title)


def _lanes(source: Integers) -> list[int]:
    """How many flows of the same accelerator stand before each: flows at once have tracks of their own."""
    seen: dict[int, int] = {}
    lanes = []
    for one in source.tolist():
        lanes.append(seen.get(one, 0))
        seen[one] = lanes[-1] + 1
    return lanes


def simulated_json(fabric: Fabric, found: Simulated, size: float, ranks: int) -> dict[str, Any]:
    """The same as plain data."""
    algorithm, bus = bandwidths(found, size, ranks)
    return {
        "fabric": fabric.name,
        "operation": found.operation,
        "size": size,
        "ranks": ranks,
        "time": found.time,
        "wire": found.wire,
        "algorithm_bandwidth": algorithm,
        "bus_bandwidth": bus,
        "flows": int(found.classes.sum()),
        "events": found.completion.events,
        "exact": found.completion.exact,
        "error_bound": found.completion.error_bound,
        "tiers": [t._asdict() for t in tier_loads(fabric, found)],
    }
