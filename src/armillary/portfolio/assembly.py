"""The programme as one sparse matrix over any states: exact over all nodes, a lower bound over fewer.

Only numpy. docs/portfolio.md writes the model as equations with the names of the blocks below.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from armillary.portfolio.arrays import Arrays
from armillary.portfolio.buying import Bought, buy, means
from armillary.portfolio.calendar import Floats, Integers, sums
from armillary.portfolio.committing import Committed, Usage, commit
from armillary.portfolio.dominance import undominated
from armillary.portfolio.draft import Draft, Kept, concatenated
from armillary.portfolio.matrix import Matrix
from armillary.portfolio.records import Programme
from armillary.portfolio.states import States


class Assembly(NamedTuple):
    """A matrix and where its parts are; what the rows of a block are about is in `tags`."""

    matrix: Matrix
    states: States
    demand: Floats
    usage: Usage
    unmet: Integers
    opened: Integers
    sites_opened: Integers
    home: Integers
    home_stream: Integers
    home_network: Integers
    running: Integers
    bought: Bought
    committed: Committed
    cash_now: tuple[Integers, Integers, Floats]
    cash_later: tuple[Integers, Integers, Floats]
    tags: dict[str, Integers]


def assemble(
    programme: Programme,
    arrays: Arrays,
    states: States,
    kept: Kept | None = None,
    cutoff: float = math.inf,
) -> Assembly:
    """Build the matrix.

    Parameters
    ----------
    programme : Programme
    arrays : Arrays
        Of the programme.
    states : States
    kept : Kept or None
        What to build columns for; what is not dominated by default.
    cutoff : float
        What a plan that is known costs: plans that cost more may be left out. [scaled money]
    """
    draft = Draft(programme, arrays, states, kept or Kept(*undominated(programme, arrays)), cutoff)
    build = draft.builder
    unmet = _unmet(draft)
    usage = _use(draft)
    bought = buy(draft)
    opened, sites = _open(draft, usage, bought)
    home, home_stream, home_network, running = _place(draft, usage, bought, unmet)
    _power(draft, usage, bought, opened)
    committed = commit(draft, usage, bought)
    _share(draft, usage, bought, opened)
    _settle(draft)
    now, later = _joined(draft)
    return Assembly(
        build.build(), states, draft.demand, usage, unmet, opened, sites, home, home_stream, home_network,
        running, bought, committed, now, later, draft.tags,
    )  # fmt: skip


def _unmet(draft: Draft) -> Integers:
    """What is not served, up to the floor, at its penalty."""
    arrays, build, states = draft.arrays, draft.builder, draft.states
    streams = len(arrays.floor)
    most = draft.demand * (1 - arrays.floor[:, None])
    columns = build.columns("unmet", most.size, upper=most.ravel()).reshape(most.shape)
    build.put(draft.demand_rows, columns, 1.0)
    state = np.broadcast_to(np.arange(states.size), most.shape)
    draft.pay_later(state, columns, np.broadcast_to(arrays.penalty[:, None], most.shape), penalty=True)
    draft.tag("demand", np.repeat(np.arange(streams), states.size))
    return columns


def _use(draft: Draft) -> Usage:
    """Pay-as-you-go units by offer, stream and state."""
    arrays, build, states = draft.arrays, draft.builder, draft.states
    pairs = np.flatnonzero(draft.kept.pairs)
    offers, streams = arrays.pair_offer[pairs], arrays.pair_stream[pairs]
    capacity = arrays.capacity
    uncertain = capacity.shape[2] > 1
    had = states.mean(capacity) if uncertain else capacity[:, states.quarter, 0]
    work = arrays.work[streams, offers]
    most = np.minimum(had[offers], draft.demand[streams] / work[:, None])
    pair, state = np.nonzero(most > 0)
    offer, stream = offers[pair], streams[pair]
    column = build.columns("used", len(pair), upper=most[pair, state])
    usage = Usage(offer, stream, state, column, work[pair], most[pair, state])
    build.put(draft.demand_rows[stream, state], column, usage.work)
    site = arrays.site[offer]
    price = arrays.price[offer, states.quarter[state]]
    draft.pay_later(state, column, price + arrays.egress[stream, site] * usage.work)
    # Streams share an offer's capacity where together they could use more.
    key, place = np.unique(offer * states.size + state, return_inverse=True)
    limit = had[key // states.size, key % states.size]
    tight = np.flatnonzero(sums(place, usage.most, len(key)) > limit)
    row_of = np.full(len(key), -1)
    row_of[tight] = build.rows("capacity", len(tight), upper=limit[tight])
    draft.tag("capacity", key[tight] // states.size)
    shares = row_of[place] >= 0
    build.put(row_of[place[shares]], column[shares], 1.0)
    return usage


def _expected(draft: Draft) -> Floats:
    """Mean demand of a quarter over all futures, `[stream, quarter]`."""
    states, quarters = draft.states, draft.programme.calendar.quarters
    weighted = draft.demand * states.probability
    return np.stack([sums(states.quarter, row, quarters) for row in weighted])


def _open(draft: Draft, usage: Usage, bought: Bought) -> tuple[Integers, Integers]:
    """Sites that cost something to open, and what can be used only there."""
    arrays, build, states = draft.arrays, draft.builder, draft.states
    quarters = draft.programme.calendar.quarters
    usable = arrays.ready < quarters
    sites = np.flatnonzero(((arrays.opening > 0) | (arrays.standing > 0)) & usable)
    columns = build.columns("opened", len(sites), upper=1.0, integer=True)
    opened = np.full(len(usable), -1)
    opened[sites] = columns
    build.put(build.rows("sites opened", 1, 0.0, float(len(sites))), columns, 1.0)
    for s, column in zip(sites, columns, strict=True):
        draft.pay_now(arrays.ready[s], column, arrays.opening[s])
        draft.pay_now(np.arange(arrays.ready[s], quarters), column, arrays.standing[s])
    streams = len(arrays.floor)
    site = arrays.site[usage.offer]
    mine = np.flatnonzero(opened[site] >= 0)
    quarter = states.quarter[usage.state[mine]]
    key, place = np.unique(
        (site[mine] * streams + usage.stream[mine]) * quarters + quarter, return_inverse=True
    )
    rows = build.rows("use if opened", len(key), upper=0.0)
    weight = states.probability[usage.state[mine]]
    build.put(rows[place], usage.column[mine], usage.work[mine] * weight)
    whole = _expected(draft)
    build.put(rows, opened[key // quarters // streams], -whole[key // quarters % streams, key % quarters])
    _scarce(draft, usage, opened)
    purchases = bought.purchases
    buys = np.flatnonzero(opened[arrays.site[purchases.offer]] >= 0)
    group = (arrays.site[purchases.offer] * len(arrays.power) + arrays.sku[purchases.offer]) * quarters
    key, place = np.unique((group + purchases.start)[buys], return_inverse=True)
    limit = np.zeros(len(key))
    np.maximum.at(limit, place, bought.limit[buys])
    rows = build.rows("buy if opened", len(key), upper=0.0)
    build.put(rows[place], bought.columns[buys], 1.0)
    build.put(rows, opened[key // quarters // len(arrays.power)], -limit)
    for one in bought.exercises:
        if opened[one.site] >= 0:
            share = sums(one.node, draft.programme.futures.probability, len(one.units))
            row = build.rows(f"exercise if opened {one.site}", 1, upper=0.0)
            build.put(row, one.units, share)
            build.put(row, opened[one.site], -one.most)
    return opened, sites


def _scarce(draft: Draft, usage: Usage, opened: Integers) -> None:
    """Offers with less than what demand asks for, such as spot: a part of a site gives a part of them."""
    arrays, build, states = draft.arrays, draft.builder, draft.states
    quarters = draft.programme.calendar.quarters
    mine = np.flatnonzero(opened[arrays.site[usage.offer]] >= 0)
    key, place = np.unique(
        usage.offer[mine] * quarters + states.quarter[usage.state[mine]], return_inverse=True
    )
    weight = states.probability[usage.state[mine]]
    asked = sums(place, usage.most[mine] * weight, len(key))
    capacity, probability = arrays.capacity, draft.programme.futures.probability
    had = capacity @ probability if capacity.shape[2] > 1 else capacity[:, :, 0]
    limit = had[key // quarters, key % quarters]
    scarce = np.flatnonzero(asked > limit)
    row_of = np.full(len(key), -1)
    row_of[scarce] = rows = build.rows("scarce if opened", len(scarce), upper=0.0)
    inside = row_of[place] >= 0
    build.put(row_of[place[inside]], usage.column[mine[inside]], weight[inside])
    build.put(rows, opened[arrays.site[key[scarce] // quarters]], -limit[scarce])


def _place(
    draft: Draft, usage: Usage, bought: Bought, unmet: Integers
) -> tuple[Integers, Integers, Integers, Integers]:
    """Runs: one network each, over the whole horizon, and at least their cluster, or nothing."""
    programme, arrays, build, states = draft.programme, draft.arrays, draft.builder, draft.states
    quarters, networks = programme.calendar.quarters, len(arrays.networks)
    clusters = bought.clusters
    # Use in states, of sites as one pays and of options; and what is set aside for all futures.
    pooled = bought.pooled
    of_usage, of_pools = np.isin(usage.stream, arrays.placed), np.isin(pooled.stream, arrays.placed)
    used = np.append(usage.column[of_usage], pooled.column[of_pools])
    work = np.append(usage.work[of_usage], pooled.work[of_pools])
    state = np.append(usage.state[of_usage], pooled.state[of_pools])
    site = np.append(arrays.site[usage.offer[of_usage]], pooled.site[of_pools])
    stream = np.append(usage.stream[of_usage], pooled.stream[of_pools])
    use_key = stream * networks + arrays.network[site]
    own_key = clusters.stream * networks + arrays.network[clusters.site]
    homes = np.unique(np.concatenate([use_key, own_key]))
    columns = build.columns("home", len(homes), upper=1.0, integer=True)
    stream, network = homes // networks, homes % networks
    rows = build.rows("one home", len(arrays.placed), upper=1.0)
    draft.tag("one home", arrays.placed)
    build.put(rows[np.searchsorted(arrays.placed, stream)], columns, 1.0)
    whole, peak = _reach(draft, homes, usage, bought)
    quarter = states.quarter[state]
    key, place = np.unique(use_key * quarters + quarter, return_inverse=True)
    rows = build.rows("use at home", len(key), upper=0.0)
    done = work * states.probability[state]
    build.put(rows[place], used, done)
    build.put(
        rows,
        columns[np.searchsorted(homes, key // quarters)],
        -whole[np.searchsorted(homes, key // quarters), key % quarters],
    )
    both = np.concatenate([own_key * quarters + clusters.quarter, use_key * quarters + quarter])
    owned = np.append(np.ones(len(own_key), bool), np.arange(len(use_key)) >= of_usage.sum())
    key = np.unique(both[owned])
    inside = np.flatnonzero(np.isin(both, key))
    rows = build.rows("all at home", len(key), upper=0.0)
    column = np.append(clusters.column, used)
    done = np.append(arrays.performance[clusters.stream, clusters.sku], done)
    build.put(rows[np.searchsorted(key, both[inside])], column[inside], done[inside])
    build.put(
        rows,
        columns[np.searchsorted(homes, key // quarters)],
        -peak[np.searchsorted(homes, key // quarters), key % quarters],
    )
    least = np.minimum(arrays.cluster[:, None], draft.demand)
    w, state = np.nonzero((arrays.cluster[:, None] > 0) & (draft.demand > 0))
    running = np.full(draft.demand.shape, -1)
    running[w, state] = build.columns("running", len(w), upper=1.0, integer=True)
    rows = build.rows("cluster or nothing", len(w), upper=draft.demand[w, state])
    draft.tag("cluster or nothing", w)
    build.put(rows, unmet[w, state], 1.0)
    build.put(rows, running[w, state], least[w, state])
    rows = build.rows("idle", len(w), lower=draft.demand[w, state])
    build.put(rows, unmet[w, state], 1.0)
    build.put(rows, running[w, state], draft.demand[w, state])
    return columns, stream, network, running


def _reach(draft: Draft, homes: Integers, usage: Usage, bought: Bought) -> tuple[Floats, Floats]:
    """Most of a run that a network can serve: mean over futures and peak, `[home, quarter]`.

    No more than the demand, and no more than the power of the network's sites lets its best SKU do; nothing
    where that is less than the cluster, or the demand if it is smaller.
    """
    arrays = draft.arrays
    quarters, networks = draft.programme.calendar.quarters, len(arrays.networks)
    per_watt = np.zeros((len(arrays.opening), len(arrays.floor)))
    endless = np.zeros(per_watt.shape, bool)
    clusters, pooled = bought.clusters, bought.pooled
    of_option = pooled.site >= 0
    for site, sku, stream in (
        (arrays.site[usage.offer], arrays.sku[usage.offer], usage.stream),
        (clusters.site, clusters.sku, clusters.stream),
        (pooled.site[of_option], pooled.sku[of_option], pooled.stream[of_option]),
    ):
        power = arrays.power[sku]
        rate = arrays.performance[stream, sku] / np.where(power > 0, power, 1.0)
        np.maximum.at(per_watt, (site, stream), np.where(power > 0, rate, 0.0))
        np.logical_or.at(endless, (site, stream), power <= 0)
    whole, peak = np.zeros((len(homes), quarters)), np.zeros((len(homes), quarters))
    for h, home in enumerate(homes):
        w, sites = home // networks, np.flatnonzero(arrays.network == home % networks)
        rate = per_watt[sites, w][:, None]
        with np.errstate(invalid="ignore"):
            limit = np.where(rate > 0, arrays.site_power[sites] * rate, 0.0)
        most = np.where(endless[sites, w].any(), np.inf, limit.sum(0))
        demand = arrays.demand[w]
        least = np.minimum(arrays.cluster[w], demand)
        served = np.where(least <= most[:, None], np.minimum(demand, most[:, None]), 0.0)
        whole[h], peak[h] = served @ draft.programme.futures.probability, served.max(1)
    return whole, peak


def _power(draft: Draft, usage: Usage, bought: Bought, opened: Integers) -> None:
    """Power of a site, for what is bought there and what is used."""
    arrays, build, states = draft.arrays, draft.builder, draft.states
    purchases = bought.purchases
    quarters = draft.programme.calendar.quarters
    limited = np.isfinite(arrays.site_power)
    # What use alone could take at most, where nothing is bought.
    site = arrays.site[usage.offer]
    drawn = usage.most * arrays.power[arrays.sku[usage.offer]]
    key = (site * len(arrays.floor) + usage.stream) * states.size + usage.state
    groups, place = np.unique(key, return_inverse=True)
    most = np.zeros(len(groups))
    np.maximum.at(most, place, drawn)
    reach = np.zeros((len(arrays.opening), states.size))
    np.add.at(reach, (groups // states.size // len(arrays.floor), groups % states.size), most)
    where = arrays.site[purchases.offer]
    own = np.zeros((len(arrays.opening), quarters), bool)
    np.logical_or.at(own, where, purchases.active)
    for one in bought.exercises:
        own[one.site, one.active] = True
    binding = limited[:, states.quarter] & (
        (reach > arrays.site_power[:, states.quarter]) | own[:, states.quarter]
    )
    s, state = np.nonzero(binding)
    row_of = np.full(binding.shape, -1)
    limit = arrays.site_power[s, states.quarter[state]]
    with_binary = opened[s] >= 0
    row_of[s, state] = build.rows("power", len(s), upper=np.where(with_binary, 0.0, limit))
    draft.tag("power", s)
    build.put(row_of[s, state][with_binary], opened[s][with_binary], -limit[with_binary])
    mine = row_of[site, usage.state] >= 0
    build.put(
        row_of[site, usage.state][mine], usage.column[mine], arrays.power[arrays.sku[usage.offer]][mine]
    )
    s_own, t_own = np.nonzero(own & limited)
    at = np.full(own.shape, -1)
    at[s_own, t_own] = np.arange(len(s_own))
    drawn_by = build.columns("power of purchases", len(s_own), upper=2 * arrays.site_power[s_own, t_own])
    rows = build.rows("power bought", len(s_own), upper=0.0)
    build.put(rows, drawn_by, -1.0)
    j, t = np.nonzero(purchases.active & (at[where] >= 0))
    build.put(rows[at[where[j], t]], bought.columns[j], arrays.power[arrays.sku[purchases.offer[j]]])
    has = at[s, states.quarter[state]] >= 0
    build.put(row_of[s, state][has], drawn_by[at[s, states.quarter[state]][has]], 1.0)
    for one in bought.exercises:
        for t_one in one.active[limited[one.site, one.active]]:
            inside, column, weight = means(draft, one.node, int(t_one), one.units)
            build.put(row_of[one.site, inside], column, weight * arrays.power[one.sku])


def _share(draft: Draft, usage: Usage, bought: Bought, opened: Integers) -> None:
    """No provider gives more than its share of the work, by value, in any state."""
    programme, arrays, build, states = draft.programme, draft.arrays, draft.builder, draft.states
    if programme.share >= 1:
        return
    providers = len(arrays.providers)
    most = 2 * (arrays.value @ arrays.demand.max(2))[states.quarter]
    given = build.columns("given", providers * states.size, upper=np.tile(most, providers))
    given = given.reshape(providers, -1)
    rows = build.rows("given by", given.size, lower=0.0, upper=0.0).reshape(given.shape)
    build.put(rows, given, -1.0)
    provider = arrays.provider[arrays.site[usage.offer]]
    build.put(rows[provider, usage.state], usage.column, usage.work * arrays.value[usage.stream])
    pooled = bought.pooled
    build.put(rows[pooled.provider, pooled.state], pooled.column, pooled.work * arrays.value[pooled.stream])
    clusters = bought.clusters
    worth = arrays.performance[clusters.stream, clusters.sku] * arrays.value[clusters.stream]
    owner = arrays.provider[clusters.site]
    for p, t, column, value in zip(owner, clusters.quarter, clusters.column, worth, strict=True):
        build.put(rows[p, states.within(int(t))], column, value)
    caps = build.rows("share", given.size, upper=0.0).reshape(given.shape)
    draft.tag("share", np.repeat(np.arange(providers), states.size))
    for p in range(providers):
        build.put(caps[p], given[p], 1.0)
        for other in range(providers):
            build.put(caps[p], given[other], -programme.share)
    # What a provider gives within its share needs a site of it: without this, halves of two sites would do.
    quarters = programme.calendar.quarters
    spread = np.where(arrays.cluster > 0, 0.0, arrays.value) @ draft.demand
    runs = np.where(arrays.cluster > 0, arrays.value, 0.0) @ arrays.demand.max(2)
    whole = sums(states.quarter, states.probability * spread, quarters) + runs
    for p in range(providers):
        sites = np.flatnonzero((arrays.provider == p) & (arrays.ready < quarters))
        if len(sites) and (opened[sites] >= 0).all():
            rows = build.rows(f"give if opened {p}", quarters, upper=0.0)
            build.put(rows[states.quarter], given[p], states.probability)
            for column in opened[sites]:
                build.put(rows, column, -programme.share * whole)


def _settle(draft: Draft) -> None:
    """Objective: first-stage payments, expected recourse, CVaR; and the budget's rows."""
    programme, arrays, build, states = draft.programme, draft.arrays, draft.builder, draft.states
    weight, level = programme.risk
    for t, column, cash in draft.now:
        build.charge(column, cash * arrays.factor[t] * (1 + weight))
    scaled = states.probability * arrays.factor[states.quarter]
    for state, column, cash, _ in draft.later:
        build.charge(column, cash * scaled[state])
    if weight > 0:
        costs = build.columns("cost of state", states.size, lower=-np.inf)
        rows = build.rows("costs of states", states.size, lower=0.0, upper=0.0)
        build.put(rows, costs, -1.0)
        for state, column, cash, _ in draft.later:
            build.put(rows[state], column, cash * arrays.factor[states.quarter[state]])
        group = states.groups(0, programme.calendar.quarters)
        chance = sums(group, programme.futures.probability, int(group.max()) + 1)
        at_risk = build.columns("value at risk", 1, lower=-np.inf)
        beyond = build.columns("beyond", len(chance))
        excess = build.rows("excess", len(chance), lower=0.0)
        build.put(excess, beyond, 1.0)
        build.put(excess, at_risk, 1.0)
        for q in range(programme.calendar.quarters):
            g, state, part = states.weights(group, q)
            build.put(excess[g], costs[state], -part)
        build.charge(at_risk, weight)
        build.charge(beyond, weight / (1 - level) * chance)
    if programme.budget is not None:
        limit = np.asarray(programme.budget) / arrays.scales.money
        rows = build.rows("budget", states.size, upper=limit[states.quarter])
        draft.tag("budget", states.quarter)
        first = build.columns("paid now", programme.calendar.quarters, lower=-np.inf)
        same = build.rows("payments now", programme.calendar.quarters, lower=0.0, upper=0.0)
        build.put(same, first, -1.0)
        build.put(rows, first[states.quarter], 1.0)
        for t, column, cash in draft.now:
            build.put(same[t], column, cash)
        for state, column, cash, penalty in draft.later:
            if not penalty:
                build.put(rows[state], column, cash)


def _joined(draft: Draft) -> tuple[tuple[Integers, Integers, Floats], tuple[Integers, Integers, Floats]]:
    """Payments as triplets, penalties left out."""
    none = np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
    now = [none, *draft.now]
    later = [none, *((s, c, v) for s, c, v, penalty in draft.later if not penalty)]
    return concatenated(now), concatenated(later)
