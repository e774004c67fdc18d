"""A user's own files: adding, overriding, deriving, and every way to get one wrong."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from armillary import catalog
from armillary.catalog.entries import Document
from armillary.catalog.schema import ACCELERATOR
from armillary.errors import CatalogError

CHIP = """
[accelerators.our-chip]
title = "Our chip"
vendor = "Us"
aliases = ["oc1"]
source = "bench, rack 7"
kind = "measured"
date = "2026-10"
peak.bf16 = "1 PFLOP/s"
memory_capacity = { value = "100 GB", note = "after the driver", alternatives = [{ value = "104 GB" }] }
memory_bandwidth = "3 TB/s"
scale_up_bandwidth = "400 GB/s"
host_bandwidth = "64 GB/s"
power = "700 W"
"""


def load(folder: Path, *texts: str) -> catalog.Catalog:
    paths = []
    for i, text in enumerate(texts):
        paths.append(folder / f"own{i}.toml")
        paths[-1].write_text(text)
    return catalog.load(*paths)


def test_adds_an_entry(tmp_path: Path) -> None:
    own = load(tmp_path, CHIP).accelerator("OC1")
    assert (own.name, own.peak["bf16"], own.compute_units) == ("our-chip", 1e15, 0)
    assert own.facts["memory_capacity#2"].value == 104e9
    assert own.facts["power"] == catalog.Fact(700.0, "measured", "bench, rack 7", "2026-10")
    assert "fp8" not in own.peak


def test_overrides_a_number_and_keeps_the_old_one_beside(tmp_path: Path) -> None:
    text = (
        '[accelerators.H100]\npower = {value = "650 W", kind = "measured", source = "us", date = "2026-10"}'
    )
    own, shipped = load(tmp_path, text).accelerator("h100"), catalog.load().accelerator("h100")
    assert own.power == 650
    assert own.facts["power#2"] == shipped.facts["power"]
    assert own.peak == shipped.peak


def test_an_alias_stands_for_its_entry(tmp_path: Path) -> None:
    fact = '{value = "100 GB/s", kind = "assumed", source = "us", date = "2026-10"}'
    own = load(
        tmp_path,
        f"[systems.p6e-gb300]\nnic_bandwidth = {fact}\n"
        f'[systems.wide]\nlike = "p6e-gb200"\nnic_bandwidth = {fact}',
    )
    assert own.system("u-p6e-gb300x72").nic_bandwidth == 100e9
    assert own.system("wide").accelerator == "gb200"
    assert len(own.systems) == len(catalog.load().systems) + 1


def test_the_last_file_wins(tmp_path: Path) -> None:
    again = CHIP.replace('"700 W"', '"750 W"')
    assert load(tmp_path, CHIP, again).accelerator("our-chip").power == 750
    assert load(tmp_path, again, CHIP).accelerator("our-chip").power == 700


def test_like_takes_what_is_not_stated(tmp_path: Path) -> None:
    text = """
    [systems.our-rack]
    like = "gb300-nvl72"
    source = "plan"
    kind = "assumed"
    date = 2026-11-01
    scale_up_size = 144
    [accelerators.h100-cool]
    like = "h100"
    power = { value = "600 W", kind = "assumed", source = "unverified" }
    """
    own = load(tmp_path, text)
    rack = own.system("our-rack")
    assert (rack.title, rack.scale_up_size, rack.accelerator) == ("our-rack", 144, "gb300")
    assert rack.scale_up_reduces
    assert rack.facts["scale_up_size"].date == "2026-11-01"
    assert "scale_up_size#2" not in rack.facts
    cool = own.accelerator("h100-cool")
    assert cool.facts["power"].date == own.sources["unverified"].date
    assert cool.aliases == ()


def test_own_offers_contracts_models_and_sources(tmp_path: Path) -> None:
    text = """
    [sources.quote]
    title = "Quote"
    where = "letter"
    date = "2026-10"
    [offers.ours]
    provider = "AWS"
    system = "p6e-gb300"
    terms = "reserved-3y"
    price = { value = "2.4 USD/h", kind = "published", source = "quote" }
    [models.tiny]
    like = "llama-3.1-8b"
    source = "us"
    date = "2026-10"
    kind = "assumed"
    [models.tiny.architecture]
    layers = 2
    """
    own = load(tmp_path, text)
    offer = own.price("gb300")
    assert offer is not None
    assert (offer.name, offer.system, offer.accelerator) == ("ours", "u-p6e-gb300x72", "gb300")
    assert offer.facts["price"].date == "2026-10"
    assert own.model("tiny").architecture["layers"] == 2
    assert own.version != catalog.load().version
    assert {"tiny"} == own.models.keys() - catalog.load().models.keys()


SYSTEM = """
[systems.ours]
like = "dgx-h100"
source = "us"
kind = "assumed"
date = "2026-10"
"""
OFFER = """
[offers.x]
provider = "us"
terms = "spot"
price = { value = "1 USD/h", source = "us", kind = "assumed", date = "2026-10" }
"""

WRONG = [
    ("not = [toml", r"own0.toml: is not valid TOML"),
    ("chips = 1", r"own0.toml: unknown table 'chips'; .*there are accelerators, systems"),
    ("[system.x]", r"unknown table 'system'; did you mean 'systems'"),
    ("accelerators = 3", r"own0.toml: accelerators must be a table of entries. Got 3 instead"),
    ("accelerators.x = 3", r"accelerators.x: must be a table. Got 3 instead"),
    ('[accelerators." "]', r"accelerators: an entry needs a name. Got ' ' instead"),
    ("[accelerators.x]", r"accelerators.x: lacks title, vendor, peak.bf16, .*a new accelerator states them"),
    (CHIP.replace('"700 W"', '"700"'), r"our-chip.power: '700' has no unit; write it as '700 kW'"),
    (CHIP.replace('"700 W"', '"700 GB"'), r"our-chip.power: '700 GB' is in byte, expected W"),
    (
        CHIP.replace('"400 GB/s"', '"400 Gb/s"'),
        r"scale_up_bandwidth: unknown unit 'Gb/s'; did you mean 'Gbit/s'",
    ),
    (CHIP.replace('"700 W"', '"-700 W"'), r"our-chip.power: must be above 0. Got '-700 W' instead"),
    (CHIP.replace('"700 W"', '"1e999 W"'), r"our-chip.power: '1e999 W' is not a finite number"),
    (CHIP.replace('"700 W"', "true"), r"our-chip.power: expected a quantity such as '132 kW', got True"),
    (CHIP.replace('"700 W"', "[700]"), r"our-chip.power: expected a quantity"),
    (CHIP.replace('"700 W"', "0x" + "f" * 5000), r"our-chip.power: is too large a number"),
    (CHIP + "powr = '1 W'", r"our-chip: unknown field 'powr'; did you mean 'power'"),
    (CHIP + "peak.fp16 = '1 PFLOP/s'", r"our-chip.peak: unknown field 'fp16'; did you mean"),
    (CHIP.replace("peak.bf16", "peak"), r"our-chip.peak: must be a table. Got '1 PFLOP/s' instead"),
    (CHIP + "compute_units = 1.5", r"our-chip.compute_units: must be a whole number. Got 1.5 instead"),
    (CHIP + "note = 0x" + "f" * 5000, r"our-chip.note: must be text. Got a number of thousands of digits"),
    (CHIP.replace('"Our chip"', "7"), r"our-chip.title: must be text. Got 7 instead"),
    (CHIP.replace('["oc1"]', '"oc1"'), r"our-chip.aliases: must be a list of names. Got 'oc1' instead"),
    (
        CHIP.replace('["oc1"]', '["gb300"]'),
        r"own0.toml: accelerators: .*alias 'gb300', which already names 'gb300'",
    ),
    (
        CHIP.replace("[{ value", "{ value").replace('GB" }] }', 'GB" } }'),
        r"alternatives: must be a list of tables",
    ),
    (CHIP.replace("{ value =", "{ valu ="), r"memory_capacity: unknown field 'valu'; did you mean 'value'"),
    (CHIP.replace('[{ value = "104 GB" }]', "[{}]"), r"memory_capacity#2: lacks value"),
    (CHIP.replace('"measured"', '"guessed"'), r"kind: must be one of datasheet, measured, .*Got 'guessed'"),
    (CHIP.replace('"2026-10"', '"10/2026"'), r"date: must be an ISO date such as '2026-04'. Got '10/2026'"),
    (CHIP.replace('"2026-10"', "2026"), r"date: must be text. Got 2026 instead"),
    (CHIP.replace('kind = "measured"', ""), r"peak.bf16: lacks kind; every number says where it comes from"),
    (CHIP.replace('source = "bench, rack 7"', ""), r"peak.bf16: lacks source"),
    (
        CHIP.replace('date = "2026-10"', ""),
        r"lacks date, and there is no source 'bench, rack 7' to take it from",
    ),
    (CHIP + "like = 'h10'", r"our-chip.like: no accelerator 'h10' above it; did you mean 'h100'"),
    ("[accelerators.h100]\nlike = 'a100'", r"h100.like: 'h100' is in the catalog; state what to change"),
    (SYSTEM + "accelerator = 'h10'", r"ours.accelerator: unknown accelerator 'h10'; did you mean 'h100'"),
    (
        SYSTEM + "scale_up_size = 12",
        r"ours.scale_up_size: must be a multiple or a divisor of .* is 8. Got 12",
    ),
    (SYSTEM + "scale_up_reduces = 1", r"ours.scale_up_reduces: must be true or false. Got 1 instead"),
    (SYSTEM + "cooling = 'wind'", r"ours.cooling: must be one of air, liquid. Got 'wind' instead"),
    (OFFER, r"offers.x: lacks system or accelerator; an offer prices one of them"),
    (OFFER + "system = 'p9'", r"offers.x.system: unknown system 'p9'"),
    (
        OFFER + "system = 'p5'\naccelerator = 'h200'",
        r"accelerator: must be 'h100', as 'p5.48xlarge' has. Got 'h200'",
    ),
    (
        OFFER.replace("spot", "barter") + "accelerator = 'h100'",
        r"terms: must be one of reserved-3y, .* Got 'barter'",
    ),
    (
        "[facilities.x]\ntitle='x'\npue={value=0.9,source='x',kind='assumed',date='2026'}",
        r"pue: must be at least 1",
    ),
    ("[sources.x]\ntitle = 'x'", r"sources.x.where: must be text. Got None instead"),
    ("[sources.x]\ntitle='x'\nwhere='x'\ndate='2026'\nyear='x'", r"sources.x: unknown field 'year'"),
    ("[models.x]\nlayers = 2", r"models.x: unknown key 'layers'"),
    ("a = " + "[" * 100_000, r"own0.toml: is not valid TOML: nested too deeply"),
    ("a = " + "9" * 5000, r"own0.toml: is not valid TOML"),
]


@pytest.mark.parametrize(("text", "message"), WRONG, ids=[m[:40] for _, m in WRONG])
def test_a_wrong_file_names_place_and_cure(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(CatalogError, match=message) as caught:
        load(tmp_path, text)
    assert len(str(caught.value)) < 600


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"none\.toml: cannot be read \(No such file"):
        catalog.load(tmp_path / "none.toml")
    with pytest.raises(CatalogError, match=r"cannot be read \(Is a directory"):
        catalog.load(tmp_path)
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CatalogError, match=r"binary\.toml: is not valid TOML: not UTF-8 text"):
        catalog.load(binary)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda c: c.accelerator("h1000"), "unknown accelerator 'h1000'; did you mean 'h100'"),
        (lambda c: c.system("p6e-gb30"), "unknown system 'p6e-gb30'; did you mean"),
        (
            lambda c: c.model("llama-3.1-406b"),
            "unknown model 'llama-3.1-406b'; did you mean 'llama-3.1-405b'",
        ),
        (lambda c: c.offer("aws-p5"), "unknown offer 'aws-p5'; did you mean"),
        (lambda c: c.facility("amazon web"), "unknown facility 'amazon web'"),
        (lambda c: c.contract("openai-amazon"), "unknown contract 'openai-amazon'; did you mean"),
        (lambda c: c.table("chips"), "no table 'chips'; there are accelerators"),
    ],
)
def test_unknown_names_offer_near_ones(ask: Any, message: str) -> None:
    with pytest.raises(CatalogError, match=message):
        ask(catalog.load())


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.dates()
KEYS = st.sampled_from([*ACCELERATOR.keys(), "value", "alternatives", "bf16", "h100", "x"])
VALUES = st.recursive(
    SCALARS, lambda v: st.lists(v, max_size=3) | st.dictionaries(KEYS, v, max_size=4), max_leaves=8
)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(catalog.KINDS[:2]),
    st.dictionaries(
        st.sampled_from(["h100", "x"]) | st.text(max_size=3),
        st.dictionaries(KEYS, VALUES) | VALUES,
        max_size=2,
    ),
)
def test_nothing_but_catalog_errors_comes_out(kind: str, tables: dict[str, Any]) -> None:
    own = catalog.Catalog((Document(Path("own.toml"), {kind: tables}),))
    with suppress(CatalogError):
        own.names(kind)
