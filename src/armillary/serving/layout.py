"""How an engine lays one replica of a model out over accelerators. Only numpy."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

Numeric = Any


class EngineLayout(NamedTuple):
    """Parallel degrees of one replica; every field a number or an array.

    tp : ranks that share each attention head group and dense matrix [-].
    pp : pipeline stages [-].
    dp : attention data parallelism: groups of `tp` ranks with sequences of their own [-].
    ep : ranks that experts are spread over whole; ``tp * dp / ep`` ranks share each expert's matrices [-].
    domain : accelerators of the replica that share a scale-up domain [-].
    """

    tp: Numeric = 1
    pp: Numeric = 1
    dp: Numeric = 1
    ep: Numeric = 1
    domain: Numeric = 8

    @property
    def stage(self) -> Numeric:
        """Accelerators of one pipeline stage, ``tp * dp`` [-]."""
        return self.tp * self.dp

    @property
    def accelerators(self) -> Numeric:
        """Of one replica, ``tp * dp * pp`` [-]."""
        return self.stage * self.pp

    @property
    def expert_tp(self) -> Numeric:
        """Ranks that share each expert's matrices [-]."""
        return self.stage / self.ep

    def words(self) -> str:
        """Name of one layout, e.g. ``tp4 dp2 ep8``; degrees of 1 are left out."""
        parts = [
            f"{name}{int(value)}" for name, value in zip(["tp", "pp", "dp", "ep"], self[:4], strict=True)
        ]
        return " ".join(p for p in parts if not p.endswith(("p1",))) or "one accelerator"


def busiest_sequences(decodes: Numeric, dp: Numeric) -> Numeric:
    """Decoding sequences on the busiest attention-parallel rank: an even share, one at least [-]."""
    return np.maximum(decodes / dp, np.minimum(decodes, 1.0))


def busiest_prompt(prompt: Numeric, longest: Numeric, dp: Numeric) -> Numeric:
    """Prompt tokens on the busiest attention-parallel rank [token].

    A rank works on whole prompts, so the busiest holds at least one chunk of `longest` tokens.
    """
    return np.maximum(prompt / dp, np.minimum(prompt, longest))
