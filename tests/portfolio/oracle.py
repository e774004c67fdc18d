"""The same model once more, written naively for linopy: every future apart, equal where they are one."""

from __future__ import annotations

import warnings

import numpy as np
import xarray

from armillary.portfolio import QUARTER, Programme

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import linopy

PAYG = ("on-demand", "spot")


class Sum(dict):
    """A linear expression: coefficients by variable, the constant under -1."""

    def __add__(self, other):
        out = Sum(self)
        for key, value in (other if isinstance(other, Sum) else {-1: other}).items():
            out[key] = out.get(key, 0.0) + value
        return out

    def __mul__(self, factor):
        return Sum({key: value * factor for key, value in self.items()})

    def __sub__(self, other):
        return self + (other * -1.0)

    __radd__, __rmul__ = __add__, __mul__

    def __le__(self, limit):
        return "<=", self, limit

    def __ge__(self, limit):
        return ">=", self, limit

    def __eq__(self, limit):
        return "=", self, limit


class Model:
    """Collects variables and rows, and lets linopy solve them."""

    def __init__(self):
        self.bounds, self.rows, self.objective = [], [], Sum()

    def add_variables(self, lower=0.0, upper=np.inf, binary=False):
        self.bounds.append((0.0, 1.0, True) if binary else (lower, upper, False))
        return Sum({len(self.bounds) - 1: 1.0})

    def add_constraints(self, row):
        self.rows.append(row)

    def solve(self) -> float:
        m = linopy.Model()
        low, up, binary = (np.array(part) for part in zip(*self.bounds, strict=True))
        names = np.arange(len(low))
        real = names[~binary]
        label = np.empty(len(low), int)
        x = m.add_variables(low[real], up[real], coords=[("real", real)], name="x")
        label[real] = x.labels.values
        whole = names[binary]
        if len(whole):
            z = m.add_variables(binary=True, coords=[("whole", whole)], name="z")
            label[whole] = z.labels.values
        rows = [r for r in self.rows if set(r[1]) - {-1}]
        for sign, expression, limit in self.rows:
            if not set(expression) - {-1}:
                value = expression.get(-1, 0.0)
                assert {"<=": value <= limit, ">=": value >= limit, "=": value == limit}[sign]
        width = max(len(r[1]) for r in rows)
        variables, weights = np.full((len(rows), width), -1), np.full((len(rows), width), np.nan)
        for i, (_, expression, _) in enumerate(rows):
            terms = [(k, v) for k, v in expression.items() if k >= 0]
            variables[i, : len(terms)] = [label[k] for k, _ in terms]
            weights[i, : len(terms)] = [v for _, v in terms]
        parts = {"coeffs": (("row", "_term"), weights), "vars": (("row", "_term"), variables)}
        data = xarray.Dataset(
            {**parts, "const": (("row",), np.zeros(len(rows)))}, {"row": np.arange(len(rows))}
        )
        limits = np.array([limit - expression.get(-1, 0.0) for _, expression, limit in rows])
        signs = xarray.DataArray(np.array([sign for sign, *_ in rows]), dims=["row"])
        m.add_constraints(linopy.LinearExpression(data, m), signs, xarray.DataArray(limits, dims=["row"]))
        terms = [(k, v) for k, v in self.objective.items() if k >= 0]
        goal = xarray.Dataset(
            {
                "coeffs": (("_term",), np.array([v for _, v in terms])),
                "vars": (("_term",), label[[k for k, _ in terms]]),
                "const": ((), 0.0),
            }
        )
        m.add_objective(linopy.LinearExpression(goal, m))
        status = m.solve("highs", mip_rel_gap=1e-9, output_flag=False, progress=False)
        assert status[1] == "optimal", status
        return float(m.objective.value) + self.objective.get(-1, 0.0)


