"""The reference of deployment files as Markdown, made from the schema: the fields exist in one place only."""

from __future__ import annotations

from pydantic import BaseModel

from armillary.scenario.deployment_schema import DeploymentSpec
from armillary.scenario.field_errors import models_inside


def deployment_reference() -> str:
    """Tables of every field: name, default, meaning; parts in the order in which they are first met."""
    parts: dict[str, type[BaseModel]] = {"the file": DeploymentSpec}
    for part in [*parts.values()]:
        _gather(part, parts)
    lines: list[str] = []
    seen: set[type[BaseModel]] = set()
    for title, part in parts.items():
        if part in seen:
            continue
        seen.add(part)
        lines += [f"### {title[0].upper()}{title[1:]}", "", "| field | default | meaning |", "|---|---|---|"]
        for name, field in part.model_fields.items():
            default = "needed" if field.is_required() else _default(field.default)
            lines.append(f"| `{field.alias or name}` | {default} | {field.description} |")
        lines.append("")
    return "\n".join(lines)


def _gather(part: type[BaseModel], parts: dict[str, type[BaseModel]]) -> None:
    for name, field in part.model_fields.items():
        for inside in models_inside(field.annotation):
            if inside not in parts.values():
                parts[f"`{field.alias or name}`"] = inside
                _gather(inside, parts)


def _default(value: object) -> str:
    if value is None or value == "" or value == () or isinstance(value, BaseModel):
        return ""
    return f"{value:g}" if isinstance(value, float) else f"{value}"
