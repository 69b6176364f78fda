"""What changes the scores of the next token before one is chosen: transformations of a vector of V scores.

-inf marks a token that cannot be chosen. `ids` are all tokens so far, prompt and padding in it included.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from trueband.reference.arguments import Float
from trueband.reference.config import GenerationConfig


class Rules(NamedTuple):
    """Options of decoding with what they leave to the model and to the prompt.

    Attributes:
        options: as given.
        prompt: tokens of the prompt.
        max_length, min_length: of all tokens.
        eos: end tokens.
        pad: what fills finished sequences.
    """

    options: GenerationConfig
    prompt: int
    max_length: int
    min_length: int
    eos: tuple[int, ...]
    pad: int


def next_scores(scores: Float, ids: Sequence[int], rules: Rules) -> Float:
    """All transformations in their order; those of sampling only where there is sampling. (V,) -> (V,)."""
    options = rules.options
    scores = repetition_penalty(scores, ids, options.repetition_penalty)
    scores = no_repeated_ngrams(scores, ids, options.no_repeat_ngram_size)
    if len(ids) < rules.min_length:
        scores = without(scores, rules.eos)
    if options.forced_bos_token_id is not None and len(ids) == 1:
        scores = only(scores, options.forced_bos_token_id)
    if options.forced_eos_token_id is not None and len(ids) == rules.max_length - 1:
        scores = only(scores, options.forced_eos_token_id)
    if options.do_sample:
        scores = top_p(top_k(scores / options.temperature, options.top_k), options.top_p)
    return scores


def repetition_penalty(scores: Float, ids: Sequence[int], penalty: float) -> Float:
    """Tokens that are there already: s / penalty where s > 0, s * penalty elsewhere (arXiv 1909.05858).

    >>> repetition_penalty(np.array([4.0, -4.0, 4.0]), [0, 1, 0], 2.0).tolist()
    [2.0, -8.0, 4.0]
    """
    seen = sorted(set(ids))
    changed = scores.copy()
    changed[seen] = np.where(scores[seen] < 0, scores[seen] * penalty, scores[seen] / penalty)
    return changed


def no_repeated_ngrams(scores: Float, ids: Sequence[int], size: int) -> Float:
    """Without the tokens that would end an n-gram of this size that is there already; 0: all may.

    >>> no_repeated_ngrams(np.zeros(4), [1, 2, 3, 1, 2], 3).tolist()
    [0.0, 0.0, 0.0, -inf]
    """
    if size == 0:
        return scores
    there = [tuple(ids[i : i + size]) for i in range(len(ids) - size + 1)]
    begun = tuple(ids[len(ids) - size + 1 :])
    return without(scores, [ngram[-1] for ngram in there if ngram[:-1] == begun])


def top_k(scores: Float, k: int) -> Float:
    """Without the tokens below the k-th largest score; ties with it stay; 0: all stay."""
    if k == 0 or k >= len(scores):
        return scores
    return np.where(scores < np.sort(scores)[-k], -np.inf, scores)


def top_p(scores: Float, p: float) -> Float:
    """The smallest set of most probable tokens whose probabilities reach p (arXiv 1904.09751); 1: all stay."""
    if p == 1:
        return scores
    falling = np.argsort(-scores, kind="stable")
    probabilities = softmax(scores)[falling]
    before = np.concatenate([[0.0], np.cumsum(probabilities)[:-1]])  # of the more probable tokens
    return without(scores, falling[before >= p].tolist())


def without(scores: Float, tokens: Sequence[int]) -> Float:
    """-inf for some tokens."""
    changed = scores.copy()
    changed[list(tokens)] = -np.inf
    return changed


def only(scores: Float, token: int) -> Float:
    """0 for one token, -inf for all others."""
    changed = np.full_like(scores, -np.inf)
    changed[token] = 0.0
    return changed


def softmax(scores: Float) -> Float:
    """exp(s) / sum exp(s)."""
    weights = np.exp(scores - scores.max())
    return weights / weights.sum()


def log_softmax(scores: Float) -> Float:
    """s - log sum exp(s)."""
    shifted = scores - scores.max()
    return shifted - np.log(np.exp(shifted).sum())
