"""Names of catalog entries: one folding for all, aliases, and near matches when nothing fits."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from armillary.errors import CatalogError, did_you_mean

__all__ = ["find", "fold", "index", "resolve"]

_SEPARATORS = re.compile(r"[\s_.\-]+")
_DECORATIONS = re.compile(r"\A(?:nvidia|amd|aws|google)(?=[a-z0-9])|sxm\d?")


def fold(name: str) -> str:
    """Fold a name for comparison: case, spaces, ``_``, ``-`` and ``.`` do not matter.

    Examples
    --------
    >>> fold("GPT OSS_120B") == fold("gpt-oss-120b")
    True
    >>> fold("LLAMA3.1_405B")
    'llama31405b'
    """
    return _SEPARATORS.sub("", name.casefold())


def _bare(name: str) -> str:
    """Fold and drop a vendor in front and an ``SXM`` form factor: ``NVIDIA H100 SXM5`` is ``h100``."""
    return _DECORATIONS.sub("", fold(name))


def index(names: Mapping[str, Iterable[str]], what: str) -> dict[str, str]:
    """Map every folded name and alias to its entry.

    Parameters
    ----------
    names : mapping
        Aliases by entry name.
    what : str
        For the message, e.g. ``"accelerator"``.

    Raises
    ------
    CatalogError
        If two entries would answer to one name.
    """
    owners = {fold(name): name for name in names}
    if len(owners) < len(names):
        twins = sorted(set(names) - set(owners.values()))
        raise CatalogError(
            f"{what} {twins[0]!r} and {owners[fold(twins[0])]!r} differ only in how they are spelt"
        )
    for name, aliases in names.items():
        for alias in aliases:
            owner = owners.setdefault(fold(alias), name)
            if owner != name:
                raise CatalogError(f"{what} {name!r} has the alias {alias!r}, which already names {owner!r}")
    return owners


def find(name: str, owners: Mapping[str, str]) -> str | None:
    """Look a name up in an `index`, with and without vendor and form factor; None if it is not there."""
    exact = owners.get(fold(name))
    return exact if exact is not None else owners.get(_bare(name))


def resolve(name: str, owners: Mapping[str, str], what: str) -> str:
    """Look a name up in an `index`.

    Raises
    ------
    CatalogError
        If no entry has that name; the message offers near matches.
    """
    found = find(name, owners)
    if found is None:
        near = did_you_mean(name, owners.values()) or did_you_mean(fold(name), owners)
        raise CatalogError(f"unknown {what} {name!r}{near}")
    return found
