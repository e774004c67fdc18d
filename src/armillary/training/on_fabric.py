r"""The third fidelity: a plan's collectives as concurrent flows on an explicit fabric.

All groups of a kind communicate at once, under a placement, beside the other kinds and other jobs. Max-min
fair rates give how much longer each kind takes than the closed form on rings says (`Congestion`), and
`step.estimate` is asked again with that. Software's share of a link (see `calibration`) is kept: a byte takes
the wire for as long as it does in the closed form, so that the two agree where nothing contends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from armillary.machine import Slice
from armillary.network.fabric import Fabric
from armillary.network.graph import joined
from armillary.network.max_min import max_min
from armillary.network.routes import Routes
from armillary.network.traffic import Traffic
from armillary.training.calibration import Calibration
from armillary.training.communication import Congestion
from armillary.training.job import Job
from armillary.training.layout import Layout
from armillary.training.step import Estimate, estimate
from armillary.training.traffic import Exchange, checked, exchanges, placed

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Beside = tuple[str, ...]
"""Kinds that are on the wire at the same time."""

IN_LAYERS = ("tensor", "context", "expert")
"""Kinds that follow each other on a rank, so that they do not meet."""
ROUNDS = 20
"""Most rounds of the fixed point between slowdown and the share of time that a kind is on the wire. [-]"""


class Background(NamedTuple):
    """Flows of other jobs, live all the time. weight : of each flow against one of the plan's [-]."""

    traffic: Traffic
    weight: float = 1.0


class FabricStep(NamedTuple):
    """A step on a fabric.

    clear : closed form on rings. loaded : with `congestion`. alone : what the groups of one kind do to each
    other, before other kinds and jobs join [-]. utilisation : `[link]` of its capacity, mean over the
    step [-]. exchanges : what was on the wire.
    """

    clear: Estimate
    loaded: Estimate
    congestion: Congestion
    alone: Congestion
    utilisation: Floats
    exchanges: tuple[Exchange, ...]


def on_fabric(
    job: Job,
    machine: Slice,
    layout: Layout,
    calibration: Calibration,
    fabric: Fabric,
    place: Integers | None = None,
    background: Background | None = None,
    progress: Callable[[int, int], None] | None = None,
    paths: int = 1,
) -> FabricStep:
    r"""Time of a step with its collectives on a fabric.

    Parameters
    ----------
    job, machine, calibration
        As in `estimate`.
    layout : Layout
        A single one.
    fabric : Fabric
        Where the slice is.
    place : `[rank]` of int, optional
        Accelerator of the fabric that each rank runs on; by default the slice's domains side by side. [-]
    background : Background, optional
        Other jobs on the same fabric.
    progress : callable, optional
        Called with solutions done, and how many there are.
    paths : int
        Queue pairs of each flow, see `Fabric.routes`. [-]

    Raises
    ------
    InputError
        If the fabric has fewer accelerators than the layout, or a place is taken twice.

    Notes
    -----
    Each kind is on the wire for its share :math:`d_j` of the step, and meets the others at random, but those
    of `IN_LAYERS` exclude each other. Its mean rate is :math:`\sum_S P(S)\,r(S)` over the sets :math:`S` of
    kinds beside it. An exchange is done when its slowest flow is, at the rates while all are live: an upper
    bound where some end sooner.
    """
    ranks = int(layout.accelerators)
    if place is None:
        place = placed(machine, fabric.endpoints, ranks)
    found = exchanges(
        job, machine, layout, calibration, checked(place, fabric.endpoints, ranks), fabric.domain
    )
    kinds = list(dict.fromkeys(e.kind for e in found))
    wire = _Wire(fabric, found, background, paths)
    asked = [(kind, beside) for kind in kinds for beside in _company(kind, kinds)]
    slowdown: dict[str, dict[Beside, float]] = {kind: {} for kind in kinds}
    for done, (kind, beside) in enumerate(asked, 1):
        slowdown[kind][beside] = wire.slowdown(kind, beside)
        if progress is not None:
            progress(done, len(asked))
    clear = estimate(job, machine, layout, calibration)
    alone = Congestion(**{kind: slowdown[kind][()] for kind in kinds})
    congestion, loaded = alone, estimate(job, machine, layout, calibration, alone)
    for _ in range(ROUNDS):
        duty = _duty(loaded)
        met = Congestion(**{kind: _mean_slowdown(slowdown[kind], duty) for kind in kinds})
        settled = np.allclose(met, congestion, rtol=1e-6)
        congestion, loaded = met, estimate(job, machine, layout, calibration, met)
        if settled:
            break
    used = wire.utilisation(clear, float(loaded.time.total))
    return FabricStep(clear, loaded, congestion, alone, used, found)


