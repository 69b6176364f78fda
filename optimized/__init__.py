"""The optimized witness: PyTorch operators and models that run on any device in linear memory."""

from trueband.optimized.attention import band_attention
from trueband.optimized.models import LongformerForMaskedLM, LongformerModel, XLMRobertaForMaskedLM, XLMRobertaModel

__all__ = [
    "LongformerForMaskedLM",
    "LongformerModel",
    "XLMRobertaForMaskedLM",
    "XLMRobertaModel",
    "band_attention",
]
