"""Score the model of dispatch and combine on published figures of libraries."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from armillary.catalog import Catalog
from armillary.catalog.records import Accelerator, System
from armillary.errors import ArmillaryError, InputError
from armillary.network.dispatch import bf16_token, fp8_token
from armillary.network.dispatchers import Dispatcher, Exchange, choose, dispatcher, exchange
from armillary.validation.score import Row, summarise
from armillary.validation.tables import SHIPPED, Cells, read_table

ALLTOALL = SHIPPED / "moe_alltoall.csv"
"""Published times and bandwidths of dispatch and combine, with sources."""
ALLTOALL_COLUMNS = ("source", "gpu", "library", "phase", "ep", "mode")
"""Columns of a table of dispatches without which no row can be evaluated."""
LATENCY, BANDWIDTH = "latency_us", "bandwidth_GBps"

EXPERTS = 256
"""Of a layer of DeepSeek-V3, whose shapes (hidden 7168, top 8) the published benchmarks take [-]."""
TOKENS = {"normal": 4096.0, "low-latency": 128.0}
"""Tokens a rank of the same benchmarks, where a row does not say [-]."""
NODE_LIMIT = 4
"""Nodes that the tests of DeepEP, and those of UCCL-EP made from them, let a token go to (DeepSeek-V3's
top-4 groups); the benchmark of pplx-garden picks experts freely. [-]"""
NODE = 8
"""Accelerators of a node, where a row names a network inside a larger scale-up domain [-]."""
NIC = 50e9
"""Of an accelerator whose systems the catalog does not hold: 400 Gbit/s, assumed. [byte/s]"""
ARCHITECTURES = {"sm80": "a100-80", "sm90": "h100", "sm100": "b200", "sm103": "b300"}
"""Chip taken where a row names a compute capability alone."""

DOUBTFUL = {
    "pplx-garden-benchmark/pplx-garden CX7/dispatch/EP8/prefill": (
        "5071 us for what the same library moves over the same NVLink in 1052 and 1076 us on EFA hosts; "
        "exchanged, it seems, with the next row's 1062 us"
    ),
    "pplx-garden-benchmark/pplx-garden CX7/combine/EP16/prefill": (
        "235 MB through a NIC of 50 GB/s in 1062 us would be 221 GB/s; the other's 5071 us would be 46 GB/s"
    ),
}
"""Rows that contradict the rest of the table, and how. They are scored, not fitted to."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A row made ready. bandwidths [byte/s]; assumed : what the row does not say."""

    dispatcher: str
    phase: str
    mode: str
    tokens: float
    hidden: float
    copies: float
    size: float
    ranks: int
    domain: int
    groups: float
    scale_up: float
    scale_out: float
    memory_bandwidth: float
    chip: str
    bottleneck: str
    assumed: tuple[str, ...]


def read_alltoall_table(path: Path = ALLTOALL) -> list[dict[str, str]]:
    """Read a table of dispatches and give each row an `id` of source, library, phase, ranks and mode.

    Raises
    ------
    InputError
        If the file cannot be read or lacks a needed column; the message names file and column.
    """
    rows = read_table(path, ALLTOALL_COLUMNS)
    seen: Counter[str] = Counter()
    for row in rows:
        name = row.get("id", "").strip() or _name(row)
        seen[name] += 1
        row["id"] = name if seen[name] == 1 else f"{name}#{seen[name]}"
    return rows


def validate_alltoall(
    rows: Iterable[Mapping[str, str]],
    catalog: Catalog,
    known: Mapping[str, Mapping[str, Any]] | None = None,
    progress: Callable[[], None] | None = None,
) -> list[Row]:
    """Predict the time, and where a row has it the bandwidth, of every row.

    Parameters
    ----------
    rows : iterable of mappings
        From `read_alltoall_table`.
    catalog : Catalog
    known : mapping, optional
        Entries in place of those of network/dispatchers.toml, e.g. with trial values of a fit.
    progress : callable, optional
        Called after each row.

    Returns
    -------
    list of Row
        `ratio` is of times, predicted / measured. Where a row has both, its latency is scored. A row that
        cannot be evaluated stays in, with the reason.
    """
    scored: list[Row] = []
    for row in rows:
        scored += _rows(row, catalog, known)
        if progress is not None:
            progress()
    return scored


def alltoall_figures(scored: Iterable[Row]) -> dict[str, float]:
    """Figures of dispatch and combine: of all rows, and of either."""
    rows = list(scored)
    s = summarise(rows)
    tau = float("nan") if s.kendall_tau is None else s.kendall_tau
    found = {"n": float(s.n), "median": s.median_abs_error, "p90": s.p90_abs_error, "bias": s.median_error}
    found["tau"] = tau
    for phase in ("dispatch", "combine"):
        found[f"{phase}_median"] = summarise([r for r in rows if r.kind == phase]).median_abs_error
    return found


