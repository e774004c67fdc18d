"""Offers of the catalog from a price list of SkyPilot: read back as the catalog, and taken by region."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from armillary import catalog
from armillary.app.cli import main
from armillary.errors import InputError
from armillary.interop import read_skypilot, skypilot_offers
from armillary.scenario import parse

OCI = """\
InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,Price,SpotPrice,Region,AvailabilityZone
VM.GPU.GB200.4,GB200,4,144,960,60,,us-east,a
VM.GPU.GB200.4,GB200,4,144,960,44,20,us-west,a
VM.GPU.GB200.4,GB200,4,144,960,48,16,us-west,b
BM.GPU.H100.8,H100,8,112,2048,80,8,us-west,a
VM.GPU.T4,T4,1,4,16,1,0.5,us-west,a
"""
SCENARIO = """\
name: bought
clusters: {lab: {provider: aws, price: 3 USD/h, partitions: [{system: p6e-gb200, count: 40}]}}
workloads:
  base: {kind: training, model: llama-3.1-8b, cluster: lab, accelerators: 72, tokens: 1e11 token,
         global_batch: 512, sequence: 4096}
portfolio:
  from: 2026-01
  skus: {gb200: {system: p6e-gb200}}
  sites:
    east: {provider: oci, region: us-east}
    west: {provider: oci, region: us-west}
    any: {provider: oci}
  offers:
    east: {site: east, sku: gb200, kind: on-demand}
    west: {site: west, sku: gb200, kind: on-demand}
    any: {site: any, sku: gb200, kind: on-demand}
  training: {generations: {next: {like: base, ready: 2026-10, duration: 3 month}}}
"""


def offers(folder: Path, **asked: str) -> catalog.Catalog:
    path = folder / "offers.toml"
    found = read_skypilot(OCI, "oci")
    path.write_text(skypilot_offers(found, catalog.load(), "vms.csv", "2026-11", **asked))
    return catalog.load(path)


def test_the_cheapest_of_each_region_is_an_offer(tmp_path):
    known = offers(tmp_path)
    mine = {name: o for name, o in known.offers.items() if name not in catalog.load().offers}
    dollars = {name: pytest.approx(o.price * 3600) for name, o in mine.items()}
    assert dollars == {
        "oci-gb200-on-demand-us-east": 15,
        "oci-gb200-on-demand-us-west": 11,
        "oci-gb200-spot-us-west": 4,
        "oci-h100-on-demand-us-west": 10,  # its spot price is a placeholder; a T4 is not in the catalog
    }
    west = mine["oci-gb200-on-demand-us-west"]
    assert (west.provider, west.region, west.accelerator, west.system) == ("OCI", "us-west", "gb200", "")
    fact = west.facts["price"]
    assert (fact.kind, fact.date) == ("published", "2026-11")
    assert fact.source == "SkyPilot catalog: vms.csv, line 3"
    assert mine["oci-h100-on-demand-us-west"].system == "bm.gpu.h100.8"  # a system of the catalog


def test_a_region_or_a_provider_by_another_name(tmp_path):
    known = offers(tmp_path, region="us-east", provider="Big Red")
    mine = set(known.offers) - set(catalog.load().offers)
    assert mine == {"big red-gb200-on-demand-us-east"}
    assert known.price("gb200", provider="big red").price * 3600 == pytest.approx(15)
    with pytest.raises(
        InputError, match="no accelerator of the catalog in 'mars'; its regions: us-east, us-"
    ):
        offers(tmp_path, region="mars")


def test_googles_price_cites_both_rows():
    text = """\
InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,Price,SpotPrice,Region,AvailabilityZone
a3-highgpu-8g,,,208,1872,9.46,2.16,us-east4,a
,H100,8,,,78.37,17.88,us-east4,a
"""
    made = skypilot_offers(read_skypilot(text, "gcp"), catalog.load(), "vms.csv", "2026")
    assert 'provider = "Google"' in made
    assert 'source = "SkyPilot catalog: vms.csv, lines 2, 3"' in made


def test_a_site_takes_the_price_of_its_region(tmp_path):
    known = offers(tmp_path)
    asked = parse(SCENARIO, "b.yaml", known, Path()).purchasing
    prices = {o.offer.name: float(np.ravel(o.offer.price)[0]) * 3600 for o in asked.offers}
    assert prices == {"east": pytest.approx(15), "west": pytest.approx(11), "any": pytest.approx(11)}
    assert asked.offers[0].source == "catalog: oci-gb200-on-demand-us-east (published)"


def test_a_source_elsewhere_is_taken_before_an_assumption_of_the_region(tmp_path):
    guess = """[offers.guess]
provider = "OCI"
accelerator = "gb200"
terms = "on-demand"
region = "us-mars"
price = { value = "1 USD/h", kind = "assumed", source = "a test", date = "2026-11", note = "made up" }
"""
    (tmp_path / "guess.toml").write_text(guess)
    offers(tmp_path)
    known = catalog.load(tmp_path / "offers.toml", tmp_path / "guess.toml")
    asked = {"terms": "on-demand", "provider": "oci"}
    assert known.price("gb200", region="us-mars", **asked).name == "oci-gb200-on-demand-us-west"
    assert known.price("gb200", region="us-east", **asked).name == "oci-gb200-on-demand-us-east"


def call(capsys, *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as done:
        main(["catalog", "skypilot", *arguments])
    said = capsys.readouterr()
    return int(done.value.code or 0), said.out, said.err


def test_the_command_prints_offers_and_says_what_is_odd(tmp_path, capsys):
    path = tmp_path / "vms.csv"
    path.write_text(OCI)
    code, out, err = call(capsys, str(path), "--provider", "oci", "--date", "2026-11")
    assert code == 0
    assert out == skypilot_offers(read_skypilot(OCI, "oci"), catalog.load(), "vms.csv", "2026-11")
    what = "the spot price is exactly a tenth of the list's, a placeholder; dropped"
    assert err == f"{path}: 1 row (line 5): {what}\n"


@pytest.mark.parametrize("date", ["2026-13", "26-11", "2026-1", "20261128", "November"])
def test_a_wrong_date_is_refused(date, tmp_path, capsys):
    (tmp_path / "vms.csv").write_text(OCI)
    code, out, err = call(capsys, str(tmp_path / "vms.csv"), "--provider", "oci", "--date", date)
    assert (code, out) == (2, "")
    assert "write a year, a month or a day, such as 2026-11" in err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read"),
        (b"\xff\xfe", "is not UTF-8 text"),
        (b"a,b\n1,2\n", "lacks the column 'InstanceType'"),
        (b"InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,Price,SpotPrice,Region\nx,,,4,8,1,,a\n",
         "prices no accelerator of the catalog"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_price_list_is_refused(content, message, tmp_path, capsys):
    path = tmp_path / "vms.csv"
    if content is not None:
        path.write_bytes(content)
    code, out, err = call(capsys, str(path), "--provider", "oci", "--date", "2026")
    assert (code, out) == (2, "")
    assert message in err
    assert "vms.csv" in err
