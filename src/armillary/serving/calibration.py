"""What chips and engines sustain when they serve. Reads `calibration.toml` beside this file."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from functools import lru_cache
from importlib import resources
from typing import Any, NamedTuple

from armillary.catalog.records import Accelerator
from armillary.errors import InputError, did_you_mean
from armillary.serving.kernels import Sustained
from armillary.serving.precision import PEAK_KEY, Precision

Table = Mapping[str, Any]

KERNEL_FIELDS = ("dense_flops", "expert_flops", "bf16_flops", "attention_flops")
HOST_FIELDS = ("launch", "host_step", "host_sequence")
"""Fields of `Sustained` that a release of an engine scales as one: its kernels' rates, its host's times."""

UNNAMED = "unnamed"
"""Release of published runs that name none: not the engine in the mean, but what was run late in 2025."""

STREAM_KEY = {"nvfp4": "fp4", "mxfp4": "mxfp4", "int4": "int4", "int8": "fp8", "mxfp8": "fp8", "fp16": "bf16"}
"""Key of the calibration's tables for a weight format, where it is not the format's own name."""


@lru_cache(maxsize=1)
def serving_table() -> dict[str, Any]:
    """Return the shipped calibration as parsed TOML."""
    return tomllib.loads((resources.files(__package__) / "calibration.toml").read_text("utf-8"))


def engines(known: Table | None = None) -> tuple[str, ...]:
    """Return the names of the engines that are calibrated."""
    return tuple((known or serving_table())["engines"])


def generation_of(chip: Accelerator, known: Table | None = None) -> tuple[str, str]:
    """Generation whose kernels stand for a chip, and what is assumed in words (empty where fitted on it)."""
    families: Mapping[str, str] = (known or serving_table())["families"]
    if chip.name in families:
        return families[chip.name], ""
    stand_in = families.get(chip.vendor.casefold(), families["other"])
    return stand_in, f"serving kernels of {chip.name} sustain the shares of {stand_in}'s"


def sustained(
    chip: Accelerator,
    engine: str,
    chosen: Precision,
    nic_bandwidth: float,
    release: str = "",
    known: Table | None = None,
) -> Sustained:
    """Rates, bandwidths and latencies that an engine sustains on a chip.

    Parameters
    ----------
    chip : Accelerator
    engine : str
        One of `engines`.
    chosen : Precision
    nic_bandwidth : float
        Of one accelerator, one direction, e.g. ``system.nic_bandwidth``. [byte/s]
    release : str
        Of the engine, e.g. ``"0.19.0"``; one that is not calibrated, or none, is as the engine in the mean.
    known : mapping, optional
        Another calibration, in the form of `serving_table`.

    Raises
    ------
    InputError
        If the engine is not calibrated.
    """
    table = known or serving_table()
    if engine not in table["engines"]:
        near = did_you_mean(engine, table["engines"])
        names = ", ".join(table["engines"])
        raise InputError(f"unknown serving engine {engine!r}{near or f'; known are {names}'}")
    software, shared = table["engines"][engine], table["common"]
    silicon = table["generations"][generation_of(chip, table)[0]]
    dense, experts = _key(chosen.dense), _key(chosen.experts)
    vintage = vintage_of(engine, release, table)
    found = Sustained(
        dense_flops=_of(silicon["gemm"], dense) * _peak(chip, chosen.dense),
        expert_flops=_of(silicon["experts"], experts) * software["experts"] * _peak(chip, chosen.experts),
        bf16_flops=silicon["gemm"]["bf16"] * chip.peak["bf16"],
        attention_flops=silicon["attention"] * chip.peak["bf16"],
        latent_flops=silicon["latent"] * chip.peak["bf16"],
        dense_bandwidth=_of(silicon["stream"], dense) * chip.memory_bandwidth,
        expert_bandwidth=_of(silicon["expert_stream"], experts) * chip.memory_bandwidth,
        memory_bandwidth=silicon["stream"]["bf16"] * chip.memory_bandwidth,
        cache_bandwidth=silicon["cache"] * chip.memory_bandwidth,
        gap=silicon["gap"] * software["gaps"] * vintage["gaps"],
        launch=software["launch"],
        reduce_latency=silicon["reduce"],
        exchange_latency=shared["exchange"],
        network_latency=shared["crossing"],
        scale_up=shared["scale_up"] * chip.scale_up_bandwidth,
        scale_out=shared["scale_out"] * nic_bandwidth,
        host_step=software["host_step"],
        host_sequence=software["host_sequence"],
        skew=shared["skew"],
    )
    return found._replace(
        **{name: getattr(found, name) * vintage["kernels"] for name in KERNEL_FIELDS},
        **{name: getattr(found, name) * vintage["host"] for name in HOST_FIELDS},
    )


def vintage_of(engine: str, release: str, known: Table | None = None) -> dict[str, float]:
    """How many times the engine's own a release has: rates of kernels, gaps, times of the host, lag [-].

    Releases are told by their first three numbers; what the benchmark ran without naming it is `UNNAMED`.
    """
    releases: Mapping[str, dict[str, float]] = (known or serving_table())["engines"][engine]["releases"]
    same = dict.fromkeys(("kernels", "gaps", "host", "lag"), 1.0)
    named = (name for name in releases if re.match(re.escape(name) + r"(?!\d)", release))
    return next((releases[name] for name in named), same)


def acceptance(known: Table | None = None) -> float:
    """Chance that one drafted token is accepted (fitted on runs with drafts) [-]."""
    return float((known or serving_table())["common"]["acceptance"])


class FrontEnd(NamedTuple):
    """What stands between a user and the engine: HTTP, tokenisation, scheduling ahead, the stream back.

    latency : of each request, whatever the load [s]. token : for each token of its prompt [s]. lag : decode
    steps from when the engine has the first token to when it leaves: batches scheduled ahead, tokens streamed
    in groups [-]. handover : more where another worker decodes [s].
    """

    latency: float
    token: float
    lag: float
    handover: float

    def service(self, prompt: Any) -> Any:
        """Time that the front end takes for a prompt's tokens [s]."""
        return self.token * prompt

    def time(self, prompt: Any, step: Any, apart: bool = False) -> Any:
        """Time that requests spend outside of the engine before their first token; numbers or arrays [s].

        prompt : of the request [token]. step : of its engine, while it decodes [s]. apart : another decodes.
        """
        return self.latency + self.service(prompt) + self.lag * step + self.handover * apart


