"""`Architecture`: the flat table of a model's published numbers, and the `Transformer` built from it.

Imports rooms above only: errors and the catalog's records.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from itertools import cycle, groupby, islice

from armillary.catalog.records import ModelRecord
from armillary.errors import InputError, did_you_mean
from armillary.model.transformer import (
    Attention,
    FeedForward,
    GatedDeltaNet,
    Indexer,
    LatentAttention,
    Layer,
    Mamba2,
    Mixer,
    Mlp,
    Moe,
    Transformer,
)

__all__ = ["Architecture", "architecture", "customise", "transformer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """A decoder-only transformer in the words of its configuration; 0, False and "" mean "has none".

    Widths and counts
        layers, hidden, vocab, context (longest sequence [token]), tied (head and embedding share),
        learned_positions (rows of the table), mtp_layers, norms_per_layer, norm_bias (LayerNorm with bias),
        embedding_norm.
    Softmax attention
        heads, kv_heads (0: as many as heads), head_dim (0: hidden / heads), qkv_bias, out_bias, qk_norm,
        qk_norm_wide, sinks, output_gate, window (of the layers marked S).
    Multi-head latent attention (when kv_rank > 0)
        q_rank (0: queries projected directly), kv_rank, nope_dim, rope_dim, v_dim; sparse attention:
        indexer_heads, indexer_head_dim, indexer_top_k, indexer_pattern (I own indexer, s shared).
    Feed-forward
        ffn, gated (three matrices instead of two), mlp_bias.
    Mixture of experts (when experts > 0)
        experts, top_k, moe_ffn, shared_ffn (all shared experts together), moe_latent, moe_bias, shared_gate,
        router_bias, first_dense_layers, moe_every (each n-th layer has experts, the n-th first).
    State-space and linear mixers
        mamba_heads, mamba_head_dim, mamba_groups, mamba_state, mamba_conv; linear_key_heads,
        linear_value_heads, linear_key_dim, linear_value_dim, linear_conv.
    Patterns (repeated, or cut, to the number of layers)
        mixers: one letter a layer, F full attention, S sliding window, L linear (delta rule), M Mamba-2.
        blocks: one letter a residual block of a hybrid, where each layer is one block alone:
        M Mamba-2, * attention, - dense feed-forward, E mixture of experts.
    """

    layers: int
    hidden: int
    vocab: int
    context: int = 0
    tied: bool = False
    learned_positions: int = 0
    mtp_layers: int = 0
    norms_per_layer: int = 2
    norm_bias: bool = False
    embedding_norm: bool = False

    heads: int = 0
    kv_heads: int = 0
    head_dim: int = 0
    qkv_bias: bool = False
    out_bias: bool = False
    qk_norm: bool = False
    qk_norm_wide: bool = False
    sinks: bool = False
    output_gate: bool = False
    window: int = 0

    q_rank: int = 0
    kv_rank: int = 0
    nope_dim: int = 0
    rope_dim: int = 0
    v_dim: int = 0
    indexer_heads: int = 0
    indexer_head_dim: int = 0
    indexer_top_k: int = 0
    indexer_pattern: str = "I"

    ffn: int = 0
    gated: bool = True
    mlp_bias: bool = False

    experts: int = 0
    top_k: int = 0
    moe_ffn: int = 0
    shared_ffn: int = 0
    moe_latent: int = 0
    moe_bias: bool = False
    shared_gate: bool = False
    router_bias: bool = False
    first_dense_layers: int = 0
    moe_every: int = 1

    mamba_heads: int = 0
    mamba_head_dim: int = 0
    mamba_groups: int = 0
    mamba_state: int = 0
    mamba_conv: int = 4
    linear_key_heads: int = 0
    linear_value_heads: int = 0
    linear_key_dim: int = 0
    linear_value_dim: int = 0
    linear_conv: int = 4

    mixers: str = "F"
    blocks: str = ""


_FIELDS = {field.name: field for field in fields(Architecture)}
_REQUIRED = ("layers", "hidden", "vocab")
_MOST, _MOST_LAYERS = 10**9, 10_000
_MIXER_LETTERS, _BLOCK_LETTERS, _INDEXER_LETTERS = "FSLM", "M*-E", "Is"


def architecture(name: str, values: Mapping[str, object]) -> Architecture:
    """Check a mapping of plain values and return it as an `Architecture`.

    Parameters
    ----------
    name : str
        Of the model, for messages.
    values : mapping
        Field names of `Architecture` to integers, booleans or strings.

    Raises
    ------
    InputError
        If a field is unknown (with near matches), missing, of the wrong type, out of range, or
        contradicts another.
    """
    for key, value in values.items():
        if key not in _FIELDS:
            raise InputError(f"model {name!r}: unknown field {key!r}{did_you_mean(key, _FIELDS)}")
        _check_type(name, key, value)
    missing = [key for key in _REQUIRED if key not in values]
    if missing:
        raise InputError(
            f"model {name!r}: lacks {', '.join(missing)}; every model needs {', '.join(_REQUIRED)}"
        )
    given = Architecture(**values)  # type: ignore[arg-type]  # types were checked just above
    for problem in _contradictions(given):
        raise InputError(f"model {name!r}: {problem}")
    return given


def _check_type(name: str, key: str, value: object) -> None:
    wanted = str(_FIELDS[key].type)
    if type(value).__name__ != wanted:
        raise InputError(f"model {name!r}: {key} must be {_WORDS[wanted]}. Got {value!r} instead.")
    least = 1 if key in (*_REQUIRED, "moe_every") else 0
    most = _MOST_LAYERS if "layers" in key else _MOST
    if isinstance(value, int) and not least <= value <= most:
        raise InputError(
            f"model {name!r}: {key} must be {_WORDS[wanted]} from {least} to {most}. Got {value!r} instead."
        )


_WORDS = {"int": "a whole number", "bool": "true or false", "str": "text"}


def _contradictions(a: Architecture) -> list[str]:
    mixing = set(_letters(a.blocks, a.layers)) if a.blocks else set(_letters(a.mixers, a.layers))
    softmax = bool(mixing & set("FS*"))
    dense = "-" in mixing if a.blocks else a.experts == 0 or a.first_dense_layers > 0 or a.moe_every > 1
    groups = [
        (softmax, ("heads",), "softmax attention"),
        ("S" in mixing, ("window",), "a sliding window (S in mixers)"),
        (a.kv_rank > 0, ("nope_dim", "rope_dim", "v_dim"), "latent attention (kv_rank)"),
        (a.indexer_heads > 0, ("indexer_head_dim", "indexer_top_k", "kv_rank"), "an indexer"),
        ("E" in mixing, ("experts",), "mixture of experts (E in blocks)"),
        (a.experts > 0, ("top_k", "moe_ffn"), "mixture of experts (experts)"),
        (dense, ("ffn",), "dense feed-forward layers"),
        ("M" in mixing, ("mamba_heads", "mamba_head_dim", "mamba_groups", "mamba_state"), "Mamba-2 (M)"),
        (
            "L" in mixing,
            ("linear_key_heads", "linear_value_heads", "linear_key_dim", "linear_value_dim"),
            "linear attention (L)",
        ),
    ]
    problems = [
        f"{what} needs {field}, which is missing or zero"
        for needed, names, what in groups
        for field in names
        if needed and not getattr(a, field)
    ]
    for text, allowed, field in (
        (a.mixers, _MIXER_LETTERS, "mixers"),
        (a.blocks or "M", _BLOCK_LETTERS, "blocks"),
        (a.indexer_pattern, _INDEXER_LETTERS, "indexer_pattern"),
    ):
        if not text or set(text) - set(allowed):
            problems.append(f"{field} must be made of the letters {' '.join(allowed)}. Got {text!r} instead.")
    if a.heads and a.kv_heads and a.heads % a.kv_heads:
        problems.append(f"heads must be a multiple of kv_heads. Got {a.heads} and {a.kv_heads} instead.")
    if a.heads and not a.head_dim and not a.kv_rank and a.hidden % a.heads:
        problems.append(f"hidden {a.hidden} does not divide by heads {a.heads}; give head_dim")
    if a.top_k > a.experts:
        problems.append(f"top_k must not be above experts. Got {a.top_k} and {a.experts} instead.")
    if a.first_dense_layers > a.layers:
        problems.append(f"first_dense_layers {a.first_dense_layers} is above layers {a.layers}")
    return problems


def _letters(pattern: str, layers: int) -> str:
    return "".join(islice(cycle(pattern), layers))


def transformer(record: ModelRecord | Architecture, name: str = "model") -> Transformer:
    """Build the `Transformer` of a catalog record or of an `Architecture`.

    Parameters
    ----------
    record : ModelRecord or Architecture
        From the catalog, from `hugging_face_record`, or made by hand.
    name : str
        Of the transformer, where an `Architecture` (which has none) is given.

    Raises
    ------
    InputError
        If the record's architecture is incomplete or contradicts itself.

    Examples
    --------
    >>> small = Architecture(layers=2, hidden=64, vocab=1000, heads=4, ffn=256)
    >>> transformer(small, "small").num_layers
    2
    """
    if isinstance(record, ModelRecord):
        name, record = record.name, architecture(record.name, record.architecture)
    a = record
    layers = _block_layers(a) if a.blocks else _paired_layers(a)
    return Transformer(
        name=name,
        hidden=a.hidden,
        vocab=a.vocab,
        pattern=tuple((layer, len(list(run))) for layer, run in groupby(layers)),
        tied_embeddings=a.tied,
        learned_positions=a.learned_positions,
        mtp_layers=a.mtp_layers,
        norm_bias=a.norm_bias,
        context=a.context,
        embedding_norm=a.embedding_norm,
    )


def _block_layers(a: Architecture) -> list[Layer]:
    made = {
        "M": lambda: Layer(_mamba(a), None, 1),
        "*": lambda: Layer(_softmax(a, "F", "I"), None, 1),
        "-": lambda: Layer(None, _mlp(a), 1),
        "E": lambda: Layer(None, _moe(a), 1),
    }
    return [made[letter]() for letter in _letters(a.blocks, a.layers)]


def _paired_layers(a: Architecture) -> list[Layer]:
    letters = zip(_letters(a.mixers, a.layers), _letters(a.indexer_pattern, a.layers), strict=True)
    return [
        Layer(_mixer(a, letter, indexer), _feed_forward(a, index), a.norms_per_layer)
        for index, (letter, indexer) in enumerate(letters)
    ]


def _feed_forward(a: Architecture, index: int) -> FeedForward:
    has_experts = a.experts and index >= a.first_dense_layers and index % a.moe_every == a.moe_every - 1
    return _moe(a) if has_experts else _mlp(a)


def _mlp(a: Architecture) -> Mlp:
    return Mlp(a.ffn, a.gated, a.mlp_bias)


def _moe(a: Architecture) -> Moe:
    return Moe(
        experts=a.experts,
        top_k=a.top_k,
        ffn=a.moe_ffn,
        gated=a.gated,
        shared_ffn=a.shared_ffn,
        latent=a.moe_latent,
        bias=a.moe_bias,
        shared_gate=a.shared_gate,
        router_bias=a.router_bias,
    )


def _mixer(a: Architecture, letter: str, indexer: str) -> Mixer:
    if letter == "M":
        return _mamba(a)
    if letter == "L":
        return GatedDeltaNet(
            key_heads=a.linear_key_heads,
            value_heads=a.linear_value_heads,
            key_dim=a.linear_key_dim,
            value_dim=a.linear_value_dim,
            conv=a.linear_conv,
        )
    return _softmax(a, letter, indexer)


def _softmax(a: Architecture, letter: str, indexer: str) -> Attention | LatentAttention:
    if a.kv_rank:
        chosen = Indexer(a.indexer_heads, a.indexer_head_dim, a.indexer_top_k, indexer == "s")
        return LatentAttention(
            heads=a.heads,
            q_rank=a.q_rank,
            kv_rank=a.kv_rank,
            nope_dim=a.nope_dim,
            rope_dim=a.rope_dim,
            v_dim=a.v_dim,
            indexer=chosen if a.indexer_heads else None,
        )
    return Attention(
        heads=a.heads,
        kv_heads=a.kv_heads or a.heads,
        head_dim=a.head_dim or a.hidden // a.heads,
        window=a.window if letter == "S" else None,
        qkv_bias=a.qkv_bias,
        out_bias=a.out_bias,
        qk_norm=a.qk_norm,
        sinks=a.sinks,
        output_gate=a.output_gate,
        qk_norm_wide=a.qk_norm_wide,
    )


def _mamba(a: Architecture) -> Mamba2:
    return Mamba2(a.mamba_heads, a.mamba_head_dim, a.mamba_groups, a.mamba_state, a.mamba_conv)


def customise(like: ModelRecord | Architecture, name: str | None = None, **overrides: object) -> Transformer:
    """Build a model like another one, with some of its fields changed.

    Parameters
    ----------
    like : ModelRecord or Architecture
        From the catalog, from `hugging_face_record`, or made by hand.
    name : str, optional
        Of the new model; that of `like` with the changes when not given.
    **overrides
        Fields of `Architecture`, e.g. ``layers=96, hidden=12288, experts=512``.

    Raises
    ------
    InputError
        If a field is unknown (with near matches), or the result contradicts itself.

    Examples
    --------
    >>> small = Architecture(layers=2, hidden=64, vocab=1000, heads=4, ffn=256)
    >>> customise(small, layers=3).name
    'model (layers=3)'
    """
    base, values = (
        ("model", asdict(like)) if isinstance(like, Architecture) else (like.name, like.architecture)
    )
    changes = ", ".join(f"{key}={value}" for key, value in overrides.items())
    named = name or (f"{base} ({changes})" if changes else base)
    return transformer(architecture(named, {**values, **overrides}), named)
