"""What every benchmark prints: work per second and peak memory, as text or with --json. Not run by itself."""

from __future__ import annotations

import json
import resource
import sys
from typing import Any


def peak_rss_bytes() -> int:
    """Largest resident size of this process so far [byte]."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def print_figures(name: str, figures: dict[str, Any]) -> None:
    """Print figures; `peak_rss_bytes` is added."""
    figures = {**figures, "peak_rss_bytes": peak_rss_bytes()}
    if "--json" in sys.argv[1:]:
        print(json.dumps({"benchmark": name, **figures}))
        return
    print(name)
    for key, value in figures.items():
        print(f"  {key:32} {value:,.4g}" if isinstance(value, int | float) else f"  {key:32} {value}")


if __name__ == "__main__":
    print("run the other files of this folder; this one is what they share", file=sys.stderr)
