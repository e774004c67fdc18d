"""Time of one iteration of an engine, as the sum of its named parts.

Everything of a step but its model may be an array: layouts, precisions, batches, chips. Parts broadcast.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from armillary.model.transformer import Transformer
from armillary.serving.communication import all_reduce_time
from armillary.serving.kernels import Sustained, gemm_time
from armillary.serving.layer_time import LayerTime, Work, layer_time
from armillary.serving.layout import EngineLayout, busiest_prompt, busiest_sequences
from armillary.serving.precision import Widths

Numeric = Any

HEAD_KERNELS = 4.0
"""Kernels behind the last layer: norm, product, sampling; assumption. [-]"""

HOST_SHARPNESS = 4.0
"""How hard the corner is between a device that computes and a host that launches: infinity is the slower of
both; assumption. [-]"""

LOGIT_PASSES, LOGIT_BYTES = 3.0, 4.0
"""Times that sampling passes over FP32 logits (scale, maximum, sum) [-], and width [byte]; assumption."""


class Batch(NamedTuple):
    """What one step of one replica works on; numbers or arrays.

    decodes : sequences that get their next token [-]. context : their cached tokens, summed [token].
    prompt : prompt tokens [token]. pairs : prompt tokens times the tokens that each attends to, summed:
        a chunk of c tokens behind p tokens has ``c * (p + c / 2)`` [token^2].
    longest : tokens of the longest chunk [token]. prompts : chunks in the step [-].
    """

    decodes: Numeric = 0.0
    context: Numeric = 0.0
    prompt: Numeric = 0.0
    pairs: Numeric = 0.0
    longest: Numeric = np.inf
    prompts: Numeric = 1.0


class Speculation(NamedTuple):
    """Multi-token prediction. drafts : tokens drafted a step [-]; acceptance : of one draft, alone [-]."""

    drafts: Numeric = 0.0
    acceptance: Numeric = 0.0

    @property
    def tokens_per_step(self) -> Numeric:
        r"""Expected tokens of a sequence and step, :math:`\sum_{i=0}^{k} a^i` [-].

        Leviathan et al. 2023, arXiv:2211.17192, equation 1.

        Examples
        --------
        >>> float(Speculation(3, 0.5).tokens_per_step)
        1.875
        """
        a = np.minimum(self.acceptance, 1 - 1e-12)
        return (1 - a ** (self.drafts + 1)) / (1 - a)


class StepTime(NamedTuple):
    """Where a step's time goes, each [s].

    projections : dense GEMMs of attention and of dense feed-forward blocks. cache : decoding reads its KV.
    prompt_attention : prompts attend. experts : routed experts. passes : norms, rotary, activations.
    gaps : between kernels. reduce : tensor-parallel all-reduces. exchange : dispatch and combine.
    head : vocabulary and drafts' heads. drafting : draft modules. host : what the host does not hide.
    """

    projections: Numeric
    cache: Numeric
    prompt_attention: Numeric
    experts: Numeric
    passes: Numeric
    gaps: Numeric
    reduce: Numeric
    exchange: Numeric
    head: Numeric
    drafting: Numeric
    host: Numeric

    @property
    def total(self) -> Numeric:
        """Sum of the parts [s]."""
        return sum(self)


def step_time(
    model: Transformer,
    layout: EngineLayout,
    width: Widths,
    known: Sustained,
    batch: Batch,
    speculation: Speculation | None = None,
) -> StepTime:
    """Time of one step of one replica.

    Parameters
    ----------
    model : Transformer
    layout : EngineLayout
    width : Widths
        See `serving.precision.widths`.
    known : Sustained
    batch : Batch
        Of the whole replica. With pipeline stages the batch is cut into as many micro-batches, and a step
        is one turn of all of them.
    speculation : Speculation, optional
        Decoding sequences then bring their drafts with them.

    Returns
    -------
    StepTime
        Each part broadcast over the arguments. [s]
    """
    drafts = speculation.drafts if speculation is not None else 0.0
    work = _work(batch, layout, drafts)
    layers = LayerTime()
    for layer, count in model.kinds().items():
        layers = layers.plus(layer_time(layer, model.hidden, layout, width, known, work).times(count))
    rows_out = batch.decodes / layout.pp / layout.dp
    head = _head(model, rows_out * (1 + drafts) + work.mixed * batch.prompts, layout, known)
    drafting: Numeric = 0.0
    module = model.mtp_layer()
    if speculation is not None and module is not None:
        # Each draft module passes one token of each decoding sequence, and no prompt.
        alone = _work(batch._replace(prompt=0.0, pairs=0.0), layout, 0.0)
        one = layer_time(module, model.hidden, layout, width, known, alone)
        again = _head(model, rows_out, layout, known)
        drafting = drafts * (one.device + one.kernels * known.gap + again)
    gaps = layers.kernels * known.gap
    # Steps with prompts are launched kernel by kernel: where the host is slower, the device waits.
    device = layers.device + gaps
    slower = (device**HOST_SHARPNESS + (layers.kernels * known.launch) ** HOST_SHARPNESS) ** (
        1 / HOST_SHARPNESS
    )
    waits = (slower - device) * work.mixed
    host = known.host_step + known.host_sequence * batch.decodes + waits
    turn = layout.pp
    return StepTime(
        projections=layers.projections * 1.0,
        cache=layers.cache,
        prompt_attention=layers.prompt_attention,
        experts=layers.experts,
        passes=layers.passes,
        gaps=gaps,
        reduce=layers.reduce,
        exchange=layers.exchange,
        head=head,
        drafting=drafting,
        host=host + (turn - 1) * (known.network_latency + known.gap),
    )


def _work(batch: Batch, layout: EngineLayout, drafts: Numeric) -> Work:
    decodes, prompt = batch.decodes / layout.pp, batch.prompt / layout.pp
    tokens = decodes * (1 + drafts) + prompt
    sequences = busiest_sequences(decodes, layout.dp)
    share = busiest_prompt(prompt, batch.longest / layout.pp, layout.dp)
    busiest = np.maximum(1.0 / layout.dp, np.minimum(1.0, 1.0 / np.maximum(decodes, 1e-9)))
    return Work(
        rows=sequences * (1 + drafts) + share,
        queries=sequences * (1 + drafts),
        keys=batch.context / layout.pp * busiest,
        sequences=sequences,
        prompt=share,
        pairs=batch.pairs / layout.pp * share / np.maximum(prompt, 1e-9),
        tokens=tokens,
        mean_context=batch.context / np.maximum(batch.decodes, 1e-9),
        mixed=np.where(np.asarray(batch.prompt) > 0, 1.0, 0.0),
    )


def _head(model: Transformer, rows: Numeric, layout: EngineLayout, known: Sustained) -> Numeric:
    """Vocabulary projection in BF16, logits gathered, sampled [s]."""
    time = gemm_time(
        rows,
        model.vocab / layout.tp,
        model.hidden,
        1.0,
        2.0,
        2.0,
        known.bf16_flops,
        known.memory_bandwidth,
    )
    sampled = rows * model.vocab * LOGIT_BYTES * LOGIT_PASSES / known.memory_bandwidth
    gathered = all_reduce_time(2.0 * rows * model.vocab / layout.tp, layout.tp, layout.domain, known) / 2
    return time + sampled + gathered + HEAD_KERNELS * known.gap
