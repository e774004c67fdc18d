"""From a model, a layout and a chip to what the simulator reads: the cost of a step as tables and slopes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from armillary.catalog.records import Accelerator
from armillary.model import Transformer
from armillary.serving.calibration import acceptance, sustained
from armillary.serving.kernels import Sustained
from armillary.serving.layout import EngineLayout
from armillary.serving.memory import USABLE, ReplicaMemory, replica_memory
from armillary.serving.precision import Precision, widths
from armillary.serving.step import Batch, Speculation, StepTime, step_time
from armillary.serving.step_cost import StepCost

Numeric = Any

POINTS = 96
"""Steps that a table is interpolated between. [-]"""


@dataclass(frozen=True, slots=True)
class Replica:
    """One replica of a served model: everything its step time hangs on.

    nic_bandwidth : of one accelerator, one direction [byte/s]. drafts : tokens drafted a step [-].
    context : tokens of a typical sequence, to which windowed layers are evaluated [token]. release : of the
    engine, empty for its mean.
    """

    model: Transformer
    chip: Accelerator
    layout: EngineLayout
    precision: Precision
    engine: str
    nic_bandwidth: float
    drafts: int = 0
    context: float = 4096.0
    release: str = ""

    def known(self) -> Sustained:
        """What chip and engine sustain."""
        return sustained(self.chip, self.engine, self.precision, self.nic_bandwidth, self.release)

    def speculation(self) -> Speculation | None:
        """Drafts and their acceptance, None without."""
        return Speculation(self.drafts, acceptance()) if self.drafts else None

    def step(self, batch: Batch) -> StepTime:
        """Time of one step; every part broadcast over the batch's arrays [s]."""
        return step_time(
            self.model, self.layout, widths(self.precision), self.known(), batch, self.speculation()
        )

    def memory(self, usable: float = USABLE) -> ReplicaMemory:
        """Weights, workspace and tokens of cache that fit in a share of memory, `usable` [-]."""
        return replica_memory(self.model, self.layout, self.precision, self.chip, self.context, usable)

    def cost(self, max_sequences: int, max_tokens: int, prompt: float = 1024.0) -> StepCost:
        """Cost of a step in the form that sums over many.

        Parameters
        ----------
        max_sequences : int
            Sequences that decode at once, at most. [-]
        max_tokens : int
            Tokens of a step, at most, over the whole replica. [token]
        prompt : float
            Typical prompt: sets how prompts spread over attention-parallel ranks and what windows hide.
            [token]

        Notes
        -----
        Attention is linear in cached tokens and in query-key pairs, all else hangs on the tokens alone, so
        that a table over tokens and two slopes say it all. Tables are evaluated at `POINTS` batches and
        interpolated.
        """
        counts = _spread(max_sequences)
        near, far = self.context, 2 * self.context
        one = self.step(Batch(counts, counts * near, 0.0, 0.0, np.inf, 0.0)).total
        two = self.step(Batch(counts, counts * far, 0.0, 0.0, np.inf, 0.0)).total
        read = float((two[-1] - one[-1]) / (counts[-1] * (far - near)))
        decode = np.interp(np.arange(max_sequences + 1), counts, one - read * counts * near)
        tokens = _spread(max_tokens)
        chunk = np.minimum(tokens, prompt)
        chunks = np.maximum(tokens / prompt, 1.0)
        seen = max(prompt / 2, 1.0)
        first = self.step(Batch(0.0, 0.0, tokens, tokens * seen, chunk, chunks)).total
        second = self.step(Batch(0.0, 0.0, tokens, tokens * 2 * seen, chunk, chunks)).total
        pairs = float((second[-1] - first[-1]) / (tokens[-1] * seen))
        mixed = np.interp(np.arange(max_tokens + 1), tokens, first - pairs * tokens * seen)
        speculation = self.speculation()
        given = 1.0 if speculation is None else float(speculation.tokens_per_step)
        # Sequences that decode beside one prompt, against as many tokens of prompts.
        some = counts[counts + prompt <= max_tokens]
        beside = joined = 0.0
        if len(some):
            ends, whole = np.array([some[0], some[-1]]), float(round(prompt))
            both = self.step(Batch(ends, ends * near, whole, whole * seen, whole, 1.0)).total
            counted = mixed[(ends + whole).astype(int)] + read * ends * near + pairs * whole * seen
            one, many = both - counted
            beside = max(float(many - one) / max(float(ends[1] - ends[0]), 1.0), 0.0)
            joined = max(float(one) - beside * float(ends[0]), 0.0)
        return StepCost(np.maximum(decode, 0.0), np.maximum(mixed, 0.0), read, pairs, given, beside, joined)


def _spread(most: int) -> np.ndarray:
    """Whole numbers from 1 to `most`, dense where they are small."""
    return np.unique(np.round(np.geomspace(1, most, min(POINTS, most))).astype(int)).astype(float)
