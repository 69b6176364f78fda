"""The reference's functions under the names of the Hub's classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trueband.reference.config import LEDConfig, LongformerConfig, XLMRobertaConfig
from trueband.reference.led import led_conditional_generation, led_model
from trueband.reference.led_heads import led_question_answering, led_sequence_classification
from trueband.reference.longformer import longformer_masked_lm, longformer_model
from trueband.reference.longformer_heads import (
    longformer_multiple_choice,
    longformer_question_answering,
    longformer_sequence_classification,
    longformer_token_classification,
)
from trueband.reference.roberta import roberta_causal_lm, roberta_masked_lm, roberta_model
from trueband.reference.roberta_heads import (
    roberta_multiple_choice,
    roberta_question_answering,
    roberta_sequence_classification,
    roberta_token_classification,
)

# class -> its configuration and its function
CLASSES: dict[str, tuple[Any, Callable[..., Any]]] = {
    "XLMRobertaModel": (XLMRobertaConfig, roberta_model),
    "XLMRobertaForMaskedLM": (XLMRobertaConfig, roberta_masked_lm),
    "XLMRobertaForCausalLM": (XLMRobertaConfig, roberta_causal_lm),
    "XLMRobertaForSequenceClassification": (XLMRobertaConfig, roberta_sequence_classification),
    "XLMRobertaForTokenClassification": (XLMRobertaConfig, roberta_token_classification),
    "XLMRobertaForQuestionAnswering": (XLMRobertaConfig, roberta_question_answering),
    "XLMRobertaForMultipleChoice": (XLMRobertaConfig, roberta_multiple_choice),
    "LongformerModel": (LongformerConfig, longformer_model),
    "LongformerForMaskedLM": (LongformerConfig, longformer_masked_lm),
    "LongformerForSequenceClassification": (LongformerConfig, longformer_sequence_classification),
    "LongformerForTokenClassification": (LongformerConfig, longformer_token_classification),
    "LongformerForQuestionAnswering": (LongformerConfig, longformer_question_answering),
    "LongformerForMultipleChoice": (LongformerConfig, longformer_multiple_choice),
    "LEDModel": (LEDConfig, led_model),
    "LEDForConditionalGeneration": (LEDConfig, led_conditional_generation),
    "LEDForSequenceClassification": (LEDConfig, led_sequence_classification),
    "LEDForQuestionAnswering": (LEDConfig, led_question_answering),
}
