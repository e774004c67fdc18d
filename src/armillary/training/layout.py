"""`Layout`: how a training job is spread over accelerators; and what makes one invalid.

Fields are numbers or numpy arrays that broadcast against each other, so that one `Layout` value is one
layout or a mesh of millions. Degrees multiply as Megatron-Core and torchtitan have it:
``tp x cp x dp x pp = accelerators``; experts split ``tp x cp x dp`` anew into ``etp x ep x edp``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

Numeric = Any

RECOMPUTE = ("none", "selective", "full")
"""Values of `Layout.recompute`: nothing, norms and activation functions, whole layers."""
SCHEDULES = ("1f1b", "zero-bubble", "dualpipe")
"""Values of `Layout.schedule`; 1f1b is interleaved where `vpp` > 1."""
CONTEXT_EXCHANGES = ("ring", "all-gather", "ulysses")
"""Values of `Layout.cp_exchange`: ring of KV blocks, all-gather of KV, all-to-all over heads."""
ORDERS = ("tp-cp-dp-pp", "tp-cp-pp-dp")
"""Values of `Layout.order`: groups from the innermost ring outwards."""

CHOICES = {"recompute": RECOMPUTE, "schedule": SCHEDULES, "order": ORDERS, "cp_exchange": CONTEXT_EXCHANGES}
"""Fields of `Layout` whose values are places in a list of words."""


class Layout(NamedTuple):
    """Parallel degrees and memory policies; each field a number or an array.

    dp : data-parallel ranks; `dp * cp` ranks hold the same weights of the dense part [-].
    ep, etp : expert-parallel and expert-tensor-parallel ranks [-].
    zero : 0 nothing sharded, 1 optimizer, 2 and gradients, 3 and parameters (FSDP) [-].
    shard : ranks over which ZeRO shards, a divisor of `dp * cp`; fewer is hybrid sharding (HSDP) [-].
    sp : 1 where sequence parallelism splits norms and residuals over `tp` [-].
    overlap_tp, overlap_dp, overlap_ep, overlap_pp : 1 where that communication runs under compute [-].
    offload_activations, offload_optimizer : share kept in host memory, 0 to 1 [-].
    optimizer_bytes : a parameter: 12 is FP32 weights and moments, 8 has BF16 moments [byte].
    """

    tp: Numeric = 1
    cp: Numeric = 1
    pp: Numeric = 1
    vpp: Numeric = 1
    dp: Numeric = 1
    ep: Numeric = 1
    etp: Numeric = 1
    micro_batch: Numeric = 1
    zero: Numeric = 1
    shard: Numeric = 1
    recompute: Numeric = 0
    schedule: Numeric = 0
    sp: Numeric = 1
    cp_exchange: Numeric = 0
    order: Numeric = 0
    overlap_tp: Numeric = 1
    overlap_dp: Numeric = 1
    overlap_ep: Numeric = 0
    overlap_pp: Numeric = 1
    offload_activations: Numeric = 0.0
    offload_optimizer: Numeric = 0.0
    optimizer_bytes: Numeric = 12.0

    @property
    def accelerators(self) -> Numeric:
        """`tp * cp * pp * dp` [-]."""
        return self.tp * self.cp * self.pp * self.dp

    @property
    def expert_data_parallel(self) -> Numeric:
        """Ranks that hold the same experts, `tp * cp * dp / (ep * etp)` [-]."""
        return self.tp * self.cp * self.dp / (self.ep * self.etp)

    @property
    def sequence_split(self) -> Numeric:
        """By how much sequence parallelism divides norms and residuals [-]."""
        return np.where(np.asarray(self.sp) > 0, self.tp, 1)

    def at(self, index: tuple[int, ...], shape: tuple[int, ...]) -> Layout:
        """Return the single layout at `index` of this mesh of `shape`."""
        return Layout(*(_item(field, index, shape) for field in self))

    def describe(self) -> str:
        """Write a single layout the way people say it, e.g. ``tp8 cp2 pp8x4 dp36 mb1 zero1``."""
        words = [f"tp{self.tp}"]
        if self.cp > 1:
            words.append(f"cp{self.cp} ({CONTEXT_EXCHANGES[self.cp_exchange]})")
        if self.pp > 1:
            words.append(f"pp{self.pp}" + (f"x{self.vpp}" if self.vpp > 1 else ""))
        words.append(f"dp{self.dp}")
        if self.ep > 1 or self.etp > 1:
            words.append(f"ep{self.ep}" + (f" etp{self.etp}" if self.etp > 1 else ""))
        words.append(f"mb{self.micro_batch}")
        if self.zero:
            ranks = self.dp * self.cp
            words.append(f"zero{self.zero}" + (f"/{self.shard}" if self.shard < ranks else ""))
        if self.schedule:
            words.append(SCHEDULES[self.schedule])
        if self.recompute:
            words.append(f"recompute {RECOMPUTE[self.recompute]}")
        if self.overlap_ep:
            words.append("overlap-ep")
        if self.offload_activations:
            words.append(f"offload {self.offload_activations:.0%} of activations")
        if self.offload_optimizer:
            words.append("offload optimizer")
        if self.order:
            words.append(f"order {ORDERS[self.order]}")
        return " ".join(words)


def _item(field: Numeric, index: tuple[int, ...], shape: tuple[int, ...]) -> float | int:
    value = np.broadcast_to(np.asarray(field), shape)[index].item()
    return int(value) if float(value).is_integer() else float(value)
