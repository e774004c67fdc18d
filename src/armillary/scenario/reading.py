"""Read a scenario file or a built-in one: all problems at once, each with line, column, cause and cure."""

from __future__ import annotations

from pathlib import Path as FilePath
from typing import Any

import numpy as np
import yaml
from pydantic import ValidationError

from armillary.catalog import Catalog
from armillary.errors import CatalogError, ScenarioError
from armillary.scenario.field_errors import field_problems
from armillary.scenario.files import builtin, mapping, written
from armillary.scenario.resolve import resolve
from armillary.scenario.scenario import Scenario
from armillary.scenario.schema import ScenarioSpec
from armillary.scenario.yaml_source import Path, Problem, Source, as_mapping, printable, read_yaml
from armillary.serving.diurnal import DAY


def builtin_names() -> list[str]:
    """Names of the scenarios that come with the package."""
    return builtin("scenario")


def read(where: str, catalog: Catalog) -> Scenario:
    """Read a scenario from a file, or a built-in one by its name.

    Raises
    ------
    ScenarioError
        With one line a problem: ``file:line:column: error: field: cause``, and hints.
    """
    text, name, folder = written(where, "scenario")
    return parse(text, name, catalog, folder)


def parse(text: str, name: str, catalog: Catalog, folder: FilePath) -> Scenario:
    """Read a scenario from text; `folder` is what paths in it are relative to.

    Raises
    ------
    ScenarioError
        As `read`.
    """
    source = mapping(text, name, "scenario")
    try:
        spec = ScenarioSpec.model_validate(source.data)
    except ValidationError as error:
        problems = field_problems(error, source, ScenarioSpec) + _unknown_systems(source, catalog)
        raise ScenarioError(source.render(problems)) from None
    scenario, problems = resolve(spec, catalog, folder)
    if scenario is None:
        raise ScenarioError(source.render(problems))
    return scenario


def _unknown_systems(source: Source, catalog: Catalog) -> list[Problem]:
    """Systems that the catalog does not have, looked up even where other fields are wrong."""
    found = []
    for name, cluster in as_mapping(as_mapping(source.data).get("clusters")).items():
        partitions = as_mapping(cluster).get("partitions")
        for i, part in enumerate(partitions if isinstance(partitions, list) else ()):
            system = as_mapping(part).get("system")
            if isinstance(system, str) and system:
                try:
                    catalog.system(system)
                except CatalogError as error:
                    found.append(Problem(("clusters", name, "partitions", i, "system"), str(error)))
    return found


def as_understood(scenario: Scenario) -> str:
    """The scenario as YAML: defaults filled in and marked, totals of clusters and workloads as comments."""
    lines = []
    for cluster in scenario.clusters.values():
        m = cluster.machine
        lines.append(
            f"# cluster {cluster.name}: {m.accelerators:,} accelerators in {m.domains:,} scale-up domains"
        )
        if cluster.price is not None:
            lines.append(f"#   {cluster.price * 3600:.4g} USD per accelerator-hour ({cluster.price_source})")
    for w in scenario.workloads.values():
        lines.append(
            f"# workload {w.name}: {w.slice.accelerators:,} {w.slice.accelerator.name}, "
            f"{w.global_batch:,} sequences of {w.sequence:,} tokens a step"
        )
    for served in scenario.serving.values():
        d, mean = served.demand, served.demand.lengths.mean
        lines.append(
            f"# workload {served.name}: {d.messages * DAY:,.4g} messages a day in {d.since} "
            f"({d.source}), {mean.input:,.0f} tokens in and {mean.output:,.0f} out each"
        )
    bought = scenario.purchasing
    if bought is not None:
        lines.append(
            f"# portfolio: {bought.calendar.quarters} quarters from {bought.quarters.labels[0]}, "
            f"{bought.futures.size} futures, {len(bought.offers)} offers"
        )
        lines += [
            f"#   {o.offer.name}: {np.ravel(o.offer.price)[0] * 3600:.4g} USD per unit-hour ({o.source})"
            for o in bought.offers
        ]
    if scenario.serving and scenario.horizon is not None:
        lines.append(f"# planned: {scenario.horizon.quarters} quarters from {scenario.horizon.start}")
    body: str = yaml.safe_dump(dict(scenario.as_written), sort_keys=False, allow_unicode=True, width=100)
    return "\n".join([printable(line) for line in lines] + _marked(body, scenario.defaults))


def _marked(body: str, defaults: frozenset[Path]) -> list[str]:
    """Lines of `body`, a comment behind each field that is a default."""
    lines = [*body.splitlines(), ""]
    for path, (line, _) in read_yaml(body, "").keys.items():
        if path in defaults:
            lines[line - 1] += "  # default"
    return lines


def json_schema() -> dict[str, Any]:
    """JSON schema of a scenario file, for editors."""
    return ScenarioSpec.model_json_schema(by_alias=True)