def read_setting(row: Mapping[str, str], catalog: Catalog) -> Setting:
    """Make a row ready.

    Raises
    ------
    ArmillaryError
        If the chip is unknown or a number is missing or malformed.
    """
    cells = Cells(row)
    library, said = cells.text("library").casefold(), cells.text("phase").casefold()
    ranks = cells.whole("ep")
    phase = _phase(cells)
    mode = _mode(cells)
    chip = _chip(cells, catalog)
    system, efa = _system(chip, catalog), _network(cells) == "efa"
    domain = system.scale_up_size if system else NODE
    if cells.text("bottleneck").casefold() == "rdma" and mode == "normal" and NODE < ranks <= domain:
        domain = NODE
        cells.assumed.append(f"scale-up domain of {NODE} (the row's network is RDMA)")
    if cells.text("bottleneck").casefold() not in ("", "rdma", "nvlink"):
        cells.assumed.append(f"the catalog's scale-up domain (bottleneck says {cells.text('bottleneck')!r})")
    hidden = cells.whole("hidden", 7168.0, "DeepSeek-V3")
    name = _dispatcher(library, mode, "efa" if efa else "infiniband", cells)
    plain = "fp8" not in said and ("bf16" in said or (phase == "combine" and "a2a" not in said))
    free = "pplx" in cells.text("source").casefold() or name.startswith(("pplx", "nccl"))
    return Setting(
        dispatcher=name,
        phase=phase,
        mode=mode,
        tokens=cells.whole("tokens_per_rank", TOKENS[mode], "the libraries' benchmarks"),
        hidden=hidden,
        copies=cells.whole("topk", 8.0, "DeepSeek-V3"),
        size=bf16_token(hidden) if plain else fp8_token(hidden),
        ranks=ranks,
        domain=domain,
        groups=float("inf") if free or mode == "low-latency" else NODE_LIMIT,
        scale_up=chip.scale_up_bandwidth,
        scale_out=_nic(cells, system),
        memory_bandwidth=chip.memory_bandwidth,
        chip=chip.name,
        bottleneck=cells.text("bottleneck").casefold(),
        assumed=tuple(cells.assumed),
    )


def evaluate(setting: Setting, known: Dispatcher | None = None) -> Exchange:
    """Apply the setting's dispatcher, or another."""
    s = setting
    return exchange(
        known or dispatcher(s.dispatcher),
        s.phase,
        tokens=s.tokens,
        hidden=s.hidden,
        copies=s.copies,
        ranks=s.ranks,
        domain=s.domain,
        scale_up=s.scale_up,
        scale_out=s.scale_out,
        memory_bandwidth=s.memory_bandwidth,
        size=s.size,
        experts=EXPERTS,
        groups=s.groups,
    )


def counted(setting: Setting, found: Exchange) -> float:
    """Bytes that a published bandwidth counts: over its time, by the convention of DeepEP's tests [byte].

    High-throughput kernels: NVLink, every distinct rank that a token goes to, its own included; RDMA, every
    distinct node, its own included. Low-latency kernels: every copy. (deepseek-ai/DeepEP, tests/
    test_internode.py and tests/test_low_latency.py.) That is why RDMA figures pass the NIC's 50 GB/s.
    """
    sent = found.sent
    inside = min(setting.domain, setting.ranks)
    domains = setting.ranks / inside
    if setting.mode == "low-latency" or setting.dispatcher == "nccl":
        return float(sent.total)
    if setting.bottleneck == "rdma" and domains > 1:
        return float(sent.outside) * domains / (domains - 1)
    return float(sent.inside) * inside / max(inside - 1, 1) if inside > 1 else float(sent.total)


def _rows(
    row: Mapping[str, str], catalog: Catalog, known: Mapping[str, Mapping[str, Any]] | None
) -> list[Row]:
    measured = {m: _positive(row.get(m)) for m in (LATENCY, BANDWIDTH) if (row.get(m) or "").strip()}
    target = next(iter(measured), LATENCY)
    common: dict[str, Any] = {
        "source": _source(row),
        "kind": "combine" if "combine" in row["phase"].casefold() else "dispatch",
        "scale": f"EP{row['ep'].strip()}",
        "accelerators": _positive(row["ep"]) or 0.0,
        "group": "|".join(row[c] for c in ("phase", "mode")),
        "job": "|".join(row[c] for c in ("source", "library", "phase", "mode")),
    }
    try:
        setting = read_setting(row, catalog)
        entry = dispatcher(setting.dispatcher, known)
        found = evaluate(setting, entry)
    except ArmillaryError as error:
        return [
            Row(row["id"], target, measured.get(target), None, None, 0.0, (), str(error), True,
                chip=row["gpu"], **common)
        ]  # fmt: skip
    time = float(found.time)
    predicted = {LATENCY: time * 1e6, BANDWIDTH: counted(setting, found) / time / 1e9}
    assumed = (*setting.assumed, *([entry.provenance] if entry.provenance.startswith("assumed") else []))
    about = (("library", setting.dispatcher), ("phase", setting.phase), ("mode", setting.mode),
             ("ranks", str(setting.ranks)), ("chip", setting.chip))  # fmt: skip
    return [
        Row(
            row["id"],
            metric,
            measured.get(metric),
            predicted[metric],
            _ratio(metric, measured.get(metric), predicted[metric]),
            1 / time,
            assumed,
            _unmeasured(row, metric, measured),
            metric == target,
            chip=setting.chip,
            factors=about,
            step=time,
            **common,
        )
        for metric in (list(measured) or [LATENCY])
    ]


