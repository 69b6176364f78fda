"""The models under the Hub's class names and state-dict keys."""

from trueband.optimized.layers.cache import DecoderCache, LayerCache
from trueband.optimized.models.led import LEDModel
from trueband.optimized.models.led_conditional import LEDForConditionalGeneration
from trueband.optimized.models.led_heads import LEDForQuestionAnswering, LEDForSequenceClassification
from trueband.optimized.models.longformer import LongformerForMaskedLM, LongformerModel
from trueband.optimized.models.longformer_heads import (
    LongformerForMultipleChoice,
    LongformerForQuestionAnswering,
    LongformerForSequenceClassification,
    LongformerForTokenClassification,
)
from trueband.optimized.models.roberta import XLMRobertaModel
from trueband.optimized.models.roberta_heads import (
    XLMRobertaForMultipleChoice,
    XLMRobertaForQuestionAnswering,
    XLMRobertaForSequenceClassification,
    XLMRobertaForTokenClassification,
)
from trueband.optimized.models.roberta_lm import XLMRobertaForCausalLM, XLMRobertaForMaskedLM

__all__ = [
    "DecoderCache",
    "LEDForConditionalGeneration",
    "LEDForQuestionAnswering",
    "LEDForSequenceClassification",
    "LEDModel",
    "LayerCache",
    "LongformerForMaskedLM",
    "LongformerForMultipleChoice",
    "LongformerForQuestionAnswering",
    "LongformerForSequenceClassification",
    "LongformerForTokenClassification",
    "LongformerModel",
    "XLMRobertaForCausalLM",
    "XLMRobertaForMaskedLM",
    "XLMRobertaForMultipleChoice",
    "XLMRobertaForQuestionAnswering",
    "XLMRobertaForSequenceClassification",
    "XLMRobertaForTokenClassification",
    "XLMRobertaModel",
]
