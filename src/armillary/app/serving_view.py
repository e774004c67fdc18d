"""What is served, as people read it: tables of text for the terminal and the HTML report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from rich.console import RenderableType
from rich.table import Table as Grid
from rich.text import Text

from armillary.scenario.months import QUARTER
from armillary.serving import Sized, Targets
from armillary.serving.agents import tasks_for
from armillary.serving.diurnal import DAY
from armillary.twin import QuarterRow, ServedAnswer, ServedQuarter, ServingAnswer, SizedPlace
from armillary.units import show

HOUR, WATT_HOUR, MILLION = 3600.0, 3600.0, 1e6


WORDS = ("source", "growth by year", "where", "a vCPU is", "until", "why not", "in")
"""Headings of columns that hold words though they stand behind numbers."""


class Table(NamedTuple):
    """Text in rows. left : how many of the first columns are words, not numbers."""

    title: str
    headings: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    left: int = 1
    note: str = ""

    @property
    def numbers(self) -> tuple[int, ...]:
        """Which columns hold numbers."""
        return tuple(i for i, h in enumerate(self.headings) if i >= self.left and h not in WORDS)


def domain_word(serving: ServingAnswer) -> str:
    """What the fleet's scale-up domains are called."""
    titles = {p.system.title for row in serving.quarters for p in row.ready}
    return "UltraServers" if all("UltraServer" in title for title in titles) else "domains"


def system_words(place: SizedPlace, serving: ServingAnswer) -> str:
    """The chip of a system where it tells the systems of the plan apart, else the system's name."""
    systems = {p.place.system: p.partition.accelerator.name for a in serving.workloads for p in a.sizes}
    chips = list(systems.values())
    name = systems[place.place.system]
    return name.upper() if chips.count(name) == 1 else place.place.system


def target_words(targets: Targets) -> str:
    """Latencies to hold, such as ``p95 TTFT 1 s, TPOT 30 ms``."""
    named = zip(("TTFT", "TPOT", "end to end"), targets.limits, targets.percentiles, strict=True)
    return ", ".join(
        f"p{at:g} {name} {show(value, 's')}" for name, value, at in named if value < float("inf")
    )


def demand_table(serving: ServingAnswer) -> Table:
    """What demand is made of: messages and tokens, and what of it is assumed."""
    rows: list[tuple[str, ...]] = []
    for answer in serving.workloads:
        d, mean = answer.workload.demand, answer.workload.demand.lengths.mean
        rows.append(
            (
                answer.workload.name,
                d.since,
                show(d.messages * DAY),
                f"{d.messages:,.0f}",
                f"{d.messages * d.shape.peak_over_mean:,.0f}",
                show(d.messages * mean.input, "tokens/s"),
                show(d.messages * mean.output, "tokens/s"),
                f"{mean.cached / mean.input:.0%}",
            )
        )
    rows.append(_demanded(serving))
    reused = [a.workload.name for a in serving.workloads if a.workload.demand.reuse]
    return Table(
        "What is asked for",
        (
            "workload",
            "month",
            "messages a day",
            "a second",
            "at the peak",
            "read",
            "written",
            "cached",
        ),
        rows,
        2,
        "Cached: of what is read, that a prefix cache may hold. "
        + (f"Sizes of {', '.join(reused)} count on it." if reused else "Sizes do not count on it."),
    )


def _demanded(serving: ServingAnswer) -> tuple[str, ...]:
    """Sums over all workloads, each in its own month."""
    demands = [a.workload.demand for a in serving.workloads]
    read = sum(d.messages * d.lengths.mean.input for d in demands)
    written = sum(d.messages * d.lengths.mean.output for d in demands)
    cached = sum(d.messages * d.lengths.mean.cached for d in demands)
    messages = sum(d.messages for d in demands)
    return (
        "all",
        "",
        show(messages * DAY),
        f"{messages:,.0f}",
        "",
        show(read, "tokens/s"),
        show(written, "tokens/s"),
        f"{cached / read:.0%}",
    )


def source_table(serving: ServingAnswer) -> Table:
    """Where demand is from, and how it grows."""
    rows = []
    for answer in serving.workloads:
        d = answer.workload.demand
        growth = ", ".join(f"{part:.0%}" for part in d.growth)
        assumed = f"; assumed: {', '.join(d.assumed).replace('_', ' ')}" if d.assumed else ""
        rows.append((answer.workload.name, d.since, growth, d.source + assumed))
    return Table(
        "Where that is from, and how it grows",
        ("workload", "month", "growth by year", "source"),
        rows,
        2,
        "Growth: added in the first year after the month, in the second, and so on; the last holds on.",
    )


def layout_words(one: Sized) -> str:
    """Layouts of prompts and decoding, or of both together."""
    return one.layout.words() if one.prefill is None else f"{one.prefill.words()} : {one.layout.words()}"


