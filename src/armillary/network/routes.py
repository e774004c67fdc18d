"""`Routes`: which links each flow uses. What fabrics make and the flow simulator reads. Only numpy."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


class Routes(NamedTuple):
    """Links of flows in compressed rows: flow `f` uses ``links[offsets[f]:offsets[f + 1]]``.

    offsets : `[flow + 1]` where each flow's entries begin, from 0 up [-].
    links : `[entry]` number of a link, each at most once a flow [-].
    usage : `[entry]` share of the flow's rate that the link carries, above 0: 1 on a single path, ``1 / k``
        where a flow is sprayed over `k` equal paths, more where one flow stands for several on a link; None
        where all are 1 [-].
    """

    offsets: Integers
    links: NDArray[np.int32]
    usage: Floats | None = None

    @property
    def flows(self) -> int:
        """Number of flows [-]."""
        return len(self.offsets) - 1

    def of(self, flow: int) -> NDArray[np.int32]:
        """Links of one flow."""
        return self.links[self.offsets[flow] : self.offsets[flow + 1]]
