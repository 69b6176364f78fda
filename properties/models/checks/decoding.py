"""Checks of the results of decoding: scores of beams, samples, and options that are refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from trueband.properties.bounds.bound import Bound
from trueband.properties.checks.check import claim
from trueband.properties.models.beam_scores import LogProbabilities, log_probabilities, logits_errors, scores
from trueband.properties.models.case import VOCABULARY
from trueband.properties.models.check import ModelProbe, model_check
from trueband.properties.models.decoding import (
    DECODERS,
    Draw,
    decoding_inputs,
    end_tokens,
    prompt_tokens,
    teacher_forced,
    written_tokens,
)
from trueband.properties.models.model import Arrays
from trueband.properties.models.written import conditions, judge_drawn, judge_form, judge_likeliest
from trueband.properties.results.verdict import Verdict, judge, no_evidence

Scored = tuple[np.ndarray, Bound]


@model_check(
    "scores of beams are their log-probabilities by teacher forcing, over length ** penalty, best first",
    ("led",),
    ("float64",),
    about="generation",
)
def check_beam_scores(probe: ModelProbe) -> Iterator[Verdict]:
    """Bounded: scores are sums of computed log-probabilities, of whatever tokens were written."""
    inputs = decoding_inputs(probe.case)
    draw = Draw(probe.case, inputs, 8)
    options = draw.length(least=2) | draw.beams() | draw.ends()
    written = probe.generate(probe.candidate, inputs, **options)
    expected, bound = _scores(probe, inputs, written.sequences, options)
    yield judge(written.sequences_scores, expected, bound, f"score of a sequence with {options}")
    scores, errors = (array.reshape(probe.case.batch, -1) for array in (written.sequences_scores, bound.total))
    rising = np.maximum(np.diff(scores, axis=1), 0.0)
    both = Bound({"errors of two scores": errors[:, 1:] + errors[:, :-1]})
    yield judge(rising, np.zeros_like(rising), both, f"rise of a score over the one before it, with {options}")


@model_check(
    "of two tokens, a beam scores no less than greedy, and one as wide as the vocabulary finds the best",
    ("led",),
    ("float64",),
    about="generation",
)
def check_best_beams(probe: ModelProbe) -> Iterator[Verdict]:
    """Two tokens make both a theorem, for any number of beams k >= 2 and any length penalty.

    Greedy's first token is the most likely one. As an end token it finishes, and only what scores higher displaces
    it. Otherwise at most k - 1 have finished, so the search goes on, and it is the first to run on; greedy's sequence
    is looked at in the second step, and what displaces it there has the same length and a higher score. With V beams
    nothing is ever displaced but by what scores higher.
    For more tokens neither holds: greedy's beginning can be displaced by others that end worse.

    Bounded, as all are computed scores; the first is no evidence where k tokens or more may be the most likely one.
    """
    case = probe.case
    inputs = {name: array[:1] for name, array in decoding_inputs(case).items()}
    draw = Draw(case, inputs, 9)
    beams = draw.beams() | {"num_return_sequences": 1, "max_new_tokens": 2} | draw.ends()
    greedy = probe.generate(probe.candidate, inputs, **beams | {"num_beams": 1}).sequences
    least, least_bound = _scores(probe, inputs, greedy, beams)
    sequences = probe.generate(probe.candidate, inputs, **beams).sequences
    best, best_bound = _scores(probe, inputs, sequences, beams)
    lacking, what = np.maximum(least - best, 0.0), f"what the beam lacks to greedy, with {beams}"
    if _among_the_first(probe, inputs, int(greedy[0, 1]), beams["num_beams"]):
        yield judge(lacking, np.zeros(1), least_bound + best_bound, what)
    else:
        yield no_evidence(what)
    wide = beams | {"num_beams": VOCABULARY, "eos_token_id": end_tokens(beams)[0]}
    written = probe.generate(probe.candidate, inputs, **wide)
    expected, bound = _best_of_all(probe, inputs, wide)
    yield judge(written.sequences_scores, expected, bound, f"score of the best sequence, with {wide}")


@model_check(
    "every sampled token is one that temperature, top_k and top_p leave, and a seed repeats",
    DECODERS,
    ("float64",),
    about="generation",
)
def check_sampled_tokens(probe: ModelProbe) -> Iterator[Verdict]:
    """By margin: a token may be drawn if some scores within the errors leave it. Exact with deterministic: the seed."""
    case, inputs = probe.case, decoding_inputs(probe.case)
    draw = Draw(case, inputs, 10)
    options = draw.length(least=3) | draw.ends() | draw.sampling() | {"num_return_sequences": draw.choice(1, 3)}
    sequences = probe.generate(probe.candidate, inputs, seed=case.seed, **options).sequences
    if probe.has("deterministic"):
        again = probe.generate(probe.candidate, inputs, seed=case.seed, **options).sequences
        same = sequences.shape == again.shape and bool((sequences == again).all())
        yield claim(same, f"expected the same tokens for seed {case.seed} again, got others with {options}")
    yield from conditions(judge_form(case, inputs, sequences, options))
    yield judge_drawn(case, inputs, sequences, options)


@model_check(
    "sampling that leaves one token is greedy; the best few of a flat distribution are all drawn",
    DECODERS,
    ("float64",),
    about="generation",
)
def check_sampling_limits(probe: ModelProbe) -> Iterator[Verdict]:
    """32 draws of 2 tokens miss one of them with a probability of 2^-31; 8 flat draws of 4 tokens out of 29 are all
    equal with one of 29^-28. At a temperature T a token that scores 64 T less than another is drawn with one of e^-64.

    By margin: what is greedy, as greedy tokens; the two best of a flat distribution where the third is clear.
    """
    case, inputs = probe.case, decoding_inputs(probe.case)
    draw = Draw(case, inputs, 11)
    length = draw.length(least=3)
    limit = draw.choice({"top_k": 1}, {"top_k": 0, "temperature": 1e-12}, {"top_k": 0, "top_p": 1e-12})
    options = length | limit | {"do_sample": True}
    drawn = probe.generate(probe.candidate, inputs, seed=case.seed, **options).sequences
    yield from conditions(judge_form(case, inputs, drawn, length))
    slack = 64 * limit.get("temperature", 0.0)
    yield judge_likeliest(case, inputs, drawn, length, f"with {limit}", slack)
    inputs = {name: array[:1] for name, array in inputs.items()}
    prompt, flat = prompt_tokens(case, inputs), {"do_sample": True, "temperature": 1e12}
    options = flat | {"top_k": 2, "num_return_sequences": 32, "max_new_tokens": 1}
    drawn = probe.generate(probe.candidate, inputs, seed=case.seed, **options).sequences
    best, third = _two_best(probe, inputs, drawn[:1])
    message = f"expected both of the two best, {best}, to be drawn, got {sorted(set(drawn[:, prompt].tolist()))}"
    yield claim(set(drawn[:, prompt]) == set(best), message) if third else no_evidence(message)
    options = flat | {"top_k": 0, "num_return_sequences": 8, "max_new_tokens": 4, "min_new_tokens": 4}
    drawn = probe.generate(probe.candidate, inputs, seed=case.seed, **options).sequences
    yield claim(len(np.unique(drawn, axis=0)) > 1, f"expected draws of one row that differ, got {drawn.tolist()}")


@model_check(
    "bad options and inputs of decoding raise ValueError, and name the argument",
    DECODERS,
    ("float64",),
    about="generation",
)
def check_rejects_bad_generation(probe: ModelProbe) -> Iterator[Verdict]:
    """Exact: an error is raised before anything is computed."""
    case, inputs = probe.case, decoding_inputs(probe.case)
    prompt, mask = prompt_tokens(case, inputs), inputs["attention_mask"]
    bad: list[tuple[str, Arrays, dict[str, Any]]] = [
        ("max_length", {}, {"max_length": prompt}),
        ("max_new_tokens", {}, {"max_new_tokens": 0}),
        ("num_beams", {}, {"num_beams": 0}),
        ("num_beams", {}, {"num_beams": 2, "do_sample": True}),
        ("num_return_sequences", {}, {"num_beams": 2, "num_return_sequences": 3}),
        ("early_stopping", {}, {"early_stopping": "sometimes"}),
        ("length_penalty", {}, {"length_penalty": np.nan}),
        ("temperature", {}, {"do_sample": True, "temperature": 0.0}),
        ("top_p", {}, {"do_sample": True, "top_p": 1.5}),
        ("attention_mask", {"attention_mask": 2 + mask}, {}),
        ("attention_mask", {"attention_mask": mask[:, :1]} if mask.shape[1] > 1 else {"attention_mask": mask[0]}, {}),
        ("input_ids", {"input_ids": inputs["input_ids"] + VOCABULARY}, {}),
    ]
    if case.architecture == "led":
        more = np.full((case.batch + 1, 1), 7)
        bad.append(("global_attention_mask", {"global_attention_mask": 2 + mask}, {}))
        bad.append(("decoder_input_ids", {"decoder_input_ids": more}, {}))
        bad.append(("decoder_attention_mask", {"decoder_attention_mask": np.ones((case.batch, 9), dtype=int)}, {}))
    few = probe.random.permutation(len(bad))[:5]  # all of them over the cases
    for argument, changes, options in (bad[i] for i in few):
        said = _said(probe, {**inputs, **changes}, {"max_new_tokens": 1} | options if changes else options)
        right = said.startswith(f"ValueError: {argument}: ") and all(word in said for word in ("expected", "got"))
        yield claim(
            right, f"bad {argument} ({options}): expected ValueError '{argument}: expected ..., got ...', got {said}"
        )


def _said(probe: ModelProbe, inputs: Arrays, options: dict[str, Any]) -> str:
    try:
        probe.generate(probe.candidate, inputs, **options)
    except Exception as error:
        return f"{type(error.__cause__).__name__}: {error.__cause__}"
    return "no error"


def _scores(probe: ModelProbe, inputs: Arrays, sequences: np.ndarray, options: dict[str, Any]) -> Scored:
    """Return the scores (rows,) of sequences (rows, t) by teacher forcing; the start token does not count."""
    steps = log_probabilities(probe.case, inputs, sequences[:, :-1])
    own = [np.take_along_axis(array, sequences[:, 1:, None], axis=2)[:, :, 0] for array in steps]
    written = written_tokens(sequences, 1, end_tokens(options))
    counted = np.arange(sequences.shape[1] - 1) < written[:, None]
    return scores(LogProbabilities(*own), counted, options["length_penalty"])


def _best_of_all(probe: ModelProbe, inputs: Arrays, options: dict[str, Any]) -> Scored:
    """Return the best score of all sequences of an end token, or of two tokens."""
    start, (end,) = probe.case.config["decoder_start_token_id"], end_tokens(options)
    before = np.array([[start, first] for first in range(VOCABULARY)])
    steps = log_probabilities(probe.case, inputs, before)  # the first step is the same in all rows
    own = [np.stack(np.broadcast_arrays(array[:, 0].diagonal()[:, None], array[:, 1]), axis=-1) for array in steps]
    counted = np.ones(own[0].shape, dtype=bool)
    counted[end, :, 1] = False
    pairs = LogProbabilities(*(array.reshape(-1, 2) for array in own))
    value, bound = scores(pairs, counted.reshape(-1, 2), options["length_penalty"])
    return value.max(keepdims=True), Bound({"largest of all": bound.total.max(keepdims=True)})


def _among_the_first(probe: ModelProbe, inputs: Arrays, token: int, beams: int) -> bool:
    """Return whether it is certain that a first token of one row is, or is not, among the `beams` most likely ones."""
    start = np.array([[probe.case.config["decoder_start_token_id"]]])
    value, error = (array[0, 0] for array in log_probabilities(probe.case, inputs, start))
    others = np.sort(np.delete(value, token))[::-1]
    apart = value[token] - others[beams - 1]
    return bool(abs(apart) > error[token] + error.max())


def _two_best(probe: ModelProbe, inputs: Arrays, sequences: np.ndarray) -> tuple[list[int], bool]:
    """Return the two most likely first tokens of one row, and whether no third one may be among them."""
    case, first = probe.case, prompt_tokens(probe.case, inputs) - 1
    logits = teacher_forced(case, inputs, sequences)[0, first]
    errors = logits_errors(case, inputs, sequences[:, :-1])[0, first]
    falling = np.argsort(-logits, kind="stable")
    below = falling[2:]
    clear = logits[falling[1]] - logits[below] > errors[falling[:2]].max() + errors[below]
    return falling[:2].tolist(), bool(clear.all())
