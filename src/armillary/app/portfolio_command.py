"""``armillary portfolio``: what to buy, from whom, when, under which contract."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from armillary.app.options import (
    FiniteRange,
    catalog_option,
    echo_json,
    json_option,
    make_folder,
    read_scenario,
)
from armillary.app.writing import write_figure

if TYPE_CHECKING:
    from armillary.scenario import Scenario
    from armillary.twin import PortfolioAnswer

EXAMPLE = """
\b
Examples:
  armillary portfolio openai-aws --svg charts
  armillary portfolio mine.yaml --explain --time-limit 30
  armillary portfolio mine.yaml --compare other.yaml --json
"""


@click.command(epilog=EXAMPLE)
@click.argument("scenario")
@click.option("--explain", "why", is_flag=True, help="Worth of clauses, providers, prices.")
@click.option("--compare", "other", metavar="SCENARIO", help="A second scenario, or variant, side by side.")
@click.option("--svg", default=None, type=click.Path(path_type=Path), help="Folder for the charts.")
@click.option(
    "--gap",
    default=0.25,
    show_default=True,
    type=FiniteRange(0.0001, 50),
    help="At which a search may stop [%].",
)
@click.option(
    "--time-limit",
    "limit",
    default=60.0,
    show_default=True,
    type=FiniteRange(0.1, 86400),
    help="Of each search [s]; the best plan and its gap are given.",
)
@click.option(
    "--jobs", default=None, type=click.IntRange(1, 1024), help="Processes to use; default all cores."
)
@json_option
@catalog_option
def command(
    scenario: str,
    why: bool,
    other: str | None,
    svg: Path | None,
    gap: float,
    limit: float,
    jobs: int | None,
    as_json: bool,
    catalogs: tuple[Path, ...],
) -> None:
    """Plan what to buy for a scenario's demand: a schedule with a proven gap, and what it is worth.

    SCENARIO is the path of a YAML file with a `portfolio`, or a built-in one, such as openai-aws.
    """
    from rich.console import Group

    from armillary import catalog as catalog_room
    from armillary.app import console
    from armillary.app.portfolio_explained_view import comparison_tables, explained_tables
    from armillary.app.portfolio_json import explained_json, portfolio_json
    from armillary.app.portfolio_page import figures
    from armillary.app.portfolio_view import portfolio_view, titled
    from armillary.app.report_view import stated_json
    from armillary.twin import explain

    if svg is not None and svg.exists() and not svg.is_dir():
        raise click.BadParameter(f"{svg} is a file; give a folder", param_hint="--svg")
    known = catalog_room.load(*catalogs)
    asked = [read_scenario(where, known) for where in (scenario, other) if where is not None]
    if svg is not None:
        make_folder(svg)
    found = [_answer(one, gap / 100, limit, jobs) for one in asked]
    first = found[0]
    reasons = None
    if why and first.plan is not None:
        with console.progress(f"explaining {asked[0].name}") as step:
            reasons = explain(first, gap / 100, limit, step)
    names = _names(scenario, other or "", asked)
    if as_json:
        answer = {**stated_json(asked[0]), **portfolio_json(first)}
        if reasons is not None:
            answer["explained"] = explained_json(reasons)
        if other is not None:
            answer = {"a": answer, "b": {**stated_json(asked[1]), **portfolio_json(found[1])}}
        echo_json(answer)
    else:
        parts = portfolio_view(first) if other is None else titled(comparison_tables(names, *found))
        console.out().print(Group(*parts, *(titled(explained_tables(reasons)) if reasons else [])))
    if svg is not None:
        for name, figure in figures(first).items():
            write_figure(svg / f"{name}.svg", figure)
    failed = [(name, one.infeasible) for name, one in zip(names, found, strict=False) if one.infeasible]
    for name, reason in failed:
        click.echo(f"{name}: {reason}", err=True)
    if failed:
        sys.exit(1)


def _answer(asked: Scenario, gap: float, limit: float, jobs: int | None) -> PortfolioAnswer:
    """Size, plan and solve."""
    from armillary.app import console
    from armillary.twin import plan_purchases

    if asked.serving:
        console.say_if_compiling("running", "serving", "the request simulator")
    with console.progress(f"planning {asked.name}") as step:
        return plan_purchases(asked, gap, limit, step, jobs or os.cpu_count() or 1)


def _names(first: str, second: str, asked: list[Scenario]) -> tuple[str, str]:
    """Names of scenarios, or of their files where they have one name."""
    names = [one.name for one in asked]
    return (names[0], names[1]) if len(set(names)) == 2 else (first, second)
