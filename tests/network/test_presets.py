"""Published fabrics: sources, sizes, and the same bandwidth as the rings of the same name."""

from __future__ import annotations

import numpy as np
import pytest

from armillary.errors import InputError
from armillary.machine import PRESETS, preset_rings
from armillary.network.presets import fabric_presets, preset_fabric

NIC = 50e9


@pytest.mark.parametrize("name", fabric_presets())
def test_every_preset_says_where_it_comes_from_and_can_be_built(name):
    preset = fabric_presets()[name]
    assert preset.kind in ("published", "assumed")
    assert len(preset.source) > 20
    assert preset.date[:2] == "20"
    if preset.kind == "published" and preset.values["shape"] == "clos":
        assert preset.values["routing"] in ("spray", "ecmp", "static")
    f = preset_fabric(name, preset.accelerators or 4608, NIC, 5e-6, 8, 450e9, 2e-6)
    assert f.endpoints >= (preset.accelerators or 4608)
    source = np.arange(0, f.endpoints, 37)
    target = (source * 7 + 11) % f.endpoints
    apart = source != target
    assert f.routes(source[apart], target[apart]).flows == apart.sum()


@pytest.mark.parametrize("name", sorted(set(fabric_presets()) & set(PRESETS)))
@pytest.mark.parametrize("accelerators", [1024, 24576, 122880])
def test_fabric_and_rings_of_one_name_have_the_same_bandwidth(name, accelerators):
    rings = {r.name: r for r in preset_rings(name, accelerators, NIC, 5e-6)}
    f = preset_fabric(name, accelerators, NIC, 5e-6, 8, 450e9, 2e-6)
    each = f.per_endpoint()
    levels = [t.removesuffix(" up") for t in f.tiers if t.endswith(" up")][2:]
    for below, above in zip(levels, [*levels[1:], None], strict=True):
        ring = rings.get(above) if above else list(rings.values())[-1]
        if ring is not None and f"{below} up" in each:
            assert each[f"{below} up"] == pytest.approx(ring.bandwidth, rel=0.01)


def test_a_torus_has_the_size_that_is_published():
    assert preset_fabric("tpu-v4", 0, 0, 0).endpoints == 4096
    assert preset_fabric("ironwood", 9216, 0, 0).endpoints == 9216
    with pytest.raises(InputError, match="tpu-v4 has 4096 accelerators, 100 were asked for"):
        preset_fabric("tpu-v4", 100, NIC, 0)


def test_unknown_presets_are_named():
    with pytest.raises(InputError, match="did you mean 'meta-24k'"):
        preset_fabric("meta24k", 64, NIC, 0)
    with pytest.raises(InputError, match="needs the number of accelerators"):
        preset_fabric("meta-24k", 0, NIC, 0)
