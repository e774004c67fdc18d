"""The collectives of one training step: which group, over which rings, how many bytes. Imports `network`.

Group strides follow `Layout.order`: in ``tp-cp-dp-pp`` consecutive ranks are first tensor-, then context-,
then data-parallel, and pipeline stages are farthest apart (Megatron-Core's default, parallel_state.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from armillary.machine import Ring, ranks_inside
from armillary.network import all_gather, all_reduce, all_to_all, send
from armillary.training.layout import Layout

Numeric = Any


class Links(NamedTuple):
    """Sustained rings, innermost first: sizes [-], bandwidths [byte/s], latencies [s], NVLS or not."""

    sizes: tuple[int, ...]
    bandwidth: tuple[Numeric, ...]
    latency: tuple[float, ...]
    reduces: bool

    @classmethod
    def of(cls, rings: Sequence[Ring], scale_up_share: float, scale_out_share: float) -> Links:
        """Take the sustained share of each ring's bandwidth: the first is scale-up, the others scale-out."""
        shares = (scale_up_share, *(scale_out_share for _ in rings[1:]))
        return cls(
            sizes=tuple(r.size for r in rings),
            bandwidth=tuple(r.bandwidth * s for r, s in zip(rings, shares, strict=True)),
            latency=tuple(r.latency for r in rings),
            reduces=rings[0].reduces,
        )

    def slowed(self, factor: Numeric) -> Links:
        """The same with bandwidth so many times smaller [-]."""
        return self._replace(bandwidth=tuple(b / factor for b in self.bandwidth))


class Congestion(NamedTuple):
    """How many times longer bytes of each kind take than on rings that nothing else uses [-].

    `on_fabric` finds it at flow level; 1 is the closed form.
    """

    tensor: Numeric = 1.0
    context: Numeric = 1.0
    expert: Numeric = 1.0
    pipeline: Numeric = 1.0
    data: Numeric = 1.0


CLEAR = Congestion()
"""Nothing contends."""


class Group(NamedTuple):
    """Ranks that communicate. size [-]; stride : distance of neighbours in global rank [-]."""

    size: Numeric
    stride: Numeric

    def ranks(self, links: Links) -> list[Numeric]:
        """Ranks that meet in each ring, innermost first, as `network` wants them; product is `size`."""
        counts: list[Numeric] = []
        inside: Numeric = 1
        for ring_size in links.sizes[:-1]:
            within = ranks_inside(ring_size, self.size, self.stride)
            counts.append(within / inside)
            inside = within
        return [*counts, self.size / inside]


class Groups(NamedTuple):
    """All groups of a layout."""

    tensor: Group
    context: Group
    pipeline: Group
    data: Group
    """Ranks that hold the same dense weights: data and context parallel together."""
    shard: Group
    """The part of `data` over which ZeRO shards."""
    replicas: Group
    """Ranks that hold the same shard."""
    expert: Group
    expert_tensor: Group
    expert_data: Group


def groups(layout: Layout) -> Groups:
    """Groups of a layout with their strides."""
    near = np.asarray(layout.order) == 0
    between = np.where(near, 1, layout.pp)
    tp, cp, dp = layout.tp, layout.cp, layout.dp
    data_ranks = dp * cp
    data_stride = tp * between
    return Groups(
        tensor=Group(tp, 1),
        context=Group(cp, tp),
        pipeline=Group(layout.pp, np.where(near, tp * cp * dp, tp * cp)),
        data=Group(data_ranks, data_stride),
        shard=Group(layout.shard, data_stride),
        replicas=Group(data_ranks / layout.shard, data_stride * layout.shard),
        expert=Group(layout.ep, layout.etp),
        expert_tensor=Group(layout.etp, 1),
        expert_data=Group(layout.expert_data_parallel, layout.ep * layout.etp * between),
    )


def _gather(size: Numeric, group: Group, links: Links, parts: Numeric = 1) -> Numeric:
    """All-gather (or reduce-scatter) of `size` bytes in so many equal collectives [s]."""
    return parts * all_gather(size / parts, group.ranks(links), links.bandwidth, links.latency)


def _reduce(size: Numeric, group: Group, links: Links, parts: Numeric = 1) -> Numeric:
    """All-reduce of `size` bytes in so many equal collectives [s]."""
    ranks = group.ranks(links)
    return parts * all_reduce(size / parts, ranks, links.bandwidth, links.latency, links.reduces)


def tensor_parallel(tokens: Numeric, hidden: int, sublayers: float, layout: Layout, links: Links) -> Numeric:
    """Forward time of tensor-parallel collectives in a layer.

    Parameters
    ----------
    tokens : numeric
        Of the micro-batch on this rank. [token]
    hidden : int
        Width. [-]
    sublayers : float
        Blocks with a column- and a row-parallel GEMM (attention, feed-forward). [-]

    Notes
    -----
    With sequence parallelism an all-gather before and a reduce-scatter behind each block, else one
    all-reduce (Korthikanti et al. 2022, arXiv:2205.05198, section 4.2.2). Backward takes the same, and one
    more all-gather a block when inputs are kept split.
    """
    size = 2.0 * tokens * hidden
    group = groups(layout).tensor
    split = 2 * _gather(size, group, links)
    whole = _reduce(size, group, links)
    return sublayers * np.where(np.asarray(layout.sp) > 0, split, whole)


