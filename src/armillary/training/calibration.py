"""`Calibration`: what chips and software sustain of their datasheets. Reads one data file.

Values live in ``calibration.toml`` beside this file; every table says where its numbers come from. A chip
without an entry takes its family's, and says so.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import resources
from typing import Any

from armillary.catalog.records import Accelerator
from armillary.errors import InputError
from armillary.training.kernels import Kernels


@dataclass(frozen=True, slots=True)
class Chip:
    """Sustained shares of one accelerator's datasheet rates.

    gemm : by peak key (``bf16``, ``fp8``, ``fp4``) [-]. attention, attention_backward : of the BF16 peak [-].
    flash2, flash2_backward : the same with FlashAttention-2, which Hopper and Blackwell run at less [-].
    narrow, flash2_narrow : share of the attention rates that heads of 64 reach [-].
    memory : of HBM bandwidth [-].
    host : time that its usual host takes for what frameworks do there, over a recent x86 server's [-].
    scale_up : share of the scale-up bandwidth that collectives sustain [-].
    mature : year from which software reaches `gemm`. early : share of it that earlier software reached [-].
    """

    gemm: Mapping[str, float]
    attention: float
    attention_backward: float
    flash2: float
    flash2_backward: float
    memory: float
    host: float
    scale_up: float
    mature: int
    early: float
    gemm_half_depth: float
    wave_sensitivity: float
    attention_half_occupancy: float
    attention_half_keys: float
    narrow: float
    flash2_narrow: float


@dataclass(frozen=True, slots=True)
class Software:
    """What a training framework does with the machine.

    gap, gap_graphs : between kernels on the device, eager and under CUDA graphs [s].
    host_launch : host time to launch one kernel, eager [s]. graphs : True where CUDA graphs replay [-].
    scale_out_share : of the bandwidth of outer rings that collectives sustain [-].
    tensor_overlap, data_overlap, context_overlap, expert_overlap : share of that communication's time, or
        of the compute it hides under, that overlap really hides [-].
    tensors : collectives a layer that an exchange of gradients or weights is cut into [-].
    contention : time that a gradient exchange under compute still costs, over its own [-].
    dispatcher : key of `dispatch`: what moves tokens to experts.
    dispatch : share of scale-out bandwidth that each dispatcher sustains [-].
    dispatch_latency : of one dispatch or combine with each across domains, its host and proxy work
        included [s].
    dispatch_inside, dispatch_latency_inside : the same inside a scale-up domain, whatever the dispatcher.
    routing, routing_graphs : host time to route, count and synchronise in one MoE layer, per pass, eager
        and under CUDA graphs [s].
    expert_launch : host time to launch the products of one expert on this rank, per pass, eager [s].
    year : of the release, see `Chip.mature`.
    gemm_share : of the chip's GEMM rates that this framework and release reach [-].
    grouped_share : of the BF16 GEMM rate that grouped GEMMs of experts sustain [-].
    scan_share : of the attention rate that chunked linear recurrences reach [-].
    early_stop : True where full recomputation stops once backward has what it needs.
    selective_gemm : share of GEMMs that selective recomputation runs again [-].
    gradient_bytes : width of the gradient that is accumulated and reduced [byte].
    attention : ``native`` for the chip's best fused kernel, ``flash2`` for FlashAttention-2.
    attention_share : of that kernel's rate that the framework's attention reaches [-].
    unfused : bytes that memory-bound work moves over those of fused kernels [-].
    fused_attention : False before FlashAttention.
    fused_loss : True where the loss writes its gradient over the logits, as Megatron-Core's does.
    balances_context : True where context-parallel ranks share a causal mask evenly (each takes a part from
        either end of the sequence); else the last sees :math:`2 - 1/cp` times the mean of keys.
    fused_casts : True where norms and activations write quantised results themselves.
    jitter : standard deviation of a rank's step time over its mean [-].
    memory_fixed : taken by context and communication buffers [byte].
    memory_allowance : fragmentation, over what comes and goes [-].
    """

    gap: float
    gap_graphs: float
    host_launch: float
    graphs: bool
    scale_out_share: float
    tensor_overlap: float
    data_overlap: float
    context_overlap: float
    expert_overlap: float
    tensors: float
    contention: float
    dispatcher: str
    dispatch: Mapping[str, float]
    dispatch_latency: Mapping[str, float]
    dispatch_inside: float
    dispatch_latency_inside: float
    routing: float
    expert_launch: float
    routing_graphs: float
    year: int
    gemm_share: float
    grouped_share: float
    scan_share: float
    early_stop: bool
    selective_gemm: float
    gradient_bytes: float
    attention: str
    attention_share: float
    unfused: float
    fused_attention: bool
    balances_context: bool
    fused_casts: bool
    fused_loss: bool
    jitter: float
    memory_allowance: float
    memory_fixed: float

    @property
    def fused_permutation(self) -> bool:
        """True where the dispatcher permutes tokens while it sends them, which full graphs build on."""
        return self.graphs and self.dispatcher == "hybridep"

    @property
    def deduplicates(self) -> bool:
        """True where a token crosses to a remote domain once; NCCL's all-to-all sends every copy."""
        return self.dispatcher != "nccl"