def replica_words(one: Sized) -> str:
    """Replicas of prompts and decoding, or of both together."""
    return f"{one.replicas:,}" if one.prefill is None else f"{one.prefill_replicas:,} : {one.replicas:,}"


def size_table(serving: ServingAnswer) -> Table:
    """Deployments by workload and system, at the highest demand of the plan."""
    rows = [_size_row(answer, place, serving) for answer in serving.workloads for place in answer.sizes]
    return Table(
        "Sizes at the highest demand of the plan",
        (
            "workload",
            "system",
            "prompts : decoding",
            "replicas",
            "accelerators",
            "peak/s",
            "TTFT p50 / p95",
            "TPOT",
            "USD/M read",
            "written",
        ),
        rows,
        3,
        "Each is simulated as a group behind its router at its share of the peak, spares down. "
        + "; ".join(
            f"{a.workload.name}: {a.workload.model_name} in {a.workload.precision} on {a.workload.engine}, "
            f"{target_words(a.workload.targets)}, {a.workload.headroom:.0%} headroom"
            for a in serving.workloads
        )
        + "."
        + "".join(
            f" {a.workload.name} cannot be served on {p.infeasible}."
            for a in serving.workloads
            for p in a.sizes
            if p.infeasible and not a.infeasible
        )
        + "".join(
            f" Assumed: {words}."
            for words in dict.fromkeys(p.assumed for a in serving.workloads for p in a.sizes if p.assumed)
        ),
    )


def _size_row(answer: ServedAnswer, place: SizedPlace, serving: ServingAnswer) -> tuple[str, ...]:
    name, system = answer.workload.name, system_words(place, serving)
    if not place.deployments:
        return name, system, "none", "", "", f"{place.asked.peak:,.0f}", "", "", "", ""
    best = place.best
    money = place.price is not None
    return (
        name,
        system,
        layout_words(best),
        replica_words(best),
        f"{best.accelerators:,}",
        f"{place.asked.peak:,.0f}",
        _both(place, "ttft"),
        _both(place, "tpot"),
        f"{best.per_input * MILLION:.3g}" if money else "-",
        f"{best.per_output * MILLION:.3g}" if money else "-",
    )


def _both(place: SizedPlace, what: str) -> str:
    found = {one.percentile: float(getattr(one, what)) for one in place.latency}
    return _pair(found.get(50.0), found.get(95.0))


def quarter_table(serving: ServingAnswer) -> Table:
    """Who holds the fleet, quarter by quarter."""
    names = [a.workload.name for a in serving.workloads]
    rows = []
    for row in serving.quarters:
        costs = [s.cost for s in row.serving if s.placed]
        known = [c for c in costs if c is not None]
        rows.append(
            (
                row.start,
                f"{row.domains:,}",
                *(_held(s) for s in _by_name(row, names)),
                f"{row.for_training:,}",
                f"{row.for_training_time / HOUR / 1e6:,.1f}",
                f"{row.training_domains:,.0f}",
                f"{row.left_domains:,.0f}",
                f"{sum(known) / MILLION:,.0f}" if known and len(known) == len(costs) else "-",
            )
        )
    word = domain_word(serving)
    return Table(
        f"The fleet by quarter, in {word}",
        (
            "from",
            "ready",
            *names,
            "for training",
            "M accelerator-hours",
            "training",
            "left",
            "serving, M USD",
        ),
        rows,
        1,
        "Sized for each quarter's last day. For training: what serving leaves. Training and left: of that, "
        "what runs take and what then is left, means of the quarter." + _runs(serving.quarters),
    )


def _by_name(row: QuarterRow, names: Sequence[str]) -> list[ServedQuarter]:
    found = {s.workload.name: s for s in row.serving}
    return [found[name] for name in names]


def _held(s: ServedQuarter) -> str:
    return f"{s.domains:,}" + (f" (+{s.lacking:,} lack)" if s.lacking else "")


def _runs(quarters: Sequence[QuarterRow]) -> str:
    """When each training run ends."""
    ends = {t.name: row.start for row in quarters for t in row.training if t.done}
    never = sorted({t.name for row in quarters for t in row.training} - set(ends))
    words = [f"{name} in the quarter from {start}" for name, start in ends.items()]
    words += [f"{name} not within the plan" for name in never]
    return f" Training runs end: {'; '.join(words)}." if words else ""


