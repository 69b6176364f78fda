"""Changes to the scores (r, V) of the next tokens before one is chosen; r rows, V vocabulary.

-inf marks a token that cannot be chosen. `ids`: (r, t), all tokens so far, the prompt and its padding included.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from trueband.optimized.generation.rules import Rules

NEVER = -math.inf


def adjusted(scores: Tensor, ids: Tensor, rules: Rules) -> Tensor:
    """Apply all changes that do not depend on sampling, in the Hub's order."""
    options, length = rules.options, ids.shape[1]
    if options.repetition_penalty != 1:
        scores = penalized(scores, ids, options.repetition_penalty)
    if options.no_repeat_ngram_size:
        scores = scores.masked_fill(repeats(ids, options.no_repeat_ngram_size, scores.shape[1]), NEVER)
    if length < rules.min_length:
        scores = scores.index_fill(1, torch.tensor(rules.eos, dtype=torch.int64, device=scores.device), NEVER)
    if options.forced_bos_token_id is not None and length == 1:
        scores = only(scores, options.forced_bos_token_id)
    if options.forced_eos_token_id is not None and length == rules.max_length - 1:
        scores = only(scores, options.forced_eos_token_id)
    return scores


def warped(scores: Tensor, rules: Rules) -> Tensor:
    """Shape the distribution that is sampled from."""
    options = rules.options
    scores = scores / options.temperature
    if 0 < options.top_k < scores.shape[1]:
        least = scores.topk(options.top_k, dim=1).values[:, -1:]
        scores = scores.masked_fill(scores < least, NEVER)
    if options.top_p < 1:
        scores = scores.masked_fill(tail(scores, options.top_p), NEVER)
    return scores


def penalized(scores: Tensor, ids: Tensor, penalty: float) -> Tensor:
    """Tokens that are there already: s / penalty where s > 0, else s * penalty (arXiv 1909.05858)."""
    own = scores.gather(1, ids)
    return scores.scatter(1, ids, torch.where(own < 0, own * penalty, own / penalty))


def repeats(ids: Tensor, size: int, vocabulary: int) -> Tensor:
    """(r, V) bool: tokens that would end an n-gram of this size that is there already."""
    banned = torch.zeros(ids.shape[0], vocabulary, dtype=torch.bool, device=ids.device)
    if ids.shape[1] < size:
        return banned
    grams = ids.unfold(1, size, 1)  # (r, t - size + 1, size)
    begun = ids[:, ids.shape[1] - size + 1 :]
    row, place = (grams[..., :-1] == begun[:, None]).all(dim=-1).nonzero(as_tuple=True)
    banned[row, grams[row, place, -1]] = True
    return banned


def tail(scores: Tensor, top_p: float) -> Tensor:
    """(r, V) bool: the least probable tokens, as many as have a probability of 1 - top_p at most together."""
    rising, order = scores.sort(dim=1)
    removed = rising.softmax(dim=1).cumsum(dim=1) <= 1 - top_p
    removed[:, -1] = False
    return torch.zeros_like(removed).scatter(1, order, removed)


def only(scores: Tensor, token: int) -> Tensor:
    """0 for one token, -inf for all others."""
    result = torch.full_like(scores, NEVER)
    result[:, token] = 0
    return result