@dataclass(frozen=True, slots=True)
class Calibration:
    """A chip's and a framework's sustained behaviour. assumed : what stands in for a missing entry."""

    chip: Chip
    software: Software
    assumed: tuple[str, ...] = ()

    def kernels(self, accelerator: Accelerator) -> Kernels:
        """Sustained rates of an accelerator in SI units."""
        peak = accelerator.peak["bf16"]
        s, chip = self.software, self.chip
        flash2 = s.attention == "flash2"
        return Kernels(
            gemm_flops=peak * self.chip.gemm["bf16"] * self.gemm_share,
            gemm_half_depth=self.chip.gemm_half_depth,
            wave_sensitivity=self.chip.wave_sensitivity,
            attention_flops=peak * s.attention_share * (chip.flash2 if flash2 else chip.attention),
            attention_backward_flops=peak
            * s.attention_share
            * (chip.flash2_backward if flash2 else chip.attention_backward),
            attention_half_occupancy=self.chip.attention_half_occupancy,
            attention_half_keys=self.chip.attention_half_keys,
            attention_narrow=chip.flash2_narrow if flash2 else chip.narrow,
            memory_bandwidth=accelerator.memory_bandwidth * self.chip.memory,
            unfused=s.unfused,
            gap=s.gap_graphs if s.graphs else s.gap,
            compute_units=accelerator.compute_units or 132,
            scan_share=s.scan_share,
        )

    @property
    def gemm_share(self) -> float:
        """Of the chip's GEMM rates that the software reaches [-]."""
        return self.software.gemm_share * (self.chip.early if self.software.year < self.chip.mature else 1.0)

    @property
    def hosted(self) -> Software:
        """The software with its times on the host as they are on this chip's host."""
        s, host = self.software, self.chip.host
        return replace(
            s,
            host_launch=s.host_launch * host,
            expert_launch=0.0 if s.graphs else s.expert_launch * host,
            routing=s.routing_graphs if s.graphs else s.routing * host,
            dispatch_latency={name: latency * host for name, latency in s.dispatch_latency.items()},
        )

    def with_software(self, **changes: Any) -> Calibration:
        """Return a copy with some software fields changed."""
        return replace(self, software=replace(self.software, **changes))


@lru_cache(maxsize=1)
def table() -> dict[str, Any]:
    """The calibration file as it is read: ``families``, ``chips`` and ``software``."""
    text = resources.files("armillary.training").joinpath("calibration.toml").read_text("utf-8")
    return tomllib.loads(text)


def _values(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers of a table, without where they come from and what they stand beside."""
    return {
        k: _values(v) if isinstance(v, Mapping) else v
        for k, v in entry.items()
        if k not in ("provenance", "like")
    }


def _inherited(room: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Values of an entry over those of the one it is like, over the common ones."""
    if name == "common":
        return _values(room[name])
    return _inherited(room, room[name].get("like", "common")) | _values(room[name])


def _family(accelerator: Accelerator, known: Mapping[str, Any]) -> str:
    """Chip of the file that stands for `accelerator`: itself, its silicon's, its vendor's."""
    families = known["families"]
    vendor = accelerator.vendor.casefold()
    for name in (accelerator.name, families.get(accelerator.name), families.get(vendor)):
        if name in known["chips"]:
            return str(name)
    return str(families["other"])


def calibration(
    accelerator: Accelerator, framework: str = "megatron", known: Mapping[str, Any] | None = None
) -> Calibration:
    """Calibration of a chip under a framework.

    Parameters
    ----------
    accelerator : Accelerator
    framework : str
        A key of the file's ``software`` table.
    known : mapping, optional
        In place of `table`, e.g. with trial values of a fit.

    Raises
    ------
    InputError
        If the framework is unknown.
    """
    known = known or table()
    if framework not in known["software"]:
        names = ", ".join(k for k in known["software"] if k != "common")
        raise InputError(f"unknown framework {framework!r} (known: {names})")
    family = _family(accelerator, known)
    assumed: tuple[str, ...] = ()
    if family != accelerator.name:
        assumed = (f"kernel efficiency of {accelerator.name} is that of {family}",)
    values = _inherited(known["chips"], family)
    gemm = dict(values.pop("gemm"))
    for precision in accelerator.peak:
        if precision not in gemm and precision in ("fp8", "fp4"):
            gemm[precision] = gemm["bf16"]
            assumed = (*assumed, f"GEMM efficiency of {accelerator.name} in {precision} is that in bf16")
    software = Software(**_inherited(known["software"], framework))
    return Calibration(Chip(gemm=gemm, **values), software, assumed)
