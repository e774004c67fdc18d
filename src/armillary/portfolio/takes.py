"""What takes ask for in every future by itself, as cuts of a contract's years.

The programme over the first stage counts takes in the mean of futures. In those with little demand more is
spent to fill them, or they are missed. With the first stage held, a year of one future is a small programme
whose takes are priced, in each future at what fills them there or at what missing them costs
(A. M. Geoffrion, "Lagrangean relaxation for integer programming", Mathematical Programming Study 2, 1974).

With a price e of list prices, use costs at least its optimum Q(e), with what is spent worth e more, and
e * use. What contracts claim is at most what use and the first stage count: spend <= use + own. A take asks
for kept * spend + short >= asked * total. So with w = min(e / kept, price of short), in each future

    cost of use >= Q(e) - e * own + w * (asked * total - short),

which is linear in the first stage; the mean over futures is a cut, with the largest w for what is short, of
which the programme over the first stage has the mean alone.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from armillary.portfolio.assembly import Assembly
from armillary.portfolio.calendar import Floats, Integers, sums
from armillary.portfolio.committing import years
from armillary.portfolio.matrix import Bools
from armillary.portfolio.quarter_use import Cut, Quarter, Whole
from armillary.portfolio.records import Programme
from armillary.portfolio.recourse import WORKERS

TINY = 1e-12
"""What is asked for, at least, where what is missed is a part of it. [scaled money]"""
FILLED = 1e-3
"""Part of a take by which it may be missed, or more than filled, where its price is right. [-]"""
WHOLE = 1e-6
"""Part of a tier that is none. [-]"""
TRIED = 2
"""Prices of takes that are tried. [-]"""
LEAST = 0.1
"""Part of the last price, at least, that the next one is. [-]"""


class Take(NamedTuple):
    """Of tiers, in one year of their contracts, as arrays.

    provider : among those of the year. total, short : columns among the first stage. asked : of the total.
    kept : of what is spent, after the discount. price : of what is missed.
    """

    provider: Integers
    total: Integers
    short: Integers
    asked: Floats
    kept: Floats
    price: Floats


class Year(NamedTuple):
    """Quarters from `first` to before `end`, `rows` of their listed ones and which provider each is of."""

    first: int
    end: int
    take: Take
    rows: Integers
    provider: Integers


class Held(NamedTuple):
    """What a first stage asks for in a year.

    need : by take. asked, highest : by provider, list prices that fill its takes, and what missing a unit of
    them costs. own : of that the first stage counts by itself `[future, provider]`.
    """

    need: Floats
    asked: Floats
    highest: Floats
    own: Floats


class Tried(NamedTuple):
    """Cuts of a year's quarters with takes at a price `[future, provider]`.

    value : what they say that a future costs `[future]`. missed : part of what is asked for.
    """

    price: Floats
    cuts: list[Cut]
    value: Floats
    missed: Floats


class Where(NamedTuple):
    """Where cuts are made.

    quarters : to be asked. stage : the first stage. more : by listed row, what is spent is worth more in all
    futures than it is priced at. cuts : of each quarter there, at what is priced. least : what missing takes
    has to cost in a year for a cut [scaled money].
    """

    quarters: list[Quarter]
    stage: Floats
    more: Floats
    cuts: list[Cut]
    least: float


class Takes:
    """Takes of contracts, by year.

    Parameters
    ----------
    programme : Programme
    assembly : Assembly
        Over one state a quarter.
    first : array
        Columns of the first stage.
    listed : array
        Which rows are what contracts count as spent.
    quarter : array
        Of these rows.
    """

    def __init__(
        self, programme: Programme, assembly: Assembly, first: Integers, listed: Bools, quarter: Integers
    ) -> None:
        m, committed = assembly.matrix, assembly.committed
        self._chance, self._quarter, self._size = programme.futures.probability, quarter, len(first)
        # What the first stage counts: purchases alike in all futures, options by node of the futures' tree.
        counted = m.part(first, listed)
        self._column = np.repeat(np.arange(len(first)), np.diff(counted.start))
        self._row, self._value = counted.row, np.maximum(-counted.value, 0.0)
        self._nodes: list[tuple[Floats, Integers]] = []
        for one in assembly.bought.exercises:
            where = np.searchsorted(first, one.units)
            inside = np.isin(self._column, where)
            each = sums(self._row[inside], self._value[inside], len(quarter))
            self._nodes.append((each, where[one.node]))
            self._value = np.where(inside, 0.0, self._value)
        provider, at = np.full(len(quarter), -1), np.flatnonzero(listed)
        for name, block in m.row_blocks.items():
            if name.startswith("list price "):
                provider[(at >= block.start) & (at < block.stop)] = int(name.split()[-1])
        names = list(dict.fromkeys(site.provider for site in programme.sites))
        found: dict[tuple[int, int], list[tuple[int, int, int, float, float, float]]] = {}
        self._saves = []
        for i, (c, k) in enumerate(zip(committed.contract, committed.tier, strict=True)):
            contract = programme.contracts[c]
            of, kept = names.index(contract.provider), 1 - contract.tiers[k].discount
            counts, spent = committed.spend[i]
            rows = np.flatnonzero((provider == of) & np.isin(quarter, counts))
            saved = -m.cost[spent[np.searchsorted(counts, quarter[rows])]]
            self._saves.append((int(np.searchsorted(first, committed.signed[i])), rows, saved))
            for y, (begin, end, share) in enumerate(years(contract, programme.calendar.quarters)):
                asked = contract.minimum_take * share
                year, _, short = committed.shortfall[i]
                column = int(short[year == y][0])
                total, missed = np.searchsorted(first, [committed.total[i], column]).tolist()
                if asked > 0:
                    one_take = (of, total, missed, asked, kept, float(m.cost[column]))
                    found.setdefault((begin, end), []).append(one_take)
        self.years: list[Year] = []
        for (begin, end), several in found.items():
            providers, totals, shorts, asks, parts, prices = zip(*several, strict=True)
            those, which = np.unique(np.array(providers), return_inverse=True)
            rows = np.flatnonzero((quarter >= begin) & (quarter < end) & np.isin(provider, those))
            take = Take(
                which, np.array(totals), np.array(shorts), np.array(asks), np.array(parts), np.array(prices)
            )
            self.years.append(Year(begin, end, take, rows, np.searchsorted(those, provider[rows])))

    def saved(self, stage: Floats) -> Floats:
        """What the best of the tiers of a first stage saves on what is spent, by listed row."""
        saved = np.zeros(len(self._quarter))
        for signed, rows, value in self._saves:
            if stage[signed] > WHOLE:
                saved[rows] = np.maximum(saved[rows], value)
        return saved

    def most(self, lower: Floats, upper: Floats) -> Floats:
        """What spending may be worth with tiers within bounds, by listed row: endless where one is signed.

        Where one may be signed it is what is saved on it.
        """
        most = np.zeros(len(self._quarter))
        for least, there, (_, rows, value) in zip(lower, upper, self._saves, strict=True):
            if there > 0:
                most[rows] = np.maximum(most[rows], np.inf if least > 0 else value)
        return most

    def made(self, where: Where, number: int) -> list[Whole]:
        """Make cuts of years in which some future misses takes otherwise; the first has a number."""
        with ThreadPoolExecutor(WORKERS) as both:
            found = list(both.map(
                lambda n: self._cut(self.years[n], where, number + n), range(len(self.years))
            ))  # fmt: skip
        return [one for one in found if one is not None]

    def _cut(self, year: Year, where: Where, number: int) -> Whole | None:
        """In each future the best of none, what missing takes costs, and a price between.

        None where missing takes costs little, or no price says more than none.
        """
        quarters, stage, more, cuts, least = where
        held, futures = self._held(year, stage), np.arange(len(self._chance))
        none, here = np.zeros(held.own.shape), range(year.first, year.end)
        unpriced = [
            quarters[t].cut(stage, None, mine) if (mine := more[self._quarter == t]).any() else cuts[t]
            for t in here
        ]
        tried = [self._tried(year, held, stage, none, unpriced)]
        under = tried[0].missed > FILLED
        short = np.where(under, tried[0].missed, 0.0) * held.asked * held.highest
        if float(self._chance @ short.sum(1)) <= least:
            return None
        price = np.where(under, held.highest, 0.0)
        for _ in range(TRIED):
            priced = [quarters[t].cut(stage, None, self._worth(year, t, more, price)) for t in here]
            tried.append(self._tried(year, held, stage, price, priced))
            # Between none and the highest, as far as what is missed at none is of what changes.
            change = tried[0].missed - tried[-1].missed
            share = np.clip(tried[0].missed / np.maximum(change, TINY), LEAST, 1.0)
            price = np.where(under, share * price, 0.0)
        best = np.array([one.value for one in tried]).argmax(0)
        price = np.array([one.price for one in tried])[best, futures]
        if not price.any():
            return None
        chosen = [
            Cut(
                np.array([one.constant for one in several])[best, futures], several[0].columns,
                np.array([one.slope for one in several])[best, futures],
            )
            for several in zip(*(one.cuts for one in tried), strict=True)
        ]  # fmt: skip
        return self._whole(year, chosen, price, more, number)

    def _held(self, year: Year, stage: Floats) -> Held:
        """What a first stage asks for in a year."""
        take, providers = year.take, int(year.take.provider.max()) + 1
        need = take.asked * stage[take.total]
        asked, highest = np.zeros(providers), np.zeros(providers)
        np.add.at(asked, take.provider, need / take.kept)
        np.maximum.at(highest, take.provider, np.where(need > 0, take.price * take.kept, 0.0))
        own = np.zeros((len(self._chance), providers))
        np.add.at(own.T, year.provider, self._counted(stage)[:, year.rows].T)
        return Held(need, asked, highest, own)

    def _tried(self, year: Year, held: Held, stage: Floats, price: Floats, cuts: list[Cut]) -> Tried:
        """What cuts that were made at a price say."""
        take, spent = year.take, held.own.copy()
        for t, one in enumerate(cuts, year.first):
            mine = self._quarter[year.rows] == t
            within = np.searchsorted(np.flatnonzero(self._quarter == t), year.rows[mine])
            np.add.at(spent.T, year.provider[mine], one.spent[:, within].T)
        missed = np.where(held.highest > 0, (held.asked - spent) / np.maximum(held.asked, TINY), 0.0)
        worth = np.minimum(price[:, take.provider] / take.kept, take.price)
        value = sum(one.at(stage) for one in cuts) + worth @ held.need - (price * held.own).sum(1)
        return Tried(price, cuts, np.asarray(value), missed)

    def _worth(self, year: Year, quarter: int, more: Floats, price: Floats) -> Floats:
        """What is spent in a quarter is worth more by this, `[future, listed row of it]`."""
        rows = np.flatnonzero(self._quarter == quarter)
        worth = np.repeat(more[rows][None], len(price), 0)
        mine = self._quarter[year.rows] == quarter
        worth[:, np.searchsorted(rows, year.rows[mine])] += price[:, year.provider[mine]]
        return worth

    def _counted(self, stage: Floats) -> Floats:
        """What the first stage counts, `[future, listed row]`."""
        alike = sums(self._row, self._value * stage[self._column], len(self._quarter))
        counted = np.repeat(alike[None], len(self._chance), 0)
        for each, where in self._nodes:
            counted += stage[where][:, None] * each
        return counted

    def _whole(self, year: Year, cuts: list[Cut], price: Floats, more: Floats, number: int) -> Whole:
        """The cut of a year at prices `[future, provider]`."""
        take, chance = year.take, self._chance
        columns, values = [], []
        for one in cuts:
            columns.append(one.columns)
            values.append(chance @ one.slope)
        worth = np.minimum(price[:, take.provider] / take.kept, take.price)
        columns += [take.total, take.short]
        values += [chance @ worth * take.asked, -worth.max(0)]
        by_row = np.zeros((len(chance), len(self._quarter)))
        by_row[:, year.rows] = price[:, year.provider]
        mean = chance @ by_row
        columns.append(self._column)
        values.append(-mean[self._row] * self._value)
        for each, where in self._nodes:
            columns.append(where)
            values.append(-chance * (by_row @ each))
        size = int(max(one.max(initial=0) for one in columns)) + 1
        value = sums(np.concatenate(columns), np.concatenate(values), size)
        column = np.flatnonzero(value)
        spent = np.flatnonzero((self._quarter >= year.first) & (self._quarter < year.end) & (more != 0))
        return Whole(
            number, float(sum(chance @ one.constant for one in cuts)),
            np.append(column, self._size + spent), np.append(value[column], more[spent]),
        )  # fmt: skip
