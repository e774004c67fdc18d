"""Precisions of weights, activations and cache, each apart. Imports model's table of element widths."""

from __future__ import annotations

from typing import Any, NamedTuple

from armillary.errors import InputError, did_you_mean
from armillary.model import bytes_per_element

Numeric = Any

PEAK_KEY = {
    "fp32": "bf16",
    "bf16": "bf16",
    "fp16": "bf16",
    "fp8": "fp8",
    "mxfp8": "fp8",
    "int8": "fp8",
    "nvfp4": "fp4",
    "mxfp4": "fp4",
    "int4": "bf16",
}
"""Tensor-core rate that a weight format computes at; INT4 weights are widened to BF16 (AWQ, Marlin)."""


class Precision(NamedTuple):
    """Formats of one deployment, by name.

    dense : weights of attention, dense feed-forward and shared experts. experts : of routed experts.
    cache : keys and values. Activations are as wide as the weights' compute format.
    """

    dense: str = "fp8"
    experts: str = "fp8"
    cache: str = "fp8"


PRECISIONS = {
    "bf16": Precision("bf16", "bf16", "bf16"),
    "fp8": Precision("fp8", "fp8", "fp8"),
    "fp8-bf16-cache": Precision("fp8", "fp8", "bf16"),
    "nvfp4": Precision("nvfp4", "nvfp4", "fp8"),
    "nvfp4-experts": Precision("bf16", "nvfp4", "fp8"),
    "nvfp4-experts-bf16-cache": Precision("bf16", "nvfp4", "bf16"),
    "mxfp4": Precision("bf16", "mxfp4", "bf16"),
    "mxfp4-fp8-cache": Precision("bf16", "mxfp4", "fp8"),
    "int4": Precision("int4", "int4", "bf16"),
    "int4-experts": Precision("bf16", "int4", "bf16"),
}
"""Combinations with a name: gpt-oss ships as ``mxfp4``, NVIDIA's DeepSeek-R1-FP4 as ``nvfp4-experts``."""


class Widths(NamedTuple):
    """Bytes of an element, numbers or arrays: of weights, of what meets them, and of the cache [byte]."""

    dense: Numeric
    experts: Numeric
    dense_activation: Numeric
    expert_activation: Numeric
    cache: Numeric


def precision(name: str) -> Precision:
    """Precision by its name.

    Raises
    ------
    InputError
        If it is none of `PRECISIONS`.
    """
    try:
        return PRECISIONS[name.casefold()]
    except KeyError:
        near = did_you_mean(name, PRECISIONS)
        known = ", ".join(PRECISIONS)
        raise InputError(f"unknown serving precision {name!r}{near or f'; known are {known}'}") from None


def widths(chosen: Precision) -> Widths:
    """Bytes of an element of each kind [byte]."""
    of_peak = {"bf16": 2.0, "fp8": 1.0, "fp4": 0.5625}
    return Widths(
        bytes_per_element(chosen.dense),
        bytes_per_element(chosen.experts),
        of_peak[PEAK_KEY[chosen.dense]],
        of_peak[PEAK_KEY[chosen.experts]],
        bytes_per_element(chosen.cache),
    )
