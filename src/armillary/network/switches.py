"""`Switch`: a tree of switches and the hosts under them, as schedulers and clouds describe a network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Switch:
    """One switch, or one group of equal ones that is drawn as one.

    switches : one tier below. nodes : names of the hosts that hang on it directly.
    bandwidth : of its links upwards together, one direction [byte/s]; 0 where the description does not say.
    """

    name: str
    switches: tuple[Switch, ...] = ()
    nodes: tuple[str, ...] = ()
    bandwidth: float = 0.0

    def hosts(self) -> Iterator[str]:
        """Names of all hosts below, in order."""
        yield from self.nodes
        for child in self.switches:
            yield from child.hosts()

    @property
    def depth(self) -> int:
        """Tiers of switches, this one included [-]."""
        return 1 + max((child.depth for child in self.switches), default=0)
