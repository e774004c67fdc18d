"""`Job`: what is trained, whatever it is trained on."""

from __future__ import annotations

from typing import NamedTuple

from armillary.model import Transformer
from armillary.training.precision import Recipe


class Job(NamedTuple):
    """What is trained.

    global_batch : sequences per step [-].
    imbalance : tokens of the busiest expert rank over the mean [-].
    capacity : what experts take at most, over the mean; tokens beyond are dropped [-].
    """

    model: Transformer
    sequence: int
    global_batch: float
    recipe: Recipe
    imbalance: float = 1.0
    capacity: float = float("inf")

    @property
    def tokens_per_step(self) -> float:
        """Tokens that one optimizer step consumes [token]."""
        return self.global_batch * self.sequence
