"""What a step is made of, each part for those fields of the layout that it depends on.

`micro_batch` is one micro-batch through the layers, `stage_cost` what a stage takes once a step,
`stage_activations` what micro-batches hold, `pipeline` their passage through the stages. `step.estimate` puts
them together for one layout; `search` works each out on its own mesh and takes it to every layout.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from armillary.machine import Slice
from armillary.model import Transformer
from armillary.model.activations import saved_activations
from armillary.model.operators import (
    embedding_operators,
    head_operators,
    layer_operators,
)
from armillary.model.transformer import Attention, Layer, Moe
from armillary.training import communication as comm
from armillary.training import schedules
from armillary.training.calibration import Calibration, Software
from armillary.training.compute import (
    NO_LAYER,
    LayerTimes,
    PassTimes,
    Tokens,
    operators_time,
    unfused_attention_bytes,
)
from armillary.training.job import Job
from armillary.training.layout import Layout
from armillary.training.memory import (
    WEIGHT_BYTES,
    Activations,
    State,
    Weights,
    activation_memory,
    held_on_first_stage,
    held_on_last_stage,
    state_memory,
)
from armillary.training.passes import (
    Durations,
    LayerCost,
    bare,
    both_passes,
    exchanged,
    mtp_parts,
    tensor_blocks,
    weighted,
)
from armillary.training.stages import StageTables, stage_tables, stages
from armillary.training.weights import expert_shard, optimizer_weights, stage_weights

Numeric = Any

OPTIMIZER_TRAFFIC = 38.0
"""Bytes that an Adam step moves per parameter: gradient (4, and 4 for its norm), FP32 weight and two moments
read and written (24), gradient cleared (4), BF16 weight written (2). [byte]"""
HOST_ADAM_BYTES = 28.0
"""The same on the host, whose gradient and weight cross the link apart. [byte]"""
HOST_STREAM = 100e9
"""Host memory that one accelerator's share of the host streams; assumption: Grace reaches about 400 GB/s
for two accelerators (NVIDIA Grace datasheet, 2023), shared with the input pipeline. [byte/s]"""
GRADIENT_BUCKETS = 16.0
"""Buckets of a gradient exchange: the last to be reduced has nothing to hide under. Assumption; Megatron-Core
cuts buckets of 40 million parameters and more. [-]"""
PERMUTATIONS = ("permute", "unpermute")
"""Passes that HybridEP does while it sends, see `Software.fused_permutation`."""


class MicroBatch(NamedTuple):
    """One micro-batch through the model on one accelerator of each stage [s].

    kinds : through one layer of each kind. last : behind the last layer. whole : all layers and both ends.
    Each is `Passes`, or with `durations` only its `Durations`.
    """

    kinds: tuple[Any, ...]
    last: Any
    whole: Any

    @property
    def durations(self) -> MicroBatch:
        """The same with nothing but forward and backward times."""
        return MicroBatch(tuple(k.durations for k in self.kinds), self.last.durations, self.whole.durations)


class StageCost(NamedTuple):
    """What a step takes once a stage, whatever its micro-batches.

    reduce, gather : gradients and weights over data-parallel ranks, each once [s].
    regather : weights again for backward (ZeRO-3) [s].
    tail : last bucket of the exchange, with nothing to hide under [s].
    last_chunk : share of the exchange that is left when the last model chunk is done [-].
    every_micro_batch : True where the exchange runs with each of them [-].
    optimizer, offload : update of weights, and what it adds with state in host memory [s].
    first, last : memory of first and last stage.
    """

    reduce: Numeric
    gather: Numeric
    regather: Numeric
    tail: Numeric
    last_chunk: Numeric
    every_micro_batch: Numeric
    optimizer: Numeric
    offload: Numeric
    first: State
    last: State


class Pipeline(NamedTuple):
    """A step's passage through the stages [s].

    micro_batches : per pipeline and step [-]. mean : one micro-batch through a mean stage.
    imbalance, bubble, transfer : added by the slowest stage, by filling and draining, and by transfers that
    nothing hides.
    """

    micro_batches: Numeric
    mean: Durations
    imbalance: Numeric
    bubble: Numeric
    transfer: Numeric

    @property
    def total(self) -> Numeric:
        """Of the step, without data-parallel exchange and optimizer [s]."""
        return self.micro_batches * self.mean.total + self.imbalance + self.bubble + self.transfer


def micro_batch(
    job: Job,
    machine: Slice,
    layout: Layout,
    calibration: Calibration,
    congestion: comm.Congestion = comm.CLEAR,
) -> MicroBatch:
    """One micro-batch through each kind of layer and through the model.

    Depends on `tp`, `sp`, `cp`, `cp_exchange`, `ep`, `etp`, `micro_batch`, `recompute`, `overlap_tp` and
    `overlap_ep` of the layout.
    """
    model, software, chip = job.model, calibration.hosted, machine.accelerator
    kernels = calibration.kernels(chip)
    low = chip.peak.get(job.recipe.gemm, 0.0) * calibration.chip.gemm.get(job.recipe.gemm, 0.0)
    low = low * calibration.gemm_share
    links = comm.Links.of(machine.rings, calibration.chip.scale_up, software.scale_out_share)
    dispatch = comm.Links.of(machine.rings, software.dispatch_inside, software.dispatch[software.dispatcher])
    dispatch = dispatch.slowed(congestion.expert)
    # Tensor-parallel overlap writes into the other ranks' memory (Transformer Engine's user buffers).
    inside = comm.groups(layout).tensor.ranks(links)[0] >= layout.tp
    layout = layout._replace(overlap_tp=layout.overlap_tp * inside)
    local = layout.micro_batch * job.sequence / layout.cp
    tokens = Tokens(
        local,
        job.sequence,
        layout.tp,
        layout.sequence_split,
        layout.ep,
        layout.etp,
        min(job.imbalance, job.capacity),
        1.0 if software.balances_context else 2.0 - 1.0 / np.asarray(layout.cp),
    )

    def timed(operators: Any) -> LayerTimes:
        return operators_time(
            [o for o in operators if not (software.fused_permutation and o.name in PERMUTATIONS)],
            tokens,
            kernels,
            low,
            job.recipe,
            software.gradient_bytes,
            software.grouped_share,
            software.fused_casts,
        )

    def layer_cost(layer: Layer) -> LayerCost:
        compute = timed(layer_operators(layer, model.hidden))
        if not software.fused_attention and isinstance(layer.mixer, Attention):
            moved = unfused_attention_bytes(layer.mixer.heads / layout.tp, local, job.sequence)
            score = PassTimes(0.0, 0.0, moved / kernels.memory_bandwidth)
            compute = compute.plus(NO_LAYER._replace(forward=score, input_gradient=score))
        blocks = tensor_blocks(layer)
        tensor = comm.tensor_parallel(local, model.hidden, blocks, layout, links.slowed(congestion.tensor))
        query, kv = exchanged(layer)
        around = links.slowed(congestion.context)
        context = comm.context_parallel(local, query, kv, layout, around) if kv else 0.0
        expert: Numeric = 0.0
        routing: Numeric = 0.0
        if isinstance(layer.feed_forward, Moe):
            f = layer.feed_forward
            latency = np.where(
                comm.groups(layout).expert.ranks(links)[0] < layout.ep,
                software.dispatch_latency[software.dispatcher],
                software.dispatch_latency_inside,
            )
            latency = np.where(np.asarray(layout.ep) > 1, latency, 0.0)
            once = comm.expert_parallel(
                local, f.latent or model.hidden, f.top_k, 2.0, software.deduplicates, layout, dispatch
            )
            expert = 2 * (once + latency)
            routing = software.routing + software.expert_launch * f.experts / np.asarray(layout.ep)
        regathered = tensor + np.where(np.asarray(layout.sp) > 0, tensor / 2, 0.0)
        return LayerCost(compute, tensor, regathered, context, expert, routing)

    tables = _tables(model)
    kinds = [both_passes(layer_cost(kind), layout, software) for kind in tables.kinds]
    last = both_passes(bare(timed(head_operators(model))), layout._replace(recompute=0), software)
    first = both_passes(bare(timed(embedding_operators(model))), layout._replace(recompute=0), software)
    extra = mtp_parts(model)
    if extra is not None:
        block, projection = extra
        module = both_passes(layer_cost(block), layout, software)
        module = module.plus(both_passes(bare(timed((projection,))), layout, software)).plus(last)
        last = last.plus(module.scaled(model.mtp_layers))
    whole = weighted(kinds, list(tables.counts)).plus(last).plus(first)
    return MicroBatch(tuple(kinds), last, whole)


def stage_cost(
    job: Job,
    machine: Slice,
    layout: Layout,
    calibration: Calibration,
    congestion: comm.Congestion = comm.CLEAR,
) -> StageCost:
    """Exchange of gradients and weights, optimizer and resident memory of a step.

    Depends on the degrees, `order`, `schedule`, `zero`, `shard`, `overlap_dp`, `offload_optimizer` and
    `optimizer_bytes` of the layout.
    """
    software, chip = calibration.software, machine.accelerator
    links = comm.Links.of(machine.rings, calibration.chip.scale_up, software.scale_out_share)
    links = links.slowed(congestion.data)
    tables = _tables(job.model)
    spread = stages(tables, layout.pp, layout.vpp)
    first, last = stage_weights(job.model, tables, spread, layout)
    reduce, gather = _exchange(first, last, spread.layers, layout, links, software)
    zero, single = np.asarray(layout.zero), np.asarray(layout.pp) == 1
    updated = optimizer_weights(first, last, layout)
    bandwidth = calibration.kernels(chip).memory_bandwidth
    over_link = (WEIGHT_BYTES + 4.0) / chip.host_bandwidth + HOST_ADAM_BYTES / HOST_STREAM

    def resident(weights: Weights) -> State:
        return state_memory(
            weights, layout, expert_shard(layout), job.recipe.weight_copy, software.gradient_bytes
        )

    return StageCost(
        reduce=reduce,
        gather=gather,
        regather=np.where((zero >= 3) & single, gather, 0.0),
        tail=(reduce + gather) / GRADIENT_BUCKETS / layout.vpp * (np.asarray(layout.overlap_dp) > 0),
        # Interleaving finishes one model chunk after the other, and reduces each under the next.
        last_chunk=np.where(np.asarray(layout.overlap_dp) > 0, 1.0 / np.asarray(layout.vpp), 1.0),
        # With a pipeline, gradients are accumulated over micro-batches before they are reduced, and
        # weights stay gathered (Llama 3, arXiv:2407.21783, section 3.3.2; torchtitan's FSDP default).
        every_micro_batch=(zero >= 2) & single,
        optimizer=updated * OPTIMIZER_TRAFFIC / bandwidth * (1.0 - layout.offload_optimizer),
        offload=updated * over_link * layout.offload_optimizer,
        first=resident(first),
        last=resident(last),
    )


def _exchange(
    first: Weights, last: Weights, layers: Numeric, layout: Layout, links: comm.Links, software: Software
) -> tuple[Numeric, Numeric]:
    """Time to reduce gradients and to gather weights of the fuller stage, each once [s]."""
    g = comm.groups(layout)
    shard = expert_shard(layout)
    expert_group = comm.Group(shard, g.expert_data.stride)
    expert_replicas = comm.Group(np.maximum(g.expert_data.size / shard, 1), g.expert_data.stride * shard)

    def exchanged(weights: Numeric, over: comm.Group, replicas: comm.Group) -> comm.GradientExchange:
        return comm.gradient_exchange(
            weights,
            software.gradient_bytes,
            WEIGHT_BYTES,
            software.tensors * layers,
            layout.zero,
            over,
            replicas,
            links,
        )

    dense = exchanged(np.maximum(first.dense, last.dense), g.shard, g.replicas)
    experts = exchanged(np.maximum(first.experts, last.experts), expert_group, expert_replicas)
    return dense.reduce + experts.reduce, dense.gather + experts.gather


def exposed_exchange(cost: StageCost, mean: Durations, room: Numeric, contention: float) -> Numeric:
    """Time that one exchange adds to the passes of a mean stage [s].

    Parameters
    ----------
    cost : StageCost
    mean : Durations
    room : numeric
        Share of the passes that communication can hide under. [-]
    contention : float
        What hidden communication still costs, over its own time: it takes compute units and memory
        bandwidth from the kernels that it runs beside. [-]
    """
    reduce = cost.reduce + cost.regather
    beyond = np.maximum(reduce - room * mean.backward, 0.0)
    beyond = beyond + np.maximum(cost.gather - room * mean.forward, 0.0)
    # What is hidden is the whole less what is beyond, so that only the latter sees every layout.
    price = contention * (reduce + cost.gather) * (np.asarray(room) > 0)
    return beyond * ((1 - contention * (np.asarray(room) > 0)) * cost.last_chunk) + price * cost.last_chunk


def straggling(accelerators: Numeric, software: Software) -> Numeric:
    """Share of a step that ranks wait for the slowest: mean of the largest of so many normal deviates [-]."""
    return software.jitter * np.sqrt(2 * np.log(np.maximum(accelerators, 2)))


def stage_transfer(
    job: Job,
    machine: Slice,
    layout: Layout,
    calibration: Calibration,
    congestion: comm.Congestion = comm.CLEAR,
) -> Numeric:
    """Time of one transfer of a micro-batch between stages [s]."""
    software = calibration.software
    links = comm.Links.of(machine.rings, calibration.chip.scale_up, software.scale_out_share)
    links = links.slowed(congestion.pipeline)
    local = layout.micro_batch * job.sequence / layout.cp
    return comm.pipeline_transfer(local, job.model.hidden, layout, links)


def stage_durations(job: Job, layout: Layout, micro: MicroBatch) -> tuple[Durations, Durations]:
    """One micro-batch through a middle stage, and through the last with its head [s]."""
    tables = _tables(job.model)
    spread = stages(tables, layout.pp, layout.vpp)
    each = micro.durations
    single = np.asarray(layout.pp) == 1
    last = weighted(each.kinds, spread.last).plus(each.last)
    last = Durations(*(np.where(single, a, b) for a, b in zip(each.whole, last, strict=True)))
    return weighted(each.kinds, spread.middle), last


def pipeline(job: Job, layout: Layout, micro: MicroBatch, transfer: Numeric) -> Pipeline:
    """Passage of a step's micro-batches through the stages.

    Parameters
    ----------
    job : Job
    layout : Layout
    micro : MicroBatch of Durations
    transfer : numeric
        Time of one transfer between stages. [s]
    """
    tables = _tables(job.model)
    spread = stages(tables, layout.pp, layout.vpp)
    n = job.global_batch / (layout.micro_batch * layout.dp)
    single = np.asarray(layout.pp) == 1
    middle = weighted(micro.kinds, spread.middle)
    tail = weighted(micro.kinds, spread.last).total + micro.last.total
    mean = micro.whole.scaled(1 / np.asarray(layout.pp, dtype=float))
    slowest = np.where(single, mean.total, np.maximum(middle.total, tail))
    hidden = (np.asarray(layout.overlap_pp) > 0) & (np.asarray(layout.vpp) > 1)
    # A transfer hides under the next chunk of its own direction, as far as that lasts.
    beyond = np.maximum(transfer - middle.forward / layout.vpp, 0.0)
    beyond = beyond + np.maximum(transfer - middle.backward / layout.vpp, 0.0)
    bubble = schedules.bubble(
        layout.schedule,
        layout.pp,
        layout.vpp,
        middle.forward + 2 * transfer,
        middle.input_gradient,
        middle.weight_gradient,
    )
    return Pipeline(
        micro_batches=n,
        mean=mean,
        imbalance=n * (slowest - mean.total),
        bubble=bubble,
        transfer=n * layout.vpp * np.where(hidden, beyond, 2 * transfer),
    )


def activation_offload(job: Job, machine: Slice, layout: Layout, pipe: Pipeline) -> Numeric:
    """Time that activations kept in host memory add: what does not hide under the forward pass [s]."""
    if not np.any(layout.offload_activations):
        return 0.0
    tables = _tables(job.model)
    tokens = layout.micro_batch * job.sequence / layout.cp
    saved = sum(
        n * 2.0 * saved_activations(kind, job.model.hidden).total
        for kind, n in zip(tables.kinds, tables.counts, strict=True)
    )
    layers = stages(tables, layout.pp, layout.vpp).layers / job.model.num_layers
    moved = saved * layers * tokens / layout.tp * layout.offload_activations
    exposed = np.maximum(moved / machine.accelerator.host_bandwidth - pipe.mean.forward, 0.0)
    return 2 * exposed * pipe.micro_batches


def stage_activations(job: Job, layout: Layout, software: Software) -> tuple[Activations, Activations]:
    """Activations of the first and of the last stage.

    Depends on the degrees, `schedule`, `micro_batch`, `sp`, `recompute` and `offload_activations` of the
    layout.
    """
    tables = _tables(job.model)
    spread = stages(tables, layout.pp, layout.vpp)
    tokens = layout.micro_batch * job.sequence / layout.cp
    micro_batches = job.global_batch / (layout.micro_batch * layout.dp)
    saved = [saved_activations(kind, job.model.hidden) for kind in tables.kinds]
    vocab = job.model.vocab / layout.tp

    def of(layers: list[Numeric], head: Numeric, held: Numeric) -> Activations:
        return activation_memory(
            saved,
            layers,
            head,
            tokens,
            held,
            layout,
            job.recipe.saved_bytes,
            software.memory_allowance,
            software.fused_loss,
        )

    head = np.where(np.asarray(layout.pp) == 1, vocab, 0.0)
    return (
        of(spread.middle, head, held_on_first_stage(layout, micro_batches)),
        of(spread.last, vocab, held_on_last_stage(layout, micro_batches)),
    )


@lru_cache(maxsize=64)
def _tables(model: Transformer) -> StageTables:
    return stage_tables(model)
