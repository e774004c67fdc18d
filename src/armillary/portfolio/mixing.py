"""Kernels: what use of a quarter costs at least in each future, mixed from responses of sites. Needs numba.

A small linear programme mixes responses of sites to what is asked for, and its prices ask for the next one,
until none earns more than those that are known (G. B. Dantzig and P. Wolfe, "Decomposition principle for
linear programs", Operations Research 8, 1960).
"""

from __future__ import annotations

from time import perf_counter

import numba
import numpy as np

from armillary.portfolio.dense_simplex import SMALL, minimised
from armillary.portfolio.responses import SHUT, respond

ASKED = 200
"""Most responses that are asked for in a future: prices are what they are by then. [-]"""
NEAR = 1e-7
"""How near use is to the least that it could cost, as a share of what it is worth. [-]"""


@numba.njit(cache=True, nogil=True)
def begun(table, basis, asked, more, rooms, elastic, penalty, beyond):  # type: ignore[no-untyped-def]
    """A table of nothing done: what is asked for is not met, and rooms are free. Gives its height.

    Columns: what there is; unmet and more than asked, by stream; free and beyond, by room; doing nothing.
    More than asked is done where it may be `more`; the first `elastic` rooms are left at a price, `beyond`.
    """
    streams, limits = len(asked), len(rooms)
    height = streams + limits + 1
    nothing = 1 + 2 * streams + 2 * limits
    table[: height + 1, : nothing + 1] = 0.0
    for w in range(streams):
        sign = 1.0 if asked[w] >= 0 else -1.0
        table[w, 0], table[w, 1 + w], table[w, 1 + streams + w] = sign * asked[w], sign, -sign
        basis[w] = 1 + w if asked[w] >= 0 else 1 + streams + w
        table[height, 1 + w] = penalty[w]
        if not more[w]:
            table[w, 1 + streams + w] = 0.0
    for p in range(limits):
        r, c = streams + p, 1 + 2 * streams + p
        sign = 1.0 if rooms[p] >= 0 else -1.0
        table[r, 0], table[r, c], table[r, c + limits] = sign * rooms[p], sign, -sign
        basis[r] = c if rooms[p] >= 0 else c + limits
        if p < elastic:
            table[height, c + limits] = beyond
        else:
            table[r, c + limits] = 0.0
    table[height - 1, 0] = table[height - 1, nothing] = 1.0
    basis[height - 1] = nothing
    for r in range(height):
        factor = table[height, basis[r]]
        if factor != 0:
            for c in range(nothing + 1):
                table[height, c] -= factor * table[r, c]
    return height


@numba.njit(cache=True, nogil=True)
def assign(into, what):  # type: ignore[no-untyped-def]
    """Entries of one array into another; `into[:] = what` takes half a second to compile at each place."""
    for k in range(len(into)):
        into[k] = what[k]


