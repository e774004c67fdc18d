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
from armillary.catalog.schema import TERMS, dimension

__all__ = [
    "KINDS",
    "TERMS",
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
    "dimension",
    "fold",
    "load",
]
