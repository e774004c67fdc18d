"""Time of one layer of an engine's step, by its parts: products, cache, prompts, experts, passes, traffic."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from armillary.model.operators import AttentionCore, Gemm, Pass, Scan, Shard, layer_operators
from armillary.model.transformer import Attention, GatedDeltaNet, LatentAttention, Layer, Mamba2, Moe
from armillary.serving.communication import all_reduce_time, expert_exchange_time
from armillary.serving.kernels import Sustained, cache_time, experts_hit, gemm_time, roofline
from armillary.serving.layout import EngineLayout
from armillary.serving.precision import Widths

Numeric = Any

STATE_BYTES = 4.0
"""Recurrent states are kept in FP32, as vLLM and SGLang do. [byte]"""

CAST_KERNELS = 0.5
"""Kernels that quantise the input of a product, on average: half of them are fused; assumption. [-]"""

DECODE_KERNELS, ABSORBED_KERNELS = 2.0, 2.0
"""Kernels of decoding attention (split over the cache, then joined; Dao et al. 2023, Flash-Decoding), and of
the two products that a latent cache absorbs. [-]"""

STATE_KERNELS, SCAN_KERNELS = 2.0, 3.0
"""Kernels that a recurrent layer runs to decode, and more of its chunked scan; assumption. [-]"""

EXCHANGE_KERNELS = 4.0
"""Kernels of one dispatch and its combine, two each (DeepEP's notify and move). [-]"""


class LayerTime(NamedTuple):
    """Parts of one layer [s], and the kernels it launches [-]."""

    projections: Numeric = 0.0
    cache: Numeric = 0.0
    prompt_attention: Numeric = 0.0
    experts: Numeric = 0.0
    passes: Numeric = 0.0
    reduce: Numeric = 0.0
    exchange: Numeric = 0.0
    kernels: Numeric = 0.0

    def plus(self, other: LayerTime) -> LayerTime:
        """Part by part sum."""
        return LayerTime(*(a + b for a, b in zip(self, other, strict=True)))

    def times(self, count: Numeric) -> LayerTime:
        """Each part times `count`."""
        return LayerTime(*(a * count for a in self))

    @property
    def device(self) -> Numeric:
        """Seconds on the device, gaps apart [s]."""
        return sum(self[:-1])


class Work(NamedTuple):
    """One step on one rank: rows of dense GEMMs, decoding queries, and all tokens of the replica."""

    rows: Numeric
    queries: Numeric
    keys: Numeric
    sequences: Numeric
    prompt: Numeric
    pairs: Numeric
    tokens: Numeric
    mean_context: Numeric
    mixed: Numeric


def layer_time(
    layer: Layer, hidden: int, layout: EngineLayout, width: Widths, known: Sustained, work: Work
) -> LayerTime:
    """Parts of one layer of a step on one rank.

    Parameters
    ----------
    layer : Layer
    hidden : int
    layout : EngineLayout
    width : Widths
    known : Sustained
    work : Work
    """
    total = LayerTime()
    for operator in layer_operators(layer, hidden):
        match operator:
            case Gemm():
                total = total.plus(_gemm(operator, layout, width, known, work))
            case Pass():
                total = total.plus(_pass(operator, layout, known, work))
            case AttentionCore() | Scan():
                pass  # decoding and prompts differ: see the mixers below
    match layer.mixer:
        case Attention() as a:
            total = total.plus(_attention(a, layout, width, known, work))
        case LatentAttention() as a:
            total = total.plus(_latent_attention(a, layout, width, known, work))
        case Mamba2() | GatedDeltaNet() as r:
            total = total.plus(_recurrence(r, hidden, layer, layout, known, work))
        case None:
            pass
    reduces = (layer.mixer is not None) * 1.0
    moe = isinstance(layer.feed_forward, Moe)
    if layer.feed_forward is not None and not moe:
        reduces += 1
    size = 2.0 * hidden * work.rows
    one = all_reduce_time(size, layout.tp, layout.domain, known)
    total = total._replace(reduce=total.reduce + reduces * one)
    if moe:
        total = total.plus(_expert_traffic(layer, hidden, layout, width, known, work, size))
    return total


def _expert_traffic(
    layer: Layer,
    hidden: int,
    layout: EngineLayout,
    width: Widths,
    known: Sustained,
    work: Work,
    size: Numeric,
) -> LayerTime:
    """All-reduce where every rank holds every token (one attention group), else dispatch and combine."""
    moe = layer.feed_forward
    assert isinstance(moe, Moe)
    summed = all_reduce_time(size, layout.tp, layout.domain, known)
    tokens = work.rows / layout.tp
    there = expert_exchange_time(
        tokens, width.expert_activation * hidden, moe.top_k, layout.stage, layout.domain, known
    )
    back = expert_exchange_time(tokens, 2.0 * hidden, moe.top_k, layout.stage, layout.domain, known)
    apart = np.asarray(layout.dp) > 1
    return LayerTime(
        reduce=np.where(apart, 0.0, summed),
        exchange=np.where(apart, there + back, 0.0),
        kernels=np.where(apart, EXCHANGE_KERNELS, 0.0),
    )


def _gemm(g: Gemm, layout: EngineLayout, width: Widths, known: Sustained, work: Work) -> LayerTime:
    if g.experts > 1:
        return _experts(g, layout, width, known, work)
    columns, depth, rows = g.outputs * 1.0, g.inputs * 1.0, work.rows
    if g.name == "kv up":
        rows = work.prompt  # decoding folds it into queries and outputs, see _latent_attention
    columns = columns / layout.tp if g.shard is Shard.COLUMN else columns
    depth = depth / layout.tp if g.shard is Shard.ROW else depth
    rows = np.asarray(rows)
    if g.low_precision:
        formats = (width.dense, width.dense_activation, known.dense_flops, known.dense_bandwidth)
        casts = np.where(np.asarray(width.dense_activation) < 2.0, CAST_KERNELS, 0.0)
    else:
        formats = (2.0, 2.0, known.bf16_flops, known.memory_bandwidth)
        casts = np.asarray(0.0)
    time = gemm_time(rows, columns, depth, 1.0, *formats)
    one = np.where(rows > 0, 1.0, 0.0)
    return LayerTime(projections=time * one, kernels=one * (1.0 + casts))


def _experts(g: Gemm, layout: EngineLayout, width: Widths, known: Sustained, work: Work) -> LayerTime:
    hit = experts_hit(g.experts, g.copies, work.tokens) / layout.ep
    hit = np.maximum(hit, np.minimum(g.copies / layout.ep, 1.0))
    skew = 1 + known.skew * np.log2(np.maximum(layout.ep, 1.0))
    rows = work.tokens * g.copies / layout.ep * skew / hit
    columns, depth = g.outputs * 1.0, g.inputs * 1.0
    if g.shard is Shard.EXPERT_COLUMN:
        columns = columns / layout.expert_tp
    else:
        depth = depth / layout.expert_tp
    time = gemm_time(
        rows,
        columns,
        depth,
        hit,
        width.experts,
        width.expert_activation,
        known.expert_flops,
        known.expert_bandwidth,
    )
    return LayerTime(experts=time, kernels=1.0)


def _pass(p: Pass, layout: EngineLayout, known: Sustained, work: Work) -> LayerTime:
    match p.shard:
        case Shard.TENSOR:
            tokens = work.rows / layout.tp
        case Shard.EXPERT:
            tokens = work.tokens / layout.stage
        case _:
            tokens = work.rows
    return LayerTime(passes=tokens * p.forward / known.memory_bandwidth, kernels=1.0)


def _attention(a: Attention, layout: EngineLayout, width: Widths, known: Sustained, work: Work) -> LayerTime:
    heads = a.heads / layout.tp
    kv_heads = np.maximum(a.kv_heads / layout.tp, 1.0)
    keys, pairs = work.keys, work.pairs
    if a.window:
        keys = work.sequences * np.minimum(work.mean_context, a.window)
        pairs = np.minimum(pairs, work.prompt * a.window)
    queries = work.queries / np.maximum(work.sequences, 1e-9)
    read = cache_time(
        keys,
        2 * kv_heads * a.head_dim * width.cache,
        4.0 * heads * a.head_dim * queries,
        known.latent_flops,
        known.cache_bandwidth,
    )
    prompts = 4.0 * pairs * heads * a.head_dim / known.attention_flops
    some = np.where(np.asarray(work.queries) > 0, 1.0, 0.0)
    return LayerTime(cache=read, prompt_attention=prompts, kernels=some * DECODE_KERNELS + work.mixed)


def _latent_attention(
    a: LatentAttention, layout: EngineLayout, width: Widths, known: Sustained, work: Work
) -> LayerTime:
    """Decoding over the latent itself: queries and outputs pass the up-projections ("absorbed")."""
    heads, latent = a.heads / layout.tp, a.kv_rank + a.rope_dim
    keys, pairs = work.keys, work.pairs
    scored: Numeric = 0.0
    if a.indexer is not None:
        if not a.indexer.shared:
            scored = work.keys * a.indexer.head_dim / known.cache_bandwidth
        keys = work.sequences * np.minimum(work.mean_context, a.indexer.top_k)
        pairs = np.minimum(pairs, work.prompt * a.indexer.top_k)
    queries = work.queries / np.maximum(work.sequences, 1e-9)
    read = cache_time(
        keys,
        latent * width.cache,
        2.0 * heads * (latent + a.kv_rank) * queries,
        known.latent_flops,
        known.cache_bandwidth,
    )
    some = np.where(np.asarray(work.queries) > 0, 1.0, 0.0)
    # One small product a head: weights in BF16, rows are the decoding queries.
    absorbed = gemm_time(
        work.queries,
        a.nope_dim + a.v_dim,
        a.kv_rank,
        heads,
        2.0,
        2.0,
        known.bf16_flops,
        known.memory_bandwidth,
    )
    prompts = 2.0 * pairs * heads * (a.nope_dim + a.rope_dim + a.v_dim) / known.attention_flops
    return LayerTime(
        projections=absorbed * some,
        cache=read + scored,
        prompt_attention=prompts,
        kernels=some * (DECODE_KERNELS + ABSORBED_KERNELS) + work.mixed,
    )


def _recurrence(
    r: Mamba2 | GatedDeltaNet,
    hidden: int,
    layer: Layer,
    layout: EngineLayout,
    known: Sustained,
    work: Work,
) -> LayerTime:
    """A decoding sequence reads and writes its state whole; prompts run the chunked scan."""
    if isinstance(r, Mamba2):
        state = r.heads * r.head_dim * r.state
    else:
        state = r.value_heads * r.key_dim * r.value_dim
    touched = work.queries * 2 * STATE_BYTES * state / layout.tp
    scan: Numeric = 0.0
    for operator in layer_operators(layer, hidden):
        if isinstance(operator, Scan):
            local = work.prompt / layout.tp
            scan = scan + roofline(
                local * operator.flops / known.attention_flops,
                local * operator.bytes / known.memory_bandwidth,
            )
    return LayerTime(
        cache=touched / known.cache_bandwidth,
        prompt_attention=scan,
        kernels=STATE_KERNELS + SCAN_KERNELS * work.mixed,
    )
