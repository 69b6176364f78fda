"""Greedy decoding and beam search on tables of probabilities: by hand, by exhaustion, and their stopping rules."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from trueband.reference.config import GenerationConfig, XLMRobertaConfig
from trueband.reference.config.generation import TOKENS
from trueband.reference.decoding import decode, rules_for
from trueband.reference.decoding_beams import beam_search
from trueband.reference.decoding_logits import log_softmax

Table = Callable[[Sequence[int]], np.ndarray]
START, A, B, END, PAD = 0, 1, 2, 3, 4


def table(rows: dict[tuple[int, ...], list[float]], default: list[float]) -> Table:
    """Log-probabilities of (start, a, b, end, pad) after each sequence of new tokens."""

    def next_logits(ids: Sequence[int]) -> np.ndarray:
        with np.errstate(divide="ignore"):
            return np.log(np.array(rows.get(tuple(ids[1:]), default)))

    return next_logits


def options(**values: Any) -> GenerationConfig:
    return GenerationConfig(eos_token_id=END, pad_token_id=PAD, **values)


def found(next_logits: Table, **values: Any) -> tuple[list[list[int]], list[float]]:
    rules = rules_for(options(**values), XLMRobertaConfig(), 1)
    result = decode([next_logits], np.array([[START]]), rules)
    return result.sequences.tolist(), [] if result.sequences_scores is None else result.sequences_scores.tolist()


# Greedy takes a (0.5) and ends with 0.5 * 0.4; b (0.4) ends with 0.4 * 0.9.
TRAP = table({(): [0, 0.5, 0.4, 0.1, 0], (A,): [0, 0.3, 0.3, 0.4, 0], (B,): [0, 0.05, 0.05, 0.9, 0]}, [0, 0, 0, 1, 0])


def test_greedy_falls_into_the_trap_and_beams_do_not() -> None:
    assert found(TRAP, max_length=5) == ([[START, A, END]], [])
    sequences, scores = found(TRAP, max_length=5, num_beams=2, num_return_sequences=2, length_penalty=0.0)
    assert sequences == [[START, B, END], [START, A, END]]
    first, after_a, after_b = (log_softmax(TRAP([START, *new])) for new in ([], [A], [B]))
    assert scores == [first[B] + after_b[END], first[A] + after_a[END]]


def test_finished_sequences_are_filled_with_padding() -> None:
    rules = rules_for(options(max_length=4), XLMRobertaConfig(), 1)
    never_ends = table({}, [0, 1, 0, 0, 0])
    ends = table({}, [0, 0, 0, 1, 0])
    result = decode([never_ends, ends], np.array([[START], [START]]), rules)
    assert result.sequences.tolist() == [[START, A, A, A], [START, END, PAD, PAD]]


def random_table(seed: int) -> Table:
    def next_logits(ids: Sequence[int]) -> np.ndarray:
        return np.random.default_rng([seed, *ids]).standard_normal(5) * 1.5

    return next_logits


def every_sequence(next_logits: Table, max_length: int, penalty: float) -> list[tuple[float, list[int]]]:
    """All sequences that end with END or at max_length, best first."""
    results = []
    for new in range(1, max_length):
        for tokens in itertools.product(range(5), repeat=new):
            ended = tokens[-1] == END or new == max_length - 1
            if END in tokens[:-1] or not ended:
                continue
            ids, score = [START], 0.0
            for token in tokens:
                score += float(log_softmax(next_logits(ids))[token])
                ids.append(token)
            results.append((score / new**penalty, ids))
    return sorted(results, key=lambda each: -each[0])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("penalty", [0.0, 1.0, 2.0, -1.0])
def test_beams_that_hold_everything_find_the_best(seed: int, penalty: float) -> None:
    next_logits, width = random_table(seed), 4 + 4 * 5 + 16 * 5
    rules = rules_for(
        options(max_length=4, num_beams=width, length_penalty=penalty, early_stopping="never"), XLMRobertaConfig(), 1
    )
    beams = beam_search(next_logits, [START], rules)
    expected = every_sequence(next_logits, 4, penalty)[: len(beams)]
    assert [list(beam.ids) for beam in beams] == [ids for _, ids in expected]
    assert [beam.score for beam in beams] == [score for score, _ in expected]
    assert len(beams) == 1 + 4 + 16 * 5  # all there are


@pytest.mark.parametrize("seed", range(6))
def test_scores_are_those_of_the_sequences(seed: int) -> None:
    next_logits = random_table(seed)
    sequences, scores = found(next_logits, max_length=6, num_beams=3, num_return_sequences=3, length_penalty=0.7)
    assert scores == sorted(scores, reverse=True)
    for ids, score in zip(sequences, scores, strict=True):
        real = ids[: ids.index(END) + 1] if END in ids else ids
        total = 0.0
        for i in range(1, len(real)):
            total += float(log_softmax(next_logits(real[:i]))[real[i]])
        assert score == total / (len(real) - 1) ** 0.7


# [end] finishes with log 0.9, [b, end] with log(0.028) / 2 = -1.79. Then the best running beam is [a, a] with
# log 0.027: worse at its length, -1.81, but it goes on with near certainty and at ten tokens has -3.6 / 9 = -0.4.
LATE = table(
    {(): [0, 0.06, 0.04, 0.9, 0], (A,): [0.25, 0.45, 0.2, 0.1, 0], (B,): [0.1, 0.1, 0.1, 0.7, 0]},
    [0, 0.999, 0, 0.001, 0],
)


@pytest.mark.parametrize("prompt", [[START], [START, B, A]])
@pytest.mark.parametrize("rule", [True, False, "never"])
def test_stopping_rules_differ(rule: bool | str, prompt: list[int]) -> None:
    """Two beams have finished: enough for True; for False the running one is worse at its length; for "never" it may
    become better. The prompt's own length plays no part."""
    given = options(max_length=len(prompt) + 9, num_beams=2, early_stopping=rule)
    seen: list[int] = []

    def next_logits(ids: Sequence[int]) -> np.ndarray:
        seen.append(len(ids) - len(prompt))
        return LATE([START, *ids[len(prompt) :]])

    beams = beam_search(next_logits, prompt, rules_for(given, XLMRobertaConfig(), len(prompt)))
    late = [A] * 9 if rule == "never" else [B, END]
    assert [list(beam.ids[len(prompt) :]) for beam in beams] == [[END], late]
    assert max(seen) == (8 if rule == "never" else 1)


