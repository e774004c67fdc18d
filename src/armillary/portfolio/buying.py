"""Take-or-pay units: purchases, options, clusters set aside for runs, and pools that streams share.

Only numpy. Purchases are the same in all futures, and so are the clusters of them that are set aside for
runs, for whole quarters. The rest of a provider's units of one SKU with one egress is a pool, which spread
streams share anew in each state. An option's units differ by node of the quarter in which it is decided: they
are a pool of their own, which runs at their site share, too.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from armillary.portfolio.calendar import QUARTER, Floats, Integers, sums
from armillary.portfolio.draft import Draft, Purchases


class Exercise(NamedTuple):
    """An option's columns. active : its quarters. node : `[future]` of the deciding quarter. units : by node.

    most : units in all.
    """

    site: int
    sku: int
    active: Integers
    node: Integers
    units: Integers
    most: float


class Clusters(NamedTuple):
    """Purchased units set aside: stream, site, SKU, quarter, column."""

    stream: Integers
    site: Integers
    sku: Integers
    quarter: Integers
    column: Integers


class Pooled(NamedTuple):
    """Use of pools: stream, provider, site (-1: any of the provider's), SKU, state, column, and its work."""

    stream: Integers
    provider: Integers
    site: Integers
    sku: Integers
    state: Integers
    column: Integers
    work: Floats


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
    clusters = _clusters(draft, purchases, columns)
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
        one = Exercise(site, sku, np.arange(option.start, end), node, units, most)
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


def _clusters(draft: Draft, purchases: Purchases, columns: Integers) -> Clusters:
    """Purchased units set aside for runs, by site, SKU, stream and quarter."""
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
    return Clusters(stream, g // skus, g % skus, t, mine)


def _pools(
    draft: Draft,
    purchases: Purchases,
    columns: Integers,
    limit: Floats,
    exercises: list[Exercise],
    clusters: Clusters,
) -> Pooled:
    """What streams share in each state: what is not set aside, by provider, SKU and egress; and options."""
    arrays, build, states = draft.arrays, draft.builder, draft.states
    quarters, skus = draft.programme.calendar.quarters, len(arrays.power)
    spread = arrays.cluster <= 0
    paid, kind = np.unique(arrays.egress[spread].T, axis=0, return_inverse=True)
    # The class of units of each site and SKU; -1 for those that are not bought, or no spread stream can use.
    code = (arrays.provider[:, None] * len(paid) + kind.reshape(-1, 1)) * skus + np.arange(skus)
    here = np.zeros(code.shape, bool)
    here[arrays.site[purchases.offer], arrays.sku[purchases.offer]] = True
    here &= (arrays.performance[spread] > 0).any(0)
    known, place = np.unique(code[here], return_inverse=True)
    pool = np.full(code.shape, -1)
    pool[here] = place.reshape(-1)
    of_purchase = pool[arrays.site[purchases.offer], arrays.sku[purchases.offer]]
    active = np.zeros((len(known) + len(exercises), quarters), bool)
    np.logical_or.at(active, of_purchase[of_purchase >= 0], purchases.active[of_purchase >= 0])
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
    mine = pool[clusters.site, clusters.sku]
    build.put(rows[mine[mine >= 0], clusters.quarter[mine >= 0]], clusters.column[mine >= 0], 1.0)
    column_of = np.full(active.shape, -1)
    column_of[c, t] = free
    for i, one in enumerate(exercises):
        active[len(known) + i, one.active] = True
    group, state = np.nonzero(active[:, states.quarter])
    shared = np.full((len(active), states.size), -1)
    shared[group, state] = build.rows("pool", len(group), upper=0.0)
    bought = group < len(known)
    build.put(shared[group, state][bought], column_of[group, states.quarter[state]][bought], -1.0)
    for i, one in enumerate(exercises):
        for q in one.active:
            s, column, weight = means(draft, one.node, int(q), one.units)
            build.put(shared[len(known) + i, s], column, -weight)
    own = np.array([(one.site, one.sku) for one in exercises], np.int64).reshape(-1, 2)
    sku = np.append(known % skus, own[:, 1])
    provider = np.append(known // skus // len(paid), arrays.provider[own[:, 0]])
    site = np.append(np.full(len(known), -1), own[:, 0])
    egress = np.zeros((len(spread), len(active)))
    egress[spread, : len(known)] = paid[known // skus % len(paid)].T
    egress[:, len(known) :] = arrays.egress[:, own[:, 0]]
    work = np.where(spread[:, None] | (site >= 0), arrays.performance[:, sku], 0.0)
    w, group, state = np.nonzero(
        (work > 0)[:, :, None] & active[:, states.quarter] & (draft.demand > 0)[:, None, :]
    )
    done = work[w, group]
    used = build.columns("pooled", len(w), upper=draft.demand[w, state] / done)
    build.put(shared[group, state], used, 1.0)
    build.put(draft.demand_rows[w, state], used, done)
    draft.pay_later(state, used, egress[w, group] * done)
    return Pooled(w, provider[group], site[group], sku[group], state, used, done)
