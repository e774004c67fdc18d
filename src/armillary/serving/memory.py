"""What a replica's memory holds: weights, workspace, and the tokens of KV cache that are left."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from armillary.catalog.records import Accelerator
from armillary.model import Transformer, bytes_per_element, kv_cache_bytes_per_token, parameters
from armillary.model.bytes import recurrent_state_bytes
from armillary.model.transformer import Attention
from armillary.serving.layout import EngineLayout
from armillary.serving.precision import Precision

Numeric = Any

USABLE = 0.9
"""Of memory that an engine takes, ``gpu_memory_utilization`` of vLLM; assumption for the others. [-]"""

WORKSPACE_TOKENS = 8192.0
"""Tokens of a step that activations are kept for, as engines profile before they size the cache. [token]"""

WORKSPACE_WIDTH = 24.0
"""Bytes of activations alive at once, per token and unit of hidden width; assumption. [byte]"""


class ReplicaMemory(NamedTuple):
    """Memory of the fullest accelerator of a replica, and the cache that fits; numbers or arrays.

    usable, weights, workspace : [byte]. token : of one cached token on one accelerator [byte].
    sequence : recurrent state of one sequence on one accelerator [byte].
    tokens : of KV cache that fit in the whole replica, 0 where the weights do not [token].
    """

    usable: Numeric
    weights: Numeric
    workspace: Numeric
    token: Numeric
    sequence: Numeric
    tokens: Numeric

    @property
    def left(self) -> Numeric:
        """For the cache; negative where weights and workspace do not fit [byte]."""
        return self.usable - self.weights - self.workspace


def replica_memory(
    model: Transformer,
    layout: EngineLayout,
    chosen: Precision,
    chip: Accelerator,
    context: float | None = None,
    usable: float = USABLE,
) -> ReplicaMemory:
    """Say how many tokens of KV cache a replica holds beside its weights.

    Parameters
    ----------
    model : Transformer
    layout : EngineLayout
        Numbers or arrays.
    chosen : Precision
    chip : Accelerator
    context : float, optional
        Tokens of a typical sequence: layers with a window then keep no more than it. [token]
    usable : float
        Share of memory that the engine takes. [-]

    Notes
    -----
    Attention ranks of one group share the heads; a latent cache (MLA) has no heads to share, each rank
    keeps it whole. Data-parallel groups keep sequences of their own: the replica holds `dp` times as many.

    Examples
    --------
    >>> from armillary import catalog
    >>> from armillary.model import transformer
    >>> from armillary.serving.precision import precision
    >>> known = catalog.load()
    >>> llama = transformer(known.model("llama-3.1-70b"))
    >>> held = replica_memory(llama, EngineLayout(tp=2), precision("fp8"), known.accelerator("h100"))
    >>> bool(4e5 < held.tokens < 6e5)
    True
    """
    counted = parameters(model)
    dense = (counted.total - counted.experts) * bytes_per_element(chosen.dense)
    experts = counted.experts * bytes_per_element(chosen.experts)
    if bytes_per_element(chosen.dense) < 2:
        # Embeddings and the vocabulary projection stay in BF16.
        tables = model.vocab * model.hidden * (1 if model.tied_embeddings else 2)
        dense += tables * (2.0 - bytes_per_element(chosen.dense))
    weights = dense / (layout.tp * layout.pp) + experts / (layout.stage * layout.pp)
    mixers = [k.mixer for k in model.kinds() if isinstance(k.mixer, Attention)]
    shared = np.minimum(layout.tp, mixers[0].kv_heads) if mixers else 1.0
    whole = kv_cache_bytes_per_token(model, chosen.cache, context)
    token = whole / (shared * layout.pp)
    state = recurrent_state_bytes(model) / (layout.tp * layout.pp)
    workspace = WORKSPACE_TOKENS * model.hidden * WORKSPACE_WIDTH / layout.tp + 0.0 * token
    room = usable * chip.memory_capacity - weights - workspace
    per_token = token + (state / context if context else 0.0)
    tokens = np.maximum(room, 0.0) / np.maximum(per_token, 1e-9) * layout.dp
    return ReplicaMemory(usable * chip.memory_capacity, weights, workspace, token, state, tokens)
