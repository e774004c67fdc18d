"""Throw kept machine code away that is older than a kernel: numba looks at a function's own file only."""

from pathlib import Path

from armillary import serving

room = Path(serving.__file__).parent
newest = max(path.stat().st_mtime for path in room.glob("*.py"))
for index in (room / "__pycache__").glob("*.nbi"):
    if index.stat().st_mtime < newest:
        index.unlink()
