"""Parallel degrees that a model can be laid out with: heads divide over tp, layers fill stages."""

from __future__ import annotations

from armillary.model import Transformer
from armillary.model.transformer import Attention, LatentAttention
from armillary.serving.layout import EngineLayout

__all__ = ["degree_fault", "divides_heads", "most_stages"]


def _heads(model: Transformer) -> list[int]:
    """Query heads of each kind of attention."""
    mixers = (kind.mixer for kind in model.kinds())
    return sorted({mixer.heads for mixer in mixers if isinstance(mixer, Attention | LatentAttention)})


def divides_heads(model: Transformer, tp: int) -> bool:
    """Whether each of `tp` ranks gets whole heads, as many as the others."""
    return not any(heads % tp for heads in _heads(model))


def most_stages(model: Transformer) -> int:
    """Of a pipeline, each with a layer at least [-]."""
    return sum(model.kinds().values())


def degree_fault(model: Transformer, layout: EngineLayout) -> tuple[str, str] | None:
    """Which degree of one layout the model cannot have, and why with those that it can; None if all are fine.

    Examples
    --------
    >>> from armillary import catalog
    >>> from armillary.model import transformer
    >>> degree_fault(transformer(catalog.load().model("llama-3.1-8b")), EngineLayout(tp=3))
    ('tp', '3 does not divide the 32 heads of llama-3.1-8b; take 1, 2, 4, 8, 16 or 32')
    """
    tp, pp, heads = int(layout.tp), int(layout.pp), _heads(model)
    if not divides_heads(model, tp):
        right = [str(n) for n in range(1, heads[0] + 1) if divides_heads(model, n)]
        either = f"{', '.join(right[:-1])} or {right[-1]}" if len(right) > 1 else right[0]
        counts = " and ".join(map(str, heads))
        return "tp", f"{tp} does not divide the {counts} heads of {model.name}; take {either}"
    if pp > (most := most_stages(model)):
        return "pp", f"{pp} stages are more than the {most} layers of {model.name}; take 1 to {most}"
    return None
