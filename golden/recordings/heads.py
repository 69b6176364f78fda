"""Heads of models: what shows them, what they read, and the moments of what they give.

Shapes: b texts, r tokens, D hidden size, C classes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trueband.properties.bounds.encoder_variance import lm_head_moments, squashed_moments
from trueband.properties.bounds.layer_variance import linear_of
from trueband.properties.bounds.led_variance import led_logits_moments
from trueband.properties.bounds.precision import Precision
from trueband.properties.bounds.variance import Moments
from trueband.reference.config import Config, Family, LEDConfig
from trueband.reference.layers import State
from trueband.reference.led_heads import last_end


class Head(NamedTuple):
    """Attributes:
    module: the module of the model, under the Hub's name.
    reads: "tokens": every one; "token": one of each text, see `token_of_texts`; "pooled": what the pooler gives.
    taps: its outputs.
    """

    module: str
    reads: str = "tokens"
    taps: tuple[str, ...] = ("logits",)


LANGUAGE_MODELS = ("MaskedLM", "CausalLM", "ConditionalGeneration")
# Named as the classes end: "LEDForQuestionAnswering" has the head "QuestionAnswering".
HEADS = dict.fromkeys(LANGUAGE_MODELS, Head("lm_head")) | {
    "SequenceClassification": Head("classifier", "token"),
    "TokenClassification": Head("classifier"),
    "QuestionAnswering": Head("qa_outputs", taps=("start_logits", "end_logits")),
    "MultipleChoice": Head("classifier", "pooled"),
}
LED_HEADS = HEADS | {"SequenceClassification": Head("classification_head", "token")}


def head_of(family: Family, head: str) -> Head:
    """The head of a family by its name, such as "MaskedLM"."""
    return (LED_HEADS if family.config is LEDConfig else HEADS)[head]


def head_name(model_class: str) -> str:
    """
    >>> head_name("LEDForQuestionAnswering"), head_name("LEDModel")
    ('QuestionAnswering', '')
    """
    return model_class.partition("For")[2]


def is_of_texts(model_class: str, tap: str) -> bool:
    """Return whether a tap is one row for each text, not one for each token."""
    own = head_name(model_class) in ("SequenceClassification", "MultipleChoice")
    return tap == "pooler" or (own and tap == "logits")


def is_of_words(model_class: str, tap: str) -> bool:
    """Return whether the last axis of a tap is the vocabulary."""
    return tap == "logits" and head_name(model_class) in LANGUAGE_MODELS


def has_head(family: Family, head: str, state: State) -> bool:
    """Return whether the weights of a head are there; those of language models may leave out what is tied."""
    if family.config is LEDConfig and head in LANGUAGE_MODELS:
        return "final_logits_bias" in state or "lm_head.weight" in state
    module = "lm_head.dense" if head in LANGUAGE_MODELS else head_of(family, head).module
    return any(name.startswith(f"{module}.") for name in state)


def token_of_texts(config: Config, input_ids: NDArray[Any]) -> NDArray[np.int64]:
    """(b,): which token a head reads that classifies texts: the first; of an LED the last end token.

    Raises:
        ValueError: rows without an end token, or with different numbers of them.
    """
    if isinstance(config, LEDConfig):
        return np.array(last_end(config, input_ids))
    return np.zeros(len(input_ids), dtype=np.int64)


def pooler_moments(state: State, prefix: str, x: Moments, precision: Precision) -> Moments:
    """(b, n, D) -> (b, D), of the first token."""
    return squashed_moments(state, f"{prefix}pooler.dense", x.at(np.s_[:, 0]), precision)


def head_moments(
    head: str, state: State, config: Config, prefix: str, x: Moments, precision: Precision
) -> dict[str, Moments]:
    """Return the moments of a head's outputs, under the names of its taps.

    Args:
        head: such as "QuestionAnswering".
        x: what it reads: (b, r, D), or (b, D) of texts.
    """
    if head in LANGUAGE_MODELS:
        if isinstance(config, LEDConfig):
            return {"logits": led_logits_moments(state, x, precision)}
        return {"logits": lm_head_moments(state, prefix, config, x, precision)}
    if head == "QuestionAnswering":
        both = linear_of(state, "qa_outputs", x, precision)
        return {"start_logits": both.at(np.s_[..., 0]), "end_logits": both.at(np.s_[..., 1])}
    name = "classifier"
    if head == "SequenceClassification":
        start = "classification_head" if isinstance(config, LEDConfig) else "classifier"
        x, name = squashed_moments(state, f"{start}.dense", x, precision), f"{start}.out_proj"
    return {"logits": linear_of(state, name, x, precision)}
