"""The checks of models. Importing this module registers them all in `MODEL_CHECKS`."""

from trueband.properties.models.check import MODEL_CHECKS, ModelCheck, ModelProbe, model_check
from trueband.properties.models.checks import arguments as checks_arguments
from trueband.properties.models.checks import autocast as checks_autocast
from trueband.properties.models.checks import base as checks_base
from trueband.properties.models.checks import cache as checks_cache
from trueband.properties.models.checks import calls as checks_calls
from trueband.properties.models.checks import checkpoints as checks_checkpoints
from trueband.properties.models.checks import course as checks_course
from trueband.properties.models.checks import decoding as checks_decoding
from trueband.properties.models.checks import dropout as checks_dropout
from trueband.properties.models.checks import generation as checks_generation
from trueband.properties.models.checks import half as checks_half
from trueband.properties.models.checks import head_arguments as checks_head_arguments
from trueband.properties.models.checks import head_dropout as checks_head_dropout
from trueband.properties.models.checks import heads as checks_heads
from trueband.properties.models.checks import layers as checks_layers
from trueband.properties.models.checks import padding as checks_padding
from trueband.properties.models.checks import positions as checks_positions
from trueband.properties.models.checks import pruning as checks_pruning
from trueband.properties.models.checks import training as checks_training

__all__ = [
    "MODEL_CHECKS",
    "ModelCheck",
    "ModelProbe",
    "checks_arguments",
    "checks_autocast",
    "checks_base",
    "checks_cache",
    "checks_calls",
    "checks_checkpoints",
    "checks_course",
    "checks_decoding",
    "checks_dropout",
    "checks_generation",
    "checks_half",
    "checks_head_arguments",
    "checks_head_dropout",
    "checks_heads",
    "checks_layers",
    "checks_padding",
    "checks_positions",
    "checks_pruning",
    "checks_training",
    "model_check",
]
