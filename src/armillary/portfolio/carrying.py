"""What a point of one assembly says about another. Only numpy."""

from __future__ import annotations

import numpy as np

from armillary.portfolio.assembly import Assembly
from armillary.portfolio.calendar import Floats, Integers
from armillary.portfolio.matrix import Bools


def purchased(assembly: Assembly, x: Floats) -> dict[tuple[int, ...], float]:
    """Units bought, by offer and quarter of start; set aside, by stream, site, SKU and quarter; exercised."""
    return dict(zip(keys(assembly), x[purchases_of(assembly)].tolist(), strict=True))


def purchases_of(assembly: Assembly) -> Integers:
    """Columns of units that are bought, set aside for runs, and exercised."""
    exercised = [one.units for one in assembly.bought.exercises]
    return np.concatenate([assembly.bought.columns, assembly.bought.clusters.column, *exercised])


def keys(assembly: Assembly) -> list[tuple[int, ...]]:
    """What each of these columns is, in any assembly of a programme."""
    purchases, aside = assembly.bought.purchases, assembly.bought.clusters
    found: list[tuple[int, ...]] = list(zip(purchases.offer.tolist(), purchases.start.tolist(), strict=True))
    own = (aside.stream, aside.site, aside.sku, aside.quarter)
    found += zip(*(one.tolist() for one in own), strict=True)
    for i, one in enumerate(assembly.bought.exercises):
        found += [(-1, i, node) for node in range(len(one.units))]
    return found


def carried(coarse: Assembly, point: Floats, whole: Assembly) -> Floats:
    """A point over few states as one over all: what is shared by all futures is the same in both."""
    out = np.zeros(len(whole.matrix.cost))
    for name, block in whole.matrix.blocks.items():
        other = coarse.matrix.blocks.get(name)
        if other is not None and other.stop - other.start == block.stop - block.start:
            out[block] = point[other]
    # States that all futures share are one state in both.
    for t in range(len(whole.states.first) - 1):
        if whole.states.first[t + 1] - whole.states.first[t] != 1:
            continue
        here, there = int(whole.states.first[t]), int(coarse.states.first[t])
        out[whole.unmet[:, here]] = point[coarse.unmet[:, there]]
        _same(
            out,
            point,
            whole.usage.state == here,
            coarse.usage.state == there,
            whole.usage.column,
            coarse.usage.column,
        )
        _same(
            out, point, whole.bought.pooled.state == here, coarse.bought.pooled.state == there,
            whole.bought.pooled.column, coarse.bought.pooled.column,
        )  # fmt: skip
        for (a, columns), (b, others) in zip(whole.committed.spend, coarse.committed.spend, strict=True):
            _same(out, point, a == here, b == there, columns, others)
        for back, its in zip(whole.committed.rebate, coarse.committed.rebate, strict=True):
            _same(out, point, back[0] == here, its[0] == there, back[2], its[2])
        running = whole.running[:, here] >= 0
        out[whole.running[running, here]] = np.round(point[coarse.running[running, there]])
        if "given" in whole.matrix.blocks:
            block, given = whole.matrix.blocks["given"], point[coarse.matrix.blocks["given"]]
            out[block.start + here : block.stop : whole.states.size] = given[there :: coarse.states.size]
    return out


def _same(out: Floats, point: Floats, here: Bools, there: Bools, columns: Integers, others: Integers) -> None:
    out[columns[here]] = point[others[there]]
