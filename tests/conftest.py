"""What many tests need: the shipped catalog, and slices of its systems."""

from __future__ import annotations

import pytest

from armillary import catalog
from armillary.machine import Slice, build
from armillary.model import transformer
from armillary.training import Job, recipe


@pytest.fixture(scope="session")
def shipped() -> catalog.Catalog:
    return catalog.load()


@pytest.fixture(scope="session")
def make_slice(shipped):
    def make(system: str, accelerators: int, domain_used: int | None = None) -> Slice:
        found = shipped.system(system)
        chip = shipped.accelerator(found.accelerator)
        room = (
            accelerators * found.scale_up_size // (domain_used or found.scale_up_size) + found.scale_up_size
        )
        return build(found, chip, room).slice(accelerators, domain_used=domain_used)

    return make


@pytest.fixture(scope="session")
def make_job(shipped):
    def make(model: str, batch: int, sequence: int = 4096, precision: str = "bf16") -> Job:
        return Job(transformer(shipped.model(model)), sequence, batch, recipe(precision))

    return make
