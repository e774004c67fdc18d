"""``armillary run``: answer a scenario and write its report."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from armillary.app.options import catalog_option, echo_json, json_option, make_folder, read_scenario
from armillary.app.writing import write_file

EXAMPLE = """
\b
Examples:
  armillary run openai-aws --out out
  armillary run my-scenario.yaml --json > answer.json
"""


@click.command(epilog=EXAMPLE)
@click.argument("scenario")
@click.option(
    "--out", default=None, type=click.Path(path_type=Path), help="Folder for report.html and report.json."
)
@click.option(
    "--top", default=3, show_default=True, type=click.IntRange(1, 50), help="Layouts to show per workload."
)
@click.option(
    "--jobs", default=None, type=click.IntRange(1, 1024), help="Processes to use; default all cores."
)
@json_option
@catalog_option
def command(
    scenario: str, out: Path | None, top: int, jobs: int | None, as_json: bool, catalogs: tuple[Path, ...]
) -> None:
    """Answer a scenario: fleet by ring, training plans, what bounds them, what-ifs, serving by quarter.

    SCENARIO is the path of a YAML file or the name of a built-in one, such as openai-aws.
    """
    from armillary import catalog as catalog_room
    from armillary.app import console, report_view
    from armillary.twin import run

    if out is not None and out.exists() and not out.is_dir():
        raise click.BadParameter(f"{out} is a file; give a folder", param_hint="--out")
    known = catalog_room.load(*catalogs)
    asked = read_scenario(scenario, known)
    if out is not None:
        make_folder(out)
    if asked.serving and "serving" in asked.questions:
        console.say_if_compiling("running", "serving", "the request simulator")
    with console.progress(f"answering {asked.name}") as step:
        report = run(asked, known, top, step, jobs or os.cpu_count() or 1)
    if as_json:
        echo_json(report_view.report_json(report, top))
    else:
        console.out().print(report_view.report_view(report, top))
    if out is not None:
        import json

        from armillary.app.html_report import html_report
        from armillary.app.options import plain

        write_file(out / "report.html", html_report(report, top))
        write_file(
            out / "report.json", json.dumps(plain(report_view.report_json(report, top)), indent=2) + "\n"
        )
        click.echo(f"report: {out / 'report.html'}", err=True)
    if not report.feasible:
        for name, reason in report.infeasible:
            click.echo(f"{name}: {reason}", err=True)
        sys.exit(1)
