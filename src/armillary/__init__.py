"""Armillary: the digital twin and planner of AI superclusters.

Rooms, each importing only rooms above it: `units`, `catalog`, `machine`, `model`, `network`,
`training`, `scenario`, `twin`, `validation`, `app` (see ``docs/architecture.md``).
"""

__version__ = "0.1.0"
__all__ = ["__version__"]