def served_table(serving: ServingAnswer, every: bool) -> Table:
    """Latency, money and energy of each workload, in every quarter or in the first and the last."""
    rows = []
    for answer in serving.workloads:
        name = answer.workload.name
        mine = [(row, s) for row in serving.quarters for s in row.serving if s.workload.name == name]
        active = [(row, s) for row, s in mine if s.messages > 0]
        shown = active if every else [active[0], active[-1]] if len(active) > 1 else active
        rows += [_served_row(row, s, serving) for row, s in shown]
    which = "by quarter" if every else "in the first and the last quarter"
    return Table(
        f"Latency, cost and energy {which}",
        (
            "workload",
            "from",
            "messages a day",
            domain_word(serving),
            "TTFT p50 / p95",
            "TPOT",
            "M USD",
            "USD/M tokens",
            "USD/1000",
            "Wh each",
        ),
        rows,
        2,
        "M USD: of the quarter, whole domains paid for. USD/M tokens: read and written together. "
        "USD/1000: of a thousand messages. Wh each: of a message, at the meter, domains at full power. "
        "TTFT and TPOT at p50 / p95." + _published_energy(serving),
    )


def _published_energy(serving: ServingAnswer) -> str:
    """What is public about the energy of a message, where facts of demand are behind the answer."""
    said = next((f.fact for f in serving.facts if f.name == "energy_per_query"), None)
    if said is None:
        return ""
    return f" Public, of an average query: {said.value:g} {said.unit} ({said.source}, {said.date})."


def _served_row(row: QuarterRow, s: ServedQuarter, serving: ServingAnswer) -> tuple[str, ...]:
    systems = " + ".join(f"{p.domains:,} {system_words(p.at, serving)}" for p in s.placed) or "none"
    cost, served = s.cost, s.served
    return (
        s.workload.name,
        row.start,
        show(s.messages / QUARTER * DAY),
        systems,
        _pair(s.latency("ttft", 50.0), s.latency("ttft", 95.0)),
        _pair(s.latency("tpot", 50.0), s.latency("tpot", 95.0)),
        f"{cost / MILLION:,.1f}" if cost is not None else "-",
        f"{cost / s.tokens * MILLION:.3g}" if cost is not None and served else "-",
        f"{cost / served * 1000:.3g}" if cost is not None and served else "-",
        f"{s.energy / served / WATT_HOUR:.3g}" if served else "-",
    )


def _pair(low: float | None, high: float | None) -> str:
    """Two times in one unit, such as ``87 / 156 ms``."""
    if low is None or high is None:
        return "-"
    factor, unit = (1.0, "s") if high >= 1 else (1e3, "ms")
    return f"{low * factor:.3g} / {high * factor:.3g} {unit}"


def agents_text(serving: ServingAnswer) -> list[str]:
    """What CPUs the tools of agents take, against those of the fleet's hosts."""
    texts = []
    for name in dict.fromkeys(a.workload for a in serving.agents):
        mine = [a for a in serving.agents if a.workload == name]
        first, last = mine[0], mine[-1]
        worst = max(mine, key=lambda a: a.share_of_hosts)
        work = next(w.workload.agents for w in serving.workloads if w.workload.name == name)
        tens = tasks_for(10e6, work) * DAY
        texts.append(
            f"CPUs of {name}: {show(first.tasks * DAY)} tasks a day take {show(first.fleet.vcpus)} vCPUs at "
            f"the peak in {first.start}, {show(last.tasks * DAY)} take {show(last.fleet.vcpus)} in "
            f"{last.start}, with {show(last.fleet.sandboxes)} sandboxes at once in "
            f"{show(last.fleet.memory, 'B')} of memory. The fleet's hosts have {show(last.host_vcpus)} vCPUs "
            f"then; agents take the largest share of them, {worst.share_of_hosts:.0%}, in {worst.start}. "
            f"Ten million vCPUs would do for {tens / 1e9:,.2g} billion such tasks a day."
        )
    return texts


def serving_view(serving: ServingAnswer) -> list[RenderableType]:
    """The serving part of a report for a terminal."""
    parts: list[RenderableType] = [Text("Serving", style="bold")]
    for answer in serving.workloads:
        if answer.infeasible:
            parts.append(f"not feasible: {answer.workload.name}: {answer.infeasible}")
    economics = served_table(serving, every=False)
    asked = (demand_table(serving), source_table(serving))
    for table in (*asked, size_table(serving), quarter_table(serving), economics):
        parts += ["", Text(table.title, style="bold"), grid(table)]
        if table.note:
            parts.append(table.note)
    parts += [x for text in agents_text(serving) for x in ("", text)]
    return parts


def grid(table: Table, headed: bool = True) -> Grid:
    """A table for a terminal."""
    grid = Grid(box=None, pad_edge=False, show_header=headed)
    for i, heading in enumerate(table.headings):
        side: Literal["left", "right"] = "right" if i in table.numbers else "left"
        grid.add_column(heading, justify=side, overflow="fold", no_wrap=i < table.left)
    for row in table.rows:
        grid.add_row(*row)
    return grid
