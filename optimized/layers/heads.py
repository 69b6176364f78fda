"""Heads on top of the encoders. b batch, n tokens, D hidden size, C classes or choices."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from trueband.optimized.layers.base import Model
from trueband.optimized.layers.blocks import initialize
from trueband.optimized.layers.inputs import Config, Maybe, main_input
from trueband.optimized.layers.losses import (
    check_class_ids,
    check_classification_labels,
    check_labels,
    check_span,
    classification_loss,
    span_loss,
    token_loss,
)


class LMHead(nn.Module):
    """logits = LayerNorm(gelu(dense(x))) E^T + b, with E the word embeddings: (b, n, D) -> (b, n, vocabulary)."""

    def __init__(self, config: Config, word_embeddings: nn.Embedding) -> None:
        """E is tied to the word embeddings unless the configuration says otherwise."""
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))
        self.decoder = nn.Linear(config.hidden_size, config.vocab_size)
        self.decoder.bias = self.bias
        if config.tie_word_embeddings:
            self.decoder.weight = word_embeddings.weight
        initialize(self.dense, config.initializer_range)

    def forward(self, hidden_states: Tensor) -> Tensor:
        logits: Tensor = self.decoder(self.layer_norm(gelu(self.dense(hidden_states))))
        return logits


class ClassificationHead(nn.Module):
    """logits = out_proj(dropout(tanh(dense(dropout(x))))): (b, D) -> (b, labels)."""

    def __init__(self, size: int, labels: int, dropout_p: float) -> None:
        super().__init__()
        self.dense, self.out_proj = nn.Linear(size, size), nn.Linear(size, labels)
        self.dropout = nn.Dropout(dropout_p)

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.out_proj(self.dropout(self.dense(self.dropout(features)).tanh()))
        return logits


class SpanHead(nn.Linear):
    """Logits (b, n) of the start and of the end of an answer, from (b, n, D)."""

    def __init__(self, size: int, labels: int) -> None:
        if labels != 2:
            raise ValueError(f"num_labels: expected 2 (start and end) for question answering, got {labels}")
        super().__init__(size, labels)

    def spans(self, hidden_states: Tensor) -> tuple[Tensor, Tensor]:
        start, end = self(hidden_states).unbind(dim=-1)
        return start, end


def head_dropout(config: Config) -> float:
    """Dropout of a classifier: its own, or that of the hidden states."""
    own: float | None = getattr(config, "classifier_dropout", None)
    return config.hidden_dropout_prob if own is None else own


def hidden(output: Any) -> dict[str, Any]:
    """Return the fields that every head hands on from the model inside."""
    names = ("hidden_states", "attentions", "global_attentions")
    return {name: getattr(output, name) for name in names if hasattr(output, name)}


class WithHead(Model):
    """XLM-RoBERTa or Longformer with a head, and what the heads of both compute.

    `inputs` are the arguments of the model inside; results are the fields of an output.
    """

    dropout: nn.Dropout
    classifier: nn.Module
    qa_outputs: SpanHead

    def encode(self, **inputs: Any) -> Any:
        """The output of the model inside."""
        raise NotImplementedError

    def classify_sequences(self, labels: Maybe, **inputs: Any) -> dict[str, Any]:
        """Logits (b, C) from the first token. labels: as in `check_classification_labels`."""
        tokens, config = main_input(**inputs), self.config
        if tokens is not None:
            labels = check_classification_labels(labels, tokens.shape[0], config.num_labels, config.problem_type)
        encoded = self.encode(**inputs)
        logits = self.classifier(encoded.last_hidden_state[:, 0])
        return {"logits": logits, "loss": classification_loss(logits, labels, config.problem_type), **hidden(encoded)}

    def classify_tokens(self, labels: Maybe, **inputs: Any) -> dict[str, Any]:
        """Logits (b, n, C). labels: (b, n)."""
        labels = check_labels(labels, main_input(**inputs), self.config.num_labels)
        encoded = self.encode(**inputs)
        logits = self.classifier(self.dropout(encoded.last_hidden_state))
        return {"logits": logits, "loss": token_loss(logits, labels), **hidden(encoded)}

    def choose(self, shape: tuple[int, int], labels: Maybe, **inputs: Any) -> dict[str, Any]:
        """Logits (b, C) = `shape` from inputs (b * C, n). labels: (b,)."""
        if labels is not None:
            labels = check_class_ids(labels, shape[:1], "(batch,)", shape[1])
        encoded = self.encode(**inputs)
        logits = self.classifier(self.dropout(encoded.pooler_output)).view(shape)
        return {"logits": logits, "loss": token_loss(logits, labels), **hidden(encoded)}

    def answer(self, start_positions: Maybe, end_positions: Maybe, **inputs: Any) -> dict[str, Any]:
        """Logits (b, n) of the start and of the end. Positions: (b,)."""
        start_positions, end_positions = check_span(start_positions, end_positions, main_input(**inputs))
        encoded = self.encode(**inputs)
        start, end = self.qa_outputs.spans(encoded.last_hidden_state)
        loss = span_loss(start, end, start_positions, end_positions)
        return {"start_logits": start, "end_logits": end, "loss": loss, **hidden(encoded)}