def test_true_stops_where_false_goes_on() -> None:
    better_later = table({(): [0, 0.6, 0, 0.4, 0], (A,): [0, 0.65, 0, 0.35, 0]}, [0, 0.9, 0, 0.1, 0])
    best = {
        rule: found(better_later, max_length=8, num_beams=2, early_stopping=rule)[0] for rule in (True, False, "never")
    }
    assert best[True] == [[START, A, END]]
    assert best[False] == best["never"] == [[START] + [A] * 7]


def test_several_end_tokens_leave_beams_to_go_on() -> None:
    """Four of the six best continuations end; the two others run on, and one becomes the best."""
    ends = table(
        {(): [0, 0.55, 0.45, 0, 0], (A,): [0.4, 0.1, 0, 0.5, 0], (B,): [0.4, 0.1, 0, 0.5, 0]}, [0, 0.999, 0, 0.001, 0]
    )
    given = GenerationConfig(
        eos_token_id=(END, START), pad_token_id=PAD, max_length=10, num_beams=2, early_stopping="never"
    )
    beams = beam_search(ends, [START], rules_for(given, XLMRobertaConfig(), 1))
    assert [list(beam.ids) for beam in beams] == [[START] + [A] * 9, [START, B] + [A] * 8]


def test_only_the_best_beams_may_end() -> None:
    """An end that is third among the continuations of two beams is not kept, though it is among the four looked at."""
    next_logits = table({(): [0, 0.5, 0.3, 0.2, 0]}, [0, 0.2, 0.1, 0.7, 0])
    sequences, _ = found(next_logits, max_length=3, num_beams=2, num_return_sequences=2, length_penalty=0.0)
    assert [START, END] not in [ids[:2] for ids in sequences]
    assert sequences == [[START, A, END], [START, B, END]]


def test_missing_sequences_are_the_prompt_alone() -> None:
    only_end = table({}, [0, 0, 0, 1, 0])
    sequences, scores = found(only_end, max_length=4, num_beams=2, num_return_sequences=2)
    assert sequences == [[START, END], [START, PAD]]
    assert scores == [0.0, -np.inf]


def test_sampling_takes_one_number_for_each_step() -> None:
    rules = rules_for(options(max_length=4, do_sample=True, num_return_sequences=2, top_k=0), XLMRobertaConfig(), 1)
    half = table({}, [0, 0.5, 0.25, 0.25, 0])
    uniforms = np.array([[0.4, 0.6, 0.9], [0.8, 0.0, 0.0]])
    result = decode([half], np.array([[START]]), rules, uniforms)
    assert result.sequences.tolist() == [[START, A, B, END], [START, END, PAD, PAD]]
    assert result.sequences_scores is None


@pytest.mark.parametrize(
    ("error", "message", "uniforms"),
    [
        (TypeError, "uniforms: expected a numpy array of a floating dtype with do_sample, got NoneType", None),
        (ValueError, r"uniforms: expected shape .* = \(1, 3\), got \(1, 2\)", np.zeros((1, 2))),
        (ValueError, "uniforms: expected numbers from 0 to 1, 1 excluded, got 1.0", np.ones((1, 3))),
        (ValueError, "uniforms: expected numbers from 0 to 1, 1 excluded, got nan", np.full((1, 3), np.nan)),
    ],
)
def test_refused_numbers(error: type[Exception], message: str, uniforms: Any) -> None:
    rules = rules_for(options(max_length=4, do_sample=True), XLMRobertaConfig(), 1)
    with pytest.raises(error, match=message):
        decode([TRAP], np.array([[START]]), rules, uniforms)


def test_numbers_without_sampling_and_long_prompts_are_refused() -> None:
    rules = rules_for(options(max_length=4), XLMRobertaConfig(), 1)
    with pytest.raises(ValueError, match="uniforms: expected None without do_sample, got an array"):
        decode([TRAP], np.array([[START]]), rules, np.zeros((1, 3)))
    with pytest.raises(ValueError, match="max_length: expected more than the 4 tokens of the prompt, got 4"):
        rules_for(options(max_length=4), XLMRobertaConfig(), 4)


@pytest.mark.parametrize("name", TOKENS)
@pytest.mark.parametrize("token", [-1, 40, 2.0])
def test_tokens_outside_the_vocabulary_are_refused(name: str, token: Any) -> None:
    config = XLMRobertaConfig(vocab_size=40)

    def of_token(value: Any) -> GenerationConfig:
        fields: dict[str, Any] = {name: value}
        return GenerationConfig(**fields)

    with pytest.raises(ValueError, match=f"{name}: expected ids from 0 to 39, got {token}"):
        rules_for(of_token(token), config, 1)
    assert rules_for(of_token(39), config, 1).prompt == 1
