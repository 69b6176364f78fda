"""Heads on top of the encoders."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from trueband.optimized.models.inputs import Config


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
