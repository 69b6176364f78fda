"""What changes the next token's scores, against the peer's classes: exactly, and by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from transformers.generation import logits_process as peer

from trueband.properties.results.verdict import judge_exact
from trueband.reference.config import GenerationConfig, XLMRobertaConfig
from trueband.reference.decoding import rules_for, sample
from trueband.reference.decoding_logits import (
    Rules,
    log_softmax,
    next_scores,
    no_repeated_ngrams,
    repetition_penalty,
    softmax,
    top_k,
    top_p,
)

RNG = np.random.default_rng(0)
SCORES = 3 * RNG.standard_normal(12)
IDS = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 1]


def theirs(processor: Any, ids: list[int] = IDS, scores: np.ndarray = SCORES) -> np.ndarray:
    result: np.ndarray = processor(torch.tensor([ids]), torch.tensor(scores)[None].clone())[0].numpy()
    return result


def rules(prompt: int = 1, **options: Any) -> Rules:
    return rules_for(GenerationConfig(**options), XLMRobertaConfig(), prompt)


@pytest.mark.parametrize("penalty", [0.5, 1.0, 1.3])
def test_repetition_penalty(penalty: float) -> None:
    expected = theirs(peer.RepetitionPenaltyLogitsProcessor(penalty))
    assert judge_exact(repetition_penalty(SCORES, IDS, penalty), expected).passed
    twice = repetition_penalty(repetition_penalty(SCORES, IDS, penalty), IDS, penalty)  # the wrong one: once per token
    assert judge_exact(twice, expected).passed == (penalty == 1.0)


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize("length", [1, 2, 3, 4, 11])
def test_no_repeated_ngrams(size: int, length: int) -> None:
    expected = theirs(peer.NoRepeatNGramLogitsProcessor(size), IDS[:length])
    assert judge_exact(no_repeated_ngrams(SCORES, IDS[:length], size), expected).passed


def test_no_repeated_ngrams_by_hand() -> None:
    ids = [7, 5, 7, 6, 7]
    assert np.flatnonzero(np.isinf(no_repeated_ngrams(SCORES, ids, 2))).tolist() == [5, 6]
    assert np.flatnonzero(np.isinf(no_repeated_ngrams(SCORES, ids, 3))).tolist() == []
    assert np.flatnonzero(np.isinf(no_repeated_ngrams(SCORES, ids, 1))).tolist() == [5, 6, 7]
    assert judge_exact(no_repeated_ngrams(SCORES, ids, 0), SCORES).passed


@pytest.mark.parametrize("k", [1, 3, 12, 50])
def test_top_k(k: int) -> None:
    assert judge_exact(top_k(SCORES, k), theirs(peer.TopKLogitsWarper(k))).passed


def test_top_k_keeps_ties() -> None:
    assert top_k(np.array([1.0, 2.0, 2.0, 3.0]), 2).tolist() == [-np.inf, 2.0, 2.0, 3.0]


@pytest.mark.parametrize("p", [0.01, 0.3, 0.7, 0.95])
def test_top_p(p: float) -> None:
    assert judge_exact(top_p(SCORES, p), theirs(peer.TopPLogitsWarper(p))).passed


def test_top_p_by_hand() -> None:
    scores = np.log([0.5, 0.25, 0.125, 0.125])
    kept = {p: np.isfinite(top_p(scores, p)).sum() for p in (0.4, 0.6, 0.8, 0.99)}
    assert kept == {0.4: 1, 0.6: 2, 0.8: 3, 0.99: 4}


def test_the_order_of_sampling_matters() -> None:
    flat = SCORES / 3
    options: dict[str, Any] = {"do_sample": True, "temperature": 0.5, "top_k": 5, "top_p": 0.6}
    ours = next_scores(flat, IDS, rules(max_length=20, **options))
    temperature, k, p = peer.TemperatureLogitsWarper(0.5), peer.TopKLogitsWarper(5), peer.TopPLogitsWarper(0.6)
    expected = theirs(p, scores=theirs(k, scores=theirs(temperature, scores=flat)))
    assert judge_exact(ours, expected).passed
    for wrong in ((p, k, temperature), (k, p, temperature)):
        other = flat
        for processor in wrong:
            other = theirs(processor, scores=other)
        assert not judge_exact(other, expected).passed
    greedy = next_scores(SCORES, IDS, rules(max_length=20, temperature=0.7, top_k=5, top_p=0.6))
    assert judge_exact(greedy, SCORES).passed  # greedy decoding takes no notice


def test_lengths_and_forced_tokens() -> None:
    short = next_scores(SCORES, [0, 4], rules(max_length=5, min_length=3))
    assert np.flatnonzero(np.isinf(short)).tolist() == [2]
    assert np.isfinite(next_scores(SCORES, [0, 4, 5], rules(max_length=5, min_length=3))).all()
    new = next_scores(SCORES, [0, 4, 5], rules(prompt=2, max_new_tokens=3, min_new_tokens=2))
    assert np.flatnonzero(np.isinf(new)).tolist() == [2]
    several = next_scores(SCORES, [0], rules(min_length=3, eos_token_id=(2, 5)))
    assert np.flatnonzero(np.isinf(several)).tolist() == [2, 5]
    first = rules(max_length=5, forced_bos_token_id=7, forced_eos_token_id=2)
    assert np.flatnonzero(np.isfinite(next_scores(SCORES, [0], first))).tolist() == [7]
    assert np.isfinite(next_scores(SCORES, [0, 7, 3], first)).all()
    last = next_scores(SCORES, [0, 7, 3, 4], first)
    assert (np.flatnonzero(np.isfinite(last)).tolist(), last[2]) == ([2], 0.0)


def test_repetition_comes_before_the_distribution_is_cut() -> None:
    scores = np.array([4.0, 3.0, 1.0, 0.0])
    options: dict[str, Any] = {"do_sample": True, "top_k": 1, "repetition_penalty": 2.0}
    assert next_scores(scores, [0], rules(max_length=5, **options)).tolist() == [-np.inf, 3.0, -np.inf, -np.inf]


def test_distributions() -> None:
    assert softmax(np.log([1.0, 1.0, 2.0])).tolist() == [0.25, 0.25, 0.5]
    assert log_softmax(np.array([1000.0, 1000.0])).tolist() == [-np.log(2)] * 2


def test_the_drawn_token_is_where_the_sum_passes_the_number() -> None:
    scores = np.log([0.25, 0.5, 0.25])
    drawn = [sample(scores, u) for u in np.linspace(0, 1, 64, endpoint=False) + 1 / 128]
    assert np.bincount(drawn).tolist() == [16, 32, 16]
    never = np.array([0.0, -np.inf, 0.0, -np.inf])
    assert {sample(never, u) for u in (0.0, 0.4999, 0.5, np.nextafter(1, 0))} == {0, 2}
