"""What use costs in all futures at least, as linear cuts over the first stage (Benders' decomposition).

With the first stage held, a quarter of one future is a small linear programme that has nothing in common with
any other but what contracts count as spent, which is priced instead (Lagrange). Its prices hold for every
other first stage, too: they are a cut. A programme over the first stage and its cuts costs no more than any
plan, whatever the number of futures; futures of a quarter with much the same demand share a cut.

The method is the L-shaped one of R. M. Van Slyke and R. Wets (SIAM Journal on Applied Mathematics 17, 1969).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from copy import copy

import numpy as np

from armillary.portfolio.arrays import Arrays
from armillary.portfolio.assembly import Assembly
from armillary.portfolio.calendar import Floats, Integers, sums
from armillary.portfolio.matrix import Bools
from armillary.portfolio.quarter_use import Cut, Quarter, Whole
from armillary.portfolio.records import Programme
from armillary.portfolio.recourse import WORKERS
from armillary.portfolio.takes import Takes, Where

MEANS = ("use at home", "cluster or nothing", "idle", "use if signed")
"""Rows that hold in the mean of futures or for whole runs alone, which cuts leave out."""
PARTS = ("use if opened", "give if opened")
"""Rows that tie use to parts of sites that are opened."""
ROOMY = 3.0
"""Times all work of a stream that the power of a site has to suffice for, for that work to limit it. [-]"""


def separable(programme: Programme, arrays: Arrays) -> bool:
    """Whether quarters are separate: no risk, budget or most-favoured price, and no uncertain capacity."""
    favoured = any(one.most_favoured for one in programme.contracts)
    certain = arrays.capacity.shape[2] == 1
    return programme.risk.weight == 0 and programme.budget is None and not favoured and certain


class Cuts:
    """Cuts, as they are made.

    Parameters
    ----------
    programme, arrays
        Of which quarters are `separable`.
    assembly : Assembly
        Over one state a quarter.
    prices : array
        Of its rows, in its relaxation.
    label : array
        `[quarter, future]` groups of futures that share cuts.
    tied : bool
        Whether work at a part of a site is no more than that part of all work.

    Attributes
    ----------
    first : array
        Columns of the assembly that are the first stage.
    alone, listed : array
        Which of its rows hold for the first stage by itself, and which are what contracts count as spent.
    quarter : array
        Of its rows with use, or with what contracts count as spent; -1 of others.
    priced : array
        Of its rows: prices of what contracts count as spent, 0 of others.
    dear : array
        Of its rows: what is spent costs at its list price, less what it is priced at; 0 of others.
    groups : int
        Of futures, in all quarters; those of a quarter are numbered from its entry in `ends`.
    group, constant, start, column, value : array
        Of each cut, its group, its constant, and from where to where its entries are: over the first stage,
        and after it what is spent at list prices, by listed row. Cuts of whole quarters have a number after
        those of groups: of each quarter by itself, and of the years of contracts.
    begin, end : array
        Of numbers after those of groups: the first of the groups that they are about, and the end of these.
    spent : array
        At list prices in the mean of futures, by listed row, where cuts were made the last time.
    """

    def __init__(
        self,
        programme: Programme,
        arrays: Arrays,
        assembly: Assembly,
        prices: Floats,
        label: Integers,
        tied: bool = True,
    ) -> None:
        self.arrays, self.assembly = arrays, assembly
        m = self.matrix = assembly.matrix
        self.chance, self.prices = programme.futures.probability, prices
        size, entry = len(m.row_lower), np.repeat(np.arange(len(m.cost)), np.diff(m.start))

        def touched(entries: Bools) -> Bools:
            """Rows with any of some entries."""
            rows = np.zeros(size, bool)
            rows[m.row[entries]] = True
            return rows

        later, running = _later(assembly)
        first = (later < 0) & ~running
        self.first = np.flatnonzero(first)
        self.quarter = quarter = np.full(size, -1)
        used = later[entry] >= 0
        quarter[m.row[used]] = later[entry[used]]
        # What contracts count as spent is priced, also where there is nothing but purchases that they count.
        self.listed = listed = _rows(m.row_blocks, size, "list price")
        for name, block in m.row_blocks.items():
            if name.startswith("list price"):
                quarter[block] = assembly.states.quarter
        self.priced = np.where(listed, np.minimum(prices, 0.0), 0.0)
        self.dear = np.where(listed, arrays.factor[quarter] + self.priced, 0.0)
        left_out = _rows(m.row_blocks, size, MEANS)
        left_out |= _untied(assembly, arrays.cluster > 0) if tied else _rows(m.row_blocks, size, PARTS)
        own = (quarter >= 0) & ~listed & ~left_out
        # Rows of a quarter to which use only adds hold for the first stage alone, too.
        adds = own & ~touched(used & (m.value < 0)) & np.isfinite(m.row_upper) & np.isneginf(m.row_lower)
        both = adds & touched(first[entry] & (m.value > 0))
        self.alone = touched(first[entry]) & ((quarter < 0) & ~left_out | both | listed)
        most = _most(arrays, assembly)
        cost, upper = m.cost - m.back(self.priced), np.where(np.isnan(most), m.upper, most)
        use = m._replace(cost=cost, upper=upper, integer=np.zeros(len(cost), bool))
        self.quarters = [
            Quarter(
                arrays, assembly, use, t, np.flatnonzero(later == t), own & (quarter == t), adds,
                listed & (quarter == t), self.first, programme.share, self.chance,
            )
            for t in range(programme.calendar.quarters)
        ]  # fmt: skip
        self.label = [np.unique(row, return_inverse=True)[1] for row in label]
        self.sizes = [int(group.max()) + 1 for group in self.label]
        self.ends = np.cumsum([0, *self.sizes])
        self.groups = int(self.ends[-1])
        self._by_quarter = np.argsort(quarter[listed], kind="stable")
        self.spent = np.zeros(len(self._by_quarter))
        self.takes = Takes(programme, assembly, self.first, listed, quarter[listed])
        one = np.arange(len(self.quarters))
        self.begin = self.ends[np.append(one, [year.first for year in self.takes.years]).astype(int)]
        self.end = self.ends[np.append(one + 1, [year.end for year in self.takes.years]).astype(int)]
        self.group, self.constant = np.zeros(0, np.int64), np.zeros(0)
        self.start, self.column, self.value = np.zeros(1, np.int64), np.zeros(0, np.int64), np.zeros(0)
        futures = len(self.chance)
        self.add([
            one.proven(np.tile(prices[own & (quarter == t)], (futures, 1)))
            for t, one in enumerate(self.quarters)
        ])  # fmt: skip
        # Use costs no less than what contracts count of it, where that is priced at no more than it costs.
        of, dear = quarter[listed], self.dear[listed]
        alike = np.setdiff1d(np.arange(len(self.quarters)), of[dear < 0])
        spent = [np.flatnonzero((of == t) & (dear > 0)) for t in alike]
        self._keep(
            (self.groups + alike).tolist(), [0.0] * len(alike), [one + len(self.first) for one in spent],
            [dear[one] for one in spent],
        )  # fmt: skip

    def copied(self) -> Cuts:
        """The same cuts; those that are made after are its own."""
        other = copy(self)
        other.spent = self.spent.copy()
        other.quarters = [one.copied() for one in self.quarters]
        return other

    def repriced(self, most: Floats) -> Cuts:
        """The same cuts with what is spent priced at no more than this, by listed row.

        Cuts say what use costs less what contracts claim of it, at its price. At a lower price that is more
        by the difference: cuts of whole quarters know what is claimed, the others hold as they are.
        """
        other, of, size = copy(self), self.quarter[self.listed], len(self.first)
        lower = np.maximum(-self.priced[self.listed] - most, 0.0)
        other.priced, other.dear, other.spent = self.priced.copy(), self.dear.copy(), self.spent.copy()
        other.priced[self.listed] += lower
        other.dear[self.listed] += lower
        other.quarters = [one.repriced(lower[of == t]) for t, one in enumerate(self.quarters)]
        columns, values = np.split(self.column, self.start[1:-1]), np.split(self.value, self.start[1:-1])
        for cut in np.flatnonzero(self.group >= self.groups):
            number = self.group[cut] - self.groups
            first, end = np.searchsorted(self.ends, [self.begin[number], self.end[number]])
            more = np.where((of >= first) & (of < end), lower, 0.0)
            value = sums(columns[cut], values[cut], size + len(of))
            value[size:] += more
            columns[cut] = np.flatnonzero(value)
            values[cut] = value[columns[cut]]
        other.start = np.cumsum([0, *(len(one) for one in columns)])
        other.column, other.value = np.concatenate(columns), np.concatenate(values)
        return other

    def made(self, point: Floats, exact: bool = True) -> list[Cut]:
        """Make cuts at a first stage, by quarter.

        Parameters
        ----------
        point : array
        exact : bool
            Whether each future has prices of its own; else futures that share cuts have those of their mean.
        """
        groups = [None] * len(self.quarters) if exact else self.label
        with ThreadPoolExecutor(WORKERS) as both:
            found = list(both.map(lambda one, label: one.cut(point, label), self.quarters, groups))
        self.spent[self._by_quarter] = np.concatenate([self.chance @ one.spent for one in found])
        self.add(found)
        return found

    def dearer(self, point: Floats, more: Floats, exact: bool = True) -> list[Whole]:
        """Make cuts of whole quarters at a first stage, with what is spent worth more.

        Parameters
        ----------
        point : array
        more : array
            By listed row; quarters where it is 0 are left out.
        exact : bool
            As of `made`.
        """
        of, chance = self.quarter[self.listed], self.chance
        quarters = np.unique(of[more != 0]).tolist()
        with ThreadPoolExecutor(WORKERS) as both:
            groups = [None if exact else self.label[t] for t in quarters]
            asked = [more[of == t] for t in quarters]
            cuts = list(both.map(
                lambda t, label, spent: self.quarters[t].cut(point, label, spent), quarters, groups, asked
            ))  # fmt: skip
        found = []
        for t, cut in zip(quarters, cuts, strict=True):
            slope, spent = chance @ cut.slope, np.flatnonzero((of == t) & (more != 0))
            inside = np.flatnonzero(slope)
            column = np.append(cut.columns[inside], spent + len(self.first))
            value = np.append(slope[inside], more[spent])
            found.append(Whole(self.groups + t, float(chance @ cut.constant), column, value))
        self._keep_whole(found)
        return found

    def taken(self, point: Floats, more: Floats, cuts: list[Cut], least: float) -> list[Whole]:
        """Make cuts of contracts' years at a first stage, with takes asked for in every future by itself.

        Parameters
        ----------
        point : array
        more : array
            By listed row, what is spent is worth more in all futures than it is priced at.
        cuts : list
            That were made there.
        least : float
            What missing takes has to cost in a year for a cut. [scaled money]
        """
        where = Where(self.quarters, point, more, cuts, least)
        found = self.takes.made(where, self.groups + len(self.quarters))
        self._keep_whole(found)
        return found

    def _keep_whole(self, found: list[Whole]) -> None:
        """Keep cuts of whole quarters."""
        if found:
            self._keep(*(list(one) for one in zip(*found, strict=True)))

    def add(self, found: list[Cut]) -> None:
        """Keep cuts of groups of futures."""
        group, constant, columns, values = [], [], [], []
        for t, cut in enumerate(found):
            for g in range(self.sizes[t]):
                chance = np.where(self.label[t] == g, self.chance, 0.0)
                slope = chance @ cut.slope
                inside = np.flatnonzero(slope)
                group.append(self.ends[t] + g)
                constant.append(float(chance @ cut.constant))
                columns.append(cut.columns[inside])
                values.append(slope[inside])
        self._keep(group, constant, columns, values)

    def _keep(
        self, group: list[int], constant: list[float], columns: list[Integers], values: list[Floats]
    ) -> None:
        """Keep cuts, by their numbers."""
        sizes = np.array([len(one) for one in columns], np.int64)
        self.group = np.append(self.group, np.array(group, np.int64))
        self.constant = np.append(self.constant, constant)
        self.start = np.append(self.start, self.start[-1] + np.cumsum(sizes))
        self.column = np.concatenate([self.column, *columns])
        self.value = np.concatenate([self.value, *values])

    def at(self, stage: Floats) -> Floats:
        """What each cut says that its group costs; a first stage is followed by what is spent."""
        sums = np.concatenate([[0.0], np.cumsum(self.value * stage[self.column])])
        return np.asarray(self.constant + sums[self.start[1:]] - sums[self.start[:-1]])

    def back(self, weight: Floats) -> Floats:
        """What weights of cuts add to the cost of the first stage and of what is spent."""
        count = len(self.first) + int(self.listed.sum())
        return sums(self.column, np.repeat(weight, np.diff(self.start)) * self.value, count)

    def cost(self, point: Floats, cuts: list[Cut], wholes: list[Whole]) -> float:
        """What a first stage costs with the use that cuts made there are about.

        Parameters
        ----------
        point : array
        cuts : list
            By quarter.
        wholes : list
            Of whole quarters: each by itself, and then of years.
        """
        m = self.matrix
        whole = np.zeros(len(m.cost))
        whole[self.first] = point
        spent = np.maximum(m.times(whole)[self.listed], 0.0)
        stage = np.append(point, spent)
        use = np.array([float(self.chance @ cut.at(point)) for cut in cuts])
        more = 0.0
        for one in wholes:
            quarters = self.quarters_of(one)
            over = max(one.at(stage) - float(use[quarters].sum()), 0.0)
            if len(quarters) == 1:
                use[quarters] += over
            else:
                more += over
        return float(m.cost[self.first] @ point - self.priced[self.listed] @ spent + use.sum()) + more

    def quarters_of(self, whole: Whole) -> Integers:
        """Those that a cut is about."""
        number = whole.number - self.groups
        return np.arange(*np.searchsorted(self.ends, [self.begin[number], self.end[number]]))


def _rows(blocks: dict[str, slice], count: int, names: str | tuple[str, ...]) -> Bools:
    found = np.zeros(count, bool)
    for name, block in blocks.items():
        found[block] = name.startswith(names)
    return found


def _untied(assembly: Assembly, runs: Bools) -> Bools:
    """Rows that tie use to parts of sites and are left out, as they say little or hold in means alone.

    Where a site's power does not suffice for much more than all work of a stream, power alone ties it. Runs
    may do more than they are asked for in a future: they are not tied; nor are shares of providers in
    quarters in which nothing limits what runs do in a future.
    """
    m, usage = assembly.matrix, assembly.usage
    size = len(m.row_lower)
    column = np.repeat(np.arange(len(m.cost)), np.diff(m.start))
    room, power, home, share = (
        _rows(m.row_blocks, size, name)
        for name in ("use if opened", "power", "all at home", "give if opened")
    )
    opened = np.zeros(len(m.cost), bool)
    opened[assembly.opened[assembly.sites_opened]] = True
    # Of each row, what opening its site gives; of each column of use, what it takes of power, of how much.
    given = np.zeros(size)
    taken, there = np.zeros(len(m.cost)), np.full(len(m.cost), np.inf)
    of_site = opened[column]
    given[m.row[of_site]] = -m.value[of_site]
    draws = power[m.row] & ~of_site
    taken[column[draws]], there[column[draws]] = m.value[draws], given[m.row[draws]]
    done = room[m.row] & ~of_site
    most = np.zeros(size)
    with np.errstate(divide="ignore"):
        np.maximum.at(most, m.row[done], m.value[done] * there[column[done]] / taken[column[done]])
    of_run = np.zeros(len(m.cost), bool)
    of_run[usage.column] = runs[usage.stream]
    out = room & (most < ROOMY * given)
    out[m.row[done & of_run[column]]] = True
    limited = np.zeros(len(m.cost), bool)
    limited[column[home[m.row]]] = True
    free = of_run & ~limited
    quarters = assembly.states.quarter[usage.state[free[usage.column]]]
    later, _ = _later(assembly)
    in_quarter = share[m.row] & np.isin(later[column], quarters)
    out[m.row[in_quarter]] = True
    return out


def _later(assembly: Assembly) -> tuple[Integers, Bools]:
    """The quarter of columns of use, -1 of others; and columns that say whether runs run."""
    states, blocks = assembly.states, assembly.matrix.blocks
    quarter = np.full(len(assembly.matrix.cost), -1)
    quarter[assembly.usage.column] = states.quarter[assembly.usage.state]
    quarter[assembly.bought.pooled.column] = states.quarter[assembly.bought.pooled.state]
    quarter[assembly.unmet] = states.quarter[None, :]
    if "given" in blocks:
        given = quarter[blocks["given"]]
        quarter[blocks["given"]] = np.tile(states.quarter, len(given) // states.size)
    running = np.zeros(len(quarter), bool)
    running[assembly.running[assembly.running >= 0]] = True
    return quarter, running


def _most(arrays: Arrays, assembly: Assembly) -> Floats:
    """What columns of use can be at most in any future; NaN of others."""
    most = np.full(len(assembly.matrix.cost), np.nan)
    peak, quarter = arrays.demand.max(2), assembly.states.quarter
    usage, pooled = assembly.usage, assembly.bought.pooled
    had = arrays.capacity[usage.offer, quarter[usage.state], 0]
    most[usage.column] = np.minimum(had, peak[usage.stream, quarter[usage.state]] / usage.work)
    work = arrays.performance[pooled.stream, pooled.sku]
    most[pooled.column] = peak[pooled.stream, quarter[pooled.state]] / work
    most[assembly.unmet] = peak[:, quarter]
    return most
