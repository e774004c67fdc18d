"""Take-or-pay units: purchases, options, clusters set aside for runs, and pools that spread streams share.

Only numpy. Purchases are the same in all futures; an option's units differ by node of the quarter in which
it is decided. A run's cluster is set aside for whole quarters. The rest of a provider's units of one SKU
with one egress is a pool, which spread streams share anew in each state.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from armillary.portfolio.calendar import QUARTER, Floats, Integers, sums
from armillary.portfolio.draft import Draft, Purchases


class Exercise(NamedTuple):
    """An option's columns. active : its quarters. node : `[future]` of the deciding quarter. units : by node.

    most : units in all. aside : by quarter, the rows of what is set aside; clusters : by quarter, their
    columns.
    """

    site: int
    sku: int
    active: Integers
    node: Integers
    units: Integers
    most: float
    aside: dict[int, Integers]
    clusters: list[tuple[int, Integers]]


class Clusters(NamedTuple):
    """Units set aside: stream, site, SKU, quarter, column; weight : in the mean of futures."""

    stream: Integers
    site: Integers
    sku: Integers
    quarter: Integers
    column: Integers
    weight: Floats


class Pooled(NamedTuple):
    """Use of pools: stream, provider, SKU, state, column, egress of a unit [money]."""

    stream: Integers
    provider: Integers
    sku: Integers
    state: Integers
    column: Integers


class Bought(NamedTuple):
    """Columns of what can be bought, and what it can be used for."""

    purchases: Purchases
    columns: Integers
    limit: Floats
    rights: Integers
    exercises: list[Exercise]
    clusters: Clusters
    pooled: Pooled


def buy(draft: Draft) -> Bought:
    """Add purchases, options and what they can be used for; use goes into the demand rows."""
    arrays, build = draft.arrays, draft.builder
    purchases = Purchases(draft.programme, arrays, draft.kept.offers)
    limit = np.array(
        [
            min(draft.needs[o, q:e].max(), arrays.capacity[o, q:e].min())
            for o, q, e in zip(purchases.offer, purchases.start, purchases.end, strict=True)
        ]
    ).reshape(-1)
    columns = build.columns("bought", len(limit), upper=limit)
    j, t = np.nonzero(purchases.cash)
    draft.pay_now(t, columns[j], purchases.cash[j, t])
    _capacities(draft, purchases, columns, limit)
    rights, exercises = _options(draft)
    clusters = _clusters(draft, purchases, columns, exercises)
    pooled = _pools(draft, purchases, columns, limit, exercises, clusters)
    return Bought(purchases, columns, limit, rights, exercises, clusters, pooled)


def _capacities(draft: Draft, purchases: Purchases, columns: Integers, limit: Floats) -> None:
    """Units of one offer that started in different quarters share its capacity."""
    capacity = draft.arrays.capacity[:, :, 0]
    together = np.zeros(capacity.shape)
    np.add.at(together, purchases.offer, purchases.active * limit[:, None])
    offer, quarter = np.nonzero(together > capacity)
    rows = draft.builder.rows("capacity bought", len(offer), upper=capacity[offer, quarter])
    row_of = np.full(capacity.shape, -1)
    row_of[offer, quarter] = rows
    draft.tag("capacity bought", offer)
    j, t = np.nonzero(purchases.active & (row_of[purchases.offer] >= 0))
    draft.builder.put(row_of[purchases.offer[j], t], columns[j], 1.0)


def _options(draft: Draft) -> tuple[Integers, list[Exercise]]:
    """Rights to expand: a binary for the right, units by node of the deciding quarter."""
    programme, arrays, build = draft.programme, draft.arrays, draft.builder
    rights = build.columns("rights", len(programme.options), upper=1.0, integer=True)
    site_of = {s.name: i for i, s in enumerate(programme.sites)}
    sku_of = {k.name: i for i, k in enumerate(programme.skus)}
    exercises = []
    for i, option in enumerate(programme.options):
        site, sku = site_of[option.site], sku_of[option.sku]
        scale = float(arrays.scales.units[sku])
        most = option.units / scale
        strike = option.strike * scale / arrays.scales.money * QUARTER
        _, node = np.unique(programme.futures.node[option.decided], return_inverse=True)
        count = int(node.max()) + 1
        units = build.columns(f"exercised {i}", count, upper=most)
        rows = build.rows(f"right {i}", count, upper=0.0)
        build.put(rows, units, 1.0)
        build.put(rows, rights[i], -most)
        if option.whole:
            whole = build.columns(f"whole {i}", count, upper=1.0, integer=True)
            equal = build.rows(f"all or none {i}", count, lower=0.0, upper=0.0)
            build.put(equal, units, 1.0)
            build.put(equal, whole, -most)
        draft.pay_now(0, rights[i], option.premium / arrays.scales.money)
        end = min(option.start + option.term, programme.calendar.quarters)
        one = Exercise(site, sku, np.arange(option.start, end), node, units, most, {}, [])
        for t in one.active:
            state, column, weight = means(draft, node, int(t), units)
            draft.pay_later(state, column, weight * strike)
        exercises.append(one)
    return rights, exercises


def means(draft: Draft, node: Integers, quarter: int, columns: Integers) -> tuple[Integers, Integers, Floats]:
    """Mean, over each state of a quarter, of columns that differ by node: state, column, weight."""
    states = draft.states
    keys, place = np.unique(states.of[quarter] * len(columns) + node, return_inverse=True)
    weight = sums(place, states.share[quarter], len(keys))
    return keys // len(columns), columns[keys % len(columns)], weight


def _clusters(draft: Draft, purchases: Purchases, columns: Integers, exercises: list[Exercise]) -> Clusters:
    """Units set aside for runs, by site, SKU, stream and quarter (and node of an option)."""
    arrays, build, states = draft.arrays, draft.builder, draft.states
    peak = arrays.demand.max(2)
    skus, quarters = len(arrays.power), draft.programme.calendar.quarters
    place = arrays.site[purchases.offer] * skus + arrays.sku[purchases.offer]
    active = np.zeros((len(arrays.site_power) * skus, quarters), bool)
    np.logical_or.at(active, place, purchases.active)
    placed = arrays.placed
    able = arrays.performance[placed] > 0
    wanted = (peak[placed][:, None, :] > 0) & able[:, np.arange(len(active)) % skus, None] & active
    w, g, t = np.nonzero(wanted)
    stream, work = placed[w], arrays.performance[placed[w], g % skus]
    mine = build.columns("cluster", len(w), upper=peak[stream, t] / work)
    owned, quarter = np.nonzero(wanted.any(0))
    rows = build.rows("set aside", len(owned), upper=0.0)
    row_of = np.full(active.shape, -1)
    row_of[owned, quarter] = rows
    build.put(row_of[g, t], mine, 1.0)
    j, when = np.nonzero(purchases.active & (row_of[place] >= 0))
    build.put(row_of[place[j], when], columns[j], -1.0)
    sizes = states.first[t + 1] - states.first[t]
    inside = (
        np.arange(sizes.sum())
        - np.repeat(np.cumsum(sizes) - sizes, sizes)
        + np.repeat(states.first[t], sizes)
    )
    build.put(
        draft.demand_rows[np.repeat(stream, sizes), inside], np.repeat(mine, sizes), np.repeat(work, sizes)
    )
    draft.pay_now(t, mine, arrays.egress[stream, g // skus] * work)
    found = [Clusters(stream, g // skus, g % skus, t, mine, np.ones(len(w)))]
    for i, one in enumerate(exercises):
        share = sums(one.node, draft.programme.futures.probability, len(one.units))
        for u in placed[able[:, one.sku]]:
            work_one = float(arrays.performance[u, one.sku])
            for q in one.active[peak[u, one.active] > 0]:
                mine = build.columns(f"cluster {i} {u} {q}", len(one.units), upper=peak[u, q] / work_one)
                if int(q) not in one.aside:
                    rows = one.aside[int(q)] = build.rows(f"set aside {i} {q}", len(one.units), upper=0.0)
                    build.put(rows, one.units, -1.0)
                build.put(one.aside[int(q)], mine, 1.0)
                one.clusters.append((int(q), mine))
                state, column, weight = means(draft, one.node, int(q), mine)
                build.put(draft.demand_rows[u, state], column, weight * work_one)
                draft.pay_later(state, column, weight * arrays.egress[u, one.site] * work_one)
                same = np.full(len(mine), 1)
                found.append(Clusters(u * same, one.site * same, one.sku * same, q * same, mine, share))
    return Clusters(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def _pools(
    draft: Draft,
    purchases: Purchases,
    columns: Integers,
    limit: Floats,
    exercises: list[Exercise],
    clusters: Clusters,
) -> Pooled:
    """What is not set aside, shared by spread streams in each state, by provider, SKU and egress."""
    arrays, build, states = draft.arrays, draft.builder, draft.states
    quarters = draft.programme.calendar.quarters
    spread = np.flatnonzero(arrays.cluster <= 0)
    sites, skus = len(arrays.site_power), len(arrays.power)
    paid, kind = np.unique(arrays.egress[spread].T, axis=0, return_inverse=True)
    kind = kind.reshape(-1)
    # The class of units of each site and SKU; -1 for those that no spread stream can use.
    useful = (arrays.performance[spread] > 0).any(0)
    code = (arrays.provider[:, None] * len(paid) + kind[:, None]) * skus + np.arange(skus)
    code = np.where(useful, code, -1)
    here = np.zeros((sites, skus), bool)
    here[arrays.site[purchases.offer], arrays.sku[purchases.offer]] = True
    for one in exercises:
        here[one.site, one.sku] = True
    known, inverse = np.unique(np.where(here, code, -1), return_inverse=True)
    pool = np.where(here & useful, inverse.reshape(code.shape) - (known[0] == -1), -1)
    known = known[known >= 0]
    of_purchase = pool[arrays.site[purchases.offer], arrays.sku[purchases.offer]]
    active = np.zeros((len(known), quarters), bool)
    np.logical_or.at(active, of_purchase[of_purchase >= 0], purchases.active[of_purchase >= 0])
    for one in exercises:
        if pool[one.site, one.sku] >= 0:
            active[pool[one.site, one.sku], one.active] = True
    c, t = np.nonzero(active)
    most = np.zeros(active.shape)
    j, when = np.nonzero(purchases.active & (of_purchase >= 0)[:, None])
    np.add.at(most, (of_purchase[j], when), limit[j])
    # Twice what it can be: a bound for proofs, which must not take a price of its own.
    free = build.columns("free", len(c), upper=2 * most[c, t])
    rows = np.full(active.shape, -1)
    rows[c, t] = build.rows("free of purchases", len(c), upper=0.0)
    build.put(rows[c, t], free, 1.0)
    build.put(rows[of_purchase[j], when], columns[j], -1.0)
    later = sum(len(columns) for one in exercises for _, columns in one.clusters)
    own = slice(0, len(clusters.column) - later)
    mine = pool[clusters.site[own], clusters.sku[own]]
    build.put(rows[mine[mine >= 0], clusters.quarter[own][mine >= 0]], clusters.column[own][mine >= 0], 1.0)
    column_of = np.full(active.shape, -1)
    column_of[c, t] = free
    group, state = np.nonzero(active[:, states.quarter])
    shared = np.full((len(known), states.size), -1)
    shared[group, state] = build.rows("pool", len(group), upper=0.0)
    build.put(shared[group, state], column_of[group, states.quarter[state]], -1.0)
    for one in exercises:
        at = pool[one.site, one.sku]
        for q in one.active if at >= 0 else ():
            s, column, weight = means(draft, one.node, int(q), one.units)
            build.put(shared[at, s], column, -weight)
            for aside in [columns for when, columns in one.clusters if when == q]:
                s, column, weight = means(draft, one.node, int(q), aside)
                build.put(shared[at, s], column, weight)
    sku, provider = known % skus, known // skus // len(paid)
    work = arrays.performance[spread][:, sku]
    w, group, state = np.nonzero(
        (work > 0)[:, :, None] & active[:, states.quarter] & (draft.demand[spread] > 0)[:, None, :]
    )
    done = work[w, group]
    used = build.columns("pooled", len(w), upper=draft.demand[spread[w], state] / done)
    build.put(shared[group, state], used, 1.0)
    build.put(draft.demand_rows[spread[w], state], used, done)
    egress = paid[known // skus % len(paid)].T if len(known) else np.zeros((len(spread), 0))
    draft.pay_later(state, used, egress[w, group] * done)
    return Pooled(spread[w], provider[group], sku[group], state, used)
