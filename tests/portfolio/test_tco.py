"""Cost of ownership: the gigawatts that others published, sums of parts, and what moves the answer."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from armillary import catalog
from armillary.errors import InputError
from armillary.network.equipment import prices
from armillary.portfolio import tco, tco_inputs
from armillary.portfolio.ranged_facts import KINDS
from armillary.portfolio.tco import YEAR, annuity, capex, owned
from armillary.units import parse

IT_LIVES = tco_inputs.TOGETHER["equipment_life"]


def gigawatt(table: str = "tco_facts", **values: float) -> tco.Inputs:
    """A gigawatt of IT power, all of it on racks and what they need."""
    base = tco_inputs.inputs(table, **values)
    return base._replace(accelerators=tco.accelerators_in(1e9, base))


# Epoch AI, 2026-05-14: 1 GW IT of GB200 NVL72. None of our inputs is taken from these totals.
def test_a_gigawatt_costs_what_epoch_says():
    published = catalog.load().facility("gigawatt")
    assert published.capex == 38e9
    assert capex(gigawatt()).total == pytest.approx(published.capex, rel=0.10)
    assert owned(gigawatt()).total == pytest.approx(published.annualised, rel=0.10)


@pytest.mark.parametrize(("years", "billion"), [(3, 12.0), (5, 8.5), (7, 7.0)])
@pytest.mark.parametrize("rate", [0.05, 0.0658, 0.09])
def test_a_gigawatt_a_year_by_the_life_of_its_equipment(years, billion, rate):
    cost = owned(gigawatt(rate=rate, **dict.fromkeys(IT_LIVES, years * YEAR)))
    assert cost.total * YEAR / 1e9 == pytest.approx(billion, rel=0.10)


def test_servers_and_energy_are_the_parts_of_a_year_that_epoch_says():
    at = gigawatt()
    rack = sum(capex(at)[:3]) * annuity(at.rate, at.server_life)
    assert rack / owned(at).total == pytest.approx(0.60, abs=0.06)
    assert owned(at).energy * YEAR == pytest.approx(0.6e9, rel=0.10)
    assert owned(at).operating * YEAR == pytest.approx(0.9e9, rel=0.15)


def test_bernsteins_rack_and_gigawatt():
    """A gigawatt there is of the whole site: racks times 5.9 million USD are 35 billion at a PUE of 1.15."""
    base = tco_inputs.inputs("tco_bernstein")
    at = base._replace(accelerators=tco.accelerators_in(1e9 / base.pue, base))
    found, racks = capex(at), at.accelerators / at.per_rack
    assert found.total / racks == pytest.approx(5.9e6, rel=0.01)
    assert found.equipment / racks == pytest.approx(3.4e6, rel=0.01)
    assert found.facility / racks == pytest.approx(2.5e6, rel=0.01)
    assert found.total == pytest.approx(35e9, rel=0.10)
    shares = {"accelerators": 0.39, "network": 0.13, "processors": 0.03, "mechanical_electrical": 0.33}
    for name, share in shares.items():
        assert getattr(found, name) / found.total == pytest.approx(share, rel=0.02), name
    assert 0.01 <= found.storage / found.total <= 0.015


def test_an_accelerator_hour_lies_among_what_others_find():
    """InferenceX has 2.21 USD for a hyperscaler's GB200, and Epoch's 8.5 billion a year are 1.78 each."""
    at = gigawatt()
    each = owned(at).total / at.accelerators * 3600
    known = catalog.load().price("gb200", terms="tco", provider="hyperscaler")
    assert known is not None
    assert 1.78 * 0.9 < each < known.price * 3600 * 1.1


def test_derived_rows_follow_from_what_they_name():
    rows = tco_inputs.tco_facts()
    port, link = prices()
    assert rows["network_price"].value == pytest.approx((5 * port + 3 * link) * 50e9)
    assert rows["network_price"].low == pytest.approx((3 * port + 2 * link) * 50e9, rel=0.01)
    chip = catalog.load().accelerator("gb200")
    assert rows["other_power"].value == pytest.approx(chip.facility_power / 1.10 - 132e3 / 72, abs=2)
    rack = catalog.load().system("u-p6e-gb200x72")
    assert rows["rack_power"].value == rack.power
    assert rows["pue"].value == catalog.load().facility("aws").pue
    assert rows["accelerator_share"].value == pytest.approx(0.39 * 5.9 / 3.1, abs=0.001)
    assert rows["failure_rate"].high * YEAR == pytest.approx(148 / 16384 / 54 * 365, abs=0.001)


def test_every_row_is_an_input_with_source_date_and_kind():
    for table in tco_inputs.TABLES:
        rows = tco_inputs.tco_facts(table)
        assert set(rows) == set(tco.Inputs._fields)
        for name, row in rows.items():
            assert row.kind in KINDS, name
            assert row.source, name
            assert row.date >= "2023", name
            assert row.low <= row.value <= row.high, name
            if row.kind == "assumed" and name not in ("accelerators",):
                assert row.low < row.high, f"{name} is assumed and has no reach"


@given(st.floats(0.0, 0.3), st.floats(0.5, 40))
def test_an_annuity_pays_back_with_interest(rate, years):
    """Paid at the ends of whole years, its worth today is one; for others the formula holds between."""
    whole = round(years) or 1
    paid = float(annuity(rate, whole * YEAR)) * YEAR
    assert sum(paid / (1 + rate) ** n for n in range(1, whole + 1)) == pytest.approx(1)
    assert annuity(rate, years * YEAR) * years * YEAR >= 1 - 1e-12
    assert annuity(0.0, years * YEAR) == pytest.approx(1 / (years * YEAR))


@given(
    st.sampled_from(
        ["rack_price", "network_price", "facility_price", "rate", "pue", "load", "energy_price", "spares"]
    ),
    st.floats(1.01, 1.3),
)
def test_dearer_inputs_never_make_it_cheaper(name, factor):
    base = tco_inputs.inputs()
    more = base._replace(**{name: getattr(base, name) * factor})
    assert tco.price_each(owned(more).total, more) > tco.price_each(owned(base).total, base)


def test_one_case_is_its_place_in_a_sweep():
    lives, rates = np.array([3.0, 5.0, 7.0]) * YEAR, np.array([0.0, 0.07])
    sweep = tco_inputs.inputs(accelerator_life=lives[:, None], rate=rates[None, :])
    assert np.shape(owned(sweep).total) == (3, 2)
    alone = tco_inputs.inputs(accelerator_life=lives[2], rate=rates[1])
    assert owned(sweep).total[2, 1] == pytest.approx(owned(alone).total)


def test_totals_are_sums_of_their_parts_and_scale_with_the_fleet():
    small, large = tco_inputs.inputs(accelerators=1000.0), tco_inputs.inputs(accelerators=50_000.0)
    for of in (capex, owned):
        assert of(small).total == pytest.approx(sum(of(small)))
        assert of(large).total == pytest.approx(50 * of(small).total)
    cost = owned(small)
    assert cost.total == pytest.approx(cost.depreciation + cost.financing + cost.lease + cost.operating)
    assert capex(small).total == pytest.approx(capex(small).equipment + capex(small).facility)


def test_a_lease_takes_the_place_of_the_facility():
    at = tco_inputs.inputs()
    built, let = owned(at), owned(at, leased=1.0)
    assert let.mechanical_electrical == let.building == let.connection == let.maintenance == 0
    assert let.lease == pytest.approx(at.lease_price * tco.it_power(at))
    assert let.accelerators == built.accelerators
    assert let.financing < built.financing
    saved = capex(at).facility * annuity(at.rate, at.building_life) + built.maintenance
    assert let.total - built.total == pytest.approx(let.lease - saved)
    half = owned(at, leased=0.5)
    assert half.total == pytest.approx((built.total + let.total) / 2)


def test_repairs_cost_nothing_within_the_warranty():
    at = tco_inputs.inputs(accelerator_life=3 * YEAR, warranty=3 * YEAR)
    assert owned(at).repairs == 0
    assert owned(at._replace(warranty=0.0)).repairs == pytest.approx(
        at.failure_rate * at.repair_price * capex(at).accelerators
    )


def test_the_unit_prices_agree_with_each_other():
    at = tco_inputs.inputs()
    price = tco.price_each(owned(at).total, at)
    assert price * tco.usable(at) * at.utilisation == pytest.approx(owned(at).total)
    run = tco.run_price(price, 3.8e25, 2.5e15, 0.4, 0.9)
    hours = 3.8e25 / (2.5e15 * 0.4 * 0.9)
    assert run == pytest.approx(price * hours)
    assert tco.flop_price(price, 2.5e15, 0.4) * 3.8e25 == pytest.approx(run * 0.9)
    assert tco.token_price(price, 5000.0) * 5000 == pytest.approx(price)


def test_owning_and_renting_break_even_where_they_cost_the_same():
    at, rent = tco_inputs.inputs(), 3.3 / 3600
    cost = owned(at).total
    at_even = at._replace(utilisation=tco.break_even(rent, cost, at))
    assert tco.price_each(cost, at_even) == pytest.approx(rent)


def test_llama_3_costs_what_its_hours_cost():
    """16,384 H100 for 2,142 hours at 2 USD: 70 million by the clock, 53 by FLOP at its utilisation."""
    by_flop = tco.run_price(2 / 3600, 3.8e25, 989e12, 0.404)
    assert by_flop == pytest.approx(3.8e25 / (989e12 * 0.404) / 3600 * 2)
    assert 0.7 < by_flop / (16384 * 2142 * 2.0) < 1.0


def test_prices_by_power_are_read_as_people_write_them():
    assert parse("150 USD/kW/month", "USD/J") == pytest.approx(150 / 1000 / (YEAR / 12))
    assert parse("60 USD/kW/yr", "USD/J") == pytest.approx(60 / 1000 / YEAR)
    assert parse("11 MUSD/MW", "USD/W") == pytest.approx(11)
    row = tco_inputs.tco_facts()["lease_price"]
    assert row.value == parse("150 USD/kW/month", "USD/J")
    assert row.text(row.value) == "150 USD/kW/month"


class TestTornado:
    def answer(self, at: tco.Inputs):
        return tco.price_each(owned(at).total, at) * 3600

    def test_each_end_is_the_answer_there(self):
        base = tco_inputs.inputs()
        for swing in tco_inputs.tornado(self.answer, base):
            names = tco_inputs.TOGETHER.get(swing.name, (swing.name,))
            for value, found in ((swing.low, swing.at_low), (swing.high, swing.at_high)):
                moved = base._replace(**dict.fromkeys(names, value))
                assert found == pytest.approx(self.answer(moved)), swing.name

    def test_the_largest_comes_first_and_idle_inputs_do_nothing(self):
        swings = tco_inputs.tornado(self.answer, tco_inputs.inputs())
        sizes = [s.size for s in swings]
        assert sizes == sorted(sizes, reverse=True)
        assert {s.name for s in swings[:3]} >= {"utilisation", "equipment_life"}
        assert next(s for s in swings if s.name == "lease_price").size == 0

    def test_unknown_inputs_are_named(self):
        with pytest.raises(InputError, match="unknown input 'pues'; did you mean 'pue'"):
            tco_inputs.tornado(self.answer, tco_inputs.inputs(), {"pues": (1, 2)})


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"pue": 0.9}, "pue is 0.9; expected 1 or more"),
        ({"rack_price": -1.0}, "rack_price is -1.0; expected numbers of 0 or more"),
        ({"accelerator_life": 0.0}, "accelerator_life is 0.0; expected numbers above 0"),
        ({"load": 1.1}, "load is 1.1; expected a share from 0 to 1"),
        (
            {"accelerator_share": 0.97},
            "accelerator_share and processor_share are more than all of rack_price",
        ),
        ({"rate": float("nan")}, "rate is nan"),
        ({"spares": 1.0}, "nothing is left to use"),
        ({"electricity": 1.0}, "unknown input 'electricity'"),
    ],
)
def test_what_cannot_be_is_refused(values, said):
    with pytest.raises(InputError, match=said):
        tco_inputs.inputs(**values)
