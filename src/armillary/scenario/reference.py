"""The reference of scenario files as Markdown, made from the schema: the fields exist in one place only."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from armillary.scenario import portfolio_spec
from armillary.scenario.reading import ENTRIES, INSIDE, KINDS
from armillary.scenario.schema import NetworkSpec, ScenarioSpec


def reference() -> str:
    """Tables of every field: name, default, meaning."""
    parts: list[tuple[str, Any]] = [("the file", ScenarioSpec)]
    parts += [(f"an entry of `{name}`", part) for name, part in ENTRIES.items()]
    parts += [(f"an entry of `workloads`, `kind: {name}`", part) for name, part in KINDS.items()]
    parts += [(f"`{name}`", part) for name, part in INSIDE.items()]
    parts.append(("`portfolio`", portfolio_spec.PortfolioSpec))
    parts += [
        (f"an entry of `{name}` of the portfolio", part) for name, part in portfolio_spec.TABLES.items()
    ]
    parts += [(f"`{name}` of the portfolio", part) for name, part in portfolio_spec.INSIDE.items()]
    lines: list[str] = []
    for title, part in parts:
        lines += [f"### {title[0].upper()}{title[1:]}", "", "| field | default | meaning |", "|---|---|---|"]
        for name, field in part.model_fields.items():
            default = "needed" if field.is_required() else _default(field.default)
            lines.append(f"| `{field.alias or name}` | {default} | {field.description} |")
        lines.append("")
    return "\n".join(lines)


def _default(value: object) -> str:
    if value is None or value == "" or value == () or value == {}:
        return ""
    if isinstance(value, NetworkSpec):
        return "one flat ring"
    if isinstance(value, BaseModel):
        return "its own defaults"
    return ", ".join(map(str, value)) if isinstance(value, tuple) else f"{value}"
