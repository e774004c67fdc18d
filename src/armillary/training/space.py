"""The space of layouts: every valid combination as arrays, and what is invalid counted by reason.

Degrees whose divisibility makes the grid sparse are rows; free choices (micro-batch, recomputation,
sharding, offload) are trailing axes of an open mesh, so that shared work is computed once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from armillary.errors import InputError, did_you_mean
from armillary.machine import Slice
from armillary.model.transformer import Attention, GatedDeltaNet, LatentAttention, Mamba2, Moe, Transformer
from armillary.training.communication import Links, groups
from armillary.training.layout import Layout
from armillary.training.step import Job

Numeric = Any

ROW_FIELDS = ("tp", "cp", "pp", "vpp", "ep", "etp", "schedule", "order", "cp_exchange", "overlap_ep")


class Options(NamedTuple):
    """Candidate values of every field that the search varies; a constraint is a list of one."""

    tp: Sequence[int]
    cp: Sequence[int]
    pp: Sequence[int]
    vpp: Sequence[int]
    ep: Sequence[int]
    etp: Sequence[int]
    schedule: Sequence[int]
    order: Sequence[int]
    cp_exchange: Sequence[int]
    overlap_ep: Sequence[int]
    micro_batch: Sequence[int]
    recompute: Sequence[int]
    sharding: Sequence[tuple[int, str]]
    """(ZeRO level, ``all`` or ``domain``): over all data-parallel ranks or inside a scale-up domain."""
    offload_activations: Sequence[float]
    offload_optimizer: Sequence[float]
    optimizer_bytes: Sequence[float]


SHARDINGS: tuple[tuple[int, str], ...] = (
    (0, "all"),
    (1, "all"),
    (1, "domain"),
    (2, "all"),
    (3, "all"),
    (3, "domain"),
)


@dataclass(frozen=True, slots=True)
class Space:
    """Valid layouts of a job on a slice.

    rows : one value a row and field of `ROW_FIELDS`, and ``dp``, each `[row]`.
    invalid : combinations of degrees that cannot run, by reason [-].
    """

    job: Job
    machine: Slice
    options: Options
    rows: Mapping[str, NDArray[np.int64]]
    invalid: Mapping[str, int] = field(default_factory=dict)

    @property
    def num_rows(self) -> int:
        """Combinations of parallel degrees [-]."""
        return int(self.rows["tp"].size)

    @property
    def mesh_shape(self) -> tuple[int, ...]:
        """Lengths of the trailing axes: micro-batch, recompute, sharding, both offloads, optimizer."""
        o = self.options
        return (
            len(o.micro_batch),
            len(o.recompute),
            len(o.sharding),
            len(o.offload_activations),
            len(o.offload_optimizer),
            len(o.optimizer_bytes),
        )

    @property
    def size(self) -> int:
        """Layouts in the mesh, those with a micro-batch that does not divide included [-]."""
        return self.num_rows * int(np.prod(self.mesh_shape))

    def divides_somehow(self) -> bool:
        """True where some degrees leave a number of data-parallel ranks that divides the batch."""
        n, batch, o = self.machine.accelerators, int(self.job.global_batch), self.options
        ranks = {t * c * p for t in o.tp for c in o.cp for p in o.pp if n % (t * c * p) == 0}
        return any(batch % (n // r) == 0 for r in ranks)

    def blocks(self, rows_per_block: int) -> Iterator[tuple[Layout, NDArray[np.bool_]]]:
        """Yield open-mesh layouts of at most so many rows, each with the mask of valid ones."""
        for start in range(0, self.num_rows, rows_per_block):
            yield self._block(slice(start, start + rows_per_block))

    def _block(self, part: slice) -> tuple[Layout, NDArray[np.bool_]]:
        o = self.options

        def axis(values: Sequence[float], position: int) -> NDArray[Any]:
            shape = [1] * 7
            shape[position] = len(values)
            return np.asarray(values).reshape(shape)

        row = {name: values[part].reshape(-1, 1, 1, 1, 1, 1, 1) for name, values in self.rows.items()}
        data_ranks = row["dp"] * row["cp"]
        zero = axis([level for level, _ in o.sharding], 3)
        inside = axis([where == "domain" for _, where in o.sharding], 3).astype(bool)
        links = Links.of(self.machine.rings, 1.0, 1.0)
        layout = Layout(
            **row,
            micro_batch=axis(o.micro_batch, 1),
            recompute=axis(o.recompute, 2),
            zero=zero,
            shard=1,
            offload_activations=axis(o.offload_activations, 4),
            offload_optimizer=axis(o.offload_optimizer, 5),
            optimizer_bytes=axis(o.optimizer_bytes, 6),
        )
        domain = groups(layout).data.ranks(links)[0].astype(int)
        shard = np.where(zero == 0, 1, np.where(inside, domain, data_ranks))
        layout = layout._replace(shard=shard)
        valid = self._valid(layout, inside, domain, data_ranks)
        return layout, np.broadcast_to(valid, (valid.shape[0], *self.mesh_shape))

    def _valid(
        self, layout: Layout, inside: NDArray[np.bool_], domain: Numeric, data_ranks: Numeric
    ) -> NDArray[np.bool_]:
        batch = self.job.global_batch
        per_pipeline = batch / (layout.micro_batch * layout.dp)
        whole = per_pipeline == np.floor(per_pipeline)
        interleaves = (layout.vpp == 1) | (per_pipeline % layout.pp == 0)
        fills = (layout.schedule < 2) | (per_pipeline >= 2 * layout.pp)
        sharded = (layout.zero < 2) | (layout.pp == 1)
        # Sharding inside the domain is a choice of its own only where the domain holds some ranks, not all.
        distinct = ~inside | ((domain > 1) & (domain < data_ranks))
        needed = (layout.zero == 0) | (data_ranks > 1)
        # Dispatch and combine of one micro-batch hide under the compute of another.
        pairs = (layout.overlap_ep == 0) | (per_pipeline >= 2)
        return np.asarray(whole & interleaves & fills & sharded & distinct & needed & pairs)


def _divisors(number: int, most: int) -> list[int]:
    return [d for d in range(1, min(number, most) + 1) if number % d == 0]


def _powers(most: int) -> list[int]:
    return [1 << i for i in range(max(int(most), 1).bit_length()) if 1 << i <= most]


def _split_widths(model: Transformer) -> tuple[int, int]:
    """Heads and experts that tensor and expert parallelism divide: greatest common divisors over layers."""
    heads, experts = 0, 0
    for layer in model.kinds():
        match layer.mixer:
            case Attention() | LatentAttention():
                heads = int(np.gcd(heads, layer.mixer.heads))
            case Mamba2():
                heads = int(np.gcd(heads, layer.mixer.heads))
            case GatedDeltaNet():
                heads = int(np.gcd(heads, layer.mixer.key_heads))
            case None:
                pass
        if isinstance(layer.feed_forward, Moe):
            experts = int(np.gcd(experts, layer.feed_forward.experts))
    return heads, experts


OFFLOADS: Mapping[str, Sequence[float]] = {
    "offload_activations": [0.0, 0.5, 1.0],
    "offload_optimizer": [0.0, 1.0],
}
"""What `search` tries where nothing fits without offload, on a coherent host link."""

COHERENT_BANDWIDTH = 200e9
"""Faster host links are coherent ones (NVLink-C2C of GB200 and GB300), worth offloading over. [byte/s]"""


def options(job: Job, machine: Slice, fixed: Mapping[str, Sequence[Any]] | None = None) -> Options:
    """Candidate values for a job on a slice; `fixed` replaces some of them.

    Raises
    ------
    InputError
        If `fixed` names a field that the search does not vary.

    Notes
    -----
    Tensor-parallel degrees divide the heads; context-parallel degrees are powers of two; pipelines divide
    the accelerators; experts are split by a divisor of their number. Offload never makes a step shorter,
    so `search` tries it only where nothing fits without it, or where `fixed` asks for it.
    """
    model = job.model
    heads, experts = _split_widths(model)
    n = machine.accelerators
    chosen = Options(
        tp=[t for t in _divisors(heads, 64) if n % t == 0],
        cp=[c for c in _powers(min(64, job.sequence // 1024 or 1)) if n % c == 0],
        pp=[p for p in range(1, min(model.num_layers, 128) + 1) if n % p == 0],
        vpp=[v for v in range(1, 17) if v <= model.num_layers],
        ep=[e for e in _divisors(experts, 1024) if n % e == 0] if experts else [1],
        etp=[e for e in (1, 2, 4, 8) if n % e == 0] if experts else [1],
        schedule=[0, 1, 2],
        order=[0, 1],
        cp_exchange=[0, 1, 2],
        overlap_ep=[0, 1] if experts else [0],
        micro_batch=_powers(min(16, int(job.global_batch))),
        recompute=[0, 1, 2],
        sharding=SHARDINGS,
        offload_activations=[0.0],
        offload_optimizer=[0.0],
        optimizer_bytes=[12.0],
    )
    for name, values in (fixed or {}).items():
        if name not in Options._fields:
            raise InputError(
                f"cannot fix {name!r}{did_you_mean(name, Options._fields)} "
                f"(known: {', '.join(Options._fields)})"
            )
        chosen = chosen._replace(**{name: list(values)})
    return chosen


def space(job: Job, machine: Slice, fixed: Mapping[str, Sequence[Any]] | None = None) -> Space:
    """Enumerate the valid combinations of degrees, and count the others by their first reason.

    Parameters
    ----------
    job : Job
    machine : Slice
    fixed : mapping, optional
        Values to search for a field of `Options`, e.g. ``{"tp": [8], "recompute": [0]}``.
    """
    o = options(job, machine, fixed)
    model, n = job.model, machine.accelerators
    heads, experts = _split_widths(model)
    shape = tuple(len(getattr(o, name)) for name in ROW_FIELDS)
    mesh = np.ix_(*(np.asarray(getattr(o, name), dtype=np.int64) for name in ROW_FIELDS))
    r = dict(zip(ROW_FIELDS, mesh, strict=True))
    tp, cp, pp, vpp, ep, etp = (r[k] for k in ("tp", "cp", "pp", "vpp", "ep", "etp"))
    ranks = tp * cp * pp
    dp = n // np.maximum(ranks, 1)
    layers = model.num_layers
    chunks = pp * vpp
    even = (layers % chunks == 0) | ((layers + 1) % chunks == 0) | ((layers + 2) % chunks == 0)
    per_stage = -(-layers // chunks) * vpp
    reasons: list[tuple[str, Numeric]] = [
        ("degrees do not multiply to the accelerators", n % ranks != 0),
        ("heads are not divisible by tp", np.asarray(heads % tp != 0) if heads else tp > 1),
        ("sequence is not divisible by 2 cp tp", job.sequence % (2 * cp * tp) != 0),
        ("fewer layers than pipeline chunks", chunks > layers + 2),
        ("a stage would hold no layer", (pp > 1) & (per_stage * (pp - 1) >= layers + vpp)),
        ("layers do not divide into interleaved chunks", (vpp > 1) & ~even),
        ("interleaving needs a pipeline", (vpp > 1) & (pp == 1)),
        ("schedule needs a pipeline without interleaving", (r["schedule"] > 0) & ((pp == 1) | (vpp > 1))),
        ("DualPipe needs an even number of stages", (r["schedule"] == 2) & (pp % 2 != 0)),
        ("experts are not divisible by ep", np.asarray(experts % ep != 0) if experts else ep > 1),
        ("expert tensor parallelism wider than tp", etp > np.maximum(tp, 1)),
        ("ep x etp does not divide tp x cp x dp", (tp * cp * dp) % (ep * etp) != 0),
        (
            "expert groups would cross pipeline stages in this order",
            (r["order"] == 1) & ((ep * etp) > tp * cp),
        ),
        ("order makes no difference without a pipeline", (r["order"] == 1) & (pp == 1)),
        ("exchange kind makes no difference without cp", (r["cp_exchange"] > 0) & (cp == 1)),
        (
            "Ulysses needs heads divisible by tp cp",
            (r["cp_exchange"] == 2) & (heads % (tp * cp) != 0 if heads else cp > 1),
        ),
        ("nothing to overlap without expert parallelism", (r["overlap_ep"] == 1) & (ep == 1)),
        ("batch is not divisible by dp", (dp < 1) | (job.global_batch % np.maximum(dp, 1) != 0)),
    ]
    alive = np.ones(shape, dtype=bool)
    invalid: dict[str, int] = {}
    for reason, wrong in reasons:
        hit = alive & np.broadcast_to(wrong, shape)
        count = int(np.count_nonzero(hit))
        if count:
            invalid[reason] = count
            alive &= ~hit
    index = np.nonzero(alive)
    rows = {
        name: np.asarray(getattr(o, name), dtype=np.int64)[index[axis]]
        for axis, name in enumerate(ROW_FIELDS)
    }
    rows["dp"] = n // (rows["tp"] * rows["cp"] * rows["pp"])
    return Space(job, machine, o, rows, invalid)
