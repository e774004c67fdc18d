"""Use of one quarter as a programme of its own, in any future, and what it says of every first stage.

With the first stage held, use of a quarter in one future has nothing in common with any other but what
contracts count as spent, which is priced (Lagrange). Its prices hold for every other first stage, too.
"""

from __future__ import annotations

from copy import copy
from typing import NamedTuple

import numpy as np

from armillary.portfolio.arrays import Arrays
from armillary.portfolio.assembly import Assembly
from armillary.portfolio.calendar import Floats, Integers, sums
from armillary.portfolio.matrix import Bools, Matrix

SHARE_PRICE = 10.0
"""Price of work beyond a provider's share, in the largest penalty. [-]"""
LITTLE = 1e-12
"""Part of what opened sites have that closed ones are counted with, to be worth what they would earn. [-]"""


class Cut(NamedTuple):
    """In each future, what use of a quarter costs is at least `constant + slope @ first[columns]`.

    constant : `[future]`. columns : of the first stage. slope : `[future, column]`.
    spent : what such use counts at list prices, where it was looked for, `[future, listed row]`.
    """

    constant: Floats
    columns: Integers
    slope: Floats
    spent: Floats = np.zeros((0, 0))

    def at(self, first: Floats) -> Floats:
        """What use costs at least with a first stage, `[future]`."""
        return np.asarray(self.constant + self.slope @ first[self.columns])


class Whole(NamedTuple):
    """In the mean of futures, use of whole quarters costs at least `constant + value @ stage[column]`.

    number : which quarters, as cuts count them. column : of the first stage, and after it of what is spent.
    """

    number: int
    constant: float
    column: Integers
    value: Floats

    def at(self, stage: Floats) -> float:
        """What it says of a first stage that is followed by what is spent."""
        return self.constant + float(self.value @ stage[self.column])


