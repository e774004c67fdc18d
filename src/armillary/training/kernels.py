"""Time of kernels: GEMMs, grouped GEMMs, fused attention, memory-bound passes. Only numpy.

Each function takes numbers or arrays and returns seconds. Constants of a chip come in `Kernels`
(fitted or published, see the calibration file of the catalog and docs/training.md).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

Numeric = Any

ROOFLINE_SHARPNESS = 1.6
"""How hard the corner of the roofline is: infinity is `max`, 1 is a sum. 1.6 fits 697 dense and 120
grouped GEMMs on B200 and A100 together (MooreThreads/SimuMax configs; tools/fit_kernels.py)."""


WIDE_HEAD = 128.0
"""Head size from which attention kernels reach their rate; 64 reach `Kernels.attention_narrow` of it. [-]"""


class Kernels(NamedTuple):
    """What a chip sustains in kernels.

    gemm_flops : sustained on large GEMMs of the precision at hand, under power [FLOP/s].
    gemm_half_depth : inner dimension at which a GEMM reaches half of that [-].
    wave_sensitivity : exponent of wave quantisation, 0 (stream-K hides it) to 1 (none hidden) [-].
    attention_flops : sustained by fused attention forward, causal FLOPs [FLOP/s].
    attention_backward_flops : the same, backward [FLOP/s].
    attention_half_occupancy : tiles per compute unit at which attention reaches half [-].
    attention_half_keys : mean keys per query at which attention reaches half [-].
    attention_narrow : share of the rates that heads of 64 reach [-].
    memory_bandwidth : sustained by memory-bound kernels [byte/s].
    unfused : bytes that memory-bound kernels move over those of fused ones [-].
    gap : between dependent kernels on the device [s].
    compute_units : streaming multiprocessors [-].
    scan_share : of the attention rates that chunked linear recurrences reach [-].
    """

    gemm_flops: Numeric
    gemm_half_depth: Numeric
    wave_sensitivity: Numeric
    attention_flops: Numeric
    attention_backward_flops: Numeric
    attention_half_occupancy: Numeric
    attention_half_keys: Numeric
    attention_narrow: Numeric
    memory_bandwidth: Numeric
    unfused: Numeric
    gap: Numeric
    compute_units: Numeric
    scan_share: Numeric = 1.0


def gemm_time(
    rows: Numeric,
    columns: Numeric,
    depth: Numeric,
    groups: Numeric,
    operand_bytes: Numeric,
    result_bytes: Numeric,
    flops: Numeric,
    kernels: Kernels,
) -> Numeric:
    """Time of `groups` products `[rows, depth] x [depth, columns]` run as one (grouped) GEMM.

    Parameters
    ----------
    rows, columns, depth, groups : numeric
        Shape; with experts, rows are the tokens of one expert. [-]
    operand_bytes, result_bytes : numeric
        Width of an element read, and of one moved for the result (8 where FP32 is accumulated). [byte]
    flops : numeric
        Sustained rate of this precision, e.g. `kernels.gemm_flops`. [FLOP/s]
    kernels : Kernels

    Notes
    -----
    A roofline with a soft corner: compute time (with tile and wave quantisation and the ramp over
    `depth`) and memory time are added in the `ROOFLINE_SHARPNESS` norm. Tiles are 128 x 128, scheduled
    in waves of one 128 x 256 pair per compute unit.
    """
    work = 2.0 * groups * rows * columns * depth
    row_tiles, column_tiles = np.ceil(rows / 128), np.ceil(columns / 128)
    padding = (row_tiles * 128 / rows) * (column_tiles * 128 / columns)
    waves = groups * row_tiles * np.ceil(columns / 256) / kernels.compute_units
    quantisation = (np.ceil(waves) / waves) ** kernels.wave_sensitivity
    compute = work / flops * padding * quantisation * (1 + kernels.gemm_half_depth / depth)
    moved = groups * ((rows + columns) * depth * operand_bytes + rows * columns * result_bytes)
    memory = moved / kernels.memory_bandwidth
    p = ROOFLINE_SHARPNESS
    return (compute**p + memory**p) ** (1 / p) + kernels.gap


def causal_keys(sequence: Numeric, window: Numeric) -> Numeric:
    """Mean number of keys that a query sees under a causal mask, with an optional window (0: none).

    Examples
    --------
    >>> float(causal_keys(8192, 0)), float(causal_keys(8192, 128))
    (4096.0, 127.0)
    """
    narrow = (np.asarray(window) > 0) & (np.asarray(window) < sequence)
    width: Numeric = np.where(narrow, window, sequence)
    return width - width * width / (2.0 * sequence)


def attention_time(
    tokens: Numeric,
    heads: Numeric,
    qk_dim: Numeric,
    v_dim: Numeric,
    keys: Numeric,
    flops: Numeric,
    products: Numeric,
    kernels: Kernels,
) -> Numeric:
    """Time of fused causal attention.

    Parameters
    ----------
    tokens, heads : numeric
        Queries and heads on this accelerator. [-]
    qk_dim, v_dim : numeric
        Head sizes. [-]
    keys : numeric
        Mean keys per query, see `causal_keys`. [-]
    flops : numeric
        Sustained rate at full occupancy. [FLOP/s]
    products : numeric
        Matrix products relative to the forward pass: 1 forward, 2.5 backward. [-]

    Notes
    -----
    Few heads and short sequences leave compute units idle: with `o` tiles of 128 queries per compute unit
    the rate is :math:`o / (o + o_{1/2})` of the sustained one (Dao 2023, arXiv:2307.08691, section 3.2).
    Few keys leave each tile little work beside its start and the blocks on the diagonal: with `k` keys it
    is :math:`k / (k + k_{1/2})`. Heads narrower than 128 reach less.
    """
    work = 2.0 * tokens * heads * keys * (qk_dim + v_dim) * products
    occupancy = tokens * heads / (128.0 * kernels.compute_units)
    narrowness = np.clip((WIDE_HEAD - np.asarray(v_dim)) / (WIDE_HEAD / 2), 0.0, 1.0)
    rate = flops * (1 - (1 - kernels.attention_narrow) * narrowness)
    ramp = (1 + kernels.attention_half_occupancy / occupancy) * (1 + kernels.attention_half_keys / keys)
    return work / rate * ramp + kernels.gap


def pass_time(moved: Numeric, kernels: Kernels) -> Numeric:
    """Time of a memory-bound kernel that moves `moved` bytes when fused as well as can be."""
    return moved * kernels.unfused / kernels.memory_bandwidth + kernels.gap
