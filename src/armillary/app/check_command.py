"""``armillary check``: is a scenario file right, and what does it mean."""

from __future__ import annotations

from pathlib import Path

import click

from armillary.app.options import catalog_option, echo_json, json_option, read_scenario

EXAMPLE = """
\b
Examples:
  armillary check my-scenario.yaml
  armillary check openai-aws > start.yaml
  armillary check --schema > scenario.schema.json
  armillary check --deployment my-deployment.yaml
"""


@click.command(epilog=EXAMPLE)
@click.argument("scenario", required=False)
@click.option("--schema", is_flag=True, help="Print the JSON schema of scenario files, for editors.")
@click.option("--deployment", is_flag=True, help="The file is a deployment, of `serve simulate`.")
@json_option
@catalog_option
def command(
    scenario: str | None, schema: bool, deployment: bool, as_json: bool, catalogs: tuple[Path, ...]
) -> None:
    """Check a scenario file and print it as understood, defaults included.

    SCENARIO is a path or the name of a built-in scenario. With --deployment it is a file of pools and
    traffic, or the name of a built-in one; whether it is right is all that is said.
    """
    from armillary.scenario import as_understood, json_schema

    if deployment and (schema or as_json):
        raise click.UsageError(
            f"--{'schema' if schema else 'json'} is of scenarios; a deployment is only checked"
        )
    if schema:
        echo_json(json_schema())
        return
    if scenario is None:
        raise click.UsageError(f"give a {'deployment' if deployment else 'scenario, or --schema'}")
    from armillary import catalog as catalog_room

    if deployment:
        from armillary.scenario.deployment_file import read_deployment

        read_deployment(scenario, catalog_room.load(*catalogs))
        click.echo(f"{scenario}: no problems found", err=True)
        return
    found = read_scenario(scenario, catalog_room.load(*catalogs))
    if as_json:
        echo_json(found.as_written)
    else:
        click.echo(as_understood(found), nl=False)
    click.echo(f"{found.name}: no problems found", err=True)
