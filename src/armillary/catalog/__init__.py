"""Room `catalog`: facts with their sources (chips, systems, models, prices); imports errors and units."""

from armillary.catalog.loader import KINDS, Catalog, load
from armillary.catalog.lookup import fold
from armillary.catalog.records import (
    Accelerator,
    Contract,
    Facility,
    Fact,
    Kind,
    ModelRecord,
    Offer,
    Source,
    System,
)

__all__ = [
    "KINDS",
    "Accelerator",
    "Catalog",
    "Contract",
    "Facility",
    "Fact",
    "Kind",
    "ModelRecord",
    "Offer",
    "Source",
    "System",
    "fold",
    "load",
]
