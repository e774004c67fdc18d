"""`Tuning`: what collectives cost on a system, read from tuning.toml by GPU generation and network."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, fields
from functools import lru_cache
from importlib import resources
from typing import Any

from armillary.catalog import Accelerator, System
from armillary.errors import InputError, did_you_mean
from armillary.units import parse

Table = Mapping[str, Any]
NOT_VALUES = ("provenance", "like", "accelerators", "systems", "words")
WHAT = {"generations": "GPU generation", "networks": "network"}


@dataclass(frozen=True, slots=True)
class Tuning:
    """Coefficients of the time of a collective, as NCCL's tuner has them, refitted to predict.

    generation, network : keys of tuning.toml. assumed : what stands in for a measurement.
    scale_up_size : accelerators in a scale-up domain [-].
    scale_up_bandwidth, nic_bandwidth : of one accelerator, one direction, by datasheet [byte/s].
    reduces : True where the scale-up switches reduce (NVLS).
    launch : host work and waiting at every call, beyond `base` [s].
    net_latency : added to each hop between domains [s].
    base : of a call, by algorithm and protocol [s]. hop_inside, hop_outside : of a hop, likewise [s].
    ring : share of `scale_up_bandwidth` that rings sustain; tree, p2p : over the ring's [-].
    nvls : share that flows through reducing switches sustain, both passes together; nvls_bus : most that
        their bus bandwidth reaches of the link, which binds in large domains [-].
    nvls_tree : of `nvls`, where a tree between domains runs along [-].
    nvls_from : fewest accelerators of a domain for which NCCL takes NVLS [-].
    mesh : peers that the links are split over, one each, without a switch; 0 behind a switch [-].
    nic, nic_tree, nic_p2p : share of `nic_bandwidth` that rings, trees and direct exchanges sustain [-].
    ll_bus : most bus bandwidth of protocol LL, in one domain, on two, on more [byte/s].
    ll128, ll128_outside : of Simple's bandwidth, inside and outside [-].
    fill : time to fill and drain the pipeline, for each rank in a domain; fill_outside : more for each
        doubling of the domains [s].
    fill_size, fill_size_outside : bytes a rank at which half of either shows, as chunks grow with the
        size [byte].
    floor : what a progress thread's cycle takes at least; joins as the root of the sum of squares [s].
    rendezvous : handshake of a hop between domains for a message past `eager` bytes [s]; eager [byte].
    message : to post one send to a peer [s].
    """

    generation: str
    network: str
    scale_up_size: int
    scale_up_bandwidth: float
    nic_bandwidth: float
    reduces: bool
    launch: float
    net_latency: float
    base: Mapping[str, Mapping[str, float]]
    hop_inside: Mapping[str, Mapping[str, float]]
    hop_outside: Mapping[str, Mapping[str, float]]
    ring: float
    tree: float
    p2p: float
    nvls: float
    nvls_bus: float
    nvls_tree: float
    nvls_from: float
    mesh: float
    nic: float
    nic_tree: float
    nic_p2p: float
    ll_bus: tuple[float, ...]
    ll128: float
    ll128_outside: float
    fill: float
    fill_outside: float
    fill_size: float
    fill_size_outside: float
    floor: float
    rendezvous: float
    eager: float
    message: float
    assumed: tuple[str, ...] = ()


TIMES = ("launch", "net_latency", "fill", "fill_outside", "floor", "rendezvous", "message")
BANDWIDTHS = ("scale_up_bandwidth", "nic_bandwidth", "ll_bus")
SIZES = ("fill_size", "fill_size_outside", "eager")
SHARES = ("ring", "tree", "p2p", "nvls", "nvls_bus", "nvls_tree", "nic", "nic_tree", "nic_p2p", "ll128")


@lru_cache(maxsize=1)
def table() -> dict[str, Any]:
    """tuning.toml as it is read: ``common``, ``generations``, ``networks`` and ``harness``."""
    return tomllib.loads(resources.files("armillary.network").joinpath("tuning.toml").read_text("utf-8"))


def inherited(known: Table, room: str, name: str) -> dict[str, Any]:
    """Values of an entry over those of the ones it is like, without the common ones.

    Raises
    ------
    InputError
        If there is no such entry; the message offers near ones.
    """
    entries = known[room]
    if name not in entries:
        raise InputError(
            f"unknown {WHAT[room]} {name!r}{did_you_mean(name, entries)} (known: {', '.join(entries)})"
        )
    entry = entries[name]
    parent = inherited(known, room, entry["like"]) if "like" in entry else {}
    return parent | {k: v for k, v in entry.items() if k not in NOT_VALUES}


def make(
    generation: str,
    network: str,
    scale_up_size: int,
    scale_up_bandwidth: float,
    nic_bandwidth: float,
    reduces: bool,
    changes: Mapping[str, Any] | None = None,
    known: Table | None = None,
) -> Tuning:
    """Make a tuning of keys of the file and the datasheet's numbers.

    Parameters
    ----------
    generation, network : str
        Keys of tuning.toml.
    scale_up_size : int
        Accelerators in a scale-up domain. [-]
    scale_up_bandwidth, nic_bandwidth : float
        Of one accelerator, one direction. [byte/s]
    reduces : bool
        True where the scale-up switches reduce.
    changes : mapping, optional
        Coefficients in place of the file's by name, dotted for nested ones (``hop_outside.ring.ll``), as
        numbers in SI units or text with its unit.
    known : mapping, optional
        In place of `table`, e.g. with trial values of a fit.

    Raises
    ------
    InputError
        If a key or a name is unknown, or a value is out of range.
    """
    known = known or table()
    values = {k: v for k, v in known["common"].items() if k not in NOT_VALUES}
    values |= inherited(known, "generations", generation) | inherited(known, "networks", network)
    values |= {
        "scale_up_size": scale_up_size,
        "scale_up_bandwidth": scale_up_bandwidth,
        "nic_bandwidth": nic_bandwidth,
        "reduces": reduces,
    }
    if changes:
        values = deepcopy(values)
        for name, value in changes.items():
            _change(values, name, value)
    values["ll_bus"] = tuple(values["ll_bus"])
    assumed = tuple(
        f"{WHAT[room]} {name}: {known[room][name]['provenance'].removeprefix('assumed: ')}"
        for room, name in (("generations", generation), ("networks", network))
        if known[room][name]["provenance"].startswith("assumed")
    )
    return Tuning(generation=generation, network=network, assumed=assumed, **values)


def tuning(
    system: System,
    accelerator: Accelerator,
    network: str | None = None,
    changes: Mapping[str, Any] | None = None,
    known: Table | None = None,
) -> Tuning:
    """Tuning of a system of the catalog.

    Parameters
    ----------
    system : System
    accelerator : Accelerator
    network : str, optional
        A key of ``networks`` in tuning.toml; by default the one that lists the system.
    changes, known
        As in `make`.

    Raises
    ------
    InputError
        As in `make`.
    """
    known = known or table()
    generation = generation_of(accelerator.name, accelerator.vendor, known)
    listed = [key for key, entry in known["networks"].items() if system.name in entry["systems"]]
    found = network or (listed[0] if listed else network_of(f"{system.name} {system.title}", known))
    made = make(
        generation,
        found or DEFAULT,
        system.scale_up_size,
        accelerator.scale_up_bandwidth,
        system.nic_bandwidth,
        system.scale_up_reduces,
        changes,
        known,
    )
    if found is None:
        made = noted(made, f"network of {system.name} is taken as {DEFAULT}")
    return made


DEFAULT = "infiniband"
"""Network of what nothing is known of."""


def noted(known: Tuning, words: str) -> Tuning:
    """Return the tuning with a further assumption."""
    values = {f.name: getattr(known, f.name) for f in fields(Tuning)}
    return Tuning(**values | {"assumed": (*known.assumed, words)})


def generation_of(accelerator: str, vendor: str = "", known: Table | None = None) -> str:
    """Key of the generation of an accelerator, by its catalog name or words in it; ``other`` else.

    Examples
    --------
    >>> generation_of("h200"), generation_of("GB200 NVL72"), generation_of("tpu7x")
    ('hopper', 'blackwell', 'other')
    """
    entries = (known or table())["generations"]
    for key, entry in entries.items():
        if accelerator in entry["accelerators"]:
            return str(key)
    found = [
        key for key, entry in entries.items() if any(w in accelerator.casefold() for w in entry["words"])
    ]
    return str(found[0]) if found else ("amd" if vendor.casefold() == "amd" else "other")


def network_of(text: str, known: Table | None = None) -> str | None:
    """Key of the network that free text speaks of, None where it speaks of none known.

    Examples
    --------
    >>> network_of("p5en.48xlarge EFAv3 4 nodes"), network_of("GCP a3-highgpu-8g GPUDirect-TCPX")
    ('efa-p5en', 'gcp-tcpx')
    """
    folded = text.casefold()
    best: tuple[int, str] | None = None
    for key, entry in (known or table())["networks"].items():
        for word in entry["words"]:
            match = re.search(word, folded)
            if match and (best is None or len(match[0]) > best[0]):
                best = (len(match[0]), str(key))
    return best[1] if best else None


def harness_launch(text: str, known: Table | None = None) -> float:
    """Time that the program that measured adds to a launch, by words of the source; nccl-tests is 0. [s]"""
    for entry in (known or table())["harness"].values():
        if any(re.search(word, text.casefold()) for word in entry["words"]):
            return float(entry["launch"])
    return 0.0


def _change(values: dict[str, Any], name: str, value: Any) -> None:
    """Set a coefficient by its dotted name."""
    *path, last = name.strip().replace("-", "_").split(".")
    node: Any = values
    for part in (*path, last):
        if not isinstance(node, dict) or part not in node:
            near = did_you_mean(part, node) if isinstance(node, dict) else ""
            choices = ", ".join(node) if isinstance(node, dict) else "none"
            raise InputError(f"no coefficient {name!r}{near} (known: {choices})")
        parent, node = node, node[part]
    if isinstance(node, dict):
        raise InputError(
            f"coefficient {name!r} is a table; name one of {', '.join(f'{name}.{k}' for k in node)}"
        )
    top = (*path, last)[0]
    parent[last] = _numbers(top, name, value)


def _numbers(top: str, name: str, value: Any) -> Any:
    if top == "ll_bus":
        parts = value.split(",") if isinstance(value, str) else list(value)
        if len(parts) != 3:
            raise InputError(f"coefficient {name} takes three bandwidths, in one domain, on two, on more")
        return [_number("byte/s", name, part) for part in parts]
    dimension = "byte/s" if top in BANDWIDTHS else "byte" if top in SIZES else "1"
    if top in TIMES or top in ("base", "hop_inside", "hop_outside"):
        dimension = "s"
    number = _number(dimension, name, value)
    if top in SHARES and not 0 < number <= 2:
        raise InputError(f"coefficient {name} is a share above 0 and at most 2, got {value!r}")
    if number <= 0 and top in (*BANDWIDTHS, *SIZES, "scale_up_size"):
        raise InputError(f"coefficient {name} must be positive, got {value!r}")
    return number


def _number(dimension: str, name: str, value: Any) -> float:
    number = parse(value, dimension) if isinstance(value, str) else float(value)
    if not 0 <= number < float("inf"):
        raise InputError(f"coefficient {name} must be finite and at least 0, got {value!r}")
    return number
