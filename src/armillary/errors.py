"""The one tree of exceptions of Armillary.

::

    ArmillaryError                what people see; never a traceback at the command line
    ├── InputError                something given is wrong: exit code 2
    │   ├── UnitError             a quantity without, with an unknown, or with the wrong unit
    │   ├── CatalogError          an unknown name or a malformed catalog entry
    │   └── ScenarioError         a scenario file with one or more problems
    └── InfeasibleError           a good question that has no feasible answer: exit code 1
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class ArmillaryError(Exception):
    """Base of all errors that Armillary raises on purpose."""

    exit_code = 2


class InputError(ArmillaryError):
    """Something that was given is wrong; the message says what would be right."""


class UnitError(InputError):
    """A quantity without a unit, with an unknown one, or with one of another dimension."""


class CatalogError(InputError):
    """A name that the catalog does not hold, or a catalog entry that cannot be read."""


class ScenarioError(InputError):
    """A scenario file with problems; `str()` has one line a problem, each with its place."""


class InfeasibleError(ArmillaryError):
    """A well-posed question without a feasible answer; the message names what binds."""

    exit_code = 1


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x' or 'y'?"`` with near matches of `name`, or an empty string."""
    folded = {k.casefold(): k for k in known}
    near = [folded[k] for k in get_close_matches(name.casefold(), folded, n=3, cutoff=0.55)]
    return f"; did you mean {' or '.join(repr(n) for n in near)}?" if near else ""
