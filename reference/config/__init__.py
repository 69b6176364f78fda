"""What models are configured by, and what they are called. Data only: all witnesses read it, and none computes here."""

from trueband.reference.config.families import (
    FAMILIES,
    MODEL_TYPES,
    Config,
    Family,
    family_of_class,
    family_of_config,
    family_of_type,
)
from trueband.reference.config.generation import ANSWERS, HARMLESS, NEUTRAL, GenerationConfig
from trueband.reference.config.models import (
    POSITION_EMBEDDING_TYPES,
    PROBLEM_TYPES,
    LEDConfig,
    LongformerConfig,
    XLMRobertaConfig,
)

__all__ = [
    "ANSWERS",
    "FAMILIES",
    "HARMLESS",
    "MODEL_TYPES",
    "NEUTRAL",
    "POSITION_EMBEDDING_TYPES",
    "PROBLEM_TYPES",
    "Config",
    "Family",
    "GenerationConfig",
    "LEDConfig",
    "LongformerConfig",
    "XLMRobertaConfig",
    "family_of_class",
    "family_of_config",
    "family_of_type",
]
