"""The reference of a kind of file as Markdown, made from its schema: the fields exist in one place only."""

from __future__ import annotations

from pydantic import BaseModel

from armillary.scenario.schema import NetworkSpec
from armillary.scenario.schema_types import every_part


def reference(root: type[BaseModel]) -> str:
    """Tables of every field of files: name, default, meaning; outer parts first.

    Parameters
    ----------
    root : type of BaseModel
        Schema of the whole file: `ScenarioSpec` or `DeploymentSpec`.
    """
    lines: list[str] = []
    for title, part in every_part(root):
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
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else f"{value}"
