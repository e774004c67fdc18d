"""Room `model`: transformers as values, their parameters, FLOPs and bytes; imports errors and catalog."""

from armillary.model.architecture import Architecture, architecture, customise, transformer
from armillary.model.bytes import (
    BYTES_PER_ELEMENT,
    bytes_per_element,
    kv_cache_bytes_per_token,
    recurrent_state_bytes,
    weight_bytes,
)
from armillary.model.conventions import CONVENTIONS, Convention, convention_named, model_flops_convention
from armillary.model.flops import ForwardFlops, attended_keys, forward_flops, layer_flops, training_flops
from armillary.model.hugging_face import from_hugging_face, hugging_face_record
from armillary.model.parameters import (
    LayerParameters,
    Parameters,
    layer_parameters,
    mtp_parameters,
    parameters,
)
from armillary.model.transformer import Transformer

__all__ = [
    "BYTES_PER_ELEMENT",
    "CONVENTIONS",
    "Architecture",
    "Convention",
    "ForwardFlops",
    "LayerParameters",
    "Parameters",
    "Transformer",
    "architecture",
    "attended_keys",
    "bytes_per_element",
    "convention_named",
    "customise",
    "forward_flops",
    "from_hugging_face",
    "hugging_face_record",
    "kv_cache_bytes_per_token",
    "layer_flops",
    "layer_parameters",
    "model_flops_convention",
    "mtp_parameters",
    "parameters",
    "recurrent_state_bytes",
    "training_flops",
    "transformer",
    "weight_bytes",
]
