"""Read a row of the measured-serving table as a deployment and a load; what it does not say is assumed.

Two habits of the table are undone here. Rows of single-node InferenceX runs multiply tensor- and
expert-parallel degrees into their count of accelerators (``tp4 ep4`` on 4 becomes 16), which their `source`
shows. Rows of disaggregated runs say how many accelerators one worker of each pool has, but seldom how many
workers: the benchmark's own configuration does (`recipes`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from armillary.catalog import Catalog
from armillary.catalog.records import Accelerator
from armillary.errors import ArmillaryError, InputError
from armillary.model import Transformer, transformer
from armillary.serving.layout import EngineLayout
from armillary.serving.precision import Precision, precision
from armillary.validation.serving_recipes import drafts_of, recipe_of
from armillary.validation.tables import Cells

FRONTIER_ALIASES = {"deepseek-v3/r1": "deepseek-v3", "deepseek-r1/v3": "deepseek-v3"}
SHORTEST = 0.8
"""Of the nominal length that an InferenceX request has at least: its client draws uniformly from there up
(``--random-range-ratio 0.8``, benchmarks of SemiAnalysisAI/InferenceX). [-]"""
SUFFIX = re.compile(r"[-_ ](instruct|fp8|nvfp4|fp4|it|0528)$", re.IGNORECASE)
SATURATED = re.compile(r"saturated", re.IGNORECASE)


@dataclass(frozen=True)
class Pool:
    """Workers of one kind. workers : replicas [-]; each laid out alike."""

    workers: int
    layout: EngineLayout


@dataclass
class ServingRun:
    """One row made ready. concurrency : closed loop, infinite where the engine is saturated [-].

    shortest : of drawn lengths over the longest [-].
    decode : what generates; prefill : what reads prompts, None where both happen in one engine.
    accelerators : that the row's rate per accelerator is over [-]. drafts : tokens drafted a step [-].
    """

    chip: Accelerator
    model: Transformer
    precision: Precision
    precision_name: str
    input: float
    output: float
    concurrency: float
    decode: Pool
    prefill: Pool | None
    accelerators: float
    engine: str
    release: str
    drafts: int
    shortest: float = 1.0
    assumed: list[str] = field(default_factory=list)

    @property
    def longest_input(self) -> float:
        """Of uniformly drawn prompts, whose mean is `input` [token]."""
        return 2 * self.input / (1 + self.shortest)

    @property
    def longest_output(self) -> float:
        """Of uniformly drawn answers, whose mean is `output` [token]."""
        return 2 * self.output / (1 + self.shortest)


def engine_of(text: str) -> tuple[str, str]:
    """Family and release of an engine as the table names it, e.g. ``("vllm", "0.19.0")``."""
    words = text.casefold().replace("tensorrt-llm", "trtllm").replace("nan", "")
    for family in ("trtllm", "vllm", "sglang"):
        if family in words:
            release = re.search(r"\d+\.\d+[\w.\-]*", words)
            return family, release[0] if release else ""
    if "tensorrt" in words:
        return "trtllm", ""
    return "other", ""


def read_run(row: Mapping[str, str], catalog: Catalog) -> ServingRun:
    """Make a row ready.

    Raises
    ------
    ArmillaryError
        If the chip or the model is unknown, a number is missing, or the layout does not multiply out.
    """
    r = Cells(row)
    chip = catalog.accelerator(r.text("gpu"))
    model = _model(r.text("model"), catalog)
    engine, release = engine_of(r.text("engine"))
    isl, osl = r.number("isl"), r.number("osl")
    drawn = "(InferenceX)" in r.text("source")
    if drawn:
        isl, osl = isl * (1 + SHORTEST) / 2, osl * (1 + SHORTEST) / 2
    if isl < 1 or osl < 1:
        raise InputError(f"lengths of {isl:g} in and {osl:g} out are not requests")
    load = r.text("concurrency_or_rate")
    concurrency = math.inf if SATURATED.search(load) else _positive(load)
    name = _precision_name(r, model, engine, chip)
    counted = r.number("n_gpus", 0.0)
    if "disagg" in r.text("mode"):
        prefill, decode, drafts = _pools(r, chip, engine, release, load)
    else:
        if r.text("mode") not in ("agg", ""):
            raise InputError(f"mode {r.text('mode')!r} is neither agg nor disagg")
        prefill, decode = None, _single(r, chip)
        drafts = drafts_of(
            engine,
            release,
            chip.name,
            r.text("precision"),
            r.text("isl"),
            r.text("osl"),
            load,
            r.text("model"),
            float(decode.layout.dp) > 1,
        )
        if drafts:
            r.assumed.append(f"{drafts} drafts, as the benchmark's configuration of this release says")
    counted = counted or decode.workers * float(decode.layout.accelerators)
    run = ServingRun(
        chip,
        model,
        precision(name),
        name,
        isl,
        osl,
        concurrency,
        decode,
        prefill,
        counted,
        engine,
        release,
        drafts,
        SHORTEST if drawn else 1.0,
        r.assumed,
    )
    run.assumed.append(f"precision {name}")
    return run


def _model(text: str, catalog: Catalog) -> Transformer:
    name = (
        text.split("/")[-1] if text.casefold() not in FRONTIER_ALIASES else FRONTIER_ALIASES[text.casefold()]
    )
    while True:
        try:
            return transformer(catalog.model(name))
        except ArmillaryError:
            shorter = SUFFIX.sub("", name)
            if shorter == name:
                raise
            name = shorter


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise InputError(f"column concurrency_or_rate: {text!r} is neither a number nor saturated") from None
    if not value >= 1:
        raise InputError(f"column concurrency_or_rate: {text} is not a concurrency")
    return value


def _precision_name(r: Cells, model: Transformer, engine: str, chip: Accelerator) -> str:
    """What the checkpoint that the source names is stored in; caches as the engines default to."""
    said = r.text("precision").casefold()
    name = r.text("model").casefold()
    if said in ("", "nan", "unset"):
        said = "fp8" if "fp8" in name else "fp4" if "fp4" in name else "bf16"
    blackwell = chip.name in ("b200", "b300", "gb200", "gb300")
    if "gpt-oss" in name:
        return "mxfp4-fp8-cache" if engine == "trtllm" or blackwell else "mxfp4"
    moe = any(getattr(k.feed_forward, "experts", 0) for k in model.kinds())
    if "fp4" in said:
        return "nvfp4-experts" if moe else "nvfp4"
    if "int4" in said:
        return "int4-experts" if moe else "int4"
    if said == "bf16":
        return "bf16"
    if "fp8" in said:
        narrow = engine == "trtllm" or "llama" in name or ("deepseek" in name and blackwell)
        return "fp8" if narrow else "fp8-bf16-cache"
    raise InputError(f"column precision: {said!r} is not known")


def _single(r: Cells, chip: Accelerator) -> Pool:
    """One replica in one engine."""
    source = r.text("source")
    tp = r.whole("tp", 1.0)
    dp, ep, pp = (max(int(float(r.text(c) or 1)), 1) for c in ("dp", "ep", "pp"))
    count = int(float(r.text("n_gpus") or 0)) or tp * dp * pp
    if "InferenceX" in source and ep > 1:
        side = math.isqrt(count)
        if (
            side * side == count
            and side in (tp, ep)
            and side > 1
            and (ep == side or tp == side)
            and ep * tp * dp > count
        ):
            # tp N ep N on N accelerators, written as N * N of them
            named = re.search(r"_tp(\d+)(?:_0)?_ep(\d+)", source)
            if named is None or int(named[1]) == side:
                attention = dp > 1
                r.assumed.append(f"{side} accelerators: columns multiply tp by ep")
                tp, dp, ep, count = (1, side, side, side) if attention else (side, 1, side, side)
    if dp > 1 and tp * dp > count > 0:
        tp = max(count // dp, 1)
    if dp == 1 and tp == 1 and ep > 1 and count >= ep:
        dp = ep
    ep = min(ep, tp * dp)
    return Pool(1, EngineLayout(tp, pp, dp, ep, domain_of(chip)))


def domain_of(chip: Accelerator) -> int:
    """Accelerators of a scale-up domain of the usual system with this chip [-]."""
    return 72 if chip.name in ("gb200", "gb300") else 8


_WORKERS = re.compile(r"(\d+)x\[tp(\d+) dp(\d+) ep([\d.]+)\]")


def _pools(r: Cells, chip: Accelerator, engine: str, release: str, load: str) -> tuple[Pool, Pool, int]:
    found = recipe_of(
        engine,
        release,
        chip.name,
        r.text("precision"),
        r.text("isl"),
        r.text("osl"),
        load,
        r.text("model"),
        r.text("notes"),
    )
    if found is not None and found.prefill is not None:
        r.assumed.append(f"workers and drafts of the benchmark's configuration {found.name}")
        return _pool(found.prefill, chip), _pool(found.decode, chip), found.drafts
    said = _WORKERS.findall(r.text("notes"))
    if len(said) != 2:
        raise InputError("a disaggregated run does not say its pools")
    pools = []
    for workers, tp, dp, ep in said:
        tp_, dp_, ep_ = int(tp), int(dp), int(float(ep))
        pools.append(
            Pool(int(workers), EngineLayout(tp_, 1, dp_, min(max(ep_, 1), tp_ * dp_), domain_of(chip)))
        )
    r.assumed.append("as many workers as the row says, no drafts")
    return pools[0], pools[1], 0


def _pool(side: tuple[int, int, int, bool], chip: Accelerator) -> Pool:
    workers, accelerators, ep, attention_parallel = side
    tp, dp = (1, accelerators) if attention_parallel else (accelerators, 1)
    return Pool(workers, EngineLayout(tp, 1, dp, min(max(ep, 1), accelerators), domain_of(chip)))
