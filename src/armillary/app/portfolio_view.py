"""What to buy, as people read it: sentences and tables of text for the terminal and the HTML report."""

from __future__ import annotations

import numpy as np
from rich.console import RenderableType
from rich.text import Text

from armillary.app.portfolio_prices_view import (
    cpu_table,
    deal_table,
    deal_text,
    money,
    owning_table,
    price_table,
    run_table,
    token_table,
)
from armillary.app.serving_view import Table, grid
from armillary.portfolio.calendar import Floats
from armillary.portfolio.records import PAY_AS_YOU_GO
from armillary.scenario import CPUS
from armillary.twin import PortfolioAnswer
from armillary.twin.portfolio_tallies import unmet_share


def summary_rows(answer: PortfolioAnswer) -> list[tuple[str, str]]:
    """The plan in a few lines; the gap among them, always."""
    plan, asked = answer.plan, answer.asked
    span = f"{asked.calendar.quarters} quarters from {answer.labels[0]}, {asked.futures.size} futures"
    if plan is None:
        return [("planned", span)]
    rows = [
        ("planned", f"{span}; payments discounted at {asked.calendar.discount:.1%} a year"),
        ("expected cost", f"{money(plan.expected)}, of which {money(plan.costs.unmet)} for what is not done"),
        (
            "worst futures",
            f"{money(plan.cvar)}, mean of the worst {1 - asked.risk.level:.0%}"
            + (f", weighted {asked.risk.weight:g}" if asked.risk.weight else ""),
        ),
        (
            "gap",
            f"{plan.gap:.2%} ({plan.status}): {money(plan.objective)} of cost and weighted risk; "
            f"none has less than {money(plan.bound)}",
        ),
        ("paid", f"{money(sum(float(v.sum()) for v in answer.spending.values()))} expected, undiscounted"),
    ]
    if plan.signed:
        words = "; ".join(f"{s.contract} for {money(s.total)}" for s in plan.signed)
        rows.append(("signed", words))
    if plan.opened:
        rows.append(("opened", ", ".join(plan.opened)))
    return rows


def cost_table(answer: PortfolioAnswer) -> Table:
    """Expected cost by its named parts."""
    assert answer.plan is not None
    parts = answer.plan.costs._asdict()
    rows = [
        (name.replace("_", " "), money(value), f"{value / answer.plan.expected:z.1%}")
        for name, value in parts.items()
        if abs(value) >= 1
    ]
    rows.append(("total", money(answer.plan.costs.total), "100.0%"))
    return Table("What it costs", ("part", "expected, discounted", "of it"), rows)


def purchase_table(answer: PortfolioAnswer) -> Table:
    """The schedule: what is bought for a term, offer by offer and quarter by quarter."""
    assert answer.plan is not None
    labels = answer.labels
    kinds = {o.name: o.kind for o in answer.programme.offers}
    rows = [
        (
            labels[p.start],
            p.offer,
            kinds[p.offer],
            p.sku,
            p.site,
            f"{p.units:z,.0f}",
            labels[p.end] if p.end < len(labels) else "the end",
            money(p.cost),
        )
        for p in sorted(answer.plan.purchases, key=lambda p: (p.start, p.offer))
        if p.units >= 0.5
    ]
    note = "Terms that go on beyond the plan are paid, and count, to its end."
    return Table(
        "What is bought for a term",
        ("from", "offer", "kind", "SKU", "site", "units", "until", "paid"),
        rows,
        5,
        note if rows else "Nothing is bought for a term.",
    )


def use_table(answer: PortfolioAnswer) -> Table:
    """What is used and paid as one goes."""
    plan = answer.plan
    assert plan is not None
    weight = answer.asked.futures.probability
    rows = []
    for i, o in enumerate(answer.programme.offers):
        if o.kind not in PAY_AS_YOU_GO:
            continue
        used = plan.used[i] @ weight
        busiest = int(used.argmax())
        rows.append(
            (
                o.name,
                o.kind,
                o.sku,
                o.contract or "-",
                f"{used.mean():z,.0f}",
                f"{used[busiest]:z,.0f}",
                answer.labels[busiest] if used[busiest] > 0 else "-",
            )
        )
    return Table(
        "What is used and paid as one goes",
        ("offer", "kind", "SKU", "contract", "units, mean", "at most", "in"),
        rows,
        4,
        "Expected over the futures.",
    )


def option_table(answer: PortfolioAnswer) -> Table:
    """What options are worth, and how often they are used."""
    assert answer.plan is not None
    rows = []
    for name, worth in answer.options:
        taken = answer.plan.exercised[name]
        weight = answer.asked.futures.probability
        low, high = worth.between
        rows.append(
            (
                name,
                money(worth.value),
                f"{money(low)} to {money(high)}",
                f"{float(weight[taken > 0.5].sum()):.0%}",
                f"{float(taken @ weight):z,.0f}",
                f"{money(float(worth.by_future.min()))} to {money(float(worth.by_future.max()))}",
            )
        )
    return Table(
        "What options are worth",
        ("option", "worth", "proven", "used in", "units, mean", "by future"),
        rows,
        1,
        "The plan without the option less the plan with it; the gaps of both leave the interval.",
    )