def context_parallel(
    tokens: Numeric, query_width: Numeric, kv_width: Numeric, layout: Layout, links: Links
) -> Numeric:
    """Forward time of the exchange of keys and values (or heads) in one attention layer.

    Parameters
    ----------
    tokens : numeric
        On this rank. [token]
    query_width, kv_width : numeric
        Elements per token of queries, and of keys and values together, before tensor parallelism. [-]

    Notes
    -----
    Ring and all-gather move every other rank's keys and values past each rank (Liu et al. 2023,
    arXiv:2310.01889; Llama 3, arXiv:2407.21783, section 3.3.2). Ulysses exchanges queries, keys, values
    and outputs by all-to-all (Jacobs et al. 2023, arXiv:2309.14509).
    """
    group = groups(layout).context
    ranks = group.ranks(links)
    gathered = _gather(2.0 * tokens * layout.cp * kv_width / layout.tp, group, links)
    heads = all_to_all(
        2.0 * tokens * (2 * query_width + kv_width) / layout.tp, ranks, links.bandwidth, links.latency
    )
    return np.where(np.asarray(layout.cp_exchange) == 2, heads, gathered)


def expert_parallel(
    tokens: Numeric,
    width: int,
    copies: int,
    token_bytes: float,
    deduplicates: bool,
    layout: Layout,
    links: Links,
) -> Numeric:
    """Time of one dispatch (or combine) of tokens to experts, with the gather over expert-tensor ranks.

    Parameters
    ----------
    tokens : numeric
        Of the micro-batch on this rank before the split over tensor-parallel ranks. [token]
    width, copies : int
        Elements a token; experts it visits. [-]
    token_bytes : float
        Of one element on the wire. [byte]
    deduplicates : bool
        True where a token crosses to a remote scale-up domain once (DeepEP, HybridEP). [-]
    """
    g = groups(layout)
    size = tokens / layout.tp * width * copies * token_bytes
    dispatch = all_to_all(
        size, g.expert.ranks(links), links.bandwidth, links.latency, float(copies) if deduplicates else 1.0
    )
    return dispatch + _gather(size * layout.etp, g.expert_tensor, links)


def pipeline_transfer(tokens: Numeric, hidden: int, layout: Layout, links: Links) -> Numeric:
    """Time to hand one micro-batch's activations to the next stage; 0 without pipeline."""
    size = 2.0 * tokens * hidden / layout.sequence_split
    ranks = groups(layout).pipeline.ranks(links)
    bandwidth: Numeric = links.bandwidth[0]
    latency: Numeric = links.latency[0]
    for p, beta, alpha in zip(ranks[1:], links.bandwidth[1:], links.latency[1:], strict=True):
        crosses = np.asarray(p) > 1
        bandwidth = np.where(crosses, beta, bandwidth)
        latency = np.where(crosses, alpha, latency)
    return send(size, bandwidth, latency) * np.where(np.asarray(layout.pp) > 1, 1.0, 0.0)


class GradientExchange(NamedTuple):
    """Time of data-parallel collectives for the weights of one stage, each once [s].

    reduce : gradients to where the optimizer needs them. gather : updated weights back.
    """

    reduce: Numeric
    gather: Numeric


def gradient_exchange(
    weights: Numeric,
    gradient_bytes: float,
    weight_bytes: float,
    buckets: Numeric,
    zero: Numeric,
    shard: Group,
    replicas: Group,
    links: Links,
) -> GradientExchange:
    """Time to reduce gradients and to gather weights.

    Parameters
    ----------
    weights : numeric
        On this rank, before ZeRO. [-]
    buckets : numeric
        Collectives that the exchange is cut into, about one a layer; each pays its latency. [-]
    zero : numeric
        See `Layout.zero`; 0 all-reduces over all ranks, others reduce-scatter over `shard`, all-reduce the
        shards over `replicas`, and gather weights over `shard` (Rajbhandari et al. 2020,
        arXiv:1910.02054; Zhao et al. 2023, arXiv:2304.11277, section 3.2.2 for hybrid sharding).
    """
    gradients = weights * gradient_bytes
    scattered = _gather(gradients, shard, links, buckets)
    scattered = scattered + _reduce(gradients / shard.size, replicas, links, buckets)
    everything = Group(shard.size * replicas.size, shard.stride)
    whole = _reduce(gradients, everything, links, buckets)
    sharded = np.asarray(zero) > 0
    return GradientExchange(
        reduce=np.where(sharded, scattered, whole),
        gather=np.where(sharded, _gather(weights * weight_bytes, shard, links, buckets), 0.0),
    )
