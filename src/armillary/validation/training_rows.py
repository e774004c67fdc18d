"""Read a row of the measured-runs table as a job, a slice and a layout; what it does not say is assumed.

Defaults are those that each source documents for its framework; every one taken is listed by name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from armillary.catalog import Catalog
from armillary.catalog.records import Accelerator, ModelRecord
from armillary.errors import ArmillaryError, InputError
from armillary.machine import Ring, Slice
from armillary.model import Architecture, Transformer, customise, transformer
from armillary.training import Job, Layout, recipe
from armillary.validation.tables import Cells

CLUSTER_LATENCY = 8e-6
"""End-to-end of a small message over InfiniBand, RoCE or EFA; assumed where a row names no network. [s]"""
SCALE_UP_LATENCY = 2e-6
"""NVLink hop with the kernel's synchronisation (NCCL tuning constants, shared by all chips). [s]"""

NIC_GBIT = {
    "a100": 200,
    "h100": 400,
    "h200": 400,
    "h800": 400,
    "b200": 400,
    "b300": 800,
    "gb200": 400,
    "gb300": 800,
    "mi3": 400,
}
"""Scale-out per accelerator where the row's `interconnect` does not say [Gbit/s]."""

FORMATS = re.compile(r"(fp|float)8(?!\d)|(nv|mx)fp4(?!\d)|(bf|fp|float)16(?!\d)")
"""Formats of numbers that are modelled, as a lower-case `precision` names them."""


@dataclass
class Setup:
    """A row made ready to evaluate. assumed : what the row did not say, in words."""

    job: Job
    machine: Slice
    layout: Layout
    framework: str
    graphs: bool
    dispatcher: str
    record: ModelRecord | None
    assumed: list[str] = field(default_factory=list)


def read(row: Mapping[str, str], catalog: Catalog) -> Setup:
    """Make a row ready.

    Raises
    ------
    ArmillaryError
        If the chip or the model is unknown, a number is missing, or the layout does not multiply out.
    """
    r = Cells(row)
    workload = r.text("workload") or "pretrain"
    if workload != "pretrain":
        raise InputError(f"workload {workload!r} is not modelled, only pretrain")
    chip = catalog.accelerator(r.text("gpu"))
    accelerators = r.whole("num_gpus")
    sequence = r.whole("seq_len")
    model, record = _model(r, catalog, sequence)
    framework = _framework(r)
    layout = _layout(r, accelerators, model, framework)
    machine = _slice(r, chip, accelerators, catalog)
    job = Job(model, sequence, r.whole("global_batch"), recipe(_precision(r, framework)))
    if not chip.peak.get(job.recipe.gemm):
        raise InputError(f"{chip.name} has no {job.recipe.gemm} peak")
    graphs = r.text("cuda_graphs").casefold()
    return Setup(
        job,
        machine,
        layout,
        framework,
        graphs=graphs.startswith(("full", "none:full", "yes")) or _graphs_by_default(r),
        dispatcher=_dispatcher(r, chip),
        record=record,
        assumed=r.assumed,
    )


def _graphs_by_default(r: Cells) -> bool:
    if not r.text("cuda_graphs") and r.text("source").startswith("MLPerf"):
        r.assumed.append("cuda_graphs=full (MLPerf submissions)")
        return True
    return False


def _framework(r: Cells) -> str:
    source = r.text("source")
    if source.startswith(("Megatron-LM SC21", "Reducing Activation")) or r.text("release").startswith("2021"):
        return "megatron-2021"
    if "llm-foundry" in source:
        # Mixed precision PURE is what the oldest tables ran with (MosaicML Composer's documentation).
        return "fsdp-2023" if "MP mode PURE" in r.text("notes") else "fsdp"
    if source.startswith("Llama 3"):  # Meta's own stack, with kernels of its time
        return "megatron-2024"
    if source.startswith("NeMo AutoModel"):
        return "automodel"
    if source.startswith(("torchtitan", "IBM fms")) or "FSDP" in r.text("fsdp_zero"):
        notes = r.text("notes").casefold()  # asynchronous tensor parallelism comes with torch.compile
        compiled = "compile" in notes or "async" in notes or source.startswith("IBM fms")
        return "torch-compile" if compiled else "torch"
    if source.startswith("InternEvo"):
        return "internevo"
    release = r.text("release")
    if release.startswith(("NeMo 24", "v4.")) or re.match(r"2[234]\.|202[234]", release):
        return "megatron-2024"
    return "megatron"


