"""A step on a timeline: every micro-batch through every stage, pass by pass, with what each waits for.

The second fidelity for pipelines: where `schedules.bubble` has a formula, this runs the schedule.
"""

from __future__ import annotations

import heapq
from typing import NamedTuple

import numpy as np

from armillary.errors import InfeasibleError, InputError
from armillary.machine import Slice
from armillary.training.calibration import Calibration
from armillary.training.communication import CLEAR, Congestion
from armillary.training.job import Job
from armillary.training.layout import SCHEDULES, Layout
from armillary.training.parts import micro_batch, stage_durations, stage_transfer
from armillary.training.step import estimate

MOST = 400_000
"""Passes that a timeline holds. [-]"""


class Pass(NamedTuple):
    """One piece of work. stage : on which [-]. kind : forward, backward, weights, or a part of `StepTime`.

    chunk, micro_batch : which, -1 where there is none [-]. start, end [s].
    """

    stage: int
    kind: str
    chunk: int
    micro_batch: int
    start: float
    end: float


class Timeline(NamedTuple):
    """Passes of a step in the order of their start, and when the last ends [s]."""

    passes: tuple[Pass, ...]
    end: float


def pipeline_order(stage: int, pp: int, vpp: int, micro_batches: int) -> list[tuple[str, int, int]]:
    """Forward and backward passes of one stage in the order of 1F1B, interleaved where `vpp` > 1.

    Returns
    -------
    list of (kind, chunk, micro-batch)

    Notes
    -----
    Warm-up, one forward one backward, cool-down, as in Narayanan et al. 2021, arXiv:2104.04473, figure 4:
    :math:`p - s - 1` micro-batches warm up stage :math:`s`, and with chunks :math:`2(p-s-1) + (v-1)p`.

    Examples
    --------
    >>> [f"{kind[0]}{m}" for kind, _, m in pipeline_order(0, 2, 1, 3)]
    ['f0', 'f1', 'b0', 'f2', 'b1', 'b2']
    """
    total = micro_batches * vpp
    warm = pp - stage - 1 if vpp == 1 else 2 * (pp - stage - 1) + (vpp - 1) * pp
    warm = min(warm, total)

    def at(k: int, backward: bool) -> tuple[str, int, int]:
        chunk = k % (pp * vpp) // pp if vpp > 1 else 0
        number = k // (pp * vpp) * pp + k % pp if vpp > 1 else k
        return ("backward", vpp - 1 - chunk, number) if backward else ("forward", chunk, number)

    order = [at(k, False) for k in range(warm)]
    for k in range(total - warm):
        order += [at(warm + k, False), at(k, True)]
    return order + [at(k, True) for k in range(total - warm, total)]


def run_pipeline(
    pp: int,
    vpp: int,
    micro_batches: int,
    forward: list[float],
    backward: list[float],
    weights: list[float],
    transfer: float,
) -> list[Pass]:
    """Run the passes of all stages, each as soon as it may.

    Parameters
    ----------
    pp, vpp, micro_batches : int
        Stages, chunks a stage, micro-batches; with chunks these are a multiple of the stages. [-]
    forward, backward, weights : list of float
        `[stage]` of one chunk and micro-batch. Gradients of weights wait for a gap where they are not 0, and
        are then done before the step ends. [s]
    transfer : float
        From a stage to the next. [s]

    Notes
    -----
    The number of events is bounded: each pass starts once, and its end wakes two stages at most.
    """
    orders = [pipeline_order(s, pp, vpp, micro_batches) for s in range(pp)]
    last = pp * vpp - 1
    place = [0] * pp
    free = [0.0] * pp
    waiting: list[list[tuple[int, int]]] = [[] for _ in range(pp)]
    ready: dict[tuple[str, int, int], float] = {("forward", 0, m): 0.0 for m in range(micro_batches)}
    done: list[Pass] = []
    wake = [(0.0, s) for s in range(pp)]
    heapq.heapify(wake)
    while wake:
        now, s = heapq.heappop(wake)
        if now < free[s]:
            continue
        if place[s] < len(orders[s]):
            kind, chunk, number = orders[s][place[s]]
            v = chunk * pp + s
            since = ready.get((kind, v, number))
            if since is not None and since <= now:
                place[s] += 1
                length = forward[s] if kind == "forward" else backward[s]
                end = now + length
                done.append(Pass(s, kind, chunk, number, now, end))
                free[s] = end
                heapq.heappush(wake, (end, s))
                if kind == "forward" and v < last:
                    _tell(("forward", v + 1, number), v, v + 1, pp, end, transfer, ready, wake)
                elif kind == "forward":
                    ready[("backward", v, number)] = end
                else:
                    if weights[s] > 0:
                        waiting[s].append((chunk, number))
                    if v > 0:
                        _tell(("backward", v - 1, number), v, v - 1, pp, end, transfer, ready, wake)
                continue
        if waiting[s]:
            chunk, number = waiting[s].pop(0)
            free[s] = now + weights[s]
            done.append(Pass(s, "weights", chunk, number, now, free[s]))
            heapq.heappush(wake, (free[s], s))
    return done


def _tell(
    what: tuple[str, int, int],
    here: int,
    there: int,
    pp: int,
    end: float,
    transfer: float,
    ready: dict[tuple[str, int, int], float],
    wake: list[tuple[float, int]],
) -> None:
    """Let the stage of another virtual stage know when its input has come."""
    ready[what] = end + (transfer if here % pp != there % pp else 0.0)
    heapq.heappush(wake, (ready[what], there % pp))


def step_timeline(
    job: Job, machine: Slice, layout: Layout, calibration: Calibration, congestion: Congestion = CLEAR
) -> Timeline:
    """Run a step of a layout.

    Parameters
    ----------
    job, machine, layout, calibration, congestion
        As in `step.estimate`; a single layout.

    Raises
    ------
    InputError
        If the schedule is DualPipe, which is not run yet.
    InfeasibleError
        If the passes are too many to hold.

    Notes
    -----
    What the pipeline does not order (exposed gradient exchange, optimizer, offloading, stragglers) stands
    behind it, as long as `step.estimate` has it.
    """
    if SCHEDULES[int(layout.schedule)] == "dualpipe":
        raise InputError("a timeline runs 1f1b and zero-bubble; this layout's schedule is dualpipe")
    answer = estimate(job, machine, layout, calibration, congestion)
    pp, vpp, n = int(layout.pp), int(layout.vpp), int(answer.micro_batches)
    if n * pp * vpp * 3 > MOST:
        raise InfeasibleError(f"{n} micro-batches through {pp} stages of {vpp} are more than {MOST:,} passes")
    middle, tail = stage_durations(job, layout, micro_batch(job, machine, layout, calibration, congestion))
    stages = [*[middle] * (pp - 1), tail]
    apart = SCHEDULES[int(layout.schedule)] == "zero-bubble"
    passes = run_pipeline(
        pp,
        vpp,
        n,
        [float(d.forward) / vpp for d in stages],
        [float(d.input_gradient if apart else d.backward) / vpp for d in stages],
        [float(d.weight_gradient) / vpp if apart else 0.0 for d in stages],
        float(np.asarray(stage_transfer(job, machine, layout, calibration, congestion))),
    )
    end = max(p.end for p in passes)
    for name in ("data_parallel", "optimizer", "offload", "stragglers"):
        length = float(getattr(answer.time, name))
        if length > 0:
            passes += [Pass(s, name, -1, -1, end, end + length) for s in range(pp)]
            end += length
    return Timeline(tuple(sorted(passes, key=lambda p: (p.start, p.stage))), end)