def _unmeasured(row: Mapping[str, str], metric: str, measured: Mapping[str, float | None]) -> str:
    """Why there is nothing to compare a prediction with; empty where there is."""
    if not measured:
        return f"columns {LATENCY} and {BANDWIDTH} are empty"
    return "" if measured[metric] is not None else f"column {metric}: {row[metric]!r} is no positive number"


def _ratio(metric: str, measured: float | None, predicted: float) -> float | None:
    if measured is None:
        return None
    return predicted / measured if metric == LATENCY else measured / predicted


def _positive(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if 0 < value < float("inf") else None


def _source(row: Mapping[str, str]) -> str:
    """Last two telling parts of a source: `DeepEP`, `pplx-garden-benchmark`, `pplx-kernels`."""
    path, _, file = row["source"].partition(":")
    parts = [p for p in file.split("/")[:-1] if p not in ("docs", "")]
    return parts[-1] if parts else path.split("/")[-1].split(" ")[-1]


def _name(row: Mapping[str, str]) -> str:
    parts = (_source(row), row["library"], row["phase"], f"EP{row['ep']}", row["mode"])
    return "/".join(part.strip() for part in parts)


def _phase(cells: Cells) -> str:
    """What is timed: a combine, or a dispatch as which an ``a2a`` alone counts."""
    said = cells.text("phase").casefold()
    if "combine" in said:
        return "combine"
    if "dispatch" in said or "a2a" in said:
        return "dispatch"
    raise InputError(f"column phase: unknown {cells.text('phase')!r}; write dispatch, combine or a2a")


def _mode(cells: Cells) -> str:
    """Kernels for throughput or for latency; from the tokens where the row does not say."""
    said = cells.text("mode").casefold()
    if re.search(r"low|decode|\btok\b|\bll\b", said):
        return "low-latency"
    if re.search(r"normal|prefill|high|train|throughput", said):
        return "normal"
    mode = (
        "low-latency" if (_positive(cells.text("tokens_per_rank")) or TOKENS["normal"]) <= 512 else "normal"
    )
    cells.assumed.append(f"mode={mode} (from the tokens)")
    return mode


def _dispatcher(library: str, mode: str, network: str, cells: Cells) -> str:
    """Entry of network/dispatchers.toml for a row."""
    source = cells.text("source").casefold()
    if "deepep" in library and "quoted" in library:
        return "deepep-low-latency-first" if mode == "low-latency" else "deepep-normal"
    if "deepep" in library and mode == "normal" and "pplx" in source:
        return "deepep-normal-host"
    for word, name in (("uccl", "uccl"), ("garden", "pplx-garden"), ("pplx", "pplx"), ("nccl", "nccl"),
                       ("all_to_all", "nccl"), ("deepep", "deepep")):  # fmt: skip
        if word in library and not (word == "nccl" and "gin" in library):
            return choose(name, mode, network)
    cells.assumed.append(f"library {cells.text('library')!r} as DeepEP")
    return choose("deepep", mode, network)


def _network(cells: Cells) -> str:
    """What the row says of its network: the library's name first, then the system, then the rest."""
    texts = [cells.text(c) for c in ("library", "system", "gpu", "notes", "source")]
    for text in texts:
        efa = re.search(r"\bEFA|\bAWS|\bp[456]\w*\b", text, re.IGNORECASE) is not None
        other = re.search(r"\bCX-?\d|\bIB\b|IBGDA|InfiniBand|RoCE|ConnectX", text, re.IGNORECASE) is not None
        if efa != other:
            return "efa" if efa else "infiniband"
    cells.assumed.append("network=infiniband")
    return "infiniband"


def _chip(cells: Cells, catalog: Catalog) -> Accelerator:
    said = cells.text("gpu")
    for word in re.split(r"[^\w.-]+", f"{said} {cells.text('system')}"):
        name = ARCHITECTURES.get(word.casefold(), word)
        try:
            chip = catalog.accelerator(name)
        except ArmillaryError:
            continue
        if word != said:
            cells.assumed.append(f"gpu={chip.name}")
        return chip
    return catalog.accelerator(said)


def _system(chip: Accelerator, catalog: Catalog) -> System | None:
    """System of the catalog with this chip."""
    return next((s for s in catalog.systems.values() if s.accelerator == chip.name), None)


def _nic(cells: Cells, system: System | None) -> float:
    """NIC of one accelerator as the row says it, else as the catalog does [byte/s]."""
    text = cells.text("system")
    several = re.search(r"(\d+)\s*x\s*(\d{3})\s*G", text)
    if several and int(several[1]) % NODE == 0:
        return int(several[1]) * int(several[2]) * 1e9 / 8 / NODE
    one = re.search(r"\b(\d{3})\s*G(?!B/s)", text)
    if one:
        return int(one[1]) * 1e9 / 8
    cells.assumed.append("NIC of the catalog's system" if system else f"NIC of {NIC / 1e9:.0f} GB/s")
    return system.nic_bandwidth if system else NIC
