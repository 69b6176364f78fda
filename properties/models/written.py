"""Judges the tokens that a model has written by those that the reference would write.

Where the scores of two choices are nearer to each other than their errors may be, correct models may differ: such a
decision is no evidence, and is counted as skipped.
V vocabulary, t tokens of a sequence, the prompt included.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from trueband.properties.bounds.bound import Bound, Float
from trueband.properties.checks.check import claim
from trueband.properties.models.beam_margins import is_clear
from trueband.properties.models.beam_scores import PRECISION, logits_errors
from trueband.properties.models.case import ModelCase
from trueband.properties.models.decoding import decoder, prompts, rules_of, teacher_forced, written_tokens
from trueband.properties.models.model import Arrays
from trueband.properties.models.witness import ReferenceModels
from trueband.properties.results.verdict import Verdict, judge, judge_exact, no_evidence
from trueband.reference.decoding_logits import Rules, next_scores, top_k, top_p
from trueband.reference.embeddings import Ids


def judge_written(case: ModelCase, inputs: Arrays, sequences: Ids, options: dict[str, Any]) -> Iterator[Verdict]:
    """Judge the tokens of greedy decoding or of beams, by the options.

    Args:
        inputs: the inputs that the reference decodes from.
    """
    if options.get("num_beams", 1) > 1:
        yield from judge_beams(case, inputs, sequences, options)
    else:
        yield from conditions(judge_form(case, inputs, sequences, options))
        yield judge_likeliest(case, inputs, sequences, options)


def judge_form(case: ModelCase, inputs: Arrays, sequences: Ids, options: dict[str, Any]) -> Iterator[Verdict]:
    """Judge that the prompt comes first, a sequence ends at an end token or is full, the longest one sets the length,
    and padding fills the others."""
    rules, start = rules_of(case, inputs, options), prompts(case, inputs)
    copies = options.get("num_return_sequences", 1)
    shape, rows = sequences.shape, len(start) * copies
    fits = len(shape) == 2 and shape[0] == rows and shape[1] > rules.prompt
    yield claim(fits, f"shape of the ids with {options}: expected {rows} rows of more than {rules.prompt}, got {shape}")
    written = written_tokens(sequences, rules.prompt, rules.eos)
    behind = sequences[:, rules.prompt :][np.arange(shape[1] - rules.prompt) >= written[:, None]]
    yield judge_exact(behind, np.full(behind.shape, rules.pad), f"token behind the end, with {options}")
    yield judge_exact(sequences[:, : rules.prompt], np.repeat(start, copies, axis=0), f"prompt, with {options}")
    ended = np.isin(sequences[:, rules.prompt :], rules.eos).any(axis=1)
    full = (ended | (rules.prompt + written == rules.max_length)).all() and rules.prompt + written.max() == shape[1]
    yield claim(
        bool(full),
        f"expected sequences that end or are full, got length {shape[1]} of {sequences.tolist()} with {options}",
    )


def judge_likeliest(
    case: ModelCase, inputs: Arrays, sequences: Ids, options: dict[str, Any], manner: str = "", slack: float = 0.0
) -> Verdict:
    """Judge that every token has the highest score, given those before it; the reference reads the sequences
    themselves, so that a near-tie does not affect later tokens.

    The score deficit of a token is within the errors of both scores. It is evidence where the best token is clear.

    Args:
        manner: how the tokens were written, if not as the options say.
        slack: how much more two scores may be apart for the lower one to be chosen.
    """
    rules = rules_of(case, inputs, options)
    scores, errors = _step_scores(case, inputs, sequences, rules)
    tokens = sequences[:, rules.prompt :]
    steps = np.arange(tokens.shape[1]) < written_tokens(sequences, rules.prompt, rules.eos)[:, None]
    own, own_error = (np.take_along_axis(array, tokens[:, :, None], axis=2) for array in (scores, errors))
    top = scores.argmax(axis=2)[:, :, None]
    best, best_error = (np.take_along_axis(array, top, axis=2) for array in (scores, errors))
    left = np.isfinite(scores)
    with np.errstate(invalid="ignore"):  # two that are not left
        lacking = np.where(left & steps[:, :, None], np.maximum(scores - own, 0.0), 0.0)
    bound = np.where(left, errors + np.where(np.isfinite(own), own_error, 0.0) + slack, 0.0)
    others = left & (np.arange(scores.shape[2]) != top)
    near = (others & (best - scores <= best_error + errors + slack)).any(axis=2)
    what = f"score deficit of a token, {manner or f'with {options}'}"
    verdict = judge(lacking, np.zeros_like(lacking), Bound({"errors of two scores": bound}), what)
    clear, skipped = int((steps & ~near).sum()), int((steps & near).sum())
    if verdict.passed:
        return replace(verdict, skipped=skipped, evidence=clear > 0)
    row, step, better = verdict.index
    return replace(verdict, note=f"wrote {tokens[row, step]} where {better} has a higher score")


def judge_beams(case: ModelCase, inputs: Arrays, sequences: Ids, options: dict[str, Any]) -> Iterator[Verdict]:
    """Judge that sequences equal the reference's in each row of the batch whose decisions were all clear; no claim is
    made about what replaces a sequence of probability 0."""
    expected = ReferenceModels().generate(decoder(case), inputs, options, 0)
    copies, rules = options.get("num_return_sequences", 1), rules_of(case, inputs, options)
    assert expected.sequences_scores is not None
    right, shape = expected.sequences, sequences.shape
    rows = len(right)
    fits = len(shape) == 2 and shape[0] == rows
    yield from conditions([claim(fits, f"shape of the ids with {options}: expected {rows} rows, got {shape}")])
    possible = np.isfinite(expected.sequences_scores)
    clear = np.repeat(
        [
            is_clear(case, {name: array[i : i + 1] for name, array in inputs.items()}, steps, rules)
            for i, steps in enumerate(expected.searches)
        ],
        copies,
    )
    skipped = int((possible & ~clear).sum())
    judged = possible & clear
    if not judged.any():
        yield no_evidence(f"tokens written with {options}", skipped)
        return
    if judged.all() and shape != right.shape:
        yield claim(False, f"shape of the ids with {options}: expected {right.shape}, got {shape}")
        return
    longest = max(shape[1], right.shape[1])
    written, wanted = (_filled(ids, longest, rules.pad)[judged] for ids in (sequences, right))
    yield replace(judge_exact(written, wanted, f"token written with {options}"), skipped=skipped)


def judge_drawn(case: ModelCase, inputs: Arrays, sequences: Ids, options: dict[str, Any]) -> Verdict:
    """Judge that the options of sampling may leave every token of (rows, t); where they limit the tokens, a step at
    which they may leave any token is no evidence."""
    rules = rules_of(case, inputs, options)
    plain = rules._replace(options=replace(rules.options, do_sample=False, num_return_sequences=1))
    scores, errors = _step_scores(case, inputs, sequences, plain)
    # Quotients, and the sum of V probabilities: an error of the argument of the exponential covers both.
    size = np.abs(np.where(np.isfinite(scores), scores, 0.0))
    errors = errors + PRECISION.accumulator * (2 * size + (scores.shape[2] + 8) * rules.options.temperature)
    written = written_tokens(sequences, rules.prompt, rules.eos)
    limited = 0 < rules.options.top_k < scores.shape[2] or rules.options.top_p < 1
    clear = skipped = 0
    for row, step in zip(*np.nonzero(np.arange(scores.shape[1]) < written[:, None]), strict=True):
        token, at = int(sequences[row, rules.prompt + step]), (row, step)
        if not _may_be_left(scores[at], errors[at], token, rules):
            message = (
                f"token {token} of sequence {row}, step {step}, drawn with {options}: it is not among the tokens left"
            )
            best = int(scores[at].argmax())
            return claim(False, message, token, best, (int(row), int(step)))
        distinguished = not _may_be_left(scores[at], errors[at], int(scores[at].argmin()), rules)
        clear, skipped = clear + distinguished, skipped + (limited and not distinguished)
    return replace(claim(True, f"tokens drawn with {options}"), skipped=skipped, evidence=clear > 0)


def conditions(verdicts: Iterable[Verdict]) -> Iterator[Verdict]:
    """Yield verdicts that a check needs, but that are no evidence for its claim."""
    for verdict in verdicts:
        yield replace(verdict, evidence=not verdict.passed)


def _may_be_left(scores: Float, errors: Float, token: int, rules: Rules) -> bool:
    """Return whether sampling leaves a token for some scores (V,) that are within the errors.

    top_k leaves it as long as fewer than k others are above it, top_p as long as those above have less than p in all.
    What favors it most: its own score is raised by its error; those that are above it even then are lowered by
    theirs; the others are raised, but stay below it: their probability adds to the whole, and to nothing above it.
    """
    if not np.isfinite(scores[token]):
        return False
    own = scores[token] + errors[token]
    above = scores - errors > own
    favored = np.where(above, scores - errors, np.minimum(scores + errors, np.nextafter(own, -np.inf)))
    favored[token] = own
    options = rules.options
    return bool(np.isfinite(top_p(top_k(favored / options.temperature, options.top_k), options.top_p)[token]))


def _step_scores(case: ModelCase, inputs: Arrays, sequences: Ids, rules: Rules) -> tuple[Float, Float]:
    """Return the scores of every token at every new step, (rows, steps, V), after the rules, and their errors."""
    logits = teacher_forced(case, inputs, sequences)[:, rules.prompt - 1 :]
    errors = logits_errors(case, inputs, sequences[:, :-1])[:, rules.prompt - 1 :]
    penalty = rules.options.repetition_penalty
    grown = errors * max(penalty, 1 / penalty)
    scores = np.array(
        [
            [next_scores(step, ids[: rules.prompt + i].tolist(), rules) for i, step in enumerate(row)]
            for row, ids in zip(logits, sequences, strict=True)
        ]
    )
    return scores, grown + PRECISION.accumulator * np.abs(np.where(np.isfinite(scores), scores, 0.0))


def _filled(ids: Ids, longest: int, pad: int) -> Ids:
    return np.pad(ids, ((0, 0), (0, longest - ids.shape[1])), constant_values=pad)
