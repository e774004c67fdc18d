"""Score predicted times of collectives on published benchmark logs."""

from __future__ import annotations

import re
import tomllib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from armillary.catalog import Catalog, System, fold
from armillary.errors import ArmillaryError, InputError
from armillary.network.tuner import ALGORITHMS, predict
from armillary.network.tuning import (
    DEFAULT,
    Tuning,
    generation_of,
    harness_launch,
    inherited,
    make,
    network_of,
    table,
)
from armillary.validation.score import Row
from armillary.validation.tables import SHIPPED, Cells, read_table

COLLECTIVES = SHIPPED / "collectives.csv"
"""Published times of collectives, with sources."""
HELD_OUT = Path(__file__).parent / "collectives_held_out.toml"
"""Errors on rows left out of the fit, written by tools/fit_network.py."""
TIME = "time_us"
COLUMNS = ("id", "gpu", "n_gpus", "collective", "size_bytes", TIME)
"""Columns of a table of collectives without which no row can be evaluated."""

LARGE, SMALL = 1e6, 64e3
"""From here on rows count for the error of time; below, for that of latency. [byte]"""
WITHIN = 1.5
"""Factor that small messages are to be met within. [-]"""

OPERATIONS = {
    "allreduce": "all_reduce",
    "allgather": "all_gather",
    "reducescatter": "reduce_scatter",
    "alltoall": "all_to_all",
    "alltoallv": "all_to_all",
    "broadcast": "broadcast",
    "bcast": "broadcast",
    "reduce": "reduce",
    "sendrecv": "send_recv",
    "sendreceive": "send_recv",
    "p2p": "send_recv",
    "barrier": "barrier",
}
"""Operations by the names that tables use, folded."""

RACKS = re.compile(r"nvl\s?(\d{2,})|nvl\s?(\d+)\s*\)|x(36|72)\b")
UNFIT = re.compile(r"reported as slow|untuned|misconfigured|warm-?up outlier")
UNKNOWN = re.compile(r"unknown|\bunk\b|^\s*$")


class Question(NamedTuple):
    """A row ready to predict.

    ranks, inside : of the group, and of it in one scale-up domain [-]. allowed : algorithms that the row
    names, None for NCCL's choice. launch : what the program that measured adds [s]. network, generation :
    keys of tuning.toml.
    """

    op: str
    size: float
    ranks: int
    inside: float
    allowed: tuple[str, ...] | None
    protocol: str | None
    launch: float
    tuned: Tuning
    assumed: tuple[str, ...]


def read_collectives(path: Path = COLLECTIVES) -> list[dict[str, str]]:
    """Read a table of collectives, columns as nccl-tests names them.

    Raises
    ------
    InputError
        If the file cannot be read or lacks a needed column.
    """
    return read_table(path, COLUMNS)


def validate_collectives(
    rows: Iterable[Mapping[str, str]],
    catalog: Catalog,
    progress: Callable[[], None] | None = None,
    known: Mapping[str, Any] | None = None,
) -> list[Row]:
    """Predict the time of every row.

    Parameters
    ----------
    rows : iterable of mappings
        From `read_collectives`.
    catalog : Catalog
        For what a row does not say of its chip.
    progress : callable, optional
        Called after each row.
    known : mapping, optional
        In place of tuning.toml.

    Returns
    -------
    list of Row
        `ratio` is predicted / measured time. A row that cannot be evaluated stays in, with the reason; one
        that is no fair test stays in unscored, with the reason.
    """
    found = []
    for row in rows:
        found.append(_row(row, catalog, known))
        if progress is not None:
            progress()
    return found


def large(rows: Iterable[Row]) -> list[Row]:
    """Scored rows whose error of time counts, from 1 MB up."""
    return [r for r in rows if r.scored and float(dict(r.factors)["bytes"]) >= LARGE]


def small(rows: Iterable[Row]) -> list[Row]:
    """Scored rows whose latency counts, below 64 kB."""
    return [r for r in rows if r.scored and float(dict(r.factors)["bytes"]) < SMALL]


