"""What the package ships: complete, sourced, and physically plausible."""

from __future__ import annotations

import pytest

from armillary import catalog
from armillary.catalog import entries
from armillary.catalog.records import Fact

SHIPPED = catalog.load()
FACTS = [
    (kind, name, field, fact)
    for kind in catalog.KINDS
    for name, record in SHIPPED.table(kind).items()
    for field, fact in getattr(record, "facts", {}).items()
]


def test_every_number_has_a_known_source_a_date_and_a_kind() -> None:
    for kind, name, field, fact in FACTS:
        place = f"{kind}.{name}.{field}"
        assert fact.source in SHIPPED.sources, place
        assert fact.date >= "2018", place
        assert fact.kind in ("datasheet", "measured", "published", "fitted", "assumed"), place
        if fact.source == "unverified":
            assert fact.kind == "assumed", place
            assert fact.note, place


@pytest.mark.parametrize("kind", ["accelerators", "systems", "offers", "facilities", "contracts"])
def test_no_entry_takes_the_name_of_another(kind: str) -> None:
    document = entries.read_document(catalog.loader.DATA / f"{kind}.toml")
    assert list(document.tables) == [kind]
    assert list(document.tables[kind]) == list(SHIPPED.table(kind))


def test_every_source_of_the_fleet_is_used() -> None:
    document = entries.read_document(catalog.loader.DATA / "sources.toml")
    used = {fact.source for _, _, _, fact in FACTS}
    named = "\n".join(getattr(r, "note", "") for r in SHIPPED.contracts.values())
    assert [key for key in document.tables["sources"] if key not in used and key not in named] == []


def test_every_value_is_the_first_fact_of_its_field() -> None:
    chip = SHIPPED.accelerator("b300")
    assert chip.memory_capacity == chip.facts["memory_capacity"].value == 275040 * 2**20
    assert chip.facts["memory_capacity#2"].value == 288e9
    assert chip.peak["fp4"] == chip.facts["peak.fp4"].value
    for name, chip in SHIPPED.accelerators.items():
        assert chip.power == chip.facts["power"].value, name
        assert {f"peak.{p}" for p in chip.peak} == {
            f for f in chip.facts if f.startswith("peak") and "#" not in f
        }


@pytest.mark.parametrize("chip", SHIPPED.accelerators.values(), ids=lambda c: c.name)
def test_accelerators_are_plausible(chip: catalog.Accelerator) -> None:
    assert 1e14 < chip.peak["bf16"] < 1e16
    assert 1 <= chip.peak.get("fp8", chip.peak["bf16"]) / chip.peak["bf16"] < 5
    assert chip.peak.get("fp4", 1e18) >= chip.peak.get("fp8", 0.0)
    assert 10e9 < chip.memory_capacity < 1e12
    assert 0.5e12 < chip.memory_bandwidth < 30e12
    assert chip.scale_up_bandwidth < chip.memory_bandwidth
    assert 30e9 < chip.host_bandwidth <= chip.scale_up_bandwidth
    assert 200 <= chip.power <= 2000
    assert chip.facility_power == 0 or chip.power < chip.facility_power < 3 * chip.power + 500


@pytest.mark.parametrize("system", SHIPPED.systems.values(), ids=lambda s: s.name)
def test_systems_are_plausible(system: catalog.System) -> None:
    chip = SHIPPED.accelerator(system.accelerator)
    assert system.nic_bandwidth < chip.scale_up_bandwidth
    assert 1e-6 <= system.nic_latency <= 50e-6
    assert system.power > 0.9 * chip.power * system.scale_up_size
    assert system.power < 3.5 * chip.power * system.scale_up_size
    hopper_or_later = chip.vendor == "NVIDIA" and not chip.name.startswith(("a100", "gh200"))
    assert system.scale_up_reduces == hopper_or_later
    assert system.cpus_per_node / system.accelerators_per_node >= 3


def test_offers_are_plausible() -> None:
    for offer in SHIPPED.offers.values():
        assert 0.1 < offer.price * 3600 < 20, offer.name
        assert offer.accelerator in SHIPPED.accelerators
        if offer.system:
            assert SHIPPED.systems[offer.system].accelerator == offer.accelerator


def test_the_deal_and_what_it_implies() -> None:
    deal = SHIPPED.contract("aws-2025")
    assert deal.value == 38e9
    assert deal.term == pytest.approx(7 * 365.25 * 86400)
    implied = SHIPPED.offer("openai-aws-gb200-implied")
    assert implied.price == pytest.approx(deal.value / deal.term / 300_000, rel=0.01)
    gigawatt = SHIPPED.facility("gigawatt")
    assert gigawatt.capex == 38e9
    assert gigawatt.it_power == 1e9