class Quarter:
    """Use of one quarter.

    Parameters
    ----------
    arrays : Arrays
    assembly : Assembly
        Over one state a quarter.
    use : Matrix
        The assembly's, with costs and upper bounds of columns that hold in any future.
    number : int
        Of the quarter.
    columns : array
        Of use in it.
    rows : array
        Which rows of the assembly's are its own.
    adds : array
        Which of all rows use only adds to, so that the first stage alone has to leave room.
    listed : array
        Which rows are what contracts count as spent, at prices that are in the costs.
    first : array
        Columns of the first stage.
    share : float
        Of value that one provider may give. [-]
    chance : array
        Of futures.
    """

    def __init__(
        self,
        arrays: Arrays,
        assembly: Assembly,
        use: Matrix,
        number: int,
        columns: Integers,
        rows: Bools,
        adds: Bools,
        listed: Bools,
        first: Integers,
        share: float,
        chance: Floats,
    ) -> None:
        m, futures = assembly.matrix, arrays.demand.shape[2]
        self._share, self._chance, self._worth = share, chance, arrays.value
        self.rows, self.adds = np.flatnonzero(rows), adds[rows]
        at = {
            name: np.flatnonzero((self.rows >= block.start) & (self.rows < block.stop))
            for name, block in m.row_blocks.items()
        }
        none = np.zeros(0, np.int64)
        self.asked, self.given, self.share, self.power, self.networks, self.rooms = (
            at.get(name, none)
            for name in ("demand", "given by", "share", "power", "all at home", "use if opened")
        )
        given = [at.get(f"give if opened {p}", none) for p in range(len(self.given))]
        self._givers = np.array([p for p, row in enumerate(given) if len(row)], np.int64)
        self.shares = np.concatenate([none, *given])
        # Units of an offer or a pool; and of an offer at a site that is opened, which are within the others.
        units = (
            np.concatenate([at.get("capacity", none), at.get("pool", none)]),
            at.get("scarce if opened", none),
        )
        self.part = _elastic(use.part(columns, rows), self.share, arrays)
        self.low, self.high = (np.repeat(side[rows][None], futures, 0) for side in (m.row_lower, m.row_upper))
        self._more = arrays.cluster > 0  # a cluster that is set aside may do more than it is asked for
        for w, row in enumerate(self.asked):
            self.low[:, row] = arrays.demand[w, number]
            if not self._more[w]:
                self.high[:, row] = arrays.demand[w, number]
        self._listed = m.part(columns, listed)
        self._grows = self._growing(arrays, number)
        self._adds(m.part(first, rows), assembly, number, first)
        unmet = np.searchsorted(columns, assembly.unmet[:, number])
        sites = np.searchsorted(first, assembly.opened[assembly.sites_opened])
        self._sites, self._use = self._grouped(unmet, sites, *units)
        self._penalty = self.part.cost[unmet]
        self._beyond = self.part.cost[-1] if len(self.share) else 0.0
        opened = np.zeros(len(first))
        opened[sites] = 1.0
        self._little = LITTLE * np.maximum(-self._added(opened)[0], 0.0)
        self._order = np.argsort(arrays.value @ arrays.demand[:, number], kind="stable")
        self._mixed: dict[int, tuple[Floats, Integers]] = {}

    def copied(self) -> Quarter:
        """The same, to be asked at the same time."""
        other = copy(self)
        mixed = self._mixed.items()
        other._mixed = {size: (known.copy(), several.copy()) for size, (known, several) in mixed}
        return other

    def repriced(self, lower: Floats) -> Quarter:
        """The same with spending worth less by this, by listed row."""
        from armillary.portfolio.mixing import paid  # numba is imported where it is used

        other, listed, cost = copy(self), self._listed, self.part.cost.copy()
        cost[: len(listed.cost)] -= paid(lower[None], listed.row, listed.value, listed.start)[0]
        other.part, other._mixed = self.part._replace(cost=cost), {}
        return other

    def _adds(self, first: Matrix, assembly: Assembly, number: int, every: Integers) -> None:
        """What the first stage adds to rows: alike in all futures, or by node of the futures' tree."""
        column = np.repeat(np.arange(len(every)), np.diff(first.start))
        row, value = first.row, first.value
        self._nodes: list[tuple[Floats, Integers]] = []
        by_node = np.zeros(len(every), bool)
        for one in assembly.bought.exercises:
            where = np.searchsorted(every, one.units)
            each = np.zeros(len(self.rows))
            inside = np.isin(column, where)
            np.add.at(each, row[inside], value[inside])
            if each.any():
                self._nodes.append((each, where[one.node]))
            by_node[where] = True
        kept = ~by_node[column]
        self._row, self._value, column = row[kept], value[kept], column[kept]
        self.columns = np.unique(np.concatenate([column, *(where for _, where in self._nodes)]))
        self._column = np.searchsorted(self.columns, column)
        self._start = np.searchsorted(self._column, np.arange(len(self.columns) + 1))
        self._nodes = [(each, np.searchsorted(self.columns, where)) for each, where in self._nodes]

    def _in(self, rows: Integers) -> tuple[Integers, Integers, Floats]:
        """Of each column of use: which of some rows it is in (-1: none), which of these, and its entry."""
        count, place = len(self.part.cost), np.full(len(self.rows), -1)
        place[rows] = np.arange(len(rows))
        column = np.repeat(np.arange(count), np.diff(self.part.start))
        inside = place[self.part.row] >= 0
        mine, row = column[inside], self.part.row[inside]
        which, at, entry = np.full(count, -1), np.full(count, -1), np.zeros(count)
        which[mine], at[mine], entry[mine] = row, place[row], self.part.value[inside]
        return which, at, entry

    def _growing(self, arrays: Arrays, number: int) -> Floats:
        """What the first stage adds to rows in each future, as a share of what it does in their mean.

        Opened sites give room for all work of a stream, or for a provider's share of all work. Room by stream
        is what makes relaxations of which sites to open strong (M. L. Balinski, "Integer programming:
        methods, uses, computation", Management Science 12, 1965).
        """
        demand, grows = arrays.demand[:, number], np.ones(self.low.shape)
        mean = demand @ self._chance
        room, stream = self._in(self.rooms)[0], self._in(self.asked)[1]
        of = np.zeros(len(self.rows), np.int64)
        of[room[room >= 0]] = stream[room >= 0]
        grows[:, self.rooms] = (demand / np.where(mean > 0, mean, 1.0)[:, None])[of[self.rooms]].T
        spread = np.where(arrays.cluster > 0, 0.0, arrays.value)
        runs = float(np.where(arrays.cluster > 0, arrays.value, 0.0) @ demand.max(1))
        if len(self.shares) and (whole := float(spread @ mean) + runs) > 0:
            grows[:, self.shares] = ((spread @ demand + runs) / whole)[:, None]
        return grows

    def _added(self, first: Floats) -> Floats:
        """To rows by a first stage, `[future, row]`."""
        point = first[self.columns]
        alike = sums(self._row, self._value * point[self._column], len(self.rows))
        added = alike * self._grows
        for each, where in self._nodes:
            added += point[where][:, None] * each
        return added

    def _grouped(
        self, unmet: Integers, opened: Integers, units: Integers, within: Integers
    ) -> tuple[tuple[Integers | Bools, ...], tuple[Floats | Integers, ...]]:
        """Items of use by site and group of units, as `responses.respond` reads them.

        opened : columns of the first stage that open sites. units, within : rows, the latter within others.
        """
        part, count = self.part, len(self.part.cost)
        _, stream, work = self._in(self.asked)
        _, provider, value = self._in(self.given)
        network, power, watts = self._in(self.networks)[0], *self._in(self.power)[::2]
        account, listed = np.full(count, -1), np.zeros(count)
        counts = np.repeat(np.arange(len(self._listed.cost)), np.diff(self._listed.start))
        account[counts], listed[counts] = self._listed.row, -self._listed.value
        items = np.setdiff1d(np.flatnonzero(stream >= 0), unmet)
        # Items are of one site by what opens it, or by the row of its power; some draw none that is limited.
        room, opens = self._in(self.rooms)[0], np.full(len(self.rows) + 1, -1)
        by = np.isin(self.columns[self._column], opened)
        opens[self._row[by]] = len(self.rows) + self._column[by]
        place = np.where(room >= 0, opens[room], np.where(opens[power] >= 0, opens[power], power))
        key = np.column_stack([place, self._in(units)[0], self._in(within)[0]])[items]
        order = np.lexsort(key.T[::-1])
        items, key = items[order], key[order]
        group = np.flatnonzero(np.append(True, (key[1:] != key[:-1]).any(1))[: len(items)])
        where = key[group, 0]
        block = np.flatnonzero(np.append(True, (where[1:] != where[:-1]) | (where[1:] < 0))[: len(group)])
        begins, ends = np.append(group, len(items)), np.append(block, len(group))
        mine = np.repeat(np.arange(len(group)), np.diff(begins))
        block_of = np.repeat(np.arange(len(block)), np.diff(ends))[mine]
        powered, rooms = np.full(len(block), -1), np.full((len(block), len(self.asked)), -1)
        np.maximum.at(powered, block_of, power[items])
        rooms[block_of, stream[items]] = room[items]
        sites = powered, ends, key[group, 1:].copy(), begins, mine, np.any(rooms >= 0, 1), rooms
        self._widest = int(np.diff(ends).max(initial=0)), int(np.bincount(block_of).max(initial=0))
        each = (stream, provider, network, account, work, value, watts, listed, part.upper)
        self._items = items
        return sites, tuple(one[items] for one in each)

    def cut(self, first: Floats, groups: Integers | None = None, dearer: Floats | None = None) -> Cut:
        """Prices at which use costs what it does with a first stage, and what they say of every other.

        groups : `[future]` of futures that are taken at their mean, for prices that are right for it alone.
        dearer : `[listed row]` or `[future, listed row]`: spending is worth more by this than in the costs.
        """
        from armillary.portfolio.mixing import paid, priced  # numba is imported where it is used

        cost, use, listed = self.part.cost[None], self._use, self._listed
        if dearer is not None:
            cost = np.repeat(cost, len(np.atleast_2d(dearer)), 0)
            cost[:, : len(listed.cost)] += paid(np.atleast_2d(dearer), listed.row, listed.value, listed.start)
        added = self._added(first)
        low, supply = self.low - added, self.high - added
        supply[:, self.adds] = np.maximum(supply[:, self.adds], 0.0)  # a tolerance may leave less
        order = self._order  # each future goes on from itself the last time, or from a like one
        if groups is not None:
            weight = (np.arange(groups.max() + 1)[:, None] == groups) * self._chance
            weight /= weight.sum(1, keepdims=True)
            low, supply = weight @ self._finite(low), weight @ self._finite(supply)
            order = np.argsort(weight @ np.argsort(order), kind="stable")
        count, futures = len(use[0]), len(low)
        streams, shares = len(self.asked), len(self.given)
        tall = 2 + streams + self._widest[0] + self._widest[1]
        scratch = (
            *(np.zeros(count) for _ in range(3)), np.zeros(len(self._sites[2])), np.zeros(streams),
            np.zeros(count, np.int64), np.zeros((tall, tall + self._widest[1])), np.zeros(tall, np.int64),
        )  # fmt: skip
        known = np.zeros((futures, streams + 2 * shares + len(self.networks)))
        begun, prices = known.copy(), np.zeros(low.shape)
        none = np.zeros((futures, known.shape[1] + 1, known.shape[1])), np.zeros(futures, np.int64)
        mixes, spent = self._mixed.setdefault(futures, none), np.zeros((futures, len(listed.row_lower)))
        paying = spent.copy()
        if dearer is not None:
            mixes = mixes[0].copy(), mixes[1].copy()
        # Where few sites are opened by parts, a provider may give less than its share of all.
        alone = np.full((futures, shares), np.inf)
        alone[:, self._givers] = supply[:, self.shares]
        every = np.maximum(low[:, self.asked], 0.0) @ self._worth - low[:, self.given].sum(1)
        alone[alone >= self._share * every[:, None]] = np.inf
        asked, given = (np.ascontiguousarray(low[order][:, rows]) for rows in (self.asked, self.given))
        prices[order] = priced(
            self._sites, use, np.take(cost[order] if len(cost) > 1 else cost, self._items, 1),
            supply[order] + self._little, asked, self._more, -given, alone[order],
            (self.networks, self._penalty, self._share, self._beyond), begun, mixes, scratch, paying,
        )  # fmt: skip
        known[order], spent[order] = begun, paying
        over = known[:, streams : streams + shares]
        prices[:, self.asked] = known[:, :streams]
        alone = known[:, streams + shares : streams + 2 * shares]
        prices[:, self.share] = -over
        prices[:, self.shares] = -alone[:, self._givers]
        prices[:, self.given] = self._share * over.sum(1, keepdims=True) - over - alone
        if groups is not None:
            prices, spent = prices[groups], spent[groups]
        return self.proven(prices, cost)._replace(spent=spent)

    @staticmethod
    def _finite(rows: Floats) -> Floats:
        """Without what is infinite, in rows where nothing is read of it."""
        return np.where(np.isfinite(rows), rows, 0.0)

    def proven(self, prices: Floats, cost: Floats | None = None) -> Cut:
        """What prices `[future, row]` say of every first stage, whatever they are; cost : if not its own."""
        from armillary.portfolio.mixing import paid  # numba is imported where it is used

        part, futures = self.part, np.arange(len(prices))
        cost = part.cost if cost is None else cost
        prices = np.where((prices > 0) & np.isneginf(self.low), 0.0, prices)
        prices[(prices < 0) & np.isposinf(self.high)] = 0.0
        reduced = cost - paid(prices, part.row, part.value, part.start)
        with np.errstate(invalid="ignore"):
            fixed = np.where(prices > 0, prices * self.low, np.where(prices < 0, prices * self.high, 0.0))
            saved = np.where(reduced < 0, reduced * part.upper, 0.0)
        slope = -paid(prices * self._grows, self._row, self._value, self._start)
        for each, where in self._nodes:
            np.add.at(slope, (futures, where), -(prices @ each))
        return Cut(fixed.sum(1) + saved.sum(1), self.columns, slope)


def _elastic(part: Matrix, shares: Integers, arrays: Arrays) -> Matrix:
    """With more than a provider's share at a high price, so that every first stage has some use."""
    counted = arrays.value > 0
    price = SHARE_PRICE * float((arrays.penalty[counted] / arrays.value[counted]).max(initial=0.0))
    count, none = len(shares), np.zeros(len(shares))
    return part._replace(
        cost=np.append(part.cost, none + price), lower=np.append(part.lower, none),
        upper=np.append(part.upper, none + np.inf), integer=np.zeros(len(part.cost) + count, bool),
        start=np.append(part.start, part.start[-1] + np.arange(1, count + 1)),
        row=np.append(part.row, shares), value=np.append(part.value, none - 1.0),
    )  # fmt: skip
