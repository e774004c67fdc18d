"""SkyPilot's price lists: each provider's order of columns, and the traps in them, none of them hidden."""

from __future__ import annotations

from time import perf_counter

import pytest

from armillary import catalog
from armillary.errors import InputError
from armillary.interop import read_skypilot
from armillary.interop.skypilot import KNOWN

AWS = """\
InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,GpuInfo,Price,SpotPrice,Region,AvailabilityZone,Arch
m8g.xlarge,,,4.0,16.0,,0.17952,0.066500,us-east-1,use1-az6,arm64
p5.48xlarge,H100,8.0,192.0,2048.0,"{'Gpus': [1], 'x': 1}",55.04,14.246,us-east-1,use1-az6,x86_64
p5.48xlarge,H100,8.0,192.0,2048.0,,75.9552,7.5955,ap-southeast-3,apse3-az1,x86_64
p5.48xlarge,H100,8.0,192.0,2048.0,,63.296,63.296,ca-central-1,cac1-az1,x86_64
p5e.48xlarge,H200,8.0,192.0,2048.0,,,17.4812,us-east-2,use2-az1,x86_64
"""
GCP = """\
InstanceType,vCPUs,MemoryGiB,AcceleratorName,AcceleratorCount,GpuInfo,Region,AvailabilityZone,Price,SpotPrice
a3-highgpu-8g,208.0,1872.0,,,,us-east4,us-east4-a,9.46006,2.15966
a3-highgpu-1g,26.0,234.0,,,,us-central1,us-central1-a,1.18251,0.36117
a2-megagpu-16g,96.0,1360.0,,,,us-central1,us-central1-a,8.79698,4.39824
n1-highmem-8,8.0,52.0,,,,us-central2,us-central2-b,0.47321,0.09962
,,,H100,8,{'Gpus': [{'MemoryInfo': {'SizeInMiB': 81920}}]},us-east4,us-east4-a,78.3724,17.8848
,,,H100,8,{'Gpus': [{'MemoryInfo': {'SizeInMiB': 81920}}]},europe-west2,europe-west2-b,89.34456,11.072
,,,H100,1,{'Gpus': [{'MemoryInfo': {'SizeInMiB': 81920}}]},us-central1,us-central1-a,4.20076,2.9926
,,,H100,1,{'Gpus': [{'MemoryInfo': {'SizeInMiB': 81920}}]},asia-northeast3,asia-northeast3-a,12.58073,2.4847
,,,A100-80GB,1,{'Gpus': [{'MemoryInfo': {'SizeInMiB': 81920}}]},us-central1,us-central1-a,1.8462,1.964
,,,tpu-v6e-256,1,tpu-v6e-256,us-central1,us-central1-a,691.2,139.31725
,,,tpu-v6e-256,1,tpu-v6e-256,us-central2,us-central2-b,700.0,700.0
,,,tpu-v6e-256,1,tpu-v6e-256,southamerica-west1,southamerica-west1-a,691.2,700.0
,,,tpu-v5p-8,1,tpu-v5p-8,us-central1,us-central1-a,16.8,3.3428
,,,tpu-v6e-256,1,tpu-v6e-256,us-central1,us-central1-a,691.2,139.31725
,,,tpu-v9x-8,1,tpu-v9x-8,us-central1,us-central1-a,16.8,3.3428
"""
NEBIUS = """\
InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,Price,Region,GpuInfo,SpotPrice
cpu-d3_4vcpu-16gb,,0,4,16,0.0992,eu-north1,,
gpu-h100-sxm_8gpu-128vcpu-1600gb,H100,8,128,1600,23.60,eu-north1,"{'Gpus': [{'Name': 'H100'}]}",10.00
"""


def by_place(found) -> dict:
    return {(p.instance, p.region): p for p in found.accelerator_prices}


def said(found, words: str) -> tuple[int, ...]:
    return next(remark.lines for remark in found.remarks if words in remark.what)


def dollars(price: float | None) -> float | None:
    return None if price is None else price * 3600


def test_aws():
    found = read_skypilot(AWS, "aws")
    assert [row.line for row in found.rows] == [2, 3, 4, 5, 6]
    assert found.rows[0].memory == 16 * 2**30
    prices = by_place(found)
    assert len(prices) == 4
    east = prices["p5.48xlarge", "us-east-1"]
    assert (dollars(east.price), dollars(east.spot)) == pytest.approx((6.88, 1.78075))
    assert prices["p5.48xlarge", "ap-southeast-3"].spot is None
    assert said(found, "exactly a tenth") == (4,)
    assert said(found, "is the list's; kept") == (5,)
    late = prices["p5e.48xlarge", "us-east-2"]
    assert late.price is None
    assert dollars(late.spot) == pytest.approx(2.18515)
    assert said(found, "none on demand") == (6,)


def test_googles_hosts_and_accelerators_are_two_rows_of_one_price():
    found = read_skypilot(GCP, "gcp")
    prices = by_place(found)
    assert [row.part for row in found.rows[:5]] == ["host"] * 3 + ["whole", "accelerator"]
    east = prices["a3-highgpu-8g", "us-east4"]
    assert dollars(east.price) == pytest.approx((9.46006 + 78.3724) / 8)
    assert dollars(east.spot) == pytest.approx((2.15966 + 17.8848) / 8)
    assert east.lines == (6, 2)
    assert ("H100", "europe-west2") not in {(p.accelerator, p.region) for p in found.accelerator_prices}
    assert said(found, "accelerators whose host has no price") == (7, 9, 10)
    assert said(found, "a host alone") == (4,)
    # Google lists the H100 of us-east4 at 10.98 USD an hour, host included.
    assert dollars(east.price) == pytest.approx(10.98, abs=0.01)


