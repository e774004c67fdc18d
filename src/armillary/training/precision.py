"""Precision recipes: which GEMMs are quantised, what is stored in how many bytes, what casts move."""

from __future__ import annotations

from typing import NamedTuple

from armillary.errors import InputError, did_you_mean


class Recipe(NamedTuple):
    """A mixed-precision training recipe.

    gemm : key of the accelerator's `peak` that quantised GEMMs run at.
    gemm_bytes : width of a quantised GEMM operand in memory [byte].
    saved_bytes : width of a GEMM input kept for backward [byte].
    cast_bytes : moved to quantise one element, its transposed or re-scaled copy included [byte].
    weight_copy : bytes of quantised weight copies kept beside the BF16 weights, per parameter [byte].
    """

    name: str
    gemm: str
    gemm_bytes: float
    saved_bytes: float
    cast_bytes: float
    weight_copy: float
    about: str


#: Bytes follow Transformer Engine: FP8 keeps a row-wise and a column-wise (transposed) copy; MXFP8 needs
#: both because scales run along rows; NVFP4 adds a Hadamard transform and two levels of scales.
RECIPES: dict[str, Recipe] = {
    r.name: r
    for r in (
        Recipe("bf16", "bf16", 2.0, 2.0, 0.0, 0.0, "BF16 GEMMs, FP32 accumulation"),
        Recipe("fp8", "fp8", 1.0, 1.0, 4.0, 2.0, "FP8 with delayed per-tensor scaling"),
        Recipe(
            "fp8-current", "fp8", 1.0, 1.0, 6.0, 2.0, "FP8 with current per-tensor scaling: one more read"
        ),
        Recipe("fp8-block", "fp8", 1.0, 1.0, 4.25, 2.0, "FP8 with 1x128 and 128x128 blocks (DeepSeek-V3)"),
        Recipe("fp8-mx", "fp8", 1.03, 1.03, 4.06, 2.06, "MXFP8: blocks of 32 with E8M0 scales"),
        Recipe("nvfp4", "fp4", 0.56, 0.56, 5.1, 1.12, "NVFP4: blocks of 16, random Hadamard transform"),
    )
}


def recipe(name: str) -> Recipe:
    """Look up a recipe.

    Raises
    ------
    InputError
        If there is none of that name.

    Examples
    --------
    >>> recipe("fp8").gemm
    'fp8'
    """
    try:
        return RECIPES[name.casefold()]
    except KeyError:
        raise InputError(
            f"unknown precision {name!r}{did_you_mean(name, RECIPES)} (known: {', '.join(RECIPES)})"
        ) from None