def optimum(p: Programme) -> float:
    """Least objective [USD], by HiGHS through linopy, to a gap of 1e-9."""
    m = Model()
    T, F = p.calendar.quarters, p.futures.size
    prob, node, delta = p.futures.probability, p.futures.node, p.calendar.factors()
    site = {s.name: s for s in p.sites}
    sku = {k.name: k for k in p.skus}
    million = 1e6
    cost_now, cost = [], [[] for _ in range(F)]
    cash = [[[] for _ in range(F)] for _ in range(T)]
    cash_now = [[] for _ in range(T)]
    listed = [[[] for _ in range(F)] for _ in range(T)]  # (provider, term)
    given = [[[] for _ in range(F)] for _ in range(T)]
    served: dict = {}
    power: dict = {}

    def var(upper=np.inf, binary=False):
        return m.add_variables(binary=True) if binary else m.add_variables(lower=0, upper=upper)

    def total(terms):
        out = Sum()
        for term in terms:
            for key, value in term.items():
                out[key] = out.get(key, 0.0) + value
        return out

    def pay(t, f, term, penalty=False):
        cost[f].append(delta[t] * term)
        if not penalty:
            cash[t][f].append(term)

    def pay_now(t, term):
        cost_now.append(delta[t] * term)
        cash_now[t].append(term)

    def same(make):
        """One variable a node and quarter."""
        made: dict = {}

        def of(t, f):
            key = (t, node[t, f])
            if key not in made:
                made[key] = make()
            return made[key]

        return of

    def at(value, t, f=None):
        a = np.asarray(value, float)
        return float(a if a.ndim == 0 else a[t] if a.ndim == 1 else a[t, f])

    z = {(c.name, k): var(binary=True) for c in p.contracts for k in range(len(c.tiers))}
    V = {key: var() for key in z}
    for c in p.contracts:
        one = total([z[c.name, k] for k in range(len(c.tiers))])
        m.add_constraints(one <= 1)
        if c.signed:
            m.add_constraints(one >= 1)
        for k, tier in enumerate(c.tiers):
            m.add_constraints(V[c.name, k] - tier.least / million * z[c.name, k] >= 0)
            m.add_constraints(V[c.name, k] - tier.most / million * z[c.name, k] <= 0)
    signed = {c.name: total([z[c.name, k] for k in range(len(c.tiers))]) for c in p.contracts}
    ready = {}
    for o in p.offers:
        for t in range(T):
            if np.asarray(o.capacity).ndim and not np.any(np.asarray(o.capacity)[t]):
                continue
            ready[o.site] = min(ready.get(o.site, T), t)
    opened = {}
    for s in p.sites:
        if (s.opening or s.standing) and s.name in ready:
            opened[s.name] = var(binary=True)
            pay_now(ready[s.name], s.opening / million * opened[s.name])
            for t in range(ready[s.name], T):
                pay_now(t, s.standing * QUARTER / million * opened[s.name])
    networks = sorted({s.network or s.name for s in p.sites})
    home = {}
    for d in p.demands:
        if d.cluster > 0:
            for n in networks:
                home[d.name, n] = var(binary=True)
            m.add_constraints(total([home[d.name, n] for n in networks]) <= 1)
    big = {d.name: float(np.max(d.amount)) for d in p.demands}

    def need(k):
        return sum(big[w] / a for w, a in sku[k].performance.items() if a > 0)

    from armillary.portfolio.arrays import penalties

    raised = penalties(p)
    value = dict(p.value)
    for d in p.demands:
        if d.name in value:
            continue
        for kinds in (PAYG, None):
            found = [
                np.min(np.asarray(o.price)) / (sku[o.sku].performance[d.name] * o.efficiency)
                for o in p.offers
                if (kinds is None or o.kind in kinds) and sku[o.sku].performance.get(d.name, 0) > 0
            ]
            if found:
                value[d.name] = min(found)
                break

    def use(t, f, w, where, amount, work):
        """`amount` units serve `work` of stream w at a site."""
        served.setdefault((w.name, t, f), []).append(work * amount)
        given[t][f].append((site[where].provider, value[w.name] * QUARTER / million * work * amount))
        egress = site[where].egress.get(w.name, 0.0)
        if egress:
            pay(t, f, egress * work * QUARTER / million * amount)
        if w.cluster > 0:
            m.add_constraints(
                work * amount - 2 * big[w.name] * home[w.name, site[where].network or where] <= 0
            )

    used_units = {}
    for o in p.offers:
        if o.kind not in PAYG:
            continue
        for w in p.demands:
            work = sku[o.sku].performance.get(w.name, 0.0) * o.efficiency
            if work <= 0 or (o.kind == "spot" and (not w.interruptible or w.cluster > 0)):
                continue
            x = same(var)
            for t in range(T):
                for f in range(F):
                    amount = x(t, f)
                    used_units.setdefault((o.name, t, f), []).append(amount)
                    use(t, f, w, o.site, amount, work)
                    price = at(o.price, t) * QUARTER / million
                    pay(t, f, price * amount)
                    listed[t][f].append((site[o.site].provider, price * amount))
                    power.setdefault((o.site, t, f), []).append(sku[o.sku].power * amount)
                    if o.site in opened:
                        m.add_constraints(amount - need(o.sku) / o.efficiency * opened[o.site] <= 0)
                    if o.contract:
                        m.add_constraints(amount - need(o.sku) / o.efficiency * signed[o.contract] <= 0)
    for o in p.offers:
        if o.kind in PAYG and np.isfinite(np.asarray(o.capacity, float)).all():
            for t in range(T):
                for f in range(F):
                    if (o.name, t, f) in used_units:
                        limit = at(o.capacity, t, f) * o.availability
                        m.add_constraints(total(used_units[o.name, t, f]) <= limit)
    owned = {}
    for o in p.offers:
        if o.kind in PAYG:
            continue
        active = {}
        for q in range(T) if o.starts is None else o.starts:
            if q >= T or at(o.capacity, q) <= 0:
                continue
            n = var()
            end = min(q + o.term, T)
            prices = [at(o.price, q if o.locked else t) * QUARTER / million for t in range(q, end)]
            pay_now(q, o.upfront * sum(prices) * n)
            for t, price in zip(range(q, end), prices, strict=True):
                pay_now(t, (1 - o.upfront) * price * n)
                active.setdefault(t, []).append(n)
                for f in range(F):
                    listed[t][f].append((site[o.site].provider, (1 - o.upfront) * price * n))
            for f in range(F):
                listed[q][f].append((site[o.site].provider, o.upfront * sum(prices) * n))
            if o.site in opened:
                m.add_constraints(n - need(o.sku) * opened[o.site] <= 0)
            if o.contract:
                m.add_constraints(n - need(o.sku) * signed[o.contract] <= 0)
        for t, ns in active.items():
            if np.isfinite(at(o.capacity, t)):
                m.add_constraints(total(ns) <= at(o.capacity, t))
            owned.setdefault((o.site, o.sku, t), []).extend(ns)
    for (where, kind, t), ns in owned.items():
        aside = []
        for w in p.demands:
            work = sku[kind].performance.get(w.name, 0.0)
            if w.cluster > 0 and work > 0:
                amount = var()
                aside.append(amount)
                for f in range(F):
                    use(t, f, w, where, amount, work)
        x = {
            w.name: same(var)
            for w in p.demands
            if w.cluster <= 0 and sku[kind].performance.get(w.name, 0) > 0
        }
        for f in range(F):
            mine = list(aside)
            for w in p.demands:
                if w.name in x:
                    mine.append(x[w.name](t, f))
                    use(t, f, w, where, mine[-1], sku[kind].performance[w.name])
            if mine:
                m.add_constraints(total(mine) - total(ns) <= 0)
            power.setdefault((where, t, f), []).append(sku[kind].power * total(ns))
    for option in p.options:
        right = var(binary=True)
        pay_now(0, option.premium / million * right)
        if option.contract:
            m.add_constraints(right - signed[option.contract] <= 0)
        taken = {}
        for f in range(F):
            v = node[option.decided, f]
            if v not in taken:
                taken[v] = var()
                m.add_constraints(taken[v] - option.units * right <= 0)
                if option.whole:
                    m.add_constraints(taken[v] - option.units * var(binary=True) == 0)
                if option.site in opened:
                    m.add_constraints(taken[v] - option.units * opened[option.site] <= 0)
        x = {w.name: same(var) for w in p.demands}
        for t in range(option.start, min(option.start + option.term, T)):
            for f in range(F):
                v = node[option.decided, f]
                mine = []
                strike = option.strike * QUARTER / million
                pay(t, f, strike * taken[v])
                listed[t][f].append((site[option.site].provider, strike * taken[v]))
                power.setdefault((option.site, t, f), []).append(sku[option.sku].power * taken[v])
                for w in p.demands:
                    work = sku[option.sku].performance.get(w.name, 0.0)
                    if work <= 0:
                        continue
                    mine.append(x[w.name](t, f))
                    use(t, f, w, option.site, mine[-1], work)
                if mine:
                    m.add_constraints(total(mine) - taken[v] <= 0)
    for (where, t, _), terms in power.items():
        limit = at(site[where].power, t)
        if np.isfinite(limit):
            m.add_constraints(total(terms) <= limit)
    for i, d in enumerate(p.demands):
        missing, run = same(var), same(lambda: var(binary=True))
        for t in range(T):
            for f in range(F):
                amount = at(d.amount, t, f)
                u = missing(t, f)
                m.add_constraints(1.0 * u <= amount * (1 - d.floor))
                whole = total([u, *served.get((d.name, t, f), [])])
                m.add_constraints(whole >= amount)
                if d.cluster <= 0:
                    m.add_constraints(whole <= amount)
                pay(t, f, float(raised[i]) * QUARTER / million * u, penalty=True)
                if d.cluster > 0 and amount > 0:
                    r = run(t, f)
                    m.add_constraints(u + min(d.cluster, amount) * r <= amount)
                    m.add_constraints(u + amount * r >= amount)
    spending = [[[] for _ in range(F)] for _ in range(T)]
    for c in p.contracts:
        ramp = c.ramp or (1 / c.years,) * c.years
        for k, tier in enumerate(c.tiers):
            x = same(var)
            years = [(c.start + 4 * y, min(c.start + 4 * y + 4, T), share) for y, share in enumerate(ramp)]
            years = [(a, b, share * (b - a) / 4) for a, b, share in years if a < T]
            pay_now(c.start, c.prepayment * sum(s for *_, s in years) * V[c.name, k])
            for a, b, share in years:
                pay_now(a, -c.prepayment * share * V[c.name, k])
                short = same(var)
                for f in range(F):
                    taken = []
                    for t in range(a, b):
                        s = x(t, f)
                        spending[t][f].append((c.provider, s))
                        m.add_constraints(s - 1e4 * z[c.name, k] <= 0)
                        pay(t, f, -tier.discount * s)
                        taken.append((1 - tier.discount) * s)
                        for o in p.offers if c.most_favoured else ():
                            if site[o.site].provider != c.provider or o.kind not in PAYG:
                                continue
                            others = [
                                at(e.price, t)
                                for e in p.offers
                                if site[e.site].provider != c.provider
                                and (e.kind, e.sku) == (o.kind, o.sku)
                                and np.max(np.asarray(e.capacity)) > 0
                            ]
                            if not others or (o.name, t, f) not in used_units:
                                continue
                            unit = at(o.price, t) * (1 - tier.discount) - min(others)
                            if unit > 0:
                                back = var()
                                m.add_constraints(back - total(used_units[o.name, t, f]) <= 0)
                                m.add_constraints(back - 1e6 * z[c.name, k] <= 0)
                                pay(t, f, -unit * QUARTER / million * back)
                                taken.append(-unit * QUARTER / million * back)
                    v = short(b - 1, f)
                    pay(b - 1, f, 1.0 * v)
                    m.add_constraints(total([*taken, 1.0 * v]) - c.minimum_take * share * V[c.name, k] >= 0)
    providers = sorted({s.provider for s in p.sites})
    for t in range(T):
        for f in range(F):
            for q in providers:
                claimed = [x for provider, x in spending[t][f] if provider == q]
                if claimed:
                    mine = [x for provider, x in listed[t][f] if provider == q]
                    m.add_constraints(total(claimed) - total(mine) <= 0)
                if p.share < 1:
                    mine = [x for provider, x in given[t][f] if provider == q]
                    everyone = [x for _, x in given[t][f]]
                    if mine:
                        m.add_constraints(total(mine) - p.share * total(everyone) <= 0)
            if p.budget is not None:
                m.add_constraints(total([*cash_now[t], *cash[t][f]]) <= p.budget[t] / million)
    objective = []
    free = m.add_variables(lower=-np.inf)
    if cost_now:
        objective.append((1 + p.risk.weight) * total(cost_now))
    for f in range(F):
        objective.append(prob[f] * total(cost[f]))
        if p.risk.weight:
            over = var()
            m.add_constraints(over + free - total(cost[f]) >= 0)
            objective.append(p.risk.weight * prob[f] / (1 - p.risk.level) * over)
    if p.risk.weight:
        objective.append(p.risk.weight * free)
    m.objective = total(objective)
    return m.solve() * million