def test_googles_prices_that_are_none():
    found = read_skypilot(GCP, "gcp")
    assert said(found, "700 stands for unknown") == (12, 13)
    assert said(found, "no price at all") == (12,)
    west = by_place(found)["tpu-v6e-256", "southamerica-west1"]
    assert dollars(west.price) == pytest.approx(2.70)
    assert west.spot is None
    assert said(found, "above the list's") == (10,)
    assert said(found, "below half of that in the dearest region") == (8,)
    assert said(found, "a second row for the same") == (15,)


def test_tpus_are_counted_in_chips():
    found = read_skypilot(GCP, "gcp")
    prices = by_place(found)
    assert prices["tpu-v6e-256", "us-central1"].accelerators == 256
    assert prices["tpu-v5p-8", "us-central1"].accelerators == 4
    assert said(found, "counts cores") == (14,)
    assert said(found, "does not tell how many chips") == (16,)
    assert not any("v9x" in p.accelerator for p in found.accelerator_prices)
    for name, accelerator in (("v6e", "tpu-v6e"), ("v5p", "tpu-v5p")):
        known = catalog.load().price(accelerator, terms="on-demand", provider="google")
        assert known is not None
        mine = next(
            p for p in found.accelerator_prices if name in p.accelerator and p.region == "us-central1"
        )
        assert mine.price == pytest.approx(known.price)


def test_names_lead_to_the_catalogs_accelerators():
    known = catalog.load().accelerators
    assert set(KNOWN.values()) <= set(known)
    found = {p.accelerator: p.catalog_name for p in read_skypilot(GCP, "gcp").accelerator_prices}
    assert found == {"H100": "h100", "tpu-v6e-256": "tpu-v6e", "tpu-v5p-8": "tpu-v5p"}
    # A bare A100 has 40 GB there and 80 in the catalog's names; PCIe cards are not in the catalog.
    plain = NEBIUS.replace("H100,8", "A100,8")
    assert [p.catalog_name for p in read_skypilot(plain, "lambda").accelerator_prices] == ["a100-40"]
    assert catalog.load().accelerator("A100").name == "a100-80"
    assert [p.catalog_name for p in read_skypilot(NEBIUS, "runpod").accelerator_prices] == [""]
    card = NEBIUS.replace("gpu-h100-sxm", "gpu_1x_h100_pcie")
    assert [p.catalog_name for p in read_skypilot(card, "lambda").accelerator_prices] == [""]


def test_700_is_a_price_elsewhere():
    text = AWS.replace("55.04,14.246", "700.0,100.0")
    assert dollars(read_skypilot(text, "aws").rows[1].price) == pytest.approx(700)


def test_a_list_without_zones():
    found = read_skypilot("\ufeff" + NEBIUS, "nebius")
    (only,) = found.accelerator_prices
    assert (dollars(only.price), dollars(only.spot), only.zone) == (
        pytest.approx(2.95),
        pytest.approx(1.25),
        "",
    )
    assert found.remarks == ()


def test_the_shipped_offers_are_those_of_the_list():
    offers = catalog.load().offers
    east = by_place(read_skypilot(AWS, "aws"))["p5.48xlarge", "us-east-1"]
    assert offers["aws-p5-on-demand"].price == pytest.approx(east.price)
    assert offers["aws-p5-spot"].price == pytest.approx(east.spot, rel=1e-4)
    (only,) = read_skypilot(NEBIUS, "nebius").accelerator_prices
    assert offers["nebius-h100-on-demand"].price == pytest.approx(only.price)


def test_remarks_are_words_with_their_lines():
    words = [str(remark) for remark in read_skypilot(GCP, "gcp").remarks]
    assert words[0].startswith("3 rows (line 7, 9, 10): accelerators whose host has no price there")


def test_a_long_list_is_read_in_no_time():
    text = AWS + "".join(AWS.splitlines(keepends=True)[1:]) * 8000
    start = perf_counter()
    assert len(read_skypilot(text, "aws").rows) == 5 * 8001
    assert perf_counter() - start < 10


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "list.csv:1: lacks the column 'InstanceType'; the header is empty"),
        (AWS.replace(",SpotPrice", ",SpotPrise"), "list.csv:1: lacks the column 'SpotPrice'; did you mean"),
        (AWS.replace(",Arch", ",Price"), "list.csv:1: has the column 'Price' twice"),
        (
            AWS.replace("55.04", "n/a"),
            "list.csv:3: Price is 'n/a'; expected a number of 0 or more, or nothing",
        ),
        (AWS.replace("75.9552", "-1"), "list.csv:4: Price is '-1'"),
        (AWS.replace("2048.0,,75", "inf,,75"), "list.csv:4: MemoryGiB is 'inf'"),
        (AWS.replace("H200,8.0", "H200,"), "list.csv:6: AcceleratorCount is '' for 'H200'"),
        (AWS.replace("m8g.xlarge", ""), "list.csv:2: InstanceType and AcceleratorName are both empty"),
        (AWS.replace("us-east-2", ""), "list.csv:6: Region is empty"),
        (AWS + "p5,H100\n", "list.csv:7: 2 fields; expected 10 or more, as in the header"),
        (AWS.splitlines()[0] + "\n", "list.csv: no rows below the header"),
        (AWS + '"open', "list.csv:7: unexpected end of data; expected a table in CSV"),
    ],
)
def test_what_cannot_be_read_says_where(text, message):
    with pytest.raises(InputError) as error:
        read_skypilot(text, "aws", "list.csv")
    assert str(error.value).startswith(message)
