"""``armillary catalog skypilot``: offers of the catalog from a price list of SkyPilot."""

from __future__ import annotations

from datetime import date as Date
from pathlib import Path

import click

EXAMPLE = """
\b
Examples:
  armillary catalog skypilot catalogs/v8/aws/vms.csv --provider aws --date 2026-11 > aws.toml
  armillary portfolio mine.yaml --catalog aws.toml
"""


def _dated(context: click.Context, option: click.Parameter, text: str) -> str:
    """Take a year, a month or a day."""
    try:
        Date.fromisoformat((text + "-01-01")[:10])
    except ValueError:
        text = ""
    if len(text) not in (4, 7, 10):
        raise click.BadParameter("write a year, a month or a day, such as 2026-11")
    return text


@click.command("skypilot", epilog=EXAMPLE)
@click.argument("prices", metavar="VMS.CSV", type=click.Path(path_type=Path))
@click.option("--provider", required=True, help="Folder of the list: aws, azure, gcp, lambda, oci, ...")
@click.option("--date", required=True, callback=_dated, help="Of the list: a year, a month or a day.")
@click.option("--region", default="", help="Offers of this region alone.")
@click.option("--as", "name", default="", help="Provider in the offers; default as the catalog's name it.")
def command(prices: Path, provider: str, date: str, region: str, name: str) -> None:
    """Make offers of a price list of SkyPilot, as TOML for `--catalog`.

    The cheapest of each accelerator, on demand and spot, in each region. What is odd in the list, and what
    was done with it, is said on stderr.
    """
    from armillary.catalog import load
    from armillary.errors import InputError
    from armillary.interop import read_skypilot, skypilot_offers

    try:
        text = prices.read_text("utf-8")
    except OSError as error:
        raise InputError(f"{prices}: cannot be read ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{prices}: is not UTF-8 text ({error.reason})") from error
    found = read_skypilot(text, provider, str(prices))
    click.echo(skypilot_offers(found, load(), prices.name, date, name, region), nl=False)
    for remark in found.remarks:
        click.echo(f"{prices}: {remark}", err=True)
