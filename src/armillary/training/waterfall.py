"""From the ideal step to the predicted one: each loss by name. Imports `model` and this room.

The ideal step does the model's FLOPs at the BF16 peak of all accelerators. GEMM and attention are taken
apart by running `estimate` again on kernels made perfect, imperfections put back one by one; all other
losses are parts of `StepTime`. The bars add up to the predicted step exactly.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from armillary.machine import Slice
from armillary.model import Transformer
from armillary.model.flops import forward_flops, layer_flops
from armillary.training.calibration import Calibration
from armillary.training.job import Job
from armillary.training.layout import Layout
from armillary.training.precision import recipe
from armillary.training.step import StepTime, estimate

BOUNDLESS = 1e30
"""A bandwidth that takes no time. [byte/s]"""


class Bar(NamedTuple):
    """A step's loss (or gain, where negative). seconds [s]; what : it is; cure : what would shrink it."""

    name: str
    seconds: float
    what: str
    cure: str


class Waterfall(NamedTuple):
    """The ideal step, what is lost from it, and what comes out; ``ideal + sum of bars = total`` [s]."""

    ideal: float
    bars: tuple[Bar, ...]
    total: float

    def named(self) -> dict[str, float]:
        """Seconds by name, the ideal step first [s]."""
        return {"ideal": self.ideal, **{bar.name: bar.seconds for bar in self.bars}}


IDEAL = "the model's FLOPs at the BF16 peak of all accelerators"
"""What the first bar is."""

KERNEL_WORDS = {
    "lower precision": ("quantised GEMMs run at a higher peak than BF16's", "a gain: quantise more GEMMs"),
    "GEMM rate": (
        "large GEMMs sustain a share of peak, under power and clocks",
        "cooler chips, a higher power cap, better kernels",
    ),
    "expert imbalance": (
        "the busiest expert's rank has more tokens than the mean",
        "balance the router, or cap expert capacity",
    ),
    "GEMM tiles": (
        "padding to tiles, last waves half empty, ramp over the inner dimension",
        "larger micro-batches, less tp and etp",
    ),
    "GEMM operands": (
        "GEMMs too small to hide reading operands, and gaps between kernels",
        "larger micro-batches, less tp, CUDA graphs",
    ),
    "attention scores again": (
        "the fused backward pass makes the scores anew: 2.5 times forward, not 2",
        "inherent to fused attention",
    ),
    "attention rate": ("fused attention sustains a share of the BF16 peak", "a newer attention kernel"),
    "attention occupancy": (
        "few heads, keys and tokens leave compute units idle; gaps",
        "less tp, larger micro-batches",
    ),
}
"""Losses of GEMMs and attention: what each is, what would shrink it."""

PART_WORDS = {
    "memory_bound": (
        "norms, activations, rotary, routing, loss and casts at HBM bandwidth",
        "fused kernels, sequence parallelism, faster HBM",
    ),
    "recompute": (
        "forward kernels run again to save activations",
        "less recomputation: more memory, more pp or tp, offload",
    ),
    "launch": (
        "the host launches kernels slower than they run, and synchronises for routing",
        "CUDA graphs, larger kernels, a faster host",
    ),
    "tensor_parallel": (
        "gathers and reductions around each block that compute does not hide",
        "less tp, tp inside the scale-up domain, overlap",
    ),
    "context_parallel": (
        "keys and values (or heads) exchanged beyond what attention hides",
        "less cp, cp inside the scale-up domain",
    ),
    "expert_parallel": (
        "tokens to experts and back beyond what compute hides",
        "ep inside the scale-up domain, a better dispatcher, overlap_ep",
    ),
    "pipeline_transfer": (
        "activations handed to the next stage, not hidden",
        "interleaving with overlap, sequence parallelism",
    ),
    "pipeline_bubble": (
        "stages wait while the pipeline fills and drains",
        "more micro-batches, more vpp, less pp, zero-bubble or DualPipe",
    ),
    "stage_imbalance": (
        "stages wait for the fullest, or the one with the vocabulary",
        "stages that divide the layers, an uneven split",
    ),
    "data_parallel": (
        "gradients reduced and weights gathered beyond what compute hides",
        "a larger batch, fewer dp ranks, a faster outer network",
    ),
    "optimizer": ("Adam reads and writes its state in HBM", "shard it (ZeRO), faster HBM"),
    "offload": ("traffic to host memory that compute does not hide", "a faster host link, less offload"),
    "stragglers": ("all ranks wait for the slowest", "steadier chips and software, fewer ranks"),
}
"""Other losses by field of `StepTime`: what each is, what would shrink it."""


