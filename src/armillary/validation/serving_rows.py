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
from armillary.catalog.records import Accelerator, System
from armillary.errors import ArmillaryError, InputError
from armillary.model import Transformer, transformer
from armillary.serving.layout import EngineLayout
from armillary.serving.precision import Precision, precision
from armillary.validation.serving_recipes import Asked, Recipe, Side, drafts_of, recipe_of, recipe_of_total
from armillary.validation.serving_settings import Settings, settings_of
from armillary.validation.tables import Cells

MODEL_NAMES = {"deepseek-v3/r1": "deepseek-v3", "deepseek-r1/v3": "deepseek-v3"}
"""What sources call a model that no rule below finds. Both names are of one architecture."""
MOST_TOKENS, MOST_USERS = 1e7, 1e6
"""Lengths [token] and closed-loop users [-] beyond which a row is taken for a mistake."""
LARGEST_REPLICA = 8
"""Tensor-parallel ranks of a single node, at most: a row with more is an early disaggregated run that counts
all its accelerators as ranks. [-]"""
SHORTEST = 0.8
"""Of the nominal length that an InferenceX request has at least: its client draws uniformly from there up
(``--random-range-ratio 0.8``, benchmarks of SemiAnalysisAI/InferenceX). [-]"""
SUFFIX = re.compile(r"[-_ ](instruct|fp8|nvfp4|fp4|it|0528)$", re.IGNORECASE)
SATURATED = re.compile(r"saturated", re.IGNORECASE)


DEFAULTS = Settings()
"""An engine as it is started without any."""


@dataclass(frozen=True)
class Pool:
    """Workers of one kind.

    workers : replicas, each laid out alike [-]. batch : sequences of one at once, 0 where not said [-].
    """

    workers: int
    layout: EngineLayout
    batch: int = 0