def _model(r: Cells, catalog: Catalog, sequence: int) -> tuple[Transformer, ModelRecord | None]:
    name = r.text("model")
    base = re.sub(r"\s*\(.*(proxy|node|w/o).*\)|\s+2-node$", "", name)
    try:
        record = catalog.model(name)
    except ArmillaryError:
        try:
            record = catalog.model(base)
        except ArmillaryError:
            return _from_columns(r, name), None
    changes: dict[str, Any] = {}
    model = transformer(record)
    if r.text("layers") and r.whole("layers") != model.num_layers:
        changes["layers"] = r.whole("layers")
    if "w/o MTP" in name:
        changes["mtp_layers"] = 0
    if model.learned_positions:
        changes["learned_positions"] = sequence
    return (customise(record, **changes) if changes else model), record


def _from_columns(r: Cells, name: str) -> Transformer:
    """Build a model that the catalog does not hold from the row's own columns."""
    try:
        heads = r.whole("heads")
        hidden = r.whole("hidden")
        values: dict[str, Any] = {
            "layers": r.whole("layers"),
            "hidden": hidden,
            "heads": heads,
            "kv_heads": r.whole("kv_heads", heads),
            "head_dim": r.whole("head_dim", hidden // heads),
            "vocab": r.whole("vocab"),
        }
        if r.text("experts"):
            values |= {
                "experts": r.whole("experts"),
                "top_k": r.whole("topk"),
                "moe_ffn": r.whole("moe_ffn"),
                "shared_ffn": int(r.number("shared_ffn", 0)),
                "first_dense_layers": int(r.number("dense_layers", 0)),
            }
            if values["first_dense_layers"]:
                values["ffn"] = r.whole("dense_ffn")
        else:
            values["ffn"] = r.whole("ffn")
            values["gated"] = values["ffn"] != 4 * hidden
            r.assumed.append(f"gated feed-forward={values['gated']} (from its width)")
    except InputError as error:
        raise InputError(
            f"model {name!r} is not in the catalog, and its columns do not suffice: {error}"
        ) from None
    return transformer(Architecture(**values), name)


def _precision(r: Cells, framework: str) -> str:
    text = r.text("precision").casefold()
    if not text:
        default = "fp8" if r.text("source").startswith("MLPerf") else "bf16"
        r.assumed.append(f"precision={default}")
        return default
    if not FORMATS.search(text):
        raise InputError(
            f"column precision: unknown {r.text('precision')!r}; write BF16, FP16, FP8, FP8-CS, FP8-block, "
            "MXFP8 or NVFP4"
        )
    if "nvfp4" in text or "mxfp4" in text:
        return "nvfp4"
    if "mxfp8" in text or "fp8-mx" in text:
        return "fp8-mx"
    if "cs" in text.split("-") or "current" in text or "rowwise" in text or "tensorwise" in text:
        return "fp8-current"
    if "float8" in text:  # torchao's Float8Linear scales by the tensor at hand unless told otherwise
        return "fp8-current"
    if "block" in text or "subchannel" in text or text.endswith("-sc"):
        return "fp8-block"
    return "fp8" if "fp8" in text else "bf16"


def _layout(r: Cells, accelerators: int, model: Transformer, framework: str) -> Layout:
    tp, pp = r.whole("tp"), r.whole("pp")
    cp = r.whole("cp", 1)
    ranks = tp * pp * cp
    if accelerators % ranks:
        raise InputError(
            f"layout does not multiply out: tp {tp} x pp {pp} x cp {cp} on {accelerators} accelerators"
        )
    dp = accelerators // ranks
    if r.text("dp") and r.number("dp") not in (dp, dp * cp):
        r.assumed.append(f"dp={dp} (accelerators / (tp cp pp); the row says {r.text('dp')})")
    has_experts = any(getattr(layer.feed_forward, "experts", 0) for layer in model.kinds())
    ep = r.whole("ep", 1) if has_experts else 1
    etp = r.whole("etp", 1) if has_experts else 1
    if (tp * cp * dp) % (ep * etp):
        raise InputError(
            f"layout does not multiply out: ep {ep} x etp {etp} in tp x cp x dp = {tp * cp * dp}"
        )
    zero, shard = _sharding(r, dp * cp, dp, framework)
    overlap = _expert_overlap(r, ep)
    sp = r.text("sp")
    if tp > 1 and not sp:
        r.assumed.append("sp=1")
    micro_batch = float(r.whole("micro_batch", 1))
    if framework.startswith("torch") and pp > 1 and micro_batch > 1:
        r.assumed.append("micro_batch=1 (torchtitan splits the local batch over the pipeline)")
        micro_batch = 1.0
    if has_experts and not r.text("ep") and "DeepEP" in r.text("notes"):
        experts = max(getattr(layer.feed_forward, "experts", 0) for layer in model.kinds())
        ep = int(np.gcd(experts, accelerators // pp))
        r.assumed.append(f"ep={ep} (DeepEP is named, its degree is not)")
    return Layout(
        tp=tp,
        cp=cp,
        pp=pp,
        vpp=_chunks(r, pp, model) if pp > 1 else 1,
        dp=dp,
        ep=ep,
        etp=etp,
        micro_batch=micro_batch,
        zero=zero,
        shard=shard,
        recompute=_recompute(r, framework),
        sp=int(r.number("sp") > 0) if sp else 1,
        overlap_tp=_tensor_overlap(r, framework),
        overlap_dp=0 if framework == "megatron-2021" else 1,
        overlap_ep=int(overlap),
    )


def _tensor_overlap(r: Cells, framework: str) -> int:
    """Tensor-parallel communication under compute: torchtitan says where (AsyncTP), Megatron has it now."""
    if framework.startswith("torch") or framework == "automodel":
        return int("async" in r.text("notes").casefold())
    return int(framework != "megatron-2021")


def _expert_overlap(r: Cells, ep: int) -> bool:
    """Dispatch under compute: as printed, else where NVIDIA's presets have it (experts beyond one node)."""
    notes = r.text("notes")
    if "a2a_overlap=" in notes:
        return "a2a_overlap=on" in notes
    presets = r.text("source").startswith(("Megatron-Bridge", "NVIDIA DGX Cloud"))
    if presets and ep > r.whole("gpus_per_nvlink_domain", 8):
        r.assumed.append("overlap of expert dispatch (presets with experts beyond one node)")
        return True
    return False


def _chunks(r: Cells, pp: int, model: Transformer) -> int:
    """Model chunks a stage: as printed, else one layer a chunk as in the recipes of Megatron and Llama 3."""
    if r.text("vpp"):
        return r.whole("vpp")
    interleaves = r.text("source").startswith(("NVIDIA DGX Cloud", "Llama 3", "Megatron-Bridge", "MLPerf"))
    return r.whole("vpp", -(-model.num_layers // pp) if interleaves else 1)


def _sharding(r: Cells, ranks: int, dp: int, framework: str) -> tuple[int, int]:
    text = r.text("fsdp_zero").casefold()
    if framework == "megatron-2021" and text in ("", "0"):
        return 0, 1
    if text in ("", "0", "1"):
        r.assumed.append("zero=1 over all data-parallel ranks (distributed optimizer)")
        return 1, ranks
    level = re.search(r"zero-?(\d)", text)
    zero = int(level[1]) if level else 3
    if zero > 3:
        raise InputError(f"column fsdp_zero: unknown {r.text('fsdp_zero')!r}; write ZeRO-1, ZeRO-2 or ZeRO-3")
    if not re.search(r"zero|fsdp|^\d+$", text):
        r.assumed.append(f"sharding=ZeRO-3 (fsdp_zero says {r.text('fsdp_zero')!r})")
    within = re.search(r"(?:within|fsdp2|^)\s*(\d+)", text)
    shard = int(within[1]) if within and int(within[1]) > 1 else ranks
    if shard == dp:  # FSDP degrees are printed without the context-parallel ranks, which shard as well
        shard = ranks
    return zero, max(1, min(shard, ranks)) if ranks % max(1, min(shard, ranks)) == 0 else ranks


def _recompute(r: Cells, framework: str) -> int:
    text = r.text("recompute").casefold()
    if not text:
        default = 1 if framework.startswith("torch") or framework == "automodel" else 0
        r.assumed.append(f"recompute={'selective' if default else 'none'}")
        return default
    if text.startswith("none") or "offload" in text:
        return 0
    if "full" in text or text == "activation recompute":
        return 2
    if text.startswith(("selective", "modules:")):
        return 1
    r.assumed.append(f"recompute=selective (the row says {r.text('recompute')!r})")
    return 1


def _dispatcher(r: Cells, chip: Accelerator) -> str:
    """What moves tokens to experts: as printed, else the source's default."""
    notes = f"{r.text('notes')} {r.text('interconnect')}".casefold()
    for name in ("uccl", "nvshmem", "hybridep", "deepep"):
        if name in notes:
            return name
    if "nccl" in notes or "NVIDIA DGX Cloud" in r.text("source"):
        return "nccl"
    return "hybridep" if chip.name.startswith("gb") else "deepep"


def _slice(r: Cells, chip: Accelerator, accelerators: int, catalog: Catalog) -> Slice:
    domain = r.whole("gpus_per_nvlink_domain", 8)
    used = next(d for d in range(min(domain, accelerators), 0, -1) if accelerators % d == 0)
    nic = _nic(r, chip)
    system = next((s for s in catalog.systems.values() if s.accelerator == chip.name), None)
    if system is None:
        system = next(iter(catalog.systems.values()))
    system = replace(system, accelerator=chip.name, scale_up_size=domain, nic_bandwidth=nic)
    reduces = domain > 1 and not chip.name.startswith(("a100", "mi"))
    rings = [Ring("scale-up", used, chip.scale_up_bandwidth, SCALE_UP_LATENCY, reduces=reduces)]
    if accelerators > used:
        rings.append(Ring("cluster", accelerators, nic, CLUSTER_LATENCY))
    return Slice(chip, system, accelerators, accelerators // used, used, tuple(rings))


def _nic(r: Cells, chip: Accelerator) -> float:
    """Scale-out bandwidth per accelerator and direction [byte/s]."""
    text = r.text("interconnect")
    per_node = re.search(r"(\d+)\s*x\s*(\d+)\s*Gb", text)
    if per_node and r.text("source").startswith("InternEvo"):
        return int(per_node[1]) * int(per_node[2]) * 1e9 / 8 / 8
    node_rate = re.search(r"(\d+(?:\.\d+)?)\s*(T|G)b(?:ps|/s) per (?:8-GPU )?node", text)
    if node_rate:
        return float(node_rate[1]) * (1e12 if node_rate[2] == "T" else 1e9) / 8 / 8
    each = re.search(r"(\d+)\s*Gb/s[^,]* per GPU", text)
    if each:
        return int(each[1]) * 1e9 / 8
    if "EFA" in text and chip.name.startswith("h100"):
        return 400e9 / 8
    gbit = next((g for stem, g in NIC_GBIT.items() if chip.name.startswith(stem)), 400)
    r.assumed.append(f"network {gbit} Gbit/s per accelerator")
    return gbit * 1e9 / 8
