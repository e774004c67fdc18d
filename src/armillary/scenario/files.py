"""Files that people write, and those that come with the package: their text, or why there is none."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import NamedTuple

from armillary.errors import ScenarioError, did_you_mean
from armillary.scenario.yaml_source import Source, read_yaml

MOST_BYTES = 1_000_000
FOLDERS = {"scenario": "builtin", "deployment": "deployments"}
"""Where files of each kind are in the package."""


class Written(NamedTuple):
    """text : of a file. name : as it is said in errors. folder : that paths in it are relative to."""

    text: str
    name: str
    folder: Path


def builtin(kind: str) -> list[str]:
    """Names of the files of a kind that come with the package."""
    folder = resources.files("armillary.scenario").joinpath(FOLDERS[kind])
    return sorted(f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith(".yaml"))


def written(where: str, kind: str) -> Written:
    """A file, or a built-in one of that name.

    Raises
    ------
    ScenarioError
        If there is none, or it cannot be read, is too large or no UTF-8 text.
    """
    path, names = Path(where), builtin(kind)
    if where in names and not path.is_file():  # a folder of that name may hold its report
        file = resources.files("armillary.scenario").joinpath(FOLDERS[kind], f"{where}.yaml")
        return Written(file.read_text("utf-8"), f"{where}.yaml", Path())
    try:
        with path.open("rb") as opened:
            raw = opened.read(MOST_BYTES + 1)
        if len(raw) > MOST_BYTES:
            raise ScenarioError(f"{where}: error: is larger than {MOST_BYTES:,} bytes")
        return Written(raw.decode("utf-8"), where, path.parent)
    except FileNotFoundError:
        raise ScenarioError(
            f"{where}: error: no such file, and no built-in {kind}{did_you_mean(where, names)}\n"
            f"  hint: built-in {kind}s are {', '.join(names)}"
        ) from None
    except UnicodeDecodeError as error:
        raise ScenarioError(f"{where}: error: is not UTF-8 text (byte {error.start})") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ScenarioError(f"{where}: error: cannot be read: {reason}") from None


def mapping(text: str, name: str, kind: str) -> Source:
    """The text of a file of a kind as a mapping of fields, with places.

    Raises
    ------
    ScenarioError
        If it is none.
    """
    source = read_yaml(text, name)
    if source.problems:
        raise ScenarioError(source.render(source.problems))
    if not isinstance(source.data, dict):
        raise ScenarioError(
            f"{name}:1:1: error: a {kind} is a mapping of fields, got {type(source.data).__name__}"
        )
    return source