@dataclass
class ServingRun:
    """One row made ready. concurrency : closed loop, infinite where the engine is saturated [-].

    settings : what the engine was started with, where that is known. scripted : whether InferenceX's
    scripts made the run. shortest : of drawn lengths over the longest
    [-]. nic_bandwidth : of one accelerator [byte/s].
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
    settings: Settings = DEFAULTS
    scripted: bool = False
    shortest: float = 1.0
    nic_bandwidth: float = 0.0
    assumed: list[str] = field(default_factory=list)

    @property
    def question(self) -> tuple[object, ...]:
        """All that a prediction hangs on: rows that agree in it have one."""
        told = (self.chip.name, self.model.name, self.precision, self.engine, self.release, self.drafts)
        load = (self.input, self.output, self.concurrency, self.shortest, self.scripted)
        return (*told, *load, self.decode, self.prefill, self.settings, self.nic_bandwidth)

    @property
    def longest_input(self) -> float:
        """Of uniformly drawn prompts, whose mean is `input` [token]."""
        return 2 * self.input / (1 + self.shortest)

    @property
    def longest_output(self) -> float:
        """Of uniformly drawn answers, whose mean is `output` [token]."""
        return 2 * self.output / (1 + self.shortest)


def engine_of(text: str) -> tuple[str, str]:
    """Family and release of an engine, e.g. ``("vllm", "0.19.0")``; of others what the table says."""
    words = text.casefold().replace("tensorrt-llm", "trtllm").replace("nan", "")
    for family in ("trtllm", "vllm", "sglang"):
        if family in words:
            release = re.search(r"\d+\.\d+[\w.\-]*", words)
            return family, release[0] if release else ""
    if "tensorrt" in words:
        return "trtllm", ""
    return text.casefold().strip() or "not named", ""


def read_run(row: Mapping[str, str], catalog: Catalog) -> ServingRun:
    """Make a row ready.

    Raises
    ------
    ArmillaryError
        If the chip or the model is unknown, a number is missing, or the layout does not multiply out.
    """
    r = Cells(row)
    chip = catalog.accelerator(r.text("gpu"))
    system = usual_system(chip, catalog)
    model = model_named(r.text("model"), catalog)
    engine, release = engine_of(r.text("engine"))
    isl, osl = r.number("isl"), r.number("osl")
    drawn = "(InferenceX)" in r.text("source")
    if drawn:
        isl, osl = isl * (1 + SHORTEST) / 2, osl * (1 + SHORTEST) / 2
    if not (1 <= isl <= MOST_TOKENS and 1 <= osl <= MOST_TOKENS):
        raise InputError(
            f"columns isl and osl: {isl:g} and {osl:g}; expected from 1 to {MOST_TOKENS:.0f} tokens"
        )
    load = r.text("concurrency_or_rate")
    concurrency = math.inf if SATURATED.search(load) else _positive(load)
    name = _precision_name(r, model, engine, chip)
    counted = r.number("n_gpus", 0.0)
    asked = Asked(engine, chip.name, *(r.text(c) for c in ("precision", "isl", "osl", "model")))
    early = None
    if drawn and "disagg" not in r.text("mode") and _degree(r, "tp") > LARGEST_REPLICA:
        early = recipe_of_total(asked, _degree(r, "tp"), concurrency)
    if early is not None:
        r.assumed.append(f"disaggregated, as configuration {early.name} of as many accelerators")
        prefill, decode, drafts = _of_recipe(early, system)
        release = release or early.release
    elif "disagg" in r.text("mode"):
        prefill, decode, drafts = _pools(r, asked, release, concurrency, system)
    else:
        if r.text("mode") not in ("agg", ""):
            raise InputError(f"mode {r.text('mode')!r} is neither agg nor disagg")
        prefill, decode = None, _single(r, system)
        drafts = 0
        if math.isfinite(concurrency):
            drafts = drafts_of(asked, release, concurrency, float(decode.layout.dp) > 1)
        if drafts:
            r.assumed.append(f"{drafts} drafts, as the benchmark's configuration of this release says")
    settings = None
    if drawn and prefill is None and math.isfinite(concurrency):
        settings = settings_of(asked, release, int(decode.layout.tp), concurrency)
    if settings is not None:
        r.assumed.append("started as the benchmark's scripts say")
    counted = counted or decode.workers * float(decode.layout.accelerators)
    run = ServingRun(
        chip,
        model,
        cached(precision(name), settings.cache if settings else ""),
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
        settings or DEFAULTS,
        drawn,
        SHORTEST if drawn else 1.0,
        system.nic_bandwidth,
        r.assumed,
    )
    run.assumed.append(f"precision {name}")
    return run


def cached(chosen: Precision, cache: str) -> Precision:
    """The precision with a cache of the given format, where one is given."""
    return chosen._replace(cache=cache) if cache else chosen


def model_named(text: str, catalog: Catalog) -> Transformer:
    """Model that a source means, publisher, format and tuning in its name left out.

    Raises
    ------
    InputError
        If the catalog has none of that name.
    """
    name = MODEL_NAMES.get(text.casefold(), text.split("/")[-1])
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
    if not 1 <= value <= MOST_USERS:
        raise InputError(f"column concurrency_or_rate: {text}; expected from 1 to {MOST_USERS:.0f} users")
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


def usual_system(chip: Accelerator, catalog: Catalog) -> System:
    """The first system of the catalog that has a chip: its scale-up domain and NIC stand for the row's.

    Raises
    ------
    InputError
        If no system has it.
    """
    found = next((s for s in catalog.systems.values() if s.accelerator == chip.name), None)
    if found is None:
        raise InputError(f"no system of the catalog has {chip.name}; its network is not known")
    return found


def _degree(r: Cells, name: str) -> int:
    """A parallel degree, 1 where the row has none or 0."""
    return r.whole(name) if r.text(name) and r.number(name) > 0 else 1


def _single(r: Cells, system: System) -> Pool:
    """One replica in one engine."""
    tp, dp, ep, pp = (_degree(r, name) for name in ("tp", "dp", "ep", "pp"))
    count = _degree(r, "n_gpus") if r.text("n_gpus") and r.number("n_gpus") > 0 else tp * dp * pp
    if "InferenceX" in r.text("source") and ep > 1:
        side = math.isqrt(count)
        if side * side == count and side in (tp, ep) and side > 1 and ep * tp * dp > count:
            # tp N ep N on N accelerators, written as N * N of them
            named = re.search(r"_tp(\d+)(?:_0)?_ep(\d+)", r.text("source"))
            if named is None or int(named[1]) == side:
                r.assumed.append(f"{side} accelerators: columns multiply tp by ep")
                tp, dp, ep, count = (1, side, side, side) if dp > 1 else (side, 1, side, side)
    if dp > 1 and tp * dp > count:
        tp = max(count // dp, 1)
    if dp == 1 and tp == 1 and ep > 1 and count >= ep:
        dp = ep
    return Pool(1, EngineLayout(tp, pp, dp, min(ep, tp * dp), system.scale_up_size))


_WORKERS = re.compile(r"(\d+)x\[tp(\d+) dp(\d+) ep([\d.]+)\]")


def _pools(
    r: Cells, asked: Asked, release: str, concurrency: float, system: System
) -> tuple[Pool, Pool, int]:
    found = None
    if math.isfinite(concurrency):
        found = recipe_of(asked, release, concurrency, r.text("notes"))
    if found is not None:
        r.assumed.append(f"workers and drafts of the benchmark's configuration {found.name}")
        return _of_recipe(found, system)
    said = _WORKERS.findall(r.text("notes"))
    if len(said) != 2:
        raise InputError("a disaggregated run does not say its pools")
    pools = []
    for workers, tp, dp, ep in said:
        tp_, dp_, ep_ = int(tp), int(dp), int(float(ep))
        pools.append(
            Pool(int(workers), EngineLayout(tp_, 1, dp_, min(max(ep_, 1), tp_ * dp_), system.scale_up_size))
        )
    r.assumed.append("as many workers as the row says, no drafts")
    return pools[0], pools[1], 0


def _of_recipe(recipe: Recipe, system: System) -> tuple[Pool, Pool, int]:
    assert recipe.prefill is not None
    return _pool(recipe.prefill, system), _pool(recipe.decode, system), recipe.drafts


def _pool(side: Side, system: System) -> Pool:
    ranks = side.accelerators
    tp, dp = (1, ranks) if side.attention_parallel else (ranks, 1)
    layout = EngineLayout(tp, 1, dp, min(max(side.experts, 1), ranks), system.scale_up_size)
    return Pool(side.workers, layout, side.batch * dp)
