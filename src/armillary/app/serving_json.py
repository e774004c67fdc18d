"""What is served, as plain data in SI units."""

from __future__ import annotations

from dataclasses import fields
from math import isfinite
from typing import Any

from armillary.serving import Sized
from armillary.twin import Placed, QuarterRow, ServedAnswer, ServedQuarter, ServingAnswer, SizedPlace


def serving_json(serving: ServingAnswer) -> dict[str, Any]:
    """Everything of the serving part of a report."""
    return {
        "horizon": {"from": serving.horizon.start, "quarters": serving.horizon.quarters},
        "workloads": [_workload(w) for w in serving.workloads],
        "quarters": [_quarter(row) for row in serving.quarters],
        "agents": [
            {
                "workload": a.workload,
                "from": a.start,
                "tasks_per_s": a.tasks,
                **a.fleet._asdict(),
                "vcpus": a.fleet.vcpus,
                "host_vcpus": a.host_vcpus,
            }
            for a in serving.agents
        ],
        "facts": [{"name": f.name, **f.fact._asdict()} for f in serving.facts],
    }


def _workload(answer: ServedAnswer) -> dict[str, Any]:
    w, d = answer.workload, answer.workload.demand
    mean = d.lengths.mean
    return {
        "name": w.name,
        "model": w.model_name,
        "precision": w.precision,
        "engine": w.engine,
        "drafts": w.drafts,
        "headroom": w.headroom,
        "priority": w.priority,
        "targets": {
            name: {"percentile": at, "seconds": value} if isfinite(value) else None
            for name, value, at in zip(
                ("ttft", "tpot", "e2e"), w.targets.limits, w.targets.percentiles, strict=True
            )
        },
        "demand": {
            "messages_per_s": d.messages,
            "peak_over_mean": d.shape.peak_over_mean,
            "from": d.since,
            "growth": list(d.growth),
            "stream": d.stream or None,
            "source": d.source,
            "assumed": list(d.assumed),
            "reuse": d.reuse,
            "tokens_per_message": mean._asdict(),
            "input_tokens_per_s": d.messages * mean.input,
            "output_tokens_per_s": d.messages * mean.output,
            "cached_tokens_per_s": d.messages * mean.cached,
        },
        "infeasible": answer.infeasible or None,
        "sizes": [_size(place) for place in answer.sizes],
    }


def _size(place: SizedPlace) -> dict[str, Any]:
    return {
        "cluster": place.place.cluster,
        "system": place.place.system,
        "asked_mean_per_s": place.asked.mean,
        "asked_peak_per_s": place.asked.peak,
        "price_usd_per_accelerator_s": place.price,
        "latency": [one._asdict() for one in place.latency],
        "deployments": [_sized(one) for one in place.deployments],
        "infeasible": place.infeasible or None,
        "assumed": place.assumed or None,
    }


def _sized(one: Sized) -> dict[str, Any]:
    names = [f.name for f in fields(one)]
    plain = {k: v for k in names if isinstance(v := getattr(one, k), str | int | float)}
    layouts = {"layout": one.layout, "prefill": one.prefill}
    return plain | {
        name: None if layout is None else {k: int(v) for k, v in layout._asdict().items()}
        for name, layout in layouts.items()
    }


def _quarter(row: QuarterRow) -> dict[str, Any]:
    return {
        "from": row.start,
        "ready": [{"system": p.system.name, "domains": p.domains} for p in row.ready],
        "domains": row.domains,
        "accelerators": row.accelerators,
        "host_vcpus": row.host_vcpus,
        "serving_domains": row.serving_domains,
        "demanded_domains": row.demanded_domains,
        "for_training_domains": row.for_training,
        "for_training_accelerator_s": row.for_training_time,
        "training_domains": row.training_domains,
        "training_accelerator_s": row.training_time,
        "left_domains": row.left_domains,
        "serving": [_served(s) for s in row.serving],
        "training": [
            {"name": t.name, "domains": t.domains, "time_s": t.time, "done": t.done} for t in row.training
        ],
    }


def _served(s: ServedQuarter) -> dict[str, Any]:
    percentiles = sorted({one.percentile for p in s.placed for one in p.at.latency})
    cost, served = s.cost, s.served
    return {
        "workload": s.workload.name,
        "messages": s.messages,
        "messages_served": served,
        "peak_per_s": s.peak,
        "missing_per_s": s.missing,
        "lacking_domains": s.lacking,
        "lacking_system": s.lacking_system or None,
        "domains": s.domains,
        "placed": [_placed(p) for p in s.placed],
        "cost_usd": cost,
        "usd_per_million_tokens": cost / s.tokens * 1e6 if cost is not None and served else None,
        "usd_per_message": cost / served if cost is not None and served else None,
        "energy_j": s.energy,
        "energy_j_per_message": s.energy / served if served else None,
        "latency": {
            f"p{at:g}": {what: s.latency(what, at) for what in ("ttft", "tpot", "e2e")} for at in percentiles
        },
    }


def _placed(p: Placed) -> dict[str, Any]:
    return {
        "cluster": p.at.place.cluster,
        "system": p.at.place.system,
        "replicas": p.replicas,
        "prefill_replicas": p.prefill_replicas,
        "accelerators": p.accelerators,
        "domains": p.domains,
        "peak_per_s": p.peak,
        "cost_usd": p.cost,
        "energy_j": p.energy,
    }