class Latency(NamedTuple):
    """Rows of small messages: how many, share within `WITHIN`, worst and median factor off [-]."""

    n: int
    within: float
    worst: float
    median: float


def latency_score(rows: Iterable[Row]) -> Latency:
    """Sum up the small messages of a table; NaN where there are none."""
    off = np.array([max(r.ratio, 1 / r.ratio) for r in small(rows) if r.ratio], dtype=float)
    if not off.size:
        return Latency(0, float("nan"), float("nan"), float("nan"))
    return Latency(int(off.size), float(np.mean(off <= WITHIN)), float(off.max()), float(np.median(off)))


def held_out(path: Path = HELD_OUT) -> dict[str, dict[str, dict[str, float]]]:
    """Errors on rows left out of the fit, by what was left out (system, source), then by its name."""
    return tomllib.loads(path.read_text("utf-8")) if path.exists() else {}


def why_unscored(row: Mapping[str, str]) -> str:
    """Why a row is no fair test, empty where it is."""
    text = " ".join(row.get(c) or "" for c in ("system", "notes")).casefold()
    named = f"{row.get('gpu') or ''} {row.get('system') or ''}".strip().casefold()
    if row["id"].startswith("stas-unk") or UNKNOWN.search(named):
        return "not scored: the hardware is unknown"
    if UNFIT.search(text):
        return "not scored: reported as slow, untuned or an outlier by its source"
    return ""


