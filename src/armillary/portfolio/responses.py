"""Kernels: what sites do at prices of work, at least cost. Needs numba.

With prices of what streams ask for, of providers' shares and of a run's place at a network, use falls apart
into sites: each fills its power with what earns most a watt, and each pool of purchases goes to what earns
most a unit (the fractional knapsack of G. B. Dantzig, "Discrete-variable extremum problems", Operations
Research 5, 1957). Where its room for work of a stream is full, a site is a small linear programme. What all
sites do at some prices is a response.
"""

from __future__ import annotations

import numba
import numpy as np

from armillary.portfolio.dense_simplex import minimised

NO_POWER = 1e-12
"""What a unit that draws no power is counted with, where units are ordered by what they earn a watt. [-]"""
SHUT = -1.0
"""Toll of a network at which a run has no place. [-]"""


@numba.njit(cache=True, nogil=True)
def respond(sites, use, cost, blocks, supply, price, credit, toll, scratch, filled, prices, last):  # type: ignore[no-untyped-def]
    """What sites do at some prices, and what their power, units and room are worth.

    sites : of each block of groups, its row of power (-1: none) and where it begins; of each group, its two
    rows of units (-1: none; the later one is within the other) and where it begins; of each item, its group;
    of each block, whether its room is limited, and the row of that for each stream (-1: no limit)
    `[block, stream]`.
    use : of each item, its stream, provider (-1: none counts), row of its network (-1: any will do), account
    (-1: none), work, value, power, list price, and most of it.
    cost : of each item.
    blocks : which.
    supply : `[row]` power, units and room that there are.
    price, credit, toll : of work `[stream]`, of value that is given `[provider]`, of work at a network, by
    its row `[row]`.
    scratch : to work in, three of `[item]`, one of `[group]`, one of `[stream]`, numbers of items `[item]`,
    and a table and its basis, as of `minimised`.
    filled : work `[stream]`, value `[provider]`, work at a network `[row]`, at list prices `[account]`.
    prices : of rows of power, units, room and networks `[row]`; filled if it is the `last` time.

    Gives what it costs.
    """
    power_row, block, rows, group, mine, limited, rooms = sites
    stream, provider, network, account, output, worth, power, listed, most = use
    gain, rate, amount, left, room, line, _, _ = scratch
    done, given, placed, spent = filled
    done[:] = 0.0
    given[:] = 0.0
    placed[:] = 0.0
    spent[:] = 0.0
    paid = 0.0
    if last:
        for r in range(len(toll)):
            prices[r] = -max(toll[r], 0.0)
        amount[:] = 0.0
    for b in blocks:
        count = 0  # of items that earn something, in the order of what they earn a watt
        for g in range(block[b], block[b + 1]):
            left[g] = np.inf
            for r in rows[g]:
                if r >= 0:
                    left[g] = min(left[g], supply[r])
                    if last:
                        prices[r] = 0.0
            if left[g] <= 0 and not last:
                continue
            for i in range(group[g], group[g + 1]):
                earned = price[stream[i]] * output[i] - cost[i]
                if provider[i] >= 0:
                    earned += credit[provider[i]] * worth[i]
                shut = network[i] >= 0 and toll[network[i]] == SHUT
                if network[i] >= 0 and not shut:
                    earned -= toll[network[i]] * output[i]
                gain[i] = earned
                if earned <= 0 or shut:
                    continue
                a_watt, k = earned / max(power[i], NO_POWER), count
                while k > 0 and rate[k - 1] < a_watt:
                    rate[k], line[k] = rate[k - 1], line[k - 1]
                    k -= 1
                rate[k], line[k] = a_watt, i
                count += 1
        if limited[b]:
            for w in range(len(room)):
                room[w] = np.inf
                if rooms[b, w] >= 0:
                    room[w] = supply[rooms[b, w]]
                    if last:
                        prices[rooms[b, w]] = 0.0
        whole = supply[power_row[b]] if power_row[b] >= 0 else np.inf
        there, watt, over, full = whole, 0.0, False, False  # what power is left, and what it is worth
        number = 0  # of items that do something
        while number < count and not over and not full:
            i = line[number]
            some = min(most[i], left[mine[i]])
            over = power[i] > 0 and power[i] * some >= there
            if over:
                some, watt = there / power[i], rate[number]
            amount[i] = some
            there -= power[i] * some
            left[mine[i]] -= some
            number += 1
            if limited[b]:
                room[stream[i]] -= output[i] * some
                full = room[stream[i]] < 0
        if full:
            number = count
            # A number that is 0 at first would be a type of its own to numba, and compiled for twice.
            watt = fitted(b, sites, use, supply, whole, scratch, int(count), prices, last)
        for k in range(number):
            i, some = line[k], amount[line[k]]
            done[stream[i]] += output[i] * some
            paid += cost[i] * some
            if provider[i] >= 0:
                given[provider[i]] += worth[i] * some
            if network[i] >= 0:
                placed[network[i]] += output[i] * some
            if account[i] >= 0:
                spent[account[i]] += listed[i] * some
        if not last:
            continue
        if power_row[b] >= 0:
            prices[power_row[b]] = -watt
        for g in range(block[b], block[b + 1]):
            unit = rows[g, 1] if rows[g, 1] >= 0 else rows[g, 0]
            if unit >= 0 and left[g] <= 0 and not full:
                for i in range(group[g], group[g + 1]):
                    shut = network[i] >= 0 and toll[network[i]] == SHUT
                    if amount[i] < most[i] and not shut:
                        prices[unit] = min(prices[unit], watt * power[i] - gain[i])
            for i in range(group[g], group[g + 1]):
                if network[i] >= 0 and toll[network[i]] == SHUT:
                    worthy = gain[i] - watt * power[i] + (prices[unit] if unit >= 0 else 0.0)
                    prices[network[i]] = min(prices[network[i]], -worthy / output[i])
    return paid


