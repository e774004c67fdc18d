"""What to buy, as plain data in SI units."""

from __future__ import annotations

from typing import Any

from armillary.portfolio import Plan, Worth
from armillary.twin import Explained, PortfolioAnswer
from armillary.twin.portfolio_tallies import unmet_share


def portfolio_json(answer: PortfolioAnswer) -> dict[str, Any]:
    """Everything of the portfolio part of a report."""
    asked, programme = answer.asked, answer.programme
    return {
        "quarters": list(answer.labels),
        "discount": asked.calendar.discount,
        "futures": asked.futures.size,
        "infeasible": answer.infeasible or None,
        "plan": None if answer.plan is None else _plan(answer, answer.plan),
        "demand": [
            {
                "stream": d.name,
                "unit": d.unit,
                "priority": d.priority,
                "penalty_usd_per_unit": d.penalty,
                "cluster": d.cluster,
                "by_quarter_and_future": d.amount.tolist(),
            }
            for d in programme.demands
        ],
        "work": [{**w._asdict(), "words": w.words or None} for w in answer.works],
        "reference": answer.reference,
        "accelerators_wanted": answer.wanted.tolist(),
        "prices": [
            {
                "offer": p.offer,
                "source": p.source,
                "usd_per_unit_s": p.unit,
                "usd_per_unit_of_work": dict(p.work),
                "usd_per_million_tokens": dict(p.million_tokens),
                "usd_per_run": dict(p.run),
            }
            for p in answer.prices
        ],
        "generations": [
            {
                "name": g.name,
                "flop": g.flop,
                "source": g.source,
                "from": answer.labels[g.starts],
                "to": answer.labels[g.ends - 1],
                "accelerators": g.accelerators,
                "network": g.network or None,
                "unmet": g.unmet,
            }
            for g in answer.generations
        ],
        "deployment": _deployment(answer),
        "deal": _deal(answer),
        "owning": _owning(answer),
        "options": [
            {"name": name, **_worth(worth), "by_future_usd": worth.by_future.tolist()}
            for name, worth in answer.options
        ],
    }


def _plan(answer: PortfolioAnswer, plan: Plan) -> dict[str, Any]:
    labels = answer.labels
    return {
        "status": plan.status,
        "objective_usd": plan.objective,
        "bound_usd": plan.bound,
        "gap": plan.gap,
        "seconds": plan.seconds,
        "expected_usd": plan.expected,
        "cvar_usd": plan.cvar,
        "by_future_usd": plan.by_future.tolist(),
        "costs_usd": {**plan.costs._asdict(), "total": plan.costs.total},
        "signed": [s._asdict() for s in plan.signed],
        "opened": list(plan.opened),
        "networks": dict(plan.homes),
        "purchases": [
            {
                **p._asdict(),
                "start": labels[p.start],
                "end": labels[p.end] if p.end < len(labels) else None,
                "cost": p.cost,
            }
            for p in plan.purchases
        ],
        "exercised": {name: taken.tolist() for name, taken in plan.exercised.items()},
        "used": {o.name: plan.used[i].tolist() for i, o in enumerate(answer.programme.offers)},
        "busy": plan.busy.tolist(),
        "unmet": unmet_share(answer.programme, plan),
        "accelerators": {name: amount.tolist() for name, amount in answer.capacity.items()},
        "spend_usd": {name: amount.tolist() for name, amount in answer.spending.items()},
    }


def _deployment(answer: PortfolioAnswer) -> dict[str, Any] | None:
    ramps, chance = answer.ramps, answer.chance
    if ramps is None:
        return None
    return {
        "ramps": len(ramps.ready),
        "before": answer.asked.deployed_by or None,
        "chance": None if chance is None else chance._asdict(),
        "levels": [0.05, 0.25, 0.5, 0.75, 0.95],
        "accelerators": ramps.fan((0.05, 0.25, 0.5, 0.75, 0.95)).tolist(),
        "waited_for": [c._asdict() for c in ramps.critical],
    }


def _deal(answer: PortfolioAnswer) -> dict[str, Any] | None:
    deal = answer.deal
    if deal is None:
        return None
    return {
        "contract": deal.contract,
        "total_usd": deal.total,
        "years": deal.years,
        "usd_per_year": deal.yearly,
        "all_stands_in": deal.full,
        "quarters": list(deal.labels),
        "fleet": deal.fleet,
        "bought": [
            {
                "usd_per_accelerator_s": b.price,
                "source": b.source,
                "accelerators": b.accelerators.tolist(),
                "beside_ten_million_vcpus": b.beside_cpus.tolist(),
            }
            for b in deal.bought
        ],
        "ten_million_vcpus": [
            {"price": c.name, "usd_per_vcpu_s": c.price, "usd_per_year": c.yearly, "source": c.source}
            for c in deal.cpus
        ],
    }


def _owning(answer: PortfolioAnswer) -> dict[str, Any] | None:
    owning = answer.owning
    if owning is None:
        return None
    return {
        "usd_per_accelerator_s": owning.cost,
        "utilisation": owning.utilisation,
        "rents": [
            {"offer": name, "usd_per_accelerator_s": price, "owning_cheaper_above": least}
            for price, name, least in owning.rents
        ],
        "swings_usd_per_h": [s._asdict() for s in owning.swings],
    }


def _worth(worth: Worth) -> dict[str, Any]:
    return {"value_usd": worth.value, "proven_usd": list(worth.between)}


def explained_json(found: Explained) -> dict[str, Any]:
    """Why the plan is as it is."""
    return {
        "signed_against_free": None if found.signed is None else _worth(found.signed),
        "clauses": [{"clause": c.clause, **_worth(c.cost)} for c in found.clauses],
        "single_provider_regrets": [
            {"provider": r.strategy, "regret_usd": r.regret, "feasible": r.plan is not None}
            for r in found.regrets
        ],
        "providers_added": [
            {"provider": a.provider, "saves_usd": a.saves, "objective_usd": a.plan.objective}
            for a in found.added
        ],
        "walk_away": {
            "provider": found.incumbent,
            "why_not": found.why_not or None,
            **({} if found.keeps is None else found.keeps._asdict()),
        },
        "shadow_prices": [p._asdict() for p in found.prices],
    }