def question(row: Mapping[str, str], catalog: Catalog, known: Mapping[str, Any] | None = None) -> Question:
    """Make a row ready; `assumed` is what it does not say.

    Raises
    ------
    InputError
        If a number is missing or no number, or the collective is unknown.
    """
    cells = Cells(row)
    name = re.sub(r"[^a-z0-9]", "", cells.text("collective").casefold().removesuffix("_perf"))
    if name not in OPERATIONS:
        raise InputError(f"column collective: unknown {cells.text('collective')!r}")
    op, size, ranks = OPERATIONS[name], cells.number("size_bytes"), cells.whole("n_gpus")
    if ranks < 2:
        raise InputError("column n_gpus: a collective needs at least 2")
    gpu, system = cells.text("gpu"), cells.text("system")
    generation = generation_of(gpu.casefold(), known=known)
    if generation == "other":
        cells.assumed.append(f"GPU {gpu!r} is taken as Hopper")
    sold = _sold(system, catalog)
    nodes = cells.whole("n_nodes", max(1, -(-ranks // 8)), "eight a node")
    a_node = cells.whole("gpus_per_node", max(1, ranks // nodes), "n_gpus / n_nodes")
    domain = _domain(f"{gpu} {system}".casefold(), generation, a_node, sold, cells.assumed)
    inside = min(ranks, domain) if domain > a_node else ranks / nodes
    chip = _chip(gpu, catalog)
    link = cells.number("scale_up_GBps", chip.scale_up_bandwidth / 1e9 if chip else 450.0, "datasheet")
    net, why = network_of(system, known), f"the network of {system!r}"
    if net is None:
        net = network_of(f"{row.get('notes') or ''} {row.get('source') or ''}", known)
    if net is None:
        net = DEFAULT
        if inside < ranks:
            cells.assumed.append(f"{why} is taken as {DEFAULT}")
    default = sold.nic_bandwidth * 8 / 1e9 if sold else 400.0
    crossing = inside < ranks
    nic = cells.number("scale_out_Gbps_per_gpu", default, "not said") if crossing else default
    allowed, protocol = algorithms_of(cells.text("algo_protocol"), size, op, ranks, inside)
    named = any("nvls" in name for name in allowed or ())
    reduces = named or (generation in ("hopper", "blackwell", "rubin") and max(a_node, domain) >= 4)
    tuned = make(generation, net, domain, link * 1e9, nic * 1e9 / 8, reduces, known=known)
    assumed = tuple(cells.assumed) + (tuned.assumed if crossing else ())
    text = " ".join(cells.text(c) for c in ("source", "notes"))
    launch = harness_launch(text, known)
    return Question(op, size, ranks, inside, allowed, protocol, launch, tuned, assumed)


def ask(question: Question) -> float:
    """Predicted time of a row [s]."""
    q = question
    answer = predict(q.op, q.size, q.ranks, q.tuned, q.inside, q.allowed, q.protocol)
    time = float(answer.time) + q.launch
    if not time < float("inf"):
        raise InputError(f"{' or '.join(q.allowed or ())} cannot run on {q.inside:g} ranks in a domain")
    return time


def algorithms_of(
    text: str, size: float, op: str, ranks: int, inside: float
) -> tuple[tuple[str, ...] | None, str | None]:
    """Algorithms and protocol that free text like ``RING/LL <=1MiB, NVLS/SIMPLE >=2MiB`` names for a size.

    None where it leaves the choice to NCCL, or names what the operation does not have. ``no SHARP`` and
    ``NCCL_NVLS_ENABLE=0`` take the NVLS algorithms out.

    Examples
    --------
    >>> algorithms_of("RING/LL <=1MiB, NVLS/SIMPLE >=2MiB", 4e6, "all_reduce", 8, 8)
    (('nvls',), 'simple')
    >>> algorithms_of("no SHARP", 1e9, "all_reduce", 72, 72)
    (('ring', 'tree'), None)
    """
    folded = text.casefold()
    without = re.search(r"no sharp|nvls disabled|nvls_enable\s*=\s*0|w/o nvls|without nvls|nvls off", folded)
    bare = re.sub(r"nccl_\w+(\s*=\s*\w+)?|nvls (disabled|off)|(no|w/o|without) (sharp|nvls)", " ", folded)
    named: list[str] = []
    protocol: str | None = None
    for clause in re.split(r",|;", bare):
        if not _holds(clause, size):
            continue
        words = re.findall(r"nvls[ _-]?tree|nvls|ring|tree|pat\b|direct|p2p", clause)
        named += [w.replace("p2p", "direct").replace("nvls", "nvls_").strip("_- ") for w in words]
        kinds = re.findall(r"ll128|\bll\b|simple", clause)
        protocol = protocol or (kinds[0] if kinds else None)
    named = [re.sub(r"nvls[_ -]*tree", "nvls_tree", n) for n in named]
    several = inside < ranks
    own = [n for n in dict.fromkeys(named) if n in ALGORITHMS[op]]
    own = [("nvls_tree" if several else "nvls") if n.startswith("nvls") else n for n in own]
    if not own and without:
        own = [n for n in ALGORITHMS[op] if "nvls" not in n]
    if own and protocol and all("nvls" in n for n in own):
        protocol = "simple"
    return (tuple(dict.fromkeys(own)) or None), protocol if own else None


def _holds(clause: str, size: float) -> bool:
    """True where a clause's bound on sizes, if it has one, holds."""
    match = re.search(r"(<=|>=|<|>)\s*(\d+(?:\.\d+)?)\s*([kmg]?)i?b?", clause)
    if match is None:
        return True
    bound = float(match[2]) * {"": 1, "k": 2**10, "m": 2**20, "g": 2**30}[match[3]]
    return {"<=": size <= bound, ">=": size >= bound, "<": size < bound, ">": size > bound}[match[1]]


def _domain(text: str, generation: str, a_node: int, sold: System | None, assumed: list[str]) -> int:
    """Accelerators of a scale-up domain: a rack's where the row speaks of one, else the node's."""
    if "partition" in text:
        return a_node
    match = RACKS.search(text)
    size = int(next(g for g in match.groups() if g)) if match else 0
    if size in (36, 64, 72, 144, 576) or (size and size >= a_node):
        return max(size, a_node)
    if re.search(r"mnnvl|multi-node nvlink", text):
        return 72
    if sold is not None and sold.scale_up_size >= a_node:
        return sold.scale_up_size
    if re.search(r"\bgb[23]00", text) and a_node <= 4:
        assumed.append("scale-up domain of 72 (GB200 and GB300 are sold as NVL72)")
        return 72
    return max(a_node, 1)


def _sold(text: str, catalog: Catalog) -> System | None:
    """System of the catalog that free text begins with or holds as a word, the longest name first."""
    words = [fold(w) for w in re.split(r"[\s,;()]+", text) if w]
    names = {fold(n): s for s in catalog.systems.values() for n in (s.name, *s.aliases)}
    hits = [names[w] for w in words if w in names]
    return hits[0] if hits else None


def _chip(gpu: str, catalog: Catalog) -> Any:
    for text in (gpu, re.split(r"[\s(]", gpu.strip())[0]):
        try:
            return catalog.accelerator(text)
        except ArmillaryError:
            continue
    return None


def _row(row: Mapping[str, str], catalog: Catalog, known: Mapping[str, Any] | None) -> Row:
    cells = Cells(row)
    reason, why = "", why_unscored(row)
    measured: float | None = None
    predicted: float | None = None
    assumed: tuple[str, ...] = ()
    network, chip, ranks = "-", row.get("gpu") or "", 0.0
    try:
        asked = question(row, catalog, known)
        network, chip, ranks, assumed = (
            asked.tuned.network,
            asked.tuned.generation,
            asked.ranks,
            asked.assumed,
        )
        predicted = ask(asked) * 1e6
        if asked.inside >= asked.ranks:
            network = "one domain"
        measured = cells.number(TIME)
        if measured <= 0:
            raise InputError(f"column {TIME}: must be positive")
    except ArmillaryError as error:
        reason, measured = str(error), measured or None
    ratio = predicted / measured if predicted and measured else None
    size = cells.text("size_bytes")
    bytes_ = float(size) if re.fullmatch(r"\d+(\.\d*)?(e\+?\d+)?", size) else 0.0
    if not np.isfinite(bytes_):  # refused above, with its reason
        bytes_ = 0.0
    factors = (
        ("system", cells.text("system") or "-"),
        ("network", network),
        ("collective", cells.text("collective") or "-"),
        ("decade", decade(bytes_)),
        ("bytes", f"{bytes_:.0f}"),
    )
    scale = f"{int(ranks)} GPUs" if ranks else "-"
    return Row(
        row["id"],
        TIME,
        measured,
        predicted,
        ratio,
        bytes_ / predicted if predicted else 0.0,
        (*assumed, why) if why else assumed,
        reason,
        not why,
        chip,
        network,
        scale,
        re.sub(r"^github (?:PR |issue )?", "", row.get("source") or "")[:48],
        job_of(row),
        f"|{job_of(row)}",
        float(ranks),
        factors,
        predicted / 1e6 if predicted else None,
    )


def decade(size: float) -> str:
    """Name of a size's decade, e.g. ``1 MB to 10 MB``."""
    if size < 1:
        return "-"
    names = ["1 B", "10 B", "100 B", "1 kB", "10 kB", "100 kB", "1 MB", "10 MB", "100 MB", "1 GB", "10 GB"]
    at = int(np.floor(np.log10(size)))
    return f"from {names[min(at, len(names) - 1)]}"


def job_of(row: Mapping[str, str]) -> str:
    """Name of the log that a row belongs to: its id without the number at the end."""
    return re.sub(r"[-_]\d+$", "", row["id"])


def by_log(rows: Iterable[Mapping[str, str]]) -> dict[str, list[Mapping[str, str]]]:
    """Rows of each log."""
    found: dict[str, list[Mapping[str, str]]] = defaultdict(list)
    for row in rows:
        found[job_of(row)].append(row)
    return dict(found)


def places(asked: Question, known: Mapping[str, Any] | None = None) -> set[str]:
    """Entries of tuning.toml that a row's prediction hangs on, as ``networks.efa-p5``."""
    entries = known or table()
    found = {"common"}
    for room, name in (("generations", asked.tuned.generation), ("networks", asked.tuned.network)):
        inherited(entries, room, name)
        while name:
            found.add(f"{room}.{name}")
            name = entries[room][name].get("like", "")
    return found
