"""The recorded score: what a change to an equation is held against."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from armillary.validation.collectives import large, latency_score
from armillary.validation.score import Row, scaling, summarise

RECORD = Path(__file__).parent / "recorded.toml"

Figures = Mapping[str, float]


class Margin(NamedTuple):
    """How far a figure may move: to the worse, and to the better before it has to be recorded [-].

    better_is : +1 where more is better, -1 where less is.
    """

    worse: float
    better: float
    better_is: int


ROUNDING = 0.0005
MARGINS = {
    "n": Margin(0, 0, 1),
    "median": Margin(ROUNDING, 0.002, -1),
    "p90": Margin(ROUNDING, 0.01, -1),
    "worst": Margin(ROUNDING, 0.005, -1),
    "bias": Margin(ROUNDING, 0.005, -1),
    "tau": Margin(ROUNDING, 0.02, 1),
    "slope": Margin(ROUNDING, 0.01, -1),
    "pairs": Margin(0, 0, 1),
    "within": Margin(ROUNDING, 0.01, 1),
}
"""By the last word of a figure's name; the bias is taken without its sign."""

HEADER = """\
# Score of the models on the measurements in data/. A section is written by `armillary validate SECTION
# --record`; held by tests/validation/. Errors are shares; say in CHANGELOG.md why a figure moved.
"""


def training_figures(scored: Iterable[Row]) -> dict[str, float]:
    """Figures of the training model: of all rows, of dense ones and of MoE, and the scaling slope."""
    rows = list(scored)
    slope = scaling(rows)
    found = _of(rows, "") | {"slope": slope.median_abs_error, "pairs": float(slope.pairs)}
    for kind in ("dense", "MoE"):
        part = _of([r for r in rows if r.kind == kind], f"{kind.casefold()}_")
        found |= {name: part[name] for name in part if name.endswith(("median", "p90"))}
    return found


def memory_figures(scored: Iterable[Row]) -> dict[str, float]:
    """Figures of the memory model; `worst` is the largest error."""
    rows = [r for r in scored if r.ratio]
    found = _of(rows, "")
    found["worst"] = max((abs((r.ratio or 1.0) - 1) for r in rows), default=float("nan"))
    return {name: found[name] for name in ("n", "median", "p90", "worst", "bias")}


def collectives_figures(results: Iterable[Row]) -> dict[str, float]:
    """Figures of the network model: rows from 1 MB up; of small messages the share within 1.5x, the worst."""
    rows = list(results)
    found = _of(large(rows), "")
    latency = latency_score(rows)
    return {name: found[name] for name in ("n", "median", "p90", "bias")} | {
        "small_n": float(latency.n),
        "small_within": latency.within,
        "small_worst": latency.worst,
    }


def _of(rows: list[Row], prefix: str) -> dict[str, float]:
    s = summarise(rows)
    tau = float("nan") if s.kendall_tau is None else s.kendall_tau
    values = (float(s.n), s.median_abs_error, s.p90_abs_error, s.median_error, tau)
    return {
        prefix + name: value
        for name, value in zip(("n", "median", "p90", "bias", "tau"), values, strict=True)
    }


def recorded(path: Path = RECORD) -> dict[str, dict[str, float]]:
    """Recorded figures by section, such as `training`."""
    return tomllib.loads(path.read_text("utf-8")) if path.exists() else {}


def record(section: str, found: Figures, path: Path = RECORD) -> str:
    """Text of the record with one section replaced."""
    sections = recorded(path) | {section: dict(found)}
    lines = [HEADER.rstrip()]
    for name in sorted(sections, reverse=True):
        lines += ["", f"[{name}]"]
        lines += [
            f"{key} = {value:.0f}" if value == int(value) and abs(value) >= 1 else f"{key} = {value:.4f}"
            for key, value in sections[name].items()
        ]
    return "\n".join(lines) + "\n"


def moved(section: str, found: Figures, path: Path = RECORD) -> list[str]:
    """Say which figures are worse than recorded, and which are better without being recorded."""
    before = recorded(path).get(section, {})
    complaints = [f"{section}.{name} is not recorded" for name in found if name not in before]
    for name, old in before.items():
        margin = MARGINS[name.rsplit("_")[-1]]
        new = found.get(name, float("nan"))
        gain = margin.better_is * (abs(new) - abs(old))
        if not gain >= -margin.worse:
            complaints.append(
                f"{section}.{name} is worse: {new:.4f}, recorded {old:.4f}; mend it, or move the record "
                f"(armillary validate {section} --record) and say why in CHANGELOG.md"
            )
        elif gain > margin.better:
            complaints.append(
                f"{section}.{name} is better: {new:.4f}, recorded {old:.4f}; record it "
                f"(armillary validate {section} --record) and say so in CHANGELOG.md"
            )
    return complaints