def front_end(engine: str, release: str = "", stream: int = 0, known: Table | None = None) -> FrontEnd:
    """Front end of an engine.

    Parameters
    ----------
    engine : str
        One of `engines`.
    release : str
        As of `sustained`.
    stream : int
        Tokens that leave at once, of whose steps a part is lag; 0 where each leaves on its own. [-]
    known : mapping, optional
        As of `sustained`.
    """
    table = known or serving_table()
    said: Mapping[str, float] = table["engines"][engine]["front"]
    steps = (said["lag"] + said["streamed"] * stream) * vintage_of(engine, release, table)["lag"]
    return FrontEnd(said["latency"], said["token"], steps, said["handover"])


def _key(form: str) -> str:
    return STREAM_KEY.get(form, form)


def _of(shares: Mapping[str, float], key: str) -> float:
    """Share of a format; MXFP4 and INT4 take FP4's, others BF16's, where they have none."""
    fallback = "fp4" if key in ("mxfp4", "int4") else key
    return float(shares.get(key, shares.get(fallback, shares["bf16"])))


def _peak(chip: Accelerator, form: str) -> float:
    """Tensor-core rate that weights of a format are multiplied at; BF16 where the chip lacks the format's."""
    return chip.peak.get(PEAK_KEY[form], chip.peak["bf16"])
