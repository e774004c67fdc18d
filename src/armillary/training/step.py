"""`estimate`: time and memory of a training step under a layout, or under a mesh of layouts.

The step is the sum of named parts (`StepTime`): work of a mean stage, what each collective adds beyond
what hides under compute, the pipeline's bubble, the imbalance of stages, the optimizer, and waiting for
the slowest rank.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from armillary.machine import Slice
from armillary.model import training_flops
from armillary.training.calibration import Calibration
from armillary.training.communication import CLEAR, Congestion
from armillary.training.job import Job
from armillary.training.layout import Layout
from armillary.training.memory import Memory, fuller, stage_memory
from armillary.training.parts import (
    activation_offload,
    exposed_exchange,
    micro_batch,
    pipeline,
    stage_activations,
    stage_cost,
    stage_transfer,
    straggling,
)

Numeric = Any


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


def estimate(
    job: Job,
    machine: Slice,
    layout: Layout,
    calibration: Calibration,
    congestion: Congestion = CLEAR,
) -> Estimate:
    """Time and memory of one training step.

    Parameters
    ----------
    job : Job
    machine : Slice
        Where it runs.
    layout : Layout
        One layout, or arrays that broadcast. Validity is not checked here, see `space.space`.
    calibration : Calibration
    congestion : Congestion
        What contention on the fabric makes of the rings, see `on_fabric`; by default nothing. [-]

    Returns
    -------
    Estimate
        Every field broadcasts to the layout's shape.
    """
    software, chip = calibration.software, machine.accelerator
    micro = micro_batch(job, machine, layout, calibration, congestion)
    cost = stage_cost(job, machine, layout, calibration, congestion)
    transfer = stage_transfer(job, machine, layout, calibration, congestion)
    pipe = pipeline(job, layout, micro.durations, transfer)
    n, mean = pipe.micro_batches, micro.whole.scaled(1 / np.asarray(layout.pp, dtype=float))
    times = np.where(cost.every_micro_batch, n, 1.0)
    offload = cost.offload + activation_offload(job, machine, layout, pipe)
    room = software.data_overlap * layout.overlap_dp
    parts = StepTime(
        gemm=n * mean.gemm,
        attention=n * mean.attention,
        memory_bound=n * mean.memory_bound,
        recompute=n * mean.recompute,
        launch=n * mean.launch,
        tensor_parallel=n * mean.tensor,
        context_parallel=n * mean.context,
        expert_parallel=n * mean.expert,
        pipeline_transfer=pipe.transfer,
        pipeline_bubble=pipe.bubble,
        stage_imbalance=pipe.imbalance,
        data_parallel=times * (exposed_exchange(cost, pipe.mean, room, software.contention) + cost.tail),
        optimizer=cost.optimizer,
        offload=offload,
        stragglers=0.0,
    )
    parts = parts._replace(stragglers=parts.total * straggling(layout.accelerators, software))
    busy = Busy(
        tensor_parallel=n * mean.tensor_busy,
        context_parallel=n * mean.context_busy,
        expert_parallel=n * mean.expert_busy,
        pipeline_transfer=n * 2 * transfer * layout.vpp,
        data_parallel=times * (cost.reduce + cost.gather + cost.regather),
    )
    first, last = stage_activations(job, layout, software)
    return Estimate(
        time=parts,
        busy=busy,
        first_stage=stage_memory(cost.first, first, software.memory_fixed),
        last_stage=stage_memory(cost.last, last, software.memory_fixed),
        micro_batches=n,
        flops=float(training_flops(job.model, job.sequence) * job.tokens_per_step),
        tokens=job.tokens_per_step,
        accelerators=layout.accelerators,
        capacity=chip.memory_capacity,
        peak=chip.peak["bf16"],
    )
