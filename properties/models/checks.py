"""The model checks. Importing this module registers them all in `MODEL_CHECKS`."""

from trueband.properties.models import (
    checks_arguments,
    checks_checkpoints,
    checks_decoding,
    checks_generation,
    checks_heads,
    checks_layers,
)
from trueband.properties.models.check import MODEL_CHECKS, ModelCheck, ModelProbe, model_check

__all__ = [
    "MODEL_CHECKS",
    "ModelCheck",
    "ModelProbe",
    "checks_arguments",
    "checks_checkpoints",
    "checks_decoding",
    "checks_generation",
    "checks_heads",
    "checks_layers",
    "model_check",
]
