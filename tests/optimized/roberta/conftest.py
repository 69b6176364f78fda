"""Small models in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from trueband.properties.bounds import Precision
from trueband.properties.bounds.encoder_variance import lm_head_moments, squashed_moments
from trueband.properties.bounds.layer_variance import linear_of
from trueband.properties.bounds.model_variance import longformer_moments, roberta_moments
from trueband.properties.bounds.variance import Moments
from trueband.reference import LongformerConfig, XLMRobertaConfig


@pytest.fixture
def make(small: dict[str, Any], randomize: Callable[[torch.nn.Module], Any]) -> Callable[..., Any]:
    """Makes a model of a class in float64, with fields of the configuration changed."""

    def made(kind: Any, **changed: Any) -> Any:
        if kind.__name__.startswith("XLM"):
            config: Any = XLMRobertaConfig(**{**small, **changed})
        else:
            config = LongformerConfig(**{**small, "attention_window": 4, **changed})
        return randomize(kind(config).double())

    return made


@pytest.fixture(scope="session")
def moments_of(state_of: Callable[[torch.nn.Module], Any]) -> Callable[..., dict[str, Moments]]:
    """Moments of every output of a model, logits included, for tensors by name and a dtype."""

    def carried(model: Any, given: dict[str, Any], dtype: str) -> dict[str, Moments]:
        arrays = {name: value.numpy() for name, value in given.items()}
        ids, precision, state = arrays.pop("input_ids"), Precision.of(dtype), state_of(model)
        named: Any = longformer_moments if isinstance(model.config, LongformerConfig) else roberta_moments
        base = "longformer." if named is longformer_moments else "roberta."
        prefix = base if any(name.startswith(base) for name in state) else ""
        found: dict[str, Moments] = named(state, model.config, ids, precision, prefix=prefix, **arrays)
        return found | logits_moments(type(model).__name__, state, prefix, model.config, found, precision)

    return carried


def logits_moments(
    kind: str, state: dict[str, np.ndarray], prefix: str, config: Any, found: dict[str, Moments], precision: Precision
) -> dict[str, Moments]:
    """Of the head of a class of models; choices are rows of the batch, two for each question."""
    last = found["last_hidden_state"]
    first = last.at(np.s_[:, 0])
    if kind.endswith("LM"):
        return {"logits": lm_head_moments(state, prefix, config, last, precision)}
    if kind.endswith("SequenceClassification"):
        squashed = squashed_moments(state, "classifier.dense", first, precision)
        return {"logits": linear_of(state, "classifier.out_proj", squashed, precision)}
    if kind.endswith("TokenClassification"):
        return {"logits": linear_of(state, "classifier", last, precision)}
    if kind.endswith("MultipleChoice"):
        pooled = squashed_moments(state, f"{prefix}pooler.dense", first, precision)
        choices = linear_of(state, "classifier", pooled, precision)
        return {"logits": Moments(choices.value.reshape(-1, 2), choices.variance.reshape(-1, 2))}
    if kind.endswith("QuestionAnswering"):
        spans = linear_of(state, "qa_outputs", last, precision)
        return {f"{name}_logits": spans.at(np.s_[..., i]) for i, name in enumerate(("start", "end"))}
    return {}
