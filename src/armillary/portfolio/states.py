"""States: what a quarter looks like in a future, or in several futures taken as one at their mean.

Only numpy.

Recourse is decided in each state. With one state for each node of the futures' tree the programme is exact.
With fewer it is a relaxation: demand, capacity and the right-hand sides of contracts are averaged over the
futures of a state, and the cost of recourse is convex in them (Jensen), so that its optimum is a lower bound.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from armillary.portfolio.calendar import Floats, Futures, Integers, sums


class States(NamedTuple):
    """of : `[quarter, future]` the state. quarter, probability : of each, `[state]`.

    first : of each quarter.
    """

    of: Integers
    quarter: Integers
    probability: Floats
    first: Integers
    share: Floats
    """`[quarter, future]` weight of a future in its state's mean."""
    nested: bool = True
    """Whether states are nodes of the futures' tree, so that each is within one of the quarter before."""

    @property
    def size(self) -> int:
        """How many. [-]"""
        return len(self.quarter)

    def mean(self, values: Floats) -> Floats:
        """Mean over each state's futures: `[..., quarter, future]` to `[..., state]`."""
        flat = np.reshape(values * self.share, (-1, self.of.size))
        out = np.stack([sums(self.of.ravel(), row, self.size) for row in flat])
        return out.reshape(*values.shape[:-2], self.size)

    def within(self, quarter: int) -> Integers:
        """States of a quarter."""
        return np.arange(self.first[quarter], self.first[quarter + 1])

    def groups(self, first: int, end: int) -> Integers:
        """Groups of futures that whole states of all quarters from `first` to `end` make up, `[future]`.

        What is held over several quarters is held in the mean of a group. Over nodes of a tree these are the
        states of the last quarter; else those that share no state in any of the quarters.
        """
        last = np.unique(self.of[end - 1], return_inverse=True)[1]
        if self.nested:
            return np.asarray(last)
        group = np.arange(len(last))
        while True:
            before = group.copy()
            for t in range(first, end):
                least = np.full(self.size, len(last))
                np.minimum.at(least, self.of[t], group)
                group = least[self.of[t]]
            if np.array_equal(group, before):
                return np.asarray(np.unique(group, return_inverse=True)[1])

    def weights(self, groups: Integers, quarter: int) -> tuple[Integers, Integers, Floats]:
        """How much of each group of futures is in each state of a quarter.

        Parameters
        ----------
        groups : array
            `[future]` numbers from 0.
        quarter : int

        Returns
        -------
        group, state, weight
            Triplets; the weights of a group sum to 1.
        """
        probability = self.share[quarter] * self.probability[self.of[quarter]]
        size = int(groups.max()) + 1
        key = groups * self.size + self.of[quarter]
        keys, place = np.unique(key, return_inverse=True)
        joint = sums(place, probability, len(keys))
        return (
            keys // self.size,
            keys % self.size,
            joint / sums(groups, probability, size)[keys // self.size],
        )


def states(futures: Futures, labels: Integers, nested: bool = False) -> States:
    """States from labels `[quarter, future]`: futures with one label in a quarter are one state."""
    of = np.empty_like(labels)
    quarters, first = [], [0]
    for t, row in enumerate(labels):
        kept, of[t] = np.unique(row, return_inverse=True)
        of[t] += first[-1]
        quarters.append(np.full(len(kept), t))
        first.append(first[-1] + len(kept))
    weight = np.broadcast_to(futures.probability, of.shape)
    probability = sums(of.ravel(), weight.ravel(), first[-1])
    return States(
        of, np.concatenate(quarters), probability, np.array(first), weight / probability[of], nested
    )


def exact(futures: Futures) -> States:
    """One state for each node of the futures' tree."""
    return states(futures, futures.node, nested=True)
