"""The score of dispatch and combine as people read it: sums by factor, a page, figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from armillary.app.accuracy import Lines, by, cells
from armillary.app.figures import scatter
from armillary.app.figures.lines import Series
from armillary.network.dispatchers import dispatcher
from armillary.validation import DOUBTFUL, Row, summarise

FACTORS = (
    ("library", "library"),
    ("phase", "phase"),
    ("mode", "mode"),
    ("ranks", "ranks"),
    ("source", "source"),
)
SUMS = ("", "rows", "median", "p90", "bias")


def alltoall_groups(scored: Sequence[Row]) -> list[tuple[str, Lines]]:
    """Sums by factor, each group with its title; that of all rows first."""
    done = [r for r in scored if r.ratio is not None]
    sound = [r for r in done if r.id not in DOUBTFUL]
    whole = [("all scored rows", summarise(scored))]
    if len(sound) < len(done):
        whole.append(("without doubtful rows", summarise(sound)))
    groups: list[tuple[str, Lines]] = [("all", whole)]
    for title, key in FACTORS:
        found = by(done, key)
        if key == "ranks":
            found = dict(sorted(found.items(), key=lambda item: int(item[0])))
        groups.append((title, [(label, summarise(rows)) for label, rows in found.items()]))
    return groups


def alltoall_page(scored: Sequence[Row], images: Mapping[str, str]) -> str:
    """Page of the documentation on dispatch and combine; `images` are links by figure."""
    lines = [
        "<!-- made by: armillary validate alltoall --markdown docs/alltoall-accuracy.md -->",
        "# Measured accuracy of dispatch and combine",
        "",
        "Error of the predicted time of one dispatch or combine of a mixture of experts against published",
        "figures of libraries. A row that publishes a bandwidth is scored on the time that it stands for:",
        "bytes by its own convention over bandwidth. Median and p90 are of |predicted / measured - 1|, bias",
        "is the signed median.",
        "",
        "A time is launch, what crossing the network costs, and the slower of two rings: bytes inside the",
        "scale-up domain and bytes through the NIC, each over the share of the bandwidth that the library",
        "sustains. The constants are fitted to this table (`tools/fit_dispatch.py`, which also prints the",
        "error of rows that it left out), so these figures say how well so few constants describe it.",
        "",
        "`--data FILE.csv` scores other figures. Needed columns are `source`, `gpu`, `library`, `phase`,",
        "`ep` and `mode` (normal or prefill, low-latency or decode), and `latency_us` or `bandwidth_GBps`;",
        "`system` names the network, `bottleneck` what a bandwidth counts (NVLink: bytes to every distinct",
        "rank, RDMA: to every distinct node, the own one included). `tokens_per_rank`, `hidden` and `topk`",
        "are those of DeepSeek-V3 where they are empty.",
        "",
    ]
    for title, rows in alltoall_groups(scored):
        lines += [f"## By {title}" if title != "all" else "## All", ""]
        lines += ["| " + " | ".join(SUMS) + " |", "|---|" + "---:|" * (len(SUMS) - 1)]
        lines += ["| " + " | ".join(cells(label, s)[: len(SUMS)]) + " |" for label, s in rows]
        lines.append("")
        if title == "all" and "scatter" in images:
            words = "Predicted against measured time of dispatch and combine"
            lines += [f"![{words}]({images['scatter']})", ""]
        if title == "library":
            lines += _constants(scored)
    doubtful = [r for r in scored if r.id in DOUBTFUL]
    if doubtful:
        lines += [
            "## Rows that contradict the table",
            "",
            "They are scored, but nothing is fitted to them.",
            "",
        ]
        lines += [f"- {r.id}: {DOUBTFUL[r.id]}." for r in doubtful]
        lines.append("")
    missing = [f"- {r.id}: {r.reason}" for r in scored if r.ratio is None]
    if missing:
        lines += ["## Not evaluated", "", *missing, ""]
    return "\n".join(lines)


def alltoall_drawings(scored: Sequence[Row]) -> dict[str, str]:
    """Figure of the time by name: `scatter`."""
    points: dict[str, list[tuple[float, float]]] = {}
    for row in scored:
        if row.ratio and row.step:
            library = dict(row.factors)["library"].split("-")[0]
            points.setdefault(library, []).append((row.step / row.ratio, row.step))
    if not points:
        return {}
    series: Series = sorted(points.items(), key=lambda item: -len(item[1]))
    number = sum(len(found) for found in points.values())
    title = f"Predicted against measured time of {number} dispatches and combines"
    return {"scatter": scatter(series, "measured time", "predicted time", title, band=0.2, unit="s")}


def _constants(scored: Sequence[Row]) -> list[str]:
    """Constants of the libraries that the rows are of."""
    names = sorted({dict(r.factors)["library"] for r in scored if r.ratio is not None})
    heads = ("", "NVLink", "NIC", "launch", "crossing", "peer", "message")
    lines = ["Shares are of the bandwidth; pairs are dispatch / combine; times in microseconds.", ""]
    lines += ["| " + " | ".join(heads) + " |", "|---|" + "---:|" * (len(heads) - 1)]
    for name in names:
        d = dispatcher(name)
        shares = _pair({k: 100 * v for k, v in d.scale_up_share.items()}, "%") if d.scale_up else "not used"
        times = [_pair({k: 1e6 * v for k, v in part.items()}) for part in (d.launch, d.crossing)]
        each = [f"{1e6 * value:.3g}" for value in (d.peer, d.message)]
        lines.append("| " + " | ".join((name, shares, f"{d.scale_out_share:.0%}", *times, *each)) + " |")
    return [*lines, ""]


def _pair(values: Mapping[str, float], unit: str = "") -> str:
    found = [f"{v:.4g}{unit}" if not unit else f"{v:.0f}{unit}" for v in values.values()]
    return found[0] if len(set(found)) == 1 else " / ".join(found)