@numba.njit(cache=True, nogil=True)
def fitted(b, sites, use, supply, whole, scratch, count, prices, last):  # type: ignore[no-untyped-def]
    """What a block does where room is full, by the simplex method, in place of `scratch`'s amounts.

    Gives what power is worth; prices of units and room are filled if it is the `last` time.
    """
    _, block, rows, _, mine, _, rooms = sites
    stream, _, _, _, output, _, power, _, most = use
    gain, _, amount, left, room, line, table, basis = scratch
    first = block[b]
    for g in range(first, block[b + 1]):
        left[g] = np.inf
        for r in rows[g]:
            if r >= 0:
                left[g] = min(left[g], supply[r])
    for w in range(len(room)):
        room[w] = supply[rooms[b, w]] if rooms[b, w] >= 0 else np.inf
    # Rows of power, of room, of units, and of items that nothing else limits; slack of each after the items.
    streams, groups = len(room), block[b + 1] - first
    height, width = 1 + streams + groups + count, 1 + count + 1 + streams + groups + count
    table[: height + 1, :width] = 0.0
    for k in range(count):
        i, w, g = line[k], 1 + stream[line[k]], 1 + streams + mine[line[k]] - first
        alone = most[i] < left[mine[i]] and most[i] * output[i] < room[stream[i]]
        table[height, 1 + k] = -gain[i]
        table[0, 1 + k] = power[i] if whole < np.inf else 0.0
        table[w, 1 + k] = output[i] if room[stream[i]] < np.inf else 0.0
        table[g, 1 + k] = 1.0 if left[mine[i]] < np.inf else 0.0
        table[1 + streams + groups + k, 1 + k] = 1.0 if alone else 0.0
        table[1 + streams + groups + k, 0] = most[i]
    table[0, 0] = whole if whole < np.inf else 0.0
    for w in range(streams):
        table[1 + w, 0] = room[w] if room[w] < np.inf else 0.0
    for g in range(groups):
        table[1 + streams + g, 0] = left[first + g] if left[first + g] < np.inf else 0.0
    for r in range(height):
        basis[r] = 1 + count + r
        table[r, basis[r]] = 1.0
    minimised(table, basis, height, width)
    for k in range(count):
        amount[line[k]] = 0.0
    for r in range(height):
        if basis[r] <= count:
            amount[line[basis[r] - 1]] = max(table[r, 0], 0.0)
    if last:
        slack = table[height, 1 + count :]
        for w in range(streams):
            if rooms[b, w] >= 0:
                prices[rooms[b, w]] = -slack[1 + w]
        for g in range(groups):
            r = rows[first + g, 1] if rows[first + g, 1] >= 0 else rows[first + g, 0]
            if r >= 0:
                prices[r] = -slack[1 + streams + g]
    return table[height, 1 + count]
