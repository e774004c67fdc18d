"""What every benchmark prints: work per second and peak memory, as text or with --json. Not run by itself."""

from __future__ import annotations

import json
import resource
import sys
from typing import Any


def peak_rss_bytes() -> int:
    """Largest resident size so far of this process or of one that it started [byte]."""
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return peak if sys.platform == "darwin" else peak * 1024  # macOS counts in bytes, Linux in KiB


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
