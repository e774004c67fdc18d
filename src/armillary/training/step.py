"""`estimate`: time and memory of a training step under a layout, or under a mesh of layouts.

The step is the sum of named parts (`StepTime`): work of a mean stage, what each collective adds beyond
what hides under compute, the pipeline's bubble, the imbalance of stages, the optimizer, and waiting for
the slowest rank.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from armillary.machine import Slice
from armillary.model import Transformer, training_flops
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
from armillary.training.layout import Layout
from armillary.training.memory import (
    Memory,
    Weights,
    fuller,
    held_on_first_stage,
    held_on_last_stage,
    stage_memory,
)
from armillary.training.passes import (
    LayerCost,
    Passes,
    bare,
    both_passes,
    exchanged,
    mtp_parts,
    tensor_blocks,
    weighted,
)
from armillary.training.precision import Recipe
from armillary.training.stages import Stages, StageTables, stage_tables, stages
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


class Job(NamedTuple):
    """What is trained.

    global_batch : sequences per step [-].
    imbalance : tokens of the busiest expert rank over the mean [-].
    capacity : what experts take at most, over the mean; tokens beyond are dropped [-].
    """

    model: Transformer
    sequence: int
    global_batch: float
    recipe: Recipe
    imbalance: float = 1.0
    capacity: float = float("inf")

    @property
    def tokens_per_step(self) -> float:
        """Tokens that one optimizer step consumes [token]."""
        return self.global_batch * self.sequence


class StepTime(NamedTuple):
    """Parts of a step [s]; communication is what compute does not hide."""

    gemm: Numeric
    attention: Numeric
    memory_bound: Numeric
    recompute: Numeric
    launch: Numeric
    """Host-bound: launching kernels takes longer than running them."""
    tensor_parallel: Numeric
    context_parallel: Numeric
    expert_parallel: Numeric
    pipeline_transfer: Numeric
    pipeline_bubble: Numeric
    stage_imbalance: Numeric
    data_parallel: Numeric
    optimizer: Numeric
    offload: Numeric
    stragglers: Numeric

    @property
    def total(self) -> Numeric:
        """Sum of the parts, those of few axes first, so that a mesh is filled late [s]."""
        return sum(sorted(self, key=np.size))


class Busy(NamedTuple):
    """Seconds that each kind of communication keeps the network busy in a step, hidden or not."""

    tensor_parallel: Numeric
    context_parallel: Numeric
    expert_parallel: Numeric
    pipeline_transfer: Numeric
    data_parallel: Numeric


class Estimate(NamedTuple):
    """Answer for a layout or a mesh of them.

    micro_batches : per pipeline and step [-]. flops : model FLOPs of a step, whole job [FLOP].
    """

    time: StepTime
    busy: Busy
    first_stage: Memory
    last_stage: Memory
    micro_batches: Numeric
    flops: float
    tokens: float
    accelerators: Numeric
    capacity: float
    peak: float

    @property
    def memory(self) -> Memory:
        """Of the fuller of first and last stage, part by part [byte]."""
        return fuller(self.first_stage, self.last_stage)

    @property
    def memory_total(self) -> Numeric:
        """Total of `memory`, without taking it apart [byte]."""
        return np.maximum(self.first_stage.total, self.last_stage.total)

    @property
    def fits(self) -> Numeric:
        """True where memory suffices."""
        return self.memory_total <= self.capacity

    @property
    def step(self) -> Numeric:
        """Step time, `inf` where memory does not suffice [s]."""
        return np.where(self.fits, self.time.total, np.inf)

    @property
    def tokens_per_accelerator(self) -> Numeric:
        """Tokens per second and accelerator [token/s]."""
        return self.tokens / self.time.total / self.accelerators

    @property
    def mfu(self) -> Numeric:
        """Model FLOPs utilisation against the BF16 dense peak; causal attention counted as half [-]."""
        return self.flops / self.time.total / self.accelerators / self.peak


@lru_cache(maxsize=64)
def _tables(model: Transformer) -> StageTables:
    return stage_tables(model)


def estimate(job: Job, machine: Slice, layout: Layout, calibration: Calibration) -> Estimate:
    """Time and memory of one training step.

    Parameters
    ----------
    job : Job
    machine : Slice
        Where it runs.
    layout : Layout
        One layout, or arrays that broadcast. Validity is not checked here, see `search.invalid`.
    calibration : Calibration

    Returns
    -------
    Estimate
        Every field broadcasts to the layout's shape.
    """
    model, software, chip = job.model, calibration.software, machine.accelerator
    kernels = calibration.kernels(chip)
    low = chip.peak.get(job.recipe.gemm, 0.0) * calibration.chip.gemm.get(job.recipe.gemm, 0.0)
    links = comm.Links.of(machine.rings, software.scale_up_share, software.scale_out_share)
    share = software.dispatch[software.dispatcher]
    dispatch = comm.Links.of(machine.rings, share, share)

    local = layout.micro_batch * job.sequence / layout.cp
    tokens = Tokens(
        local,
        job.sequence,
        layout.tp,
        layout.sequence_split,
        layout.ep,
        layout.etp,
        min(job.imbalance, job.capacity),
    )
    micro_batches = job.global_batch / (layout.micro_batch * layout.dp)

    def timed(operators: Any) -> LayerTimes:
        return operators_time(
            operators, tokens, kernels, low, job.recipe, software.gradient_bytes, software.grouped_share
        )

    def layer_cost(layer: Layer) -> LayerCost:
        compute = timed(layer_operators(layer, model.hidden))
        if not software.fused_attention and isinstance(layer.mixer, Attention):
            moved = unfused_attention_bytes(layer.mixer.heads / layout.tp, local, job.sequence)
            score = PassTimes(0.0, 0.0, moved / kernels.memory_bandwidth)
            compute = compute.plus(NO_LAYER._replace(forward=score, input_gradient=score))
        blocks = tensor_blocks(layer)
        tensor = comm.tensor_parallel(local, model.hidden, blocks, layout, links)
        regather = comm.tensor_parallel(local, model.hidden, blocks, layout, links) / 2
        query, kv = exchanged(layer)
        context = comm.context_parallel(local, query, kv, layout, links) if kv else 0.0
        expert: Numeric = 0.0
        routing: Numeric = 0.0
        if isinstance(layer.feed_forward, Moe):
            f = layer.feed_forward
            spread_out = np.where(np.asarray(layout.ep) > 1, 1.0, 0.0)
            once = comm.expert_parallel(
                local, f.latent or model.hidden, f.top_k, 2.0, software.deduplicates, layout, dispatch
            )
            expert = 2 * (once + spread_out * software.dispatch_latency[software.dispatcher])
            routing = software.routing_graphs if software.graphs else software.routing
        return LayerCost(
            compute,
            tensor,
            tensor + np.where(np.asarray(layout.sp) > 0, regather, 0.0),
            context,
            expert,
            routing,
        )

    tables = _tables(model)
    spread = stages(tables, layout.pp, layout.vpp)
    kinds = [both_passes(layer_cost(kind), layout, software) for kind in tables.kinds]
    ends = [timed(head_operators(model)), timed(embedding_operators(model))]
    last = both_passes(bare(ends[0]), layout._replace(recompute=0), software)
    first = both_passes(bare(ends[1]), layout._replace(recompute=0), software)
    extra = mtp_parts(model)
    if extra is not None:
        block, projection = extra
        module = both_passes(layer_cost(block), layout, software)
        module = module.plus(both_passes(bare(timed((projection,))), layout, software)).plus(last)
        last = last.plus(module.scaled(model.mtp_layers))

    middle = weighted(kinds, spread.middle)
    tail = weighted(kinds, spread.last).plus(last)
    whole = weighted(kinds, list(tables.counts)).plus(last).plus(first)
    mean = whole.scaled(1 / np.asarray(layout.pp, dtype=float))
    slowest = np.where(np.asarray(layout.pp) > 1, np.maximum(middle.total, tail.total), mean.total)

    transfer = comm.pipeline_transfer(local, model.hidden, layout, links)
    hops = 2 * transfer * layout.vpp
    hidden_hops = np.where((np.asarray(layout.overlap_pp) > 0) & (np.asarray(layout.vpp) > 1), 0.0, 1.0)
    bubble = schedules.bubble(
        layout.schedule,
        layout.pp,
        layout.vpp,
        middle.forward + 2 * transfer,
        middle.input_gradient,
        middle.weight_gradient,
    )

    weights_first, weights_last = stage_weights(model, tables, spread, layout)
    exchange, exchange_busy = _data_parallel(
        weights_first, weights_last, mean, micro_batches, layout, links, software
    )
    updated = optimizer_weights(weights_first, weights_last, layout)
    optimizer = updated * OPTIMIZER_TRAFFIC / kernels.memory_bandwidth * (1.0 - layout.offload_optimizer)
    offload = _offload(job, chip.host_bandwidth, updated, spread.layers, mean, micro_batches, layout)

    n = micro_batches
    parts = StepTime(
        gemm=n * mean.gemm,
        attention=n * mean.attention,
        memory_bound=n * mean.memory_bound,
        recompute=n * mean.recompute,
        launch=n * mean.launch,
        tensor_parallel=n * mean.tensor,
        context_parallel=n * mean.context,
        expert_parallel=n * mean.expert,
        pipeline_transfer=n * hops * hidden_hops,
        pipeline_bubble=bubble,
        stage_imbalance=n * (slowest - mean.total),
        data_parallel=exchange,
        optimizer=optimizer,
        offload=offload,
        stragglers=0.0,
    )
    # Mean of the largest of N normal deviates (Gumbel), N the ranks that wait for each other.
    wait = software.jitter * np.sqrt(2 * np.log(np.maximum(layout.accelerators, 2)))
    parts = parts._replace(stragglers=parts.total * wait)
    busy = Busy(
        tensor_parallel=n * mean.tensor_busy,
        context_parallel=n * mean.context_busy,
        expert_parallel=n * mean.expert_busy,
        pipeline_transfer=n * hops,
        data_parallel=exchange_busy,
    )
    first_stage, last_stage = _memory(
        job, tables, spread, weights_first, weights_last, local, n, layout, software
    )
    flops = training_flops(model, job.sequence) * job.tokens_per_step
    return Estimate(
        parts,
        busy,
        first_stage,
        last_stage,
        n,
        float(flops),
        job.tokens_per_step,
        layout.accelerators,
        chip.memory_capacity,
        chip.peak["bf16"],
    )


def _data_parallel(
    first: Weights,
    last: Weights,
    mean: Passes,
    micro_batches: Numeric,
    layout: Layout,
    links: comm.Links,
    software: Software,
) -> tuple[Numeric, Numeric]:
    """Exposed and busy time of gradient and weight exchange in a step."""
    g = comm.groups(layout)
    dense = np.maximum(first.dense, last.dense)
    experts = np.maximum(first.experts, last.experts)
    shard = expert_shard(layout)
    expert_group = comm.Group(shard, g.expert_data.stride)
    expert_replicas = comm.Group(np.maximum(g.expert_data.size / shard, 1), g.expert_data.stride * shard)
    a = comm.gradient_exchange(dense, software.gradient_bytes, 2.0, layout.zero, g.shard, g.replicas, links)
    b = comm.gradient_exchange(
        experts, software.gradient_bytes, 2.0, layout.zero, expert_group, expert_replicas, links
    )
    reduce, gather = a.reduce + b.reduce, a.gather + b.gather
    zero = np.asarray(layout.zero)
    # With a pipeline, gradients are accumulated over micro-batches before they are reduced, and weights
    # stay gathered (Llama 3, arXiv:2407.21783, section 3.3.2; torchtitan's FSDP default under pipelining).
    times = np.where((zero >= 2) & (np.asarray(layout.pp) == 1), micro_batches, 1.0)
    backward_gather = np.where((zero >= 3) & (np.asarray(layout.pp) == 1), gather, 0.0)
    room = software.data_overlap * layout.overlap_dp
    backward = mean.input_gradient + mean.weight_gradient
    tail = (reduce + gather) / GRADIENT_BUCKETS * (np.asarray(layout.overlap_dp) > 0)
    exposed = (
        np.maximum(reduce + backward_gather - room * backward, 0.0)
        + np.maximum(gather - room * mean.forward, 0.0)
        + tail
    )
    return times * exposed, times * (reduce + gather + backward_gather)


def _offload(
    job: Job,
    host_bandwidth: float,
    updated: Numeric,
    layers: Numeric,
    mean: Passes,
    micro_batches: Numeric,
    layout: Layout,
) -> Numeric:
    """Time that offloading adds: optimizer over the host link and in host memory, activations not hidden."""
    optimizer = (
        updated * ((2.0 + 4.0) / host_bandwidth + HOST_ADAM_BYTES / HOST_STREAM) * layout.offload_optimizer
    )
    tokens = layout.micro_batch * job.sequence / layout.cp
    saved = (
        sum(
            n * 2.0 * saved_activations(kind, job.model.hidden).total for kind, n in job.model.kinds().items()
        )
        / job.model.num_layers
    )
    moved = saved * tokens / layout.tp * layers * layout.offload_activations
    hidden = mean.forward
    activations = 2 * np.maximum(moved / host_bandwidth - hidden, 0.0) * micro_batches
    return optimizer + activations


def _memory(
    job: Job,
    tables: StageTables,
    spread: Stages,
    first: Weights,
    last: Weights,
    tokens: Numeric,
    micro_batches: Numeric,
    layout: Layout,
    software: Software,
) -> tuple[Memory, Memory]:
    """Memory of the first and of the last stage."""
    saved = [saved_activations(kind, job.model.hidden) for kind in tables.kinds]
    vocab = job.model.vocab / layout.tp
    single = np.asarray(layout.pp) == 1

    def of(weights: Weights, layers: list[Numeric], head: Numeric, held: Numeric) -> Memory:
        return stage_memory(
            weights,
            saved,
            layers,
            head,
            tokens,
            held,
            layout,
            expert_shard(layout),
            job.recipe.saved_bytes,
            job.recipe.weight_copy,
            software.gradient_bytes,
            software.memory_fixed,
            software.memory_allowance,
        )

    start = of(first, spread.middle, np.where(single, vocab, 0.0), held_on_first_stage(layout, micro_batches))
    end = of(last, spread.last, vocab, held_on_last_stage(layout, micro_batches))
    return start, end
