"""The model checks. Importing this module registers them all in `MODEL_CHECKS`."""

from trueband.properties.models import (
    checks_arguments,
    checks_base,
    checks_cache,
    checks_calls,
    checks_checkpoints,
    checks_decoding,
    checks_dropout,
    checks_generation,
    checks_half,
    checks_head_arguments,
    checks_heads,
    checks_layers,
    checks_padding,
    checks_positions,
    checks_pruning,
    checks_training,
)
from trueband.properties.models.check import MODEL_CHECKS, ModelCheck, ModelProbe, model_check

__all__ = [
    "MODEL_CHECKS",
    "ModelCheck",
    "ModelProbe",
    "checks_arguments",
    "checks_base",
    "checks_cache",
    "checks_calls",
    "checks_checkpoints",
    "checks_decoding",
    "checks_dropout",
    "checks_generation",
    "checks_half",
    "checks_head_arguments",
    "checks_heads",
    "checks_layers",
    "checks_padding",
    "checks_positions",
    "checks_pruning",
    "checks_training",
    "model_check",
]