@numba.njit(cache=True, nogil=True)
def priced(sites, use, cost, supply, asked, more, counted, shares, limits, known, mixes, scratch, spent):  # type: ignore[no-untyped-def]
    """Prices of rows at which use costs what it does at least.

    sites, use, scratch : as of `respond`.
    cost : `[future, item]`, or `[1, item]` where it is the same in all.
    supply : `[future, row]`.
    asked, more : work that the first stage does not do `[future, stream]`; if more may be done `[stream]`.
    counted : `[future, provider]` value that the first stage gives.
    shares : `[future, provider]` value that a provider may give at most; infinite where that is a share of
    what all of them give.
    limits : rows of networks at which a run may have its place; penalty of work that is not done `[stream]`;
    share of value that a provider may give, and price of value beyond it.
    known : `[future, stream, provider, provider by itself and network]` prices that are found; filled.
    mixes : `[future, ., price]` prices of the responses that are mixed, and how many
    there are `[future]`. Where there are any, they are begun with, else those of the future before; filled.
    spent : `[future, account]` at list prices by such use; filled.

    Gives prices of rows of power, units and networks `[future, row]`.
    """
    networks, penalty, share, beyond = limits
    futures, streams = asked.shape
    providers, most = counted.shape[1], len(networks)
    tall = streams + 2 * providers + most + 1
    mixed, several = mixes
    table = np.zeros((tall + 1, 3 * tall + ASKED + 4))
    basis = np.zeros(tall, np.int64)
    at = np.zeros((table.shape[1], known.shape[1]))
    spends = np.zeros((table.shape[1], spent.shape[1]))
    begin = np.zeros((tall + 1, known.shape[1]))
    done, given, placed = np.zeros(streams), np.zeros(providers), np.zeros(supply.shape[1])
    prices = np.zeros(supply.shape)
    credit, toll = np.zeros(providers), np.zeros(supply.shape[1])
    rooms, held_at = np.zeros(2 * providers + most), np.zeros(2 * providers + most, np.int64)
    paying = np.zeros(spent.shape[1])
    value, now = np.zeros(tall), np.zeros(known.shape[1])
    every = np.arange(len(sites[0]))
    live = every.copy()
    starts = 0
    for f in range(futures):
        if several[f] > 0:
            starts = several[f]
            for k in range(starts):
                assign(begin[k], mixed[f, k])
        total = 0.0
        for p in range(providers):
            total += counted[f, p]
        for p in range(providers):
            rooms[p], held_at[p] = share * total - counted[f, p], p
        elastic = providers
        for p in range(providers):
            if shares[f, p] < np.inf:
                rooms[elastic], held_at[elastic] = shares[f, p] - counted[f, p], providers + p
                elastic += 1
        held = elastic
        for n in range(most):
            if supply[f, networks[n]] > SMALL:
                rooms[held], held_at[held] = supply[f, networks[n]], 2 * providers + n
                held += 1
        # Closed sites have so little power that they matter to prices alone.
        lit = 0
        for b in range(len(every)):
            row = sites[0][b]
            if row < 0 or supply[f, row] > SMALL:
                live[lit] = b
                lit += 1
        height = begun(table, basis, asked[f], more, rooms[:held], elastic, penalty, beyond)
        free = 1 + 2 * streams
        nothing = free + 2 * held
        width = nothing + 1
        best = -np.inf
        asks = 0
        while True:
            fresh = asks < starts
            if fresh:
                assign(now, begin[asks])
                for p in range(providers):
                    if shares[f, p] == np.inf:
                        now[streams + providers + p] = 0.0
            elif asks <= ASKED:
                minimised(table, basis, height, width)
                for w in range(streams):
                    now[w] = min(penalty[w] - table[height, 1 + w], penalty[w])
                    if more[w]:
                        now[w] = max(now[w], 0.0)
                now[streams:] = 0.0
                for p in range(held):
                    dearest = beyond * (1 - SMALL) if p < elastic else np.inf
                    now[streams + held_at[p]] = min(max(table[height, free + p], 0.0), dearest)
            else:
                assign(now, known[f])  # for the prices of rows
            over = 0.0
            for p in range(providers):
                over += share * now[streams + p]
            for p in range(providers):
                credit[p] = over - now[streams + p] - now[streams + providers + p]
            for n in range(most):
                toll[networks[n]] = SHUT
            for p in range(elastic, held):
                toll[networks[held_at[p] - 2 * providers]] = now[streams + held_at[p]]
            blocks = every if asks > ASKED else live[:lit]
            paid = respond(
                sites,
                use,
                cost[min(f, len(cost) - 1)],
                blocks,
                supply[f],
                now[:streams],
                credit,
                toll,
                scratch,
                (done, given, placed, paying),
                prices[f],
                asks > ASKED,
            )
            if asks > ASKED:
                break
            least = paid
            for w in range(streams):
                least += now[w] * (asked[f, w] - done[w])
            for p in range(providers):
                least -= credit[p] * (given[p] + counted[f, p])
                if shares[f, p] < np.inf:
                    least -= now[streams + providers + p] * shares[f, p]
            for p in range(elastic, held):
                r = networks[held_at[p] - 2 * providers]
                least += toll[r] * (placed[r] - supply[f, r])
            if least > best:
                best = least
                assign(known[f], now)
            least_cost = -table[height, 0]
            enough = 0.0
            for w in range(streams):
                enough += (NEAR * abs(now[w]) + SMALL * penalty[w]) * abs(asked[f, w])
            if not fresh and least_cost - best <= enough:
                asks = ASKED
            asks += 1
            # The response as a column, by the inverse of the basis: what the first columns have become.
            total = 0.0
            for p in range(providers):
                total += given[p]
            assign(value[:streams], done)
            for p in range(held):
                if p < providers:
                    value[streams + p] = given[p] - share * total
                elif p < elastic:
                    value[streams + p] = given[held_at[p] - providers]
                else:
                    value[streams + p] = placed[networks[held_at[p] - 2 * providers]]
            for r in range(height + 1):
                entry = table[r, nothing] + (paid if r == height else 0.0)
                for w in range(streams):
                    entry += (table[r, 1 + w] - (penalty[w] if r == height else 0.0)) * value[w]
                for p in range(held):
                    entry += table[r, free + p] * value[streams + p]
                table[r, width] = entry
            assign(at[width], now)
            assign(spends[width], paying)
            width += 1
        # Prices of the responses that are mixed are where the next future begins, and this one the next time.
        starts = 0
        for r in range(height):
            if basis[r] > nothing:
                assign(begin[starts], at[basis[r]])
                assign(mixed[f, starts], at[basis[r]])
                for k in range(spent.shape[1]):
                    spent[f, k] += table[r, 0] * spends[basis[r], k]
                starts += 1
        several[f] = starts
    return prices


@numba.njit(cache=True, nogil=True)
def paid(prices, row, value, start):  # type: ignore[no-untyped-def]
    """What columns pay `[future, column]` at prices `[future, row]` for entries, held from `start` on."""
    futures, columns = len(prices), len(start) - 1
    out = np.zeros((futures, columns))
    for f in range(futures):
        for c in range(columns):
            total = 0.0
            for e in range(start[c], start[c + 1]):
                total += value[e] * prices[f, row[e]]
            out[f, c] = total
    return out


def compiled() -> float:
    """Seconds that a first use takes to compile; after that it starts at once."""
    began = perf_counter()
    none, one = np.zeros(0, np.int64), np.zeros(1)
    sites = (
        none,
        np.zeros(1, np.int64),
        np.zeros((0, 2), np.int64),
        np.zeros(1, np.int64),
        none,
        np.zeros(0, np.bool_),
        np.zeros((0, 1), np.int64),
    )
    use = none, none, none, none, *(np.zeros(0) for _ in range(5))
    scratch = (*(np.zeros(0) for _ in range(4)), np.zeros(1), none, np.zeros((0, 0)), none)
    row = np.zeros((1, 1))
    priced(
        sites,
        use,
        np.zeros((1, 0)),
        row,
        row.copy(),
        np.ones(1, np.bool_),
        row.copy(),
        row.copy(),
        (none, one, 0.5, 1.0),
        np.zeros((1, 3)),
        (np.zeros((1, 4, 3)), np.zeros(1, np.int64)),
        scratch,
        row.copy(),
    )
    paid(row, none, np.zeros(0), np.zeros(1, np.int64))
    return perf_counter() - began
