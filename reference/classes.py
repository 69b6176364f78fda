"""The functions of the reference under the names of the classes that compute the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "XLMRobertaModel": roberta_model,
    "XLMRobertaForMaskedLM": roberta_masked_lm,
    "XLMRobertaForCausalLM": roberta_causal_lm,
    "XLMRobertaForSequenceClassification": roberta_sequence_classification,
    "XLMRobertaForTokenClassification": roberta_token_classification,
    "XLMRobertaForQuestionAnswering": roberta_question_answering,
    "XLMRobertaForMultipleChoice": roberta_multiple_choice,
    "LongformerModel": longformer_model,
    "LongformerForMaskedLM": longformer_masked_lm,
    "LongformerForSequenceClassification": longformer_sequence_classification,
    "LongformerForTokenClassification": longformer_token_classification,
    "LongformerForQuestionAnswering": longformer_question_answering,
    "LongformerForMultipleChoice": longformer_multiple_choice,
    "LEDModel": led_model,
    "LEDForConditionalGeneration": led_conditional_generation,
    "LEDForSequenceClassification": led_sequence_classification,
    "LEDForQuestionAnswering": led_question_answering,
}
