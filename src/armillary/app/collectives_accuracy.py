"""Scores of collectives as people read them: groups, the page of the documentation, figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from armillary.app.accuracy import Lines, _by_factor, _figure, _furthest, _series, _step, _tables, by
from armillary.app.figures import scatter
from armillary.validation import Row, summarise
from armillary.validation.collectives import SMALL, WITHIN, held_out, large, latency_score

GROUPS = (("system", "system"), ("collective", "collective"), ("network", "network"), ("source", "source"))
REACH = 0.6


def collectives_groups(results: Sequence[Row]) -> list[tuple[str, Lines]]:
    """Sums of the rows from 1 MB up by factor, that of all first; by decade those of all sizes."""
    rows = large(results)
    groups: list[tuple[str, Lines]] = [("all", [("all rows from 1 MB up", summarise(rows))])]
    for title, key in GROUPS:
        groups.append((title, [(label, summarise(part)) for label, part in by(rows, key).items()]))
    ordered = sorted((r for r in results if r.scored), key=_bytes)
    decades: dict[str, list[Row]] = {}
    for row in ordered:
        decades.setdefault(dict(row.factors)["decade"], []).append(row)
    return [*groups, ("size", [(label, summarise(part)) for label, part in decades.items()])]


def latency_words(results: Sequence[Row]) -> str:
    """One sentence on small messages."""
    s = latency_score(results)
    if not s.n:
        return f"Small messages, below {SMALL / 1e3:.0f} kB: no rows."
    return (
        f"Small messages, below {SMALL / 1e3:.0f} kB: {s.within:.0%} of {s.n} within a factor {WITHIN:g}, "
        f"median factor {s.median:.2f}, worst {s.worst:.2f}."
    )


def held_out_lines() -> list[str]:
    """What the fit found on rows left out, in sentences; none where it is not recorded."""
    lines = []
    for key, groups in held_out().items():
        found = groups["all"]
        lines.append(
            f"Held out by {key}: {found['rows']:.0f} rows from 1 MB up, median {found['median']:.1%}, "
            f"p90 {found['p90']:.1%}, bias {found['bias']:+.1%}; small messages {found['within']:.0%} of "
            f"{found['small']:.0f} within a factor {WITHIN:g}, worst {found['worst']:.2f}."
        )
    return lines


def collectives_json(results: Sequence[Row], shipped: bool) -> dict[str, Any]:
    """Parts of the answer that other scores do not have."""
    found: dict[str, Any] = {"latency": latency_score(results)._asdict()}
    return found | ({"held_out": {k: v["all"] for k, v in held_out().items()}} if shipped else {})


def collectives_page(results: Sequence[Row], images: Mapping[str, str]) -> str:
    """Page of the documentation; `images` are links by figure."""
    groups = collectives_groups(results)
    lines = [
        "<!-- made by: armillary validate collectives --markdown docs/network-accuracy.md -->",
        "# Measured accuracy of the network model",
        "",
        "Error of the predicted time of a collective against published logs of nccl-tests and alike.",
        "Median and p90 are of |predicted / measured - 1|, bias is the signed median, over rows from 1 MB",
        "up; small messages are scored by the factor they are off.",
        "",
        *_tables(groups[:1]),
        latency_words(results),
        "",
        "## On rows that nobody fitted",
        "",
        "The figures above include the rows that the coefficients were fitted to. These do not: each system,",
        "then each source, is left out of the fit and predicted by the others. What only its rows fix falls",
        "back to the network that it is like, or to the number that the plugin's vendor publishes.",
        "",
        *(line + "\n" for line in held_out_lines()),
    ]
    for key, found in held_out().items():
        lines += [f"| {key} left out | rows | median | p90 | bias | small | within {WITHIN:g}x |"]
        lines += ["|---|---:|---:|---:|---:|---:|---:|"]
        lines += [_held_out_line(name, f) for name, f in found.items()]
        lines.append("")
    lines += _figure(images, "scatter", "Predicted against measured time of collectives")
    lines += _figure(images, "factors", "Error of predicted time of collectives by factor")
    lines += _tables(groups[1:])
    unscored = sorted({(why, r.group) for r in results for why in r.assumed if why.startswith("not scored")})
    if unscored:
        lines += ["## Shown, not scored", "", *(f"- {group}: {why}" for why, group in unscored), ""]
    return "\n".join(lines).rstrip() + "\n"


def _held_out_line(name: str, found: Mapping[str, float]) -> str:
    errors = [f"{found[k]:{form}}" if k in found else "-" for k, form in _FORMS]
    return (
        f"| {name} | {found['rows']:.0f} | "
        + " | ".join(errors[:3])
        + f" | {found['small']:.0f} | {errors[3]} |"
    )


_FORMS = (("median", ".1%"), ("p90", ".1%"), ("bias", "+.1%"), ("within", ".0%"))


def collectives_drawings(results: Sequence[Row]) -> dict[str, str]:
    """Figures by name: `scatter` of all scored rows, `factors` of those from 1 MB up."""
    rows = [r for r in results if r.scored and r.ratio and r.step]
    part = large(rows)
    drawn = {
        "scatter": scatter(
            _series(rows, lambda r: r.kind, _step),
            "measured time",
            "predicted time",
            f"Predicted against measured time of {len(rows)} published collectives",
            band=0.1,
            unit="s",
            notes=_furthest(part, _step),
        )
    }
    if part:
        factors = (("network", "kind"), ("GPU", "chip"), ("scale", "scale"))
        drawn["factors"] = _by_factor(part, factors, "Error of predicted time, from 1 MB up", REACH)
    return drawn


def _bytes(row: Row) -> float:
    return float(dict(row.factors)["bytes"])