NAMES = {
    "accelerators": {
        "A100-40": "a100-40", "A100": "a100-80", "NVIDIA H100 SXM5": "h100", "H100 SXM (80GB)": None,
        "h100_hbm2e 500w": "h100-hbm2e-500w", "gb300": "gb300", "TPU v5p": "tpu-v5p", "Ironwood": "tpu7x",
        "AWS Trainium2": "trainium2", "Rubin": "rubin", "MI355X": "mi355x", "H20": "h20", "GH200": "gh200",
    },
    "systems": {
        "p6e-gb300": "u-p6e-gb300x72", "p6e-gb200": "u-p6e-gb200x72", "P5": "p5.48xlarge",
        "p5en.48xlarge": "p5en.48xlarge", "trn2-ultraserver": "u-trn2x64", "ND GB300 v6": "nd-gb300-v6",
        "a4x": "a4x-highgpu-4g", "DGX H100": "dgx-h100", "dgx-gb200": "gb200-nvl72", "selene": "dgx-a100",
        "nd128isr_ndr_gb200_v6": "nd-gb200-v6", "hgx-b300": "dgx-b300", "BM.GPU.MI355X.8": "bm.gpu.mi355x.8",
    },
    "models": {"LLAMA3.1_405B": "llama-3.1-405b", "deepseek v3": "deepseek-v3"},
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "name", "entry"), [(k, n, e) for k, names in NAMES.items() for n, e in names.items()]
)
def test_names_that_people_use(kind: str, name: str, entry: str | None) -> None:
    assert catalog.lookup.find(name, SHIPPED.names(kind)) == entry


def test_folded_names_agree_across_spellings() -> None:
    assert len({catalog.fold(n) for n in ("GPT OSS 120B", "gpt-oss_120b", " gpt.oss-120b")}) == 1


def test_a_chip_and_a_system_cost_two_files(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    honest = entries.read_document

    def counting(path: object) -> entries.Document:
        read.append(path.name)  # type: ignore[attr-defined]
        return honest(path)  # type: ignore[arg-type]

    monkeypatch.setattr(catalog.loader, "read_document", counting)
    fresh = catalog.Catalog(())
    fresh.system("p6e-gb300")
    fresh.accelerator("gb300")
    assert sorted(read) == ["accelerators.toml", "systems.toml"]


def test_load_is_cached_and_records_cannot_be_changed() -> None:
    assert catalog.load() is SHIPPED
    with pytest.raises(TypeError):
        SHIPPED.accelerators["h100"] = SHIPPED.accelerator("h200")  # type: ignore[index]
    with pytest.raises(TypeError):
        SHIPPED.accelerator("h100").facts["power"] = Fact(1.0, "assumed", "x", "2026")  # type: ignore[index]


class TestPrice:
    def test_prefers_long_terms_then_the_very_system(self) -> None:
        chosen = SHIPPED.price("p6e-gb200")
        assert chosen is not None
        assert chosen.terms == "reserved-3y"
        block = SHIPPED.price("p6e-gb200", terms="capacity-block")
        assert block is not None
        assert block.system == "u-p6e-gb200x72"

    def test_prefers_the_systems_own_provider_then_the_newest(self) -> None:
        own = SHIPPED.price("p5", terms="on-demand")
        other = SHIPPED.price("dgx-h100", terms="on-demand", provider="google")
        market = SHIPPED.price("h100", terms="reserved-3y")
        assert own is not None
        assert own.name == "aws-p5-on-demand"
        assert other is not None
        assert other.name == "google-h100-on-demand"
        assert market is not None
        assert market.facts["price"].date == "2026-04-03"

    def test_none_where_nothing_fits(self) -> None:
        assert SHIPPED.price("trainium2") is None
        assert SHIPPED.price("h100", provider="nobody") is None

    def test_bad_questions(self) -> None:
        with pytest.raises(
            catalog.loader.CatalogError, match="unknown system or accelerator 'gb30'; did you mean 'gb300'"
        ):
            SHIPPED.price("gb30")
        with pytest.raises(
            catalog.loader.CatalogError, match="unknown terms 'on demand'; did you mean 'on-demand'"
        ):
            SHIPPED.price("h100", terms="on demand")


def test_version_depends_on_content_alone() -> None:
    assert catalog.Catalog(()).version == SHIPPED.version
    assert len(SHIPPED.version) == 12
