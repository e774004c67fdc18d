"""Throughput of an accelerator against the speed that a user sees, over all layouts and batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from armillary.serving.layout import EngineLayout
from armillary.serving.mesh import Mesh, not_beaten
from armillary.serving.precision import Precision
from armillary.serving.workload import Load, Targets


class FrontPoint(NamedTuple):
    """One layout in a steady state, in closed form.

    system, engine, precision, layout : of it; prefill : layout for prompts where they are apart, or None.
    batch : sequences that decode at once in a replica [-]. interactivity : tokens that a user gets [1/s].
    tokens_per_accelerator : output, prompts read as well [1/s].
    """

    system: str
    engine: str
    precision: Precision
    layout: EngineLayout
    prefill: EngineLayout | None
    batch: float
    interactivity: float
    tokens_per_accelerator: float


def front(
    found: Sequence[Mesh], load: Load, targets: Targets, system: str, apart: bool = True
) -> list[FrontPoint]:
    """Points that no other beats in tokens per accelerator and interactivity, the quickest first.

    Parameters
    ----------
    found : sequence of Mesh
        See `sizing.meshes`.
    load : Load
    targets : Targets
        Only the first token's counts: of one request alone.
    system : str
    apart : bool
        Also with prompts and decoding apart, in the ratio that keeps both busy.

    Notes
    -----
    A replica of a accelerators that decodes B sequences at a time t per token gives :math:`B / (t a)`.
    Apart, an answer of n tokens takes :math:`n t a / B` of accelerators' time to decode, and its
    prompt that of the layout that reads the most an accelerator.
    """
    answer = float(load.output.mean())
    points = []
    for at, mesh in enumerate(found):
        width = mesh.accelerators[:, None]
        right = mesh.fits & (mesh.first <= targets.ttft)
        ways = [(mesh.each, right, 0.0, -1)]
        if apart and right.any():
            work = np.where(right, mesh.reading * mesh.accelerators, np.inf)
            reader = int(work.argmin())
            ways.append((mesh.alone, mesh.fits, float(work[reader]), reader))
        for each, rows, reading, reader in ways:
            quick = 1 / each
            per = answer / (reading + answer * each * width / mesh.batch)
            for row in np.flatnonzero(rows):
                kept = np.flatnonzero(not_beaten(quick[row], per[row]))
                at_row = (at, int(row), reader)
                points += [
                    (*at_row, float(mesh.batch[row, b]), float(quick[row, b]), float(per[row, b]))
                    for b in kept
                ]
    if not points:
        return []
    table = np.array([p[4:] for p in points])
    best = not_beaten(*table.T)
    chosen = sorted((p for p, keep in zip(points, best, strict=True) if keep), key=lambda p: -p[4])
    return [
        FrontPoint(
            system,
            found[at].replica.engine,
            found[at].replica.precision,
            found[at].layout(row),
            None if reader < 0 else found[at].layout(reader),
            batch,
            quick,
            per,
        )
        for at, row, reader, batch, quick, per in chosen
    ]
