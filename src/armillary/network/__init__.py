"""The network room: collectives in closed form on nested rings. May import units, catalog, machine."""

from armillary.network.collectives import (
    all_gather,
    all_reduce,
    all_to_all,
    distinct_groups,
    reduce_scatter,
    ring_all_gather,
    ring_all_reduce,
    ring_reduce_scatter,
    send,
    tree_all_reduce,
)

__all__ = [
    "all_gather",
    "all_reduce",
    "all_to_all",
    "distinct_groups",
    "reduce_scatter",
    "ring_all_gather",
    "ring_all_reduce",
    "ring_reduce_scatter",
    "send",
    "tree_all_reduce",
]
