"""Time of an engine's kernels: thin and grouped GEMMs, attention over a cache, passes. Only numpy.

Each function takes numbers or arrays and returns seconds, without the gap between kernels: `Sustained.gap`
is counted once a kernel by `serving.step`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

Numeric = Any

ROOFLINE_SHARPNESS = 1.6
"""How hard the corner of the roofline is, as in training.kernels (tools/fit_kernels.py): infinity is `max`,
1 is a sum. [-]"""

TILE_ROWS = 16.0
"""Rows that a tensor-core product has at least; thin GEMMs put tokens on that side of the tile, whose least
width is 8 to 16 (CUTLASS); assumption. [-]"""

HALF_DEPTH = 60.0
"""Inner dimension at which a GEMM reaches half of its rate, as `gemm_half_depth` of training's calibration
(tools/fit_kernels.py, on kernels of A100 and B200). [-]"""


class Sustained(NamedTuple):
    """What a chip and an engine sustain together; every field a number or an array.

    dense_flops, expert_flops : GEMM rates in the precision of dense weights and of experts [FLOP/s].
    bf16_flops : of what no recipe quantises: router, vocabulary, absorbed projections [FLOP/s].
    attention_flops : fused attention over prompts, causal FLOPs counted once [FLOP/s].
    latent_flops : products of decoding over a latent cache (MLA) [FLOP/s].
    dense_bandwidth, expert_bandwidth : while dense weights, and those of experts, stream [byte/s].
    memory_bandwidth : of passes over activations, and of BF16 products [byte/s].
    cache_bandwidth : while a KV cache is read [byte/s].
    gap : of one kernel beside its roofline: launch inside a graph, prologue, tail [s].
    launch : host time to launch one kernel outside of graphs, in steps with prompts [s].
    reduce_latency : of one all-reduce inside a scale-up domain [s].
    exchange_latency : of one dispatch or combine inside a domain [s].
    network_latency : of one message between domains [s].
    scale_up : bandwidth of collectives inside a domain, one direction [byte/s].
    scale_out : of the NIC [byte/s].
    host_step, host_sequence : host time that a step does not hide: each step, and for each decoding sequence
        [s].
    skew : extra load of the busiest expert rank over the mean, for each octave of ranks [-].
    """

    dense_flops: Numeric
    expert_flops: Numeric
    bf16_flops: Numeric
    attention_flops: Numeric
    latent_flops: Numeric
    dense_bandwidth: Numeric
    expert_bandwidth: Numeric
    memory_bandwidth: Numeric
    cache_bandwidth: Numeric
    gap: Numeric
    launch: Numeric
    reduce_latency: Numeric
    exchange_latency: Numeric
    network_latency: Numeric
    scale_up: Numeric
    scale_out: Numeric
    host_step: Numeric
    host_sequence: Numeric
    skew: Numeric


def roofline(compute: Numeric, memory: Numeric) -> Numeric:
    """Time of work that computes and moves bytes at once, with a soft corner [s].

    Examples
    --------
    >>> round(float(roofline(3.0, 0.0)), 3), round(float(roofline(1.0, 1.0)), 3)
    (3.0, 1.542)
    """
    p = ROOFLINE_SHARPNESS
    return (compute**p + memory**p) ** (1 / p)


def gemm_time(
    rows: Numeric,
    columns: Numeric,
    depth: Numeric,
    groups: Numeric,
    weight_bytes: Numeric,
    activation_bytes: Numeric,
    flops: Numeric,
    bandwidth: Numeric,
) -> Numeric:
    """Time of `groups` products `[rows, depth] x [depth, columns]`, one kernel.

    Parameters
    ----------
    rows, columns, depth, groups : numeric
        Shape; rows are the tokens of one group. [-]
    weight_bytes, activation_bytes : numeric
        Width of an element of either operand; results are BF16. [byte]
    flops, bandwidth : numeric
        Sustained. [FLOP/s, byte/s]

    Notes
    -----
    Compute and memory under a roofline; half a tile of rows a group is padding.
    """
    padded = np.maximum(rows + TILE_ROWS / 2, TILE_ROWS)
    compute = 2.0 * groups * padded * columns * depth / flops * (1 + HALF_DEPTH / depth)
    moved = groups * (columns * depth * weight_bytes + rows * depth * activation_bytes + 2 * rows * columns)
    return roofline(compute, moved / bandwidth)


def experts_hit(experts: Numeric, copies: Numeric, tokens: Numeric) -> Numeric:
    r"""Expected experts that at least one token visits, :math:`E\,(1 - (1 - k/E)^t)` [-].

    Each token visits `copies` different experts out of `experts`, uniformly.

    Examples
    --------
    >>> round(float(experts_hit(256, 8, 64)), 1)
    222.4
    """
    return experts * -np.expm1(tokens * np.log1p(-np.minimum(copies / experts, 1 - 1e-12)))


def cache_time(
    keys: Numeric,
    key_bytes: Numeric,
    flops_per_key: Numeric,
    flops: Numeric,
    bandwidth: Numeric,
) -> Numeric:
    """Time to attend over `keys` cached tokens in all, one query each; linear in `keys`.

    Parameters
    ----------
    keys : numeric
        Cached tokens read, summed over sequences, on one accelerator. [token]
    key_bytes : numeric
        Of one cached token of one layer on one accelerator. [byte]
    flops_per_key : numeric
        Of scores and values, for all query heads here and all drafted tokens. [FLOP]
    flops, bandwidth : numeric
        Sustained. [FLOP/s, byte/s]
    """
    return keys * roofline(flops_per_key / flops, key_bytes / bandwidth)