def _company(kind: str, kinds: list[str]) -> list[Beside]:
    """Sets of other kinds that may be on the wire beside one."""
    layers = [()] if kind in IN_LAYERS else [(), *((k,) for k in kinds if k in IN_LAYERS)]
    free = [[(), (k,)] for k in kinds if k != kind and k not in IN_LAYERS]
    return [sum(chosen, ()) for chosen in product(layers, *free)]


def _duty(step: Estimate) -> Mapping[str, float]:
    """Share of a step that each kind is on the wire [-]."""
    total = float(step.time.total)
    return {k: min(float(b) / total, 1.0) for k, b in zip(Congestion._fields, step.busy, strict=True)}


def _mean_slowdown(slowdown: Mapping[Beside, float], duty: Mapping[str, float]) -> float:
    """Inverse of the mean rate over the company that a kind meets [-]."""
    met = set().union(*slowdown)
    layers = [k for k in met if k in IN_LAYERS]
    crowd = max(sum(duty[k] for k in layers), 1.0)
    rate = 0.0
    for beside, factor in slowdown.items():
        chance = 1.0
        for k in met - set(layers):
            chance *= duty[k] if k in beside else 1.0 - duty[k]
        if layers:
            inside = [k for k in layers if k in beside]
            shares = {k: duty[k] / crowd for k in layers}
            chance *= shares[inside[0]] if inside else 1.0 - sum(shares.values())
        rate += chance / factor
    return 1.0 / rate


class _Wire:
    """Routes of every exchange on a fabric, and how fast their flows are together."""

    def __init__(
        self, fabric: Fabric, found: tuple[Exchange, ...], background: Background | None, paths: int
    ) -> None:
        self.fabric, self.found, self.background = fabric, found, background
        inside = np.array([name.startswith("scale-up") for name in fabric.tiers])[fabric.tier]
        self.plain = [fabric.routes(e.traffic.source, e.traffic.target, paths=paths) for e in found]
        self.routes = [self._held(r, e, inside) for r, e in zip(self.plain, found, strict=True)]
        if background is not None:
            self.others = fabric.routes(background.traffic.source, background.traffic.target, paths=paths)

    @staticmethod
    def _held(routes: Routes, exchange: Exchange, inside: NDArray[np.bool_]) -> Routes:
        """Routes whose usage holds a link for as long as software takes to send over it."""
        usage = 1.0 if routes.usage is None else routes.usage
        share = np.where(inside[routes.links], *exchange.shares)
        return routes._replace(usage=usage / share)

    def slowdown(self, kind: str, beside: Beside) -> float:
        """Time of a kind's exchanges beside the longest of each other kind, over the closed form's [-]."""
        own = [i for i, e in enumerate(self.found) if e.kind == kind]
        crowd = [self._longest(other) for other in beside]
        time = sum(self._time(i, crowd) for i in own)
        return time / sum(self.found[i].clear for i in own)

    def _longest(self, kind: str) -> int:
        mine = [i for i, e in enumerate(self.found) if e.kind == kind]
        return max(mine, key=lambda i: self.found[i].clear)

    def _time(self, one: int, crowd: list[int]) -> float:
        live = [one, *crowd]
        routes = [self.routes[i] for i in live]
        weights = [self.found[i].traffic.size / self.found[i].traffic.size.max() for i in live]
        if self.background is not None:
            routes.append(self.others)
            weights.append(np.full(self.others.flows, self.background.weight))
        rates = max_min(self.fabric.shared, joined(routes), weight=np.concatenate(weights))
        size = self.found[one].traffic.size
        return float((size / rates[: size.size]).max())

    def utilisation(self, clear: Estimate, step: float) -> Floats:
        """Bytes of a step over what each link could carry in it [-]."""
        busy = dict(zip(Congestion._fields, clear.busy, strict=True))
        unit = {k: sum(e.clear for e in self.found if e.kind == k) for k in busy}
        carried = np.zeros(len(self.fabric.capacity))
        for exchange, routes in zip(self.found, self.plain, strict=True):
            times = float(busy[exchange.kind]) / unit[exchange.kind]
            sizes = np.repeat(exchange.traffic.size * times, np.diff(routes.offsets))
            usage = 1.0 if routes.usage is None else routes.usage
            carried += np.bincount(routes.links, sizes * usage, minlength=carried.size)
        used: Floats = carried / np.where(self.fabric.capacity > 0, self.fabric.capacity * step, np.inf)
        return used