def waterfall(job: Job, machine: Slice, layout: Layout, calibration: Calibration) -> Waterfall:
    """Take a single layout's step apart.

    Parameters
    ----------
    job, machine, calibration
        As in `step.estimate`.
    layout : Layout
        One layout, not a mesh.
    """
    found = estimate(job, machine, layout, calibration)
    per_flop = 1.0 / (float(found.accelerators) * found.peak)
    ideal = found.flops * per_flop
    scores = 3.0 * _attention_flops(job.model, job.sequence) * job.tokens_per_step * per_flop
    kernels = {
        **_gemm(job, machine, layout, calibration, ideal - scores, _float(found.time.gemm)),
        **_attention(job, machine, layout, calibration, scores, _float(found.time.attention)),
    }
    bars = [Bar(name, seconds, *KERNEL_WORDS[name]) for name, seconds in kernels.items()]
    bars += [
        Bar(name.replace("_", " "), _float(seconds), *PART_WORDS.get(name, ("", "")))
        for name, seconds in zip(StepTime._fields, found.time, strict=True)
        if name not in ("gemm", "attention")
    ]
    return Waterfall(ideal, tuple(b for b in bars if b.seconds), _float(found.time.total))


def _gemm(
    job: Job, machine: Slice, layout: Layout, calibration: Calibration, ideal: float, real: float
) -> dict[str, float]:
    """What GEMMs lose of `ideal` seconds until `real`."""
    no_ramp = {"gemm_half_depth": 0.0, "wave_sensitivity": 0.0}
    at_peak = {"gemm": dict.fromkeys(calibration.chip.gemm, 1.0), "early": 1.0, **no_ramp}
    software = calibration.software
    shares = {name: getattr(software, name) for name in ("gemm_share", "grouped_share")}
    whole = dict.fromkeys(shares, 1.0)
    even = job._replace(imbalance=1.0)

    def seconds(what: Job, chip: dict[str, Any], reached: dict[str, float]) -> float:
        known = _without_gaps(calibration, chip).with_software(**reached)
        return _float(estimate(what, _without_hbm(machine), layout, known).time.gemm)

    bf16 = seconds(even._replace(recipe=recipe("bf16")), at_peak, whole)
    peak = seconds(even, at_peak, whole)
    sustained = seconds(even, no_ramp, shares)
    uneven = seconds(job, no_ramp, shares)
    tiled = seconds(job, {}, shares)
    # Ratios, so that padding, which perfect kernels keep, counts as a loss of tiles alone.
    low = ideal * (peak / bf16)
    rate = low * (sustained / peak)
    loaded = rate * (uneven / sustained)
    return {
        "lower precision": low - ideal,
        "GEMM rate": rate - low,
        "expert imbalance": loaded - rate,
        "GEMM tiles": tiled - loaded,
        "GEMM operands": real - tiled,
    }


def _attention(
    job: Job, machine: Slice, layout: Layout, calibration: Calibration, ideal: float, real: float
) -> dict[str, float]:
    """What attention and recurrences lose of `ideal` seconds until `real`."""
    full: dict[str, Any] = {
        **dict.fromkeys(("attention_half_occupancy", "attention_half_keys"), 0.0),
        **dict.fromkeys(("narrow", "flash2_narrow"), 1.0),
    }
    shares = dict.fromkeys(("attention", "attention_backward", "flash2", "flash2_backward"), 1.0)

    def seconds(chip: dict[str, Any], share: float) -> float:
        known = _without_gaps(calibration, chip).with_software(attention_share=share)
        return _float(estimate(job, _without_hbm(machine), layout, known).time.attention)

    peak = seconds({**full, **shares}, 1.0)
    sustained = seconds(full, calibration.software.attention_share)
    return {
        "attention scores again": peak - ideal,
        "attention rate": sustained - peak,
        "attention occupancy": real - sustained,
    }


def _without_gaps(calibration: Calibration, chip: dict[str, Any]) -> Calibration:
    known = calibration.with_software(gap=0.0, gap_graphs=0.0)
    return replace(known, chip=replace(known.chip, **chip))


def _without_hbm(machine: Slice) -> Slice:
    return replace(machine, accelerator=replace(machine.accelerator, memory_bandwidth=BOUNDLESS))


def _attention_flops(model: Transformer, sequence: int) -> float:
    """Forward FLOPs per token of attention scores and recurrences, prediction modules included [FLOP]."""
    parts = forward_flops(model, sequence)
    inside = parts.attention + parts.recurrence
    module = model.mtp_layer()
    if module is not None:
        inner = layer_flops(module, model.hidden, sequence)
        inside += model.mtp_layers * (inner.attention + inner.recurrence)
    return _float(inside)


def _float(value: Any) -> float:
    return float(np.asarray(value))
