"""Weighted max-min fair rates of flows on links, and the check that rates are max-min fair.

Max-min fair rates are unique: feasible, and every flow is at its cap or crosses a full link on which no flow
has a larger level, its rate over its weight (Bertsekas and Gallager, Data Networks, 2nd ed. 1992, section
6.5.2; with weights and caps Radunovic and Le Boudec 2007, doi:10.1109/TNET.2007.896231).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from armillary.errors import InputError
from armillary.network.routes import Routes

Floats = NDArray[np.float64]

NONE: Floats = np.empty(0)
"""Stands for an argument that was not given: all weights or usages 1, no caps."""
KINDS = ("", "a link carries more than its capacity", "a flow is above its cap", "a flow could have more")


class Violation(NamedTuple):
    """What keeps rates from being max-min fair.

    what : the breach in words. flow, link : where, -1 if none. size : relative to the capacity, cap or
    level [-].
    """

    what: str
    flow: int
    link: int
    size: float


def max_min(
    capacity: ArrayLike, routes: Routes, weight: ArrayLike | None = None, cap: ArrayLike | None = None
) -> Floats:
    """Weighted max-min fair rates.

    Parameters
    ----------
    capacity : `[link]`
        Above 0. [byte/s]
    routes : Routes
        Links of each flow, with the share of its rate that each carries.
    weight : `[flow]`, optional
        Rates on a shared full link are in proportion to these; 1 by default. [-]
    cap : `[flow]`, optional
        Largest rate of a flow, infinite where there is none; needed for flows without links. [byte/s]

    Returns
    -------
    `[flow]`
        Exact up to rounding. [byte/s]

    Raises
    ------
    InputError
        Naming the link or flow whose input is wrong, or whose rate nothing bounds.

    Notes
    -----
    Progressive filling [1]_ in the order of the links' shares; see `filling`.

    References
    ----------
    .. [1] Bertsekas and Gallager, Data Networks, 2nd ed. 1992, section 6.5.2

    Examples
    --------
    Two flows share link 0; the second is held back by link 1, the first takes what is left.

    >>> routes = Routes(np.array([0, 1, 3]), np.array([0, 0, 1], np.int32))
    >>> max_min([10.0, 3.0], routes)
    array([7., 3.])
    """
    from armillary.network.filling import fill, transpose

    held = checked_capacity(capacity)
    routes = checked_routes(routes, len(held))
    weights = checked_values(weight, routes.flows, "weight")
    caps = checked_caps(cap, routes)
    begin, members = np.zeros(len(held) + 1, np.int64), np.empty(len(routes.links), np.int32)
    transpose(routes.offsets, routes.links, begin, members)
    level = np.empty(routes.flows)
    fill(
        routes.offsets,
        routes.links,
        NONE if routes.usage is None else routes.usage,
        weights,
        limits(weights, caps),
        held,
        begin,
        np.diff(begin),
        members,
        np.arange(routes.flows, dtype=np.int32),
        level,
        np.empty(routes.flows, np.int32),
        np.empty(len(held)),
        *room(len(held), routes.flows if len(caps) else 0),
    )
    return level * weights if len(weights) else level


def is_max_min(
    capacity: ArrayLike,
    routes: Routes,
    rates: ArrayLike,
    weight: ArrayLike | None = None,
    cap: ArrayLike | None = None,
    tolerance: float = 1e-9,
) -> Violation | None:
    """Check rates in one pass over the routes' entries; None if they are max-min fair.

    Parameters
    ----------
    capacity, routes, weight, cap
        As in `max_min`.
    rates : `[flow]`
        To be judged. [byte/s]
    tolerance : float
        Relative, of capacities, caps and levels. [-]

    Returns
    -------
    Violation, optional
        The largest one.

    Raises
    ------
    InputError
        As `max_min`; also if a rate is negative or not a number.

    Examples
    --------
    >>> routes = Routes(np.array([0, 1, 3]), np.array([0, 0, 1], np.int32))
    >>> is_max_min([10.0, 3.0], routes, [7.0, 3.0]) is None
    True
    >>> is_max_min([10.0, 3.0], routes, [5.0, 3.0]).what
    'a flow could have more'
    """
    from armillary.network.filling import worst_violation

    held = checked_capacity(capacity)
    routes = checked_routes(routes, len(held))
    weights = checked_values(weight, routes.flows, "weight")
    caps = checked_caps(cap, routes)
    given = checked_values(rates, routes.flows, "rate", least_open=False)
    usage = NONE if routes.usage is None else routes.usage
    kind, flow, link, size = worst_violation(routes.offsets, routes.links, usage, weights, caps, held, given)
    return Violation(KINDS[kind], int(flow), int(link), float(size)) if size > tolerance else None


def checked_capacity(capacity: ArrayLike) -> Floats:
    """Capacities as an array; InputError names the first link whose capacity is not above 0 and finite."""
    values = np.ascontiguousarray(capacity, float)
    if values.ndim != 1:
        raise InputError(f"capacity must have one axis, links. Got {values.ndim} instead.")
    for link in _wrong(~((values > 0) & (values < np.inf))):
        raise InputError(
            f"capacity of link {link} must be above 0 and finite. Got {values[link]!s} instead; "
            "leave a failed link out of the routes"
        )
    return values


def checked_routes(routes: Routes, links: int) -> Routes:
    """Routes as arrays of the types that kernels take.

    Raises
    ------
    InputError
        If offsets do not rise from 0 to the number of entries, a link does not exist or repeats in a flow,
        or a usage is not above 0.
    """
    from armillary.network.filling import first_bad_entry

    offsets = np.ascontiguousarray(routes.offsets, np.int64)
    entries = np.ascontiguousarray(routes.links, np.int32)
    usage = None if routes.usage is None else np.ascontiguousarray(routes.usage, float)
    if len(offsets) < 1 or offsets[0] != 0 or offsets[-1] != len(entries) or (np.diff(offsets) < 0).any():
        raise InputError(f"offsets of routes must rise from 0 to the number of entries, {len(entries)}")
    if usage is not None and len(usage) != len(entries):
        raise InputError(f"usage has {len(usage)} values for {len(entries)} entries of the routes")
    entry, why = first_bad_entry(offsets, entries, NONE if usage is None else usage, links)
    if why:
        flow = int(np.searchsorted(offsets, entry, "right")) - 1
        link = int(entries[entry])
        raise InputError(
            (
                f"flow {flow} uses link {link}; links are 0 to {links - 1}",
                f"flow {flow} uses link {link} twice; give it once with the sum of usages",
                f"usage of link {link} by flow {flow} must be above 0 and finite. "
                f"Got {usage[entry] if usage is not None else 1!s} instead.",
            )[why - 1]
        )
    return Routes(offsets, entries, usage)


def checked_values(given: ArrayLike | None, flows: int, name: str, least_open: bool = True) -> Floats:
    """Finite values above 0 (or at least 0) a flow, `NONE` where nothing was given.

    Raises
    ------
    InputError
        Naming the first flow whose value is wrong.
    """
    if given is None:
        return NONE
    values = np.array(np.broadcast_to(np.asarray(given, float), (flows,))) if np.ndim(given) == 0 else given
    values = np.ascontiguousarray(values, float)
    if values.shape != (flows,):
        raise InputError(f"{name} has shape {values.shape}; there are {flows} flows")
    right = (values > 0 if least_open else values >= 0) & (values < np.inf)
    for flow in _wrong(~right):
        least = "above 0" if least_open else "0 or more"
        raise InputError(f"{name} of flow {flow} must be {least} and finite. Got {values[flow]!s} instead.")
    return values


def checked_caps(cap: ArrayLike | None, routes: Routes) -> Floats:
    """Caps above 0, which may be infinite where a flow has links.

    Raises
    ------
    InputError
        Naming the first flow whose cap is wrong, or that has neither links nor a cap.
    """
    lonely = np.diff(routes.offsets) == 0
    values = NONE
    if cap is not None:
        values = np.ascontiguousarray(np.broadcast_to(np.asarray(cap, float), (routes.flows,)))
        for flow in _wrong(~(values > 0)):
            raise InputError(f"cap of flow {flow} must be above 0. Got {values[flow]!s} instead.")
        lonely &= ~(values < np.inf)
    for flow in _wrong(lonely):
        raise InputError(f"flow {flow} has no links and no cap: nothing bounds its rate; give it a cap")
    return values


def limits(weights: Floats, caps: Floats) -> Floats:
    """Largest level of each flow, its cap over its weight [byte/s]."""
    return caps / weights if len(caps) and len(weights) else caps


def room(links: int, flows: int) -> tuple[Floats, NDArray[np.int32]]:
    """Arrays for `filling.fill` to work in; made here as numpy asks for large pages and numba does not."""
    return np.empty((links, 4)), np.empty((2, links + flows), np.int32)


def _wrong(mask: NDArray[np.bool_]) -> list[int]:
    return [int(np.argmax(mask))] if mask.any() else []