def generation_table(answer: PortfolioAnswer) -> Table:
    """When models are trained, on how much, where."""
    rows = [
        (
            g.name,
            f"{g.flop:.2g} FLOP",
            answer.labels[g.starts],
            answer.labels[g.ends - 1],
            f"{g.accelerators:z,.0f}",
            g.network or ("nowhere" if answer.plan is not None else "-"),
            f"{g.unmet:.1%}" if answer.plan is not None else "-",
            g.source,
        )
        for g in answer.generations
    ]
    return Table(
        "Models to be trained",
        (
            "model",
            "compute",
            "from",
            "to",
            f"{answer.reference} on one network",
            "where",
            "not done",
            "source",
        ),
        rows,
        1,
        "A run holds its cluster for whole quarters. In the median future.",
    )


def quarter_table(answer: PortfolioAnswer) -> Table:
    """Every quarter: demand, what is had for it, how busy, what is paid."""
    plan = answer.plan
    assert plan is not None
    weight = answer.asked.futures.probability
    zero: Floats = np.zeros(len(answer.labels))
    had = sum(answer.capacity.values(), zero)
    paid = sum(answer.spending.values(), zero)
    busy = plan.busy @ weight
    owned = sum((np.asarray(units) for units in plan.owned.values()), np.zeros(plan.busy.shape)).max(1)
    rows = [
        (
            label,
            f"{float(answer.wanted[q] @ weight):z,.0f}",
            f"{answer.wanted[q].min():z,.0f} to {answer.wanted[q].max():z,.0f}",
            f"{had[q]:z,.0f}",
            f"{busy[q]:.0%}" if owned[q] > 0.5 else "-",
            money(float(paid[q])),
        )
        for q, label in enumerate(answer.labels)
    ]
    unmet = {name: share for name, share in unmet_share(answer.programme, plan).items() if share > 5e-5}
    note = (
        "Not done, of all: " + ", ".join(f"{name} {share:.2%}" for name, share in unmet.items()) + "."
        if unmet
        else "All work is done in all futures."
    )
    sku = next(k for k in answer.programme.skus if k.name == answer.reference)
    others = [d.name for d in answer.programme.demands if d.name not in sku.performance and d.name != CPUS]
    if others:
        note += f" Demand is shown without {', '.join(others)}, which no {sku.name} does."
    return Table(
        "Quarter by quarter",
        ("quarter", f"demand [{answer.reference}]", "over futures", "accelerators had", "terms busy", "paid"),
        rows,
        1,
        note,
    )


def chance_text(answer: PortfolioAnswer) -> str:
    """The chance that all is deployed, or nothing."""
    chance, ramps = answer.chance, answer.ramps
    if chance is None or ramps is None:
        return ""
    sites = ", ".join(s.name for s in ramps.sites)
    worst = ramps.critical[0]
    return (
        f"The chance that all of {sites} stands before {answer.asked.deployed_by} is {chance.share:.0%} "
        f"(of {len(ramps.ready):,} ramps drawn); the last block waits for the {worst.step} of {worst.site} "
        f"in {worst.share:.0%} of them."
    )


def tables(answer: PortfolioAnswer) -> list[Table]:
    """All tables of a plan, those of no rows left out."""
    found = []
    if answer.plan is not None:
        found += [cost_table(answer), quarter_table(answer), purchase_table(answer), use_table(answer)]
        found += [option_table(answer)] if answer.options else []
    found += [generation_table(answer)] if answer.generations else []
    found.append(price_table(answer))
    found += [table for table in (token_table(answer), run_table(answer)) if table.rows]
    found += [deal_table(answer.deal), cpu_table(answer.deal)] if answer.deal is not None else []
    return found + ([owning_table(answer.owning)] if answer.owning is not None else [])


def texts(answer: PortfolioAnswer) -> list[str]:
    """Sentences that stand under the tables."""
    said = [chance_text(answer)]
    if answer.deal is not None:
        said += deal_text(answer.deal)
    lost = dict.fromkeys(
        f"{w.stream} does not run on {w.sku}: {w.words}" for w in answer.works if not w.rate and w.words
    )
    return [text for text in [*said, *lost] if text]


def portfolio_view(answer: PortfolioAnswer) -> list[RenderableType]:
    """What to buy, for a terminal."""
    parts: list[RenderableType] = [Text("What to buy", style="bold")]
    if answer.infeasible:
        parts.append(f"not feasible: {answer.infeasible}")
    facts = Table("", ("", ""), summary_rows(answer), 2)
    parts.append(grid(facts, headed=False))
    parts += titled(tables(answer))
    return parts + [x for text in texts(answer) for x in ("", text)]


def titled(shown: list[Table]) -> list[RenderableType]:
    """Tables under their titles, with their notes."""
    parts: list[RenderableType] = []
    for table in shown:
        parts += ["", Text(table.title, style="bold"), grid(table)]
        if table.note:
            parts.append(table.note)
    return parts
