"""Contracts: what is committed, at which discount, and what is paid for what is not taken. Only numpy.

Every tier has its own copy of a contract's spending and shortfall, all of them at most its binary times what
they can be (the convex hull of the tiers). Spending counts at list prices less the discount.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from armillary.portfolio.buying import Bought, means
from armillary.portfolio.calendar import QUARTER, Floats, Integers, sums
from armillary.portfolio.draft import Draft, concatenated
from armillary.portfolio.records import PAY_AS_YOU_GO, Contract


class Committed(NamedTuple):
    """By contract and tier: signed, total; spend : state, column; shortfall : year, state, column.

    least_paid : what is paid under each tier at least, discounted [scaled money].
    """

    contract: Integers
    tier: Integers
    signed: Integers
    total: Integers
    least_paid: Floats
    spend: list[tuple[Integers, Integers]]
    shortfall: list[tuple[Integers, Integers, Integers]]
    rebate: list[tuple[Integers, Integers, Integers, Floats]]
    """State, offer, column, rebate of a unit [money]."""


def years(contract: Contract, quarters: int) -> list[tuple[int, int, float]]:
    """First quarter, end and share of the total of each year within the horizon."""
    ramp = contract.ramp or (1.0 / contract.years,) * contract.years
    found = []
    for y, share in enumerate(ramp):
        first = contract.start + 4 * y
        end = min(first + 4, quarters)
        if first < quarters:
            found.append((first, end, share * (end - first) / 4))
    return found


class Usage(NamedTuple):
    """Pay-as-you-go use: offer, stream, state, column, work of a unit, most units."""

    offer: Integers
    stream: Integers
    state: Integers
    column: Integers
    work: Floats
    most: Floats


def commit(draft: Draft, usage: Usage, bought: Bought) -> Committed:
    """Add contracts, their spending at list prices, takes, rebates and prepayments."""
    programme, arrays, build, states = draft.programme, draft.arrays, draft.builder, draft.states
    quarters, money = programme.calendar.quarters, arrays.scales.money
    which = [(c, k) for c, one in enumerate(programme.contracts) for k in range(len(one.tiers))]
    contract = np.array([c for c, _ in which], np.int64)
    tier = np.array([k for _, k in which], np.int64)
    least = np.array([programme.contracts[c].tiers[k].least for c, k in which]) / money
    most = np.array([programme.contracts[c].tiers[k].most for c, k in which]) / money
    least_paid = np.array([_least_paid(draft, programme.contracts[c], k) for c, k in which])
    affordable = least_paid <= draft.cutoff
    signed = build.columns("signed", len(which), upper=affordable.astype(float), integer=True)
    total = build.columns("committed", len(which), upper=most)
    for name, limit, sign in (("least", least, -1.0), ("most", most, 1.0)):
        rows = build.rows(f"{name} committed", len(which), upper=0.0)
        build.put(rows, total, sign)
        build.put(rows, signed, -sign * limit)
    done = Committed(contract, tier, signed, total, least_paid, [], [], [])
    if not which:
        return done
    forced = np.array([one.signed for one in programme.contracts], float)
    rows = build.rows("one tier", len(programme.contracts), lower=forced, upper=1.0)
    draft.tag("one tier", np.arange(len(programme.contracts)))
    build.put(rows[contract], signed, 1.0)
    eligible = _eligible(draft, usage, bought)
    most_spent = _most_spent(draft, bought)
    for i, (c, k) in enumerate(which):
        one = programme.contracts[c]
        kind = one.tiers[k]
        provider = arrays.providers.index(one.provider)
        term = years(one, quarters)
        at = np.concatenate([states.within(t) for t in range(one.start, term[-1][1])])
        limit = most_spent[provider, at]
        spent = build.columns(f"spend {i}", len(at), upper=limit)
        rows = build.rows(f"spend if signed {i}", len(at), upper=0.0)
        build.put(rows, spent, 1.0)
        build.put(rows, signed[i], -limit)
        build.put(eligible[provider, at], spent, 1.0)
        draft.pay_later(at, spent, -kind.discount)
        back = _rebates(draft, usage, c, kind.discount, signed[i], i)
        done.spend.append((at, spent))
        done.rebate.append(back)
        column_of = np.full(states.size, -1)
        column_of[at] = spent
        held: list[tuple[Integers, Integers, Integers]] = []
        for y, (first, end, share) in enumerate(term):
            ends = states.within(end - 1)
            group = states.groups(first, end)
            of_end = np.zeros(len(ends), np.int64)
            of_end[states.of[end - 1] - ends[0]] = group
            size = int(group.max()) + 1
            short = build.columns(f"shortfall {i} {y}", size, upper=2 * one.minimum_take * share * most[i])
            take = build.rows(f"take {i} {y}", size, lower=0.0)
            draft.tag(f"take {i} {y}", np.full(size, c))
            build.put(take, short, 1.0)
            build.put(take, total[i], -one.minimum_take * share)
            draft.pay_later(ends, short[of_end], 1.0)
            for t in range(first, end):
                g, state, weight = states.weights(group, t)
                build.put(take[g], column_of[state], weight * (1 - kind.discount))
                for s, column, unit in zip(back[0], back[2], back[3], strict=True):
                    build.put(take[g[state == s]], column, -unit * weight[state == s])
            held.append((np.full(len(ends), y), ends, short[of_end]))
        done.shortfall.append(concatenated(held))
        if not one.most_favoured:
            # What is paid under a contract is a part of what all costs, and within the bounds of its columns.
            factor = states.probability * arrays.factor[states.quarter]
            _, ends, short = done.shortfall[-1]
            paid = float(factor[at] @ limit) + 2 * float(most[i])
            row = build.rows(f"paid if signed {i}", 1, upper=0.0)
            build.put(row, spent, factor[at] * (1 - kind.discount))
            build.put(row, short, factor[ends])
            build.put(row, signed[i], -min(draft.cutoff, paid))
        if one.prepayment:
            draft.pay_now(one.start, total[i], one.prepayment * sum(share for *_, share in term))
            for first, _, share in term:
                draft.pay_now(first, total[i], -one.prepayment * share)
    _only_if_signed(draft, usage, bought, done)
    return done


def _least_paid(draft: Draft, contract: Contract, tier: int) -> float:
    """What is paid at least under a tier, in spending or for what is not taken, discounted [money]."""
    arrays, least = draft.arrays, contract.tiers[tier].least / draft.arrays.scales.money
    return sum(
        float(arrays.factor[first:end].min()) * contract.minimum_take * share * least
        for first, end, share in years(contract, draft.programme.calendar.quarters)
    )


def _eligible(draft: Draft, usage: Usage, bought: Bought) -> Integers:
    """Rows `[provider, state]`: contracts claim at most the list price of what is used."""
    programme, arrays, build, states = draft.programme, draft.arrays, draft.builder, draft.states
    shape = (len(arrays.providers), states.size)
    named = {arrays.providers.index(one.provider) for one in programme.contracts}
    rows = np.full(shape, -1)
    for p in sorted(named):
        rows[p] = build.rows(f"list price {p}", states.size, upper=0.0)
    provider = arrays.provider[arrays.site[usage.offer]]
    mine = rows[provider, usage.state] >= 0
    price = arrays.price[usage.offer, states.quarter[usage.state]]
    build.put(rows[provider[mine], usage.state[mine]], usage.column[mine], -price[mine])
    purchases = bought.purchases
    bought_from = arrays.provider[arrays.site[purchases.offer]]
    for p in sorted(named):
        from_p = np.flatnonzero(bought_from == p)
        most = (bought.limit[from_p, None] * purchases.cash[from_p]).sum(0)
        paid = build.columns(f"paid to {p}", programme.calendar.quarters, upper=2 * most)
        same = build.rows(f"payments to {p}", programme.calendar.quarters, lower=0.0, upper=0.0)
        build.put(same, paid, -1.0)
        j, t = np.nonzero(purchases.cash[from_p])
        build.put(same[t], bought.columns[from_p[j]], purchases.cash[from_p[j], t])
        build.put(rows[p], paid[states.quarter], -1.0)
    for option, one in zip(programme.options, bought.exercises, strict=True):
        p = int(arrays.provider[one.site])
        strike = option.strike * arrays.scales.units[one.sku] / arrays.scales.money * QUARTER
        for t in one.active if p in named else ():
            state, column, weight = means(draft, one.node, int(t), one.units)
            build.put(rows[p, state], column, -weight * strike)
    return rows


def _most_spent(draft: Draft, bought: Bought) -> Floats:
    """Most that can sensibly be spent with a provider at list prices, `[provider, state]`.

    SKUs that serve the same streams spend no more than what serves all demand of these streams at their
    dearest, and no more than the power of the provider's sites lets them. Units beyond what could serve all
    demand are never better than paying for what is not taken.
    """
    programme, arrays, states = draft.programme, draft.arrays, draft.states
    quarters, providers = programme.calendar.quarters, len(arrays.providers)
    kinds, kind = np.unique(arrays.performance.T > 0, axis=0, return_inverse=True)
    kind = kind.reshape(-1)
    group = kind[arrays.sku]
    of = arrays.provider[arrays.site]
    worth = np.zeros(len(group), bool)
    worth[arrays.pair_offer[draft.kept.pairs]] = True
    worth[bought.purchases.offer] = True
    price = arrays.price.copy()
    # Payments may fall into one quarter of a term; the dearest quarter of each offer bounds them.
    early = np.zeros(price.shape)
    np.maximum.at(early, bought.purchases.offer, bought.purchases.cash)
    price = np.maximum(price, early) * worth[:, None]
    peak = np.maximum.accumulate(arrays.demand.max(2)[:, ::-1], axis=1)[:, ::-1]
    peak = np.maximum(peak, np.maximum.accumulate(arrays.demand.max(2), axis=1))
    most = np.zeros((providers, quarters))
    draws = arrays.power[arrays.sku] > 0
    for g in range(len(kinds)):
        for p in range(providers):
            mine = np.flatnonzero((group == g) & (of == p) & worth)
            if not mine.size:
                continue
            work = arrays.work[:, mine]
            rate = np.where(
                work[:, :, None] > 0, price[mine] / np.where(work > 0, work, 1.0)[:, :, None], 0.0
            )
            served = (peak * rate.max(1)).sum(0)
            if draws[mine].all():
                by_watt = np.zeros((len(arrays.opening), quarters))
                np.maximum.at(by_watt, arrays.site[mine], price[mine] / arrays.power[arrays.sku[mine], None])
                with np.errstate(invalid="ignore"):
                    lit = np.where(by_watt > 0, by_watt * arrays.site_power, 0.0).sum(0)
                served = np.minimum(served, lit)
            most[p] += served
    whole = most[:, states.quarter]
    for option, one in zip(programme.options, bought.exercises, strict=True):
        strike = option.strike * option.units / arrays.scales.money * QUARTER
        whole[arrays.provider[one.site]] += np.isin(states.quarter, one.active) * strike
    return np.asarray(whole)


def _rebates(
    draft: Draft, usage: Usage, contract: int, discount: float, signed: int, name: int
) -> tuple[Integers, Integers, Integers, Floats]:
    """Most-favoured: pay-as-you-go units cost no more than the same kind and SKU elsewhere."""
    programme, arrays, build, states = draft.programme, draft.arrays, draft.builder, draft.states
    one = programme.contracts[contract]
    none = np.zeros(0, np.int64)
    if not one.most_favoured:
        return none, none, none, np.zeros(0)
    provider = arrays.providers.index(one.provider)
    kinds = np.array([o.kind for o in programme.offers])
    mine = arrays.provider[arrays.site] == provider
    quarters = programme.calendar.quarters
    unit = np.zeros((len(kinds), quarters))
    there = arrays.capacity.max(2) > 0
    for o in np.flatnonzero(mine & np.isin(kinds, PAY_AS_YOU_GO)):
        others = ~mine & (kinds == kinds[o]) & (arrays.sku == arrays.sku[o])
        if others.any():
            best = np.where(there[others], arrays.price[others], np.inf).min(0)
            unit[o] = np.maximum(arrays.price[o] * (1 - discount) - best, 0.0)
    unit[:, : one.start] = 0.0
    unit[:, one.start + 4 * one.years :] = 0.0
    used = np.flatnonzero(unit[usage.offer, states.quarter[usage.state]] > 0)
    key, place = np.unique(usage.offer[used] * states.size + usage.state[used], return_inverse=True)
    offer, state = key // states.size, key % states.size
    most = sums(place, usage.most[used], len(key))
    column = build.columns(f"rebated {name}", len(key), upper=most)
    rows = build.rows(f"rebated if used {name}", len(key), upper=0.0)
    build.put(rows, column, 1.0)
    build.put(rows[place], usage.column[used], -1.0)
    rows = build.rows(f"rebated if signed {name}", len(key), upper=0.0)
    build.put(rows, column, 1.0)
    build.put(rows, signed, -most)
    back = unit[offer, states.quarter[state]]
    draft.pay_later(state, column, -back)
    return state, offer, column, back


def _only_if_signed(draft: Draft, usage: Usage, bought: Bought, done: Committed) -> None:
    """Offers and options that come only with a contract."""
    programme, arrays, build, states = draft.programme, draft.arrays, draft.builder, draft.states
    names = {one.name: c for c, one in enumerate(programme.contracts)}
    of_offer = np.array([names.get(o.contract, -1) for o in programme.offers])
    for c in range(len(programme.contracts)):
        mine = done.signed[done.contract == c]
        used = np.flatnonzero(of_offer[usage.offer] == c)
        quarters, streams = programme.calendar.quarters, len(arrays.floor)
        key, place = np.unique(
            usage.stream[used] * quarters + states.quarter[usage.state[used]], return_inverse=True
        )
        rows = build.rows(f"use if signed {c}", len(key), upper=0.0)
        weight = states.probability[usage.state[used]]
        build.put(rows[place], usage.column[used], usage.work[used] * weight)
        whole = np.zeros((streams, quarters))
        for w in range(streams):
            whole[w] = sums(states.quarter, states.probability * draft.demand[w], quarters)
        for column in mine:
            build.put(rows, column, -whole.ravel()[key])
        buys = np.flatnonzero(of_offer[bought.purchases.offer] == c)
        rows = build.rows(f"buy if signed {c}", len(buys), upper=0.0)
        build.put(rows, bought.columns[buys], 1.0)
        for column in mine:
            build.put(rows, column, -bought.limit[buys])
    for i, option in enumerate(programme.options):
        if option.contract:
            row = build.rows(f"option with contract {i}", 1, upper=0.0)
            build.put(row, bought.rights[i], 1.0)
            for column in done.signed[done.contract == names[option.contract]]:
                build.put(row, column, -1.0)
