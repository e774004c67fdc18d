"""The space of layouts: every valid combination as arrays, and what is invalid counted by reason.

Degrees whose divisibility makes the grid sparse are rows; free choices (micro-batch, schedule, order) and
policies (recomputation, sharding, offload) are axes of an open mesh over them, so that each quantity is
computed once for what it depends on and only sums see every layout. Rows are the last axis, so that
numpy's inner loops are long.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from armillary.errors import InputError, did_you_mean
from armillary.machine import Slice
from armillary.model.transformer import Attention, GatedDeltaNet, LatentAttention, Mamba2, Moe, Transformer
from armillary.training.communication import Links, groups
from armillary.training.job import Job
from armillary.training.layout import Layout

Numeric = Any

DEGREES = ("tp", "cp", "pp", "vpp", "ep", "etp")
"""Fields whose divisibility makes the grid sparse; `Space.degrees` has a row for each valid combination."""
CHOICES = (
    "micro_batch",
    "overlap_pp",
    "overlap_dp",
    "overlap_ep",
    "overlap_tp",
    "sp",
    "cp_exchange",
    "order",
    "schedule",
)
"""Fields that are free but for a few rules; with a row of degrees they make a row of a `Block`."""
POLICIES = ("optimizer_bytes", "offload_optimizer", "offload_activations", "sharding", "recompute")
"""Fields that every row of a block has all values of: the leading axes of the mesh, `[*policies, row]`."""


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
    sp: Sequence[int]
    overlap_tp: Sequence[int]
    overlap_dp: Sequence[int]
    overlap_pp: Sequence[int]


SHARDINGS: tuple[tuple[int, str], ...] = (
    (0, "all"),
    (1, "all"),
    (1, "domain"),
    (2, "all"),
    (3, "all"),
    (3, "domain"),
)


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of a block: where they stand in the open mesh of degrees and choices.

    index : one array `[row]` an axis of `[*CHOICES, degrees]`.
    """

    index: tuple[NDArray[np.intp], ...]
    _flat: dict[tuple[int, ...], NDArray[np.intp]] = field(default_factory=dict)

    def __len__(self) -> int:
        """Count rows [-]."""
        return int(self.index[0].size)

    def take(self, value: Numeric) -> Numeric:
        """Values of the rows: an open-mesh array `[*policies, *choices, degrees]` to `[*policies, row]`.

        Axes that the value does not depend on have length 1 and stay shared.
        """
        array = np.asarray(value)
        axes = len(self.index)
        array = array.reshape((1,) * (axes + len(POLICIES) - array.ndim) + array.shape)
        outer, inner = array.shape[:-axes], array.shape[-axes:]
        array = array.reshape(*outer, -1)
        return array if array.shape[-1] == 1 else array.take(self._position(inner), axis=-1)

    def _position(self, lengths: tuple[int, ...]) -> NDArray[np.intp]:
        """Flat index of each row in an array of `lengths`."""
        if lengths not in self._flat:
            flat = np.zeros(len(self), dtype=np.intp)
            for position, length in zip(self.index, lengths, strict=True):
                if length > 1:
                    flat = flat * length + position
            self._flat[lengths] = flat
        return self._flat[lengths]


class Block(NamedTuple):
    """Part of a space, as large as can be worked on at once.

    degrees : slice of `Space.degrees`. mesh : its layouts as an open mesh `[*policies, *choices, degrees]`.
    layout : the valid ones as `[*policies, row]`. rows : which they are.
    sharded : `[sharding, 1, row]`, False where a way of sharding is invalid or the same as another.
    """

    degrees: slice
    mesh: Layout
    layout: Layout
    rows: Rows
    sharded: NDArray[np.bool_]

    @property
    def valid(self) -> NDArray[np.bool_]:
        """True where a layout is valid, `[*policies, row]`."""
        shape = np.broadcast_shapes(*(np.shape(values) for values in self.layout), (len(self.rows),))
        return np.broadcast_to(self.sharded, shape)


