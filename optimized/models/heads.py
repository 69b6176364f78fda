"""Heads on top of the encoders."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, gelu

from trueband.optimized.attention.arguments import check_tensor
from trueband.optimized.models.inputs import Config, checked_ids

IGNORED = -100  # a label that does not count


class LMHead(nn.Module):
    """logits = LayerNorm(gelu(dense(x))) E^T + b, with E the word embeddings: (b, n, D) -> (b, n, vocabulary)."""

    def __init__(self, config: Config, word_embeddings: nn.Embedding) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))
        self.decoder = nn.Linear(config.hidden_size, config.vocab_size, device="meta")
        self.decoder.weight, self.decoder.bias = word_embeddings.weight, self.bias

    def forward(self, hidden_states: Tensor) -> Tensor:
        logits: Tensor = self.decoder(self.layer_norm(gelu(self.dense(hidden_states))))
        return logits


def check_labels(labels: Tensor | None, tokens: Tensor | None, vocab_size: int) -> Tensor | None:
    """Labels (b, n): ids of the vocabulary, or -100 for tokens that do not count. `tokens`: (b, n) or (b, n, D)."""
    if labels is None or tokens is None:  # without tokens the model will say so
        return None
    check_tensor("labels", labels)
    if labels.dtype not in (torch.int64, torch.int32):
        raise TypeError(f"labels: expected dtype int64 or int32, got {labels.dtype}")
    if labels.shape != tokens.shape[:2]:
        shape = tuple(tokens.shape[:2])
        raise ValueError(f"labels: expected shape (batch, tokens) = {shape}, got {tuple(labels.shape)}")
    counted = labels != IGNORED
    ids = checked_ids(labels.where(counted, 0), "labels", vocab_size)
    result: Tensor = ids.where(counted, IGNORED).long()
    return result


def token_loss(logits: Tensor, labels: Tensor | None) -> Tensor | None:
    """Mean cross-entropy over the labels that count; half types are brought to float32. None without labels."""
    if labels is None:
        return None
    logits = logits if logits.dtype == torch.float64 else logits.float()
    return cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED)
