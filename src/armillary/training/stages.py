"""How layers fall on pipeline stages. Imports `model`.

Layers go to stages in order, in `pp * vpp` chunks of ``ceil(L / (pp vpp))`` layers; the last stage takes
what is left, which makes room for the vocabulary projection. Which kinds of layers the heaviest stage
holds matters where kinds stand in blocks (first dense, then mixture of experts).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from armillary.model import Transformer, layer_parameters
from armillary.model.transformer import Layer

Numeric = Any


class StageTables(NamedTuple):
    """Compositions by stage size, built once a model.

    kinds : distinct layers. counts : `[kind]` of each in the model.
    heaviest, last : `[layers + 1, kind]` kinds in the window of so many layers with the most parameters,
        and in the window at the end of the model.
    """

    kinds: tuple[Layer, ...]
    counts: NDArray[np.float64]
    heaviest: NDArray[np.float64]
    last: NDArray[np.float64]


class Stages(NamedTuple):
    """Layers by kind on the stages of a layout; lists run over kinds, entries are arrays over layouts."""

    middle: list[Numeric]
    last: list[Numeric]
    layers: Numeric
    """Layers on a middle stage [-]."""


def stage_tables(model: Transformer) -> StageTables:
    """Tabulate which layers a stage of any size holds."""
    layers = model.layers()
    kinds = tuple(model.kinds())
    index = {kind: i for i, kind in enumerate(kinds)}
    one_hot = np.zeros((len(layers), len(kinds)))
    one_hot[np.arange(len(layers)), [index[layer] for layer in layers]] = 1.0
    weights = np.array([layer_parameters(kind, model.hidden).total for kind in kinds], dtype=float)
    before = np.vstack([np.zeros(len(kinds)), np.cumsum(one_hot, axis=0)])
    size = len(layers)
    heaviest, last = np.zeros((size + 1, len(kinds))), np.zeros((size + 1, len(kinds)))
    for width in range(1, size + 1):
        windows = before[width:] - before[:-width]
        heaviest[width] = windows[np.argmax(windows @ weights)]
        last[width] = windows[-1]
    return StageTables(kinds, before[-1], heaviest, last)


def stages(tables: StageTables, pp: Numeric, vpp: Numeric) -> Stages:
    """Compositions of the heaviest stage and of the last one.

    Parameters
    ----------
    tables : StageTables
    pp, vpp : numeric of int
        Stages, and chunks a stage. [-]
    """
    total = int(tables.counts.sum())
    pp, vpp = np.asarray(pp), np.asarray(vpp)
    full = np.minimum(np.ceil(total / (pp * vpp)).astype(int) * vpp, total)
    left = np.maximum(total - full * (pp - 1), 0)
    return Stages(
        middle=[tables.heaviest[full, k] for k in range(len(tables.kinds))],
        last=[tables.last[left, k] for k in range(len(tables.kinds))],
        layers=full,
    )
