"""What many tests need: the shipped catalog, and slices of its systems."""

from __future__ import annotations

from pathlib import Path

import pytest

import armillary
from armillary import catalog
from armillary.machine import Slice, build
from armillary.model import transformer
from armillary.training import Job, recipe


def pytest_configure() -> None:
    """Throw kept machine code away that is older than a kernel: numba looks at its own file only."""
    for room in Path(armillary.__file__).parent.iterdir():
        kept = [*(room / "__pycache__").glob("*.nbi")]
        # Of the modules that have kept code, and of those that only hold what they inline.
        texts = {path: path.read_text(encoding="utf-8") for path in room.glob("*.py")} if kept else {}
        kernels = [path for path, text in texts.items() if "numba" in text or ".compiled import" in text]
        newest = max((path.stat().st_mtime for path in kernels), default=0.0)
        for index in kept:
            if index.stat().st_mtime < newest:
                index.unlink()


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
