"""The reference witness: float64 NumPy, dense masks, one line for each equation. Imports numpy only."""

from trueband.reference.attention import BandAttention, BandAttentionLse, band_attention
from trueband.reference.attention_vjp import BandAttentionGradients, band_attention_vjp
from trueband.reference.config import GenerationConfig, LEDConfig, LongformerConfig, XLMRobertaConfig
from trueband.reference.layout import CompactProbabilities, compact_to_dense, dense_to_compact

__all__ = [
    "BandAttention",
    "BandAttentionGradients",
    "BandAttentionLse",
    "CompactProbabilities",
    "GenerationConfig",
    "LEDConfig",
    "LongformerConfig",
    "XLMRobertaConfig",
    "band_attention",
    "band_attention_vjp",
    "compact_to_dense",
    "dense_to_compact",
]
