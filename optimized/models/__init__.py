"""Encoders under the Hub's class names and state-dict keys."""

from trueband.optimized.models.longformer import LongformerForMaskedLM, LongformerModel
from trueband.optimized.models.roberta import XLMRobertaForMaskedLM, XLMRobertaModel

__all__ = ["LongformerForMaskedLM", "LongformerModel", "XLMRobertaForMaskedLM", "XLMRobertaModel"]
