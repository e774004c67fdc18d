"""Fit the shape of the GEMM model to measured kernels, before any training run is looked at.

    python tools/fit_kernels.py --data kernel_efficiency_simumax.csv --attention kernel_efficiency.csv

Prints, per chip, the sustained share, half depth, wave sensitivity, HBM share and roofline sharpness that
`training.kernels.gemm_time` takes, with its error on dense and on grouped GEMMs. With --attention also, per
chip and kernel, the share that causal attention reaches at long sequences with heads of 128, the mean keys
at which it reaches half of that, and the share of it that heads of 64 reach.
"""

from __future__ import annotations

import argparse
import csv
import re
from pathlib import Path

import numpy as np
from scipy.optimize import least_squares

CHIPS = {"B200-SXM": (2250e12, 8.0e12, 148), "A100-PCIe-80GB": (312e12, 1.94e12, 108)}
"""BF16 peak [FLOP/s], HBM [byte/s], compute units [-]."""


def rows(path: Path, chip: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shapes (groups, m, n, k, result bytes moved), efficiencies, and which are grouped."""
    shapes, efficiencies, grouped = [], [], []
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["gpu"] != chip or row["op"] not in ("matmul", "group_matmul"):
                continue
            d = dict(part.strip().split("=") for part in row["shape"].split(","))
            if row["op"] == "matmul":
                width = 4.0 if d["out_dtype"] == "fp32" else 2.0
                moved = width * (2 if d["accumulate"] == "True" else 1)
                shapes.append((1.0, float(d["m"]), float(d["n"]), float(d["k"]), moved))
            else:
                g, m, n, k = (float(d[x]) for x in ("ng", "M", "N", "K"))
                accumulated = 8.0 if d["main_grad_dtype"] == "fp32" else 4.0
                shapes.append(
                    {
                        "fwd": (g, m, n, k, 2.0),
                        "bwd_grad_act": (g, m, k, n, 2.0),
                        "bwd_grad_w": (g, n, k, m, accumulated),
                    }[d["stage"]]
                )
            efficiencies.append(float(row["efficiency_fraction_of_peak"]))
            grouped.append(row["op"] == "group_matmul")
    return np.array(shapes).T, np.array(efficiencies), np.array(grouped)


def efficiency(x: np.ndarray, shapes: np.ndarray, chip: str) -> np.ndarray:
    """Share of peak by the model; x = (share, half depth, wave sensitivity, HBM share, sharpness)."""
    share, half_depth, waves, hbm, sharpness = x
    peak, bandwidth, units = CHIPS[chip]
    g, m, n, k, moved = shapes
    row_tiles, column_tiles = np.ceil(m / 128), np.ceil(n / 128)
    padding = row_tiles * 128 / m * column_tiles * 128 / n
    wave = g * row_tiles * np.ceil(n / 256) / units
    work = 2 * g * m * n * k
    compute = work / (peak * share) * padding * (np.ceil(wave) / wave) ** waves * (1 + half_depth / k)
    memory = g * (2 * (m + n) * k + m * n * moved) / (bandwidth * hbm)
    return work / peak / (compute**sharpness + memory**sharpness) ** (1 / sharpness)


def attention(path: Path) -> None:
    """Fit causal attention by sequence and head size, kernel by kernel, and print what was found."""
    measured: dict[tuple[str, str], list[tuple[float, float, float]]] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            size = re.search(r"head_dim (64|128), causal", row["detail"])
            sequence = re.search(r"seq (\d+)", row["shape_MxNxK_or_seq"])
            if size and sequence:
                point = (float(sequence[1]) / 2, float(size[1]), float(row["efficiency"]))
                measured.setdefault((row["gpu"], row["kernel"]), []).append(point)
    for (chip, kernel), points in measured.items():
        keys, sizes, shares = np.array(points).T

        def share(x: np.ndarray, k: np.ndarray = keys, d: np.ndarray = sizes) -> np.ndarray:
            return x[0] * k / (k + x[1]) * np.where(d < 128, x[2], 1.0)

        solved = least_squares(
            lambda x, e=shares, f=share: np.log(f(x) / e),
            [0.5, 200, 0.8],
            loss="soft_l1",
            x_scale=[1, 100, 1],
        )
        error = np.abs(share(solved.x) / shares - 1)
        print(f"{chip} {kernel}: long {solved.x[0]:.2f}, half at {solved.x[1]:.0f} keys, heads of 64 reach "
              f"{solved.x[2]:.2f}; {len(points)} kernels, median {np.median(error):.1%}")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--attention", type=Path)
    asked = parser.parse_args()
    if asked.attention:
        attention(asked.attention)
    path = asked.data
    names = ("share", "half_depth", "wave_sensitivity", "hbm_share", "sharpness")
    for chip in CHIPS:
        shapes, measured, grouped = rows(path, chip)
        solved = least_squares(
            lambda x, s=shapes, e=measured, c=chip: np.log(efficiency(x, s, c) / e),
            [0.6, 50, 0.5, 0.8, 1.5],
            loss="soft_l1",
            bounds=([0.1, 1, 0, 0.2, 1], [1, 2000, 1, 1, 8]),
        )
        error = np.abs(efficiency(solved.x, shapes, chip) / measured - 1)
        print(chip, {n: round(float(v), 3) for n, v in zip(names, solved.x, strict=True)})
        for label, mask in (("dense", ~grouped), ("grouped", grouped)):
            print(f"  {label}: {mask.sum()} kernels, median {np.median(error[mask]):.1%}, "
                  f"p90 {np.percentile(error[mask], 90):.1%}")  # fmt: skip


if __name__ == "__main__":
    main()
