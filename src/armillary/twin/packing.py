"""How many scale-up domains a deployment's replicas take: no replica stands in two that it fits into."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil


def domains_of(replicas: Sequence[tuple[int, int]], size: int) -> int:
    """Domains that replicas take, the largest placed first into the first with room.

    Parameters
    ----------
    replicas : sequence of (accelerators, count)
        Equal ones by class. [-]
    size : int
        Accelerators of a domain. [-]

    Notes
    -----
    First fit by falling size takes the fewest domains where each size divides the next larger one, as degrees
    that are powers of two do. A replica larger than a domain takes whole ones.

    Examples
    --------
    >>> domains_of([(64, 2), (8, 3)], 72)
    3
    >>> domains_of([(16, 9)], 72)
    3
    >>> domains_of([(144, 2)], 72)
    4
    """
    room: dict[int, int] = {}  # domains in use by what is left in each
    used = 0
    for accelerators, count in sorted(replicas, reverse=True):
        left = count
        if accelerators > size:
            used += left * ceil(accelerators / size)
            continue
        for free in sorted((f for f in room if f >= accelerators), reverse=True):
            each = free // accelerators
            filled = min(room[free], left // each)
            taken = [(filled, each)] if filled else []
            left -= filled * each
            if 0 < left < each and filled < room[free]:
                taken.append((1, left))
                left = 0
            for domains, held in taken:
                room[free] -= domains
                room[free - held * accelerators] = room.get(free - held * accelerators, 0) + domains
        each = size // accelerators
        whole, rest = divmod(left, each)
        used += whole + (rest > 0)
        for domains, held in ((whole, each), (1 if rest else 0, rest)):
            if domains:
                free = size - held * accelerators
                room[free] = room.get(free, 0) + domains
    return used