@dataclass(frozen=True, slots=True)
class Space:
    """Valid layouts of a job on a slice.

    degrees : one value a row and field of `DEGREES`, and ``dp``, each `[row]`; rows without a pipeline first.
    invalid : combinations of degrees that cannot run, by reason [-].
    """

    job: Job
    machine: Slice
    options: Options
    degrees: Mapping[str, NDArray[np.int64]]
    invalid: Mapping[str, int] = field(default_factory=dict)

    @property
    def num_degrees(self) -> int:
        """Valid combinations of parallel degrees [-]."""
        return int(self.degrees["tp"].size)

    @property
    def size(self) -> int:
        """Combinations of degrees, choices and policies, those that a choice makes invalid included [-]."""
        lengths = [len(getattr(self.options, name)) for name in (*CHOICES, *POLICIES)]
        return self.num_degrees * int(np.prod(lengths))

    def divides_somehow(self) -> bool:
        """True where some degrees leave a number of data-parallel ranks that divides the batch."""
        n, batch, o = self.machine.accelerators, int(self.job.global_batch), self.options
        ranks = {t * c * p for t in o.tp for c in o.cp for p in o.pp if n % (t * c * p) == 0}
        return any(batch % (n // r) == 0 for r in ranks)

    def blocks(self, degrees_per_block: int) -> Iterator[slice]:
        """Cut the rows of degrees into parts of at most so many, those without a pipeline apart."""
        alone = int(np.count_nonzero(self.degrees["pp"] == 1))
        for low, high in ((0, alone), (alone, self.num_degrees)):
            for start in range(low, high, degrees_per_block):
                yield slice(start, min(start + degrees_per_block, high))

    def open_mesh(
        self, degrees: Mapping[str, NDArray[np.int64]], shardings: Sequence[tuple[int, str]] = ((0, "all"),)
    ) -> Layout:
        """Layouts as an open mesh `[*policies, *choices, degrees]`, sharding left at one rank."""
        o, axes = self.options, (*POLICIES, *CHOICES, "degrees")

        def axis(name: str, values: Sequence[float] | NDArray[np.int64]) -> NDArray[Any]:
            shape = [1] * len(axes)
            shape[axes.index(name)] = len(values)
            return np.asarray(values).reshape(shape)

        free = {name: axis(name, getattr(o, name)) for name in (*CHOICES, *POLICIES) if name != "sharding"}
        levels = axis("sharding", [level for level, _ in shardings])
        return Layout(
            **{name: axis("degrees", values) for name, values in degrees.items()}, **free, zero=levels
        )

    def block(self, part: slice) -> Block:
        """Lay out the rows of a part, and say which ways of sharding are valid for each."""
        degrees = {name: values[part] for name, values in self.degrees.items()}
        # Gradients and weights are sharded by ZeRO only where no pipeline accumulates over micro-batches.
        piped = bool(np.all(degrees["pp"] > 1))
        shardings = [s for s in self.options.sharding if not piped or s[0] < 2] or self.options.sharding
        mesh = self.open_mesh(degrees, shardings)
        inside = np.array([where == "domain" for _, where in shardings])
        inside = inside.reshape(-1, *[1] * (np.ndim(mesh.zero) - 1 - POLICIES.index("sharding")))
        data_ranks = mesh.dp * mesh.cp
        links = Links.of(self.machine.rings, 1.0, 1.0)
        domain = groups(mesh).data.ranks(links)[0].astype(np.int64)
        mesh = mesh._replace(
            shard=np.where(mesh.zero == 0, 1, np.where(inside, domain, data_ranks)),
        )
        # Sharding inside the domain is a choice of its own only where the domain holds some ranks, not all.
        distinct = ~inside | ((domain > 1) & (domain < data_ranks))
        distinct &= (mesh.zero == 0) | (data_ranks > 1)
        distinct &= (mesh.zero < 2) | (mesh.pp == 1)
        valid = self._valid_choices(mesh)
        rows = Rows(np.nonzero(valid))
        layout = Layout(*(rows.take(values) for values in mesh))
        return Block(part, mesh, layout, rows, rows.take(distinct))

    def _valid_choices(self, mesh: Layout) -> NDArray[np.bool_]:
        """Which choices `[*choices, degrees]` can run, and differ from another choice."""
        heads, _ = _split_widths(self.job.model)
        per_pipeline = self.job.global_batch / (mesh.micro_batch * mesh.dp)
        piped, interleaved = mesh.pp > 1, mesh.vpp > 1
        rules: list[Numeric] = [
            per_pipeline == np.floor(per_pipeline),
            ~interleaved | (per_pipeline % mesh.pp == 0),
            (mesh.schedule == 0) | (piped & ~interleaved),
            (mesh.schedule < 2) | ((mesh.pp % 2 == 0) & (per_pipeline >= 2 * mesh.pp)),
            (mesh.order == 0) | (piped & (mesh.ep * mesh.etp <= mesh.tp * mesh.cp)),
            (mesh.cp_exchange == 0) | (mesh.cp > 1),
            # Ulysses splits heads over tensor- and context-parallel ranks.
            (mesh.cp_exchange < 2) | (heads % (mesh.tp * mesh.cp) == 0 if heads else mesh.cp == 1),
            # Dispatch and combine of one micro-batch hide under the compute of another.
            (mesh.overlap_ep == 0) | ((mesh.ep > 1) & (per_pipeline >= 2)),
        ]
        for name, matters in (
            ("sp", mesh.tp > 1),
            ("overlap_tp", mesh.tp > 1),
            ("overlap_dp", mesh.dp * mesh.cp > 1),
            ("overlap_pp", interleaved),
        ):
            rules.append(matters | (getattr(mesh, name) == getattr(self.options, name)[0]))
        valid = rules[0]
        for rule in rules[1:]:
            valid = valid & rule
        choices = valid.shape[len(POLICIES) :]
        lengths = [len(getattr(self.options, name)) for name in CHOICES]
        return np.broadcast_to(valid.reshape(choices), (*lengths, choices[-1]))


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
        sp=[1],
        overlap_tp=[1],
        overlap_dp=[1],
        overlap_pp=[1],
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
    model, n, layers = job.model, machine.accelerators, job.model.num_layers
    heads, experts = _split_widths(model)
    found: dict[str, NDArray[np.int64]] = {}
    invalid: dict[str, int] = {}

    def extend(names: Sequence[str], rules: Callable[..., list[tuple[str, Numeric]]]) -> None:
        """Cross the rows so far with the values of fields, and keep what no rule forbids."""
        lengths = [len(getattr(o, name)) for name in names]
        old = next(iter(found.values())).size if found else 1
        at = np.indices((old, *lengths)).reshape(1 + len(names), -1)
        for name in found:
            found[name] = found[name][at[0]]
        for name, position in zip(names, at[1:], strict=True):
            found[name] = np.asarray(getattr(o, name), dtype=np.int64)[position]
        alive = np.ones(at.shape[1], dtype=bool)
        for reason, wrong in rules(**found):
            hit = alive & np.broadcast_to(wrong, alive.shape)
            if count := int(np.count_nonzero(hit)):
                invalid[reason] = count
                alive &= ~hit
        for name in found:
            found[name] = found[name][alive]

    def grid(tp: Numeric, cp: Numeric, pp: Numeric) -> list[tuple[str, Numeric]]:
        dp = n // np.maximum(tp * cp * pp, 1)
        return [
            ("degrees do not multiply to the accelerators", n % (tp * cp * pp) != 0),
            ("heads are not divisible by tp", heads % tp != 0 if heads else tp > 1),
            ("sequence is not divisible by 2 cp tp", job.sequence % (2 * cp * tp) != 0),
            ("batch is not divisible by dp", (dp < 1) | (job.global_batch % np.maximum(dp, 1) != 0)),
        ]

    def chunks(pp: Numeric, vpp: Numeric, **_: Numeric) -> list[tuple[str, Numeric]]:
        parts = pp * vpp
        even = (layers % parts == 0) | ((layers + 1) % parts == 0) | ((layers + 2) % parts == 0)
        per_stage = -(-layers // parts) * vpp
        return [
            ("interleaving needs a pipeline", (vpp > 1) & (pp == 1)),
            ("fewer layers than pipeline chunks", parts > layers + 2),
            ("a stage would hold no layer", (pp > 1) & (per_stage * (pp - 1) >= layers + vpp)),
            ("layers do not divide into interleaved chunks", (vpp > 1) & ~even),
        ]

    def spread(
        tp: Numeric, cp: Numeric, pp: Numeric, ep: Numeric, etp: Numeric, **_: Numeric
    ) -> list[tuple[str, Numeric]]:
        return [
            ("experts are not divisible by ep", experts % ep != 0 if experts else ep > 1),
            ("expert tensor parallelism wider than tp", etp > tp),
            ("ep x etp does not divide tp x cp x dp", (n // pp) % (ep * etp) != 0),
        ]

    extend(("tp", "cp", "pp"), grid)
    extend(("vpp",), chunks)
    extend(("ep", "etp"), spread)
    found["dp"] = n // (found["tp"] * found["cp"] * found["pp"])
    alone_first = np.argsort(found["pp"] > 1, kind="stable")
    degrees = {name: values[alone_first] for name, values in found.items()}
    return Space(job, machine, o, degrees, invalid)
