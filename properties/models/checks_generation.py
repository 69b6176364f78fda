"""Checks of decoding: the tokens that are written, one by one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from trueband.properties.checks.check import claim
from trueband.properties.models.check import ModelProbe, model_check
from trueband.properties.models.decoding import (
    DECODERS,
    MANY_ENDS,
    Draw,
    decoder_prompt,
    decoding_inputs,
    end_tokens,
    prompt_tokens,
    teacher_forced,
    written_tokens,
)
from trueband.properties.models.model import Arrays
from trueband.properties.models.witness import ReferenceModels
from trueband.properties.verdict import Verdict, judge_exact


@model_check("greedy decoding writes the reference's tokens", DECODERS, ("float64",))
def check_greedy_tokens(probe: ModelProbe) -> Iterator[Verdict]:
    inputs = decoding_inputs(probe.case)
    yield _same_tokens(probe, inputs, **Draw(probe.case, inputs, 1).length(least=5))


@model_check("beam search writes the reference's tokens, best first", DECODERS, ("float64",))
def check_beam_tokens(probe: ModelProbe) -> Iterator[Verdict]:
    inputs = decoding_inputs(probe.case)
    draw = Draw(probe.case, inputs, 2)
    yield _same_tokens(probe, inputs, **draw.length(least=4), **draw.beams(), **draw.ends())


@model_check("lengths, ends, repetition and prompts constrain as in the reference", DECODERS, ("float64",))
def check_constrained_tokens(probe: ModelProbe) -> Iterator[Verdict]:
    inputs = decoding_inputs(probe.case) | decoder_prompt(probe.case)
    draw = Draw(probe.case, inputs, 3)
    options = draw.length(least=3) | draw.ends() | draw.constraints()
    yield _same_tokens(probe, inputs, **options)
    yield _same_tokens(probe, inputs, **options, **draw.beams())
    yield _same_tokens(probe, inputs, **draw.length(least=3), **draw.least_new())


@model_check("decoding with a cache writes the same tokens as without", DECODERS, ("float64",))
def check_cached_tokens(probe: ModelProbe) -> Iterator[Verdict]:
    inputs = decoding_inputs(probe.case) | decoder_prompt(probe.case)
    draw = Draw(probe.case, inputs, 4)
    for options in (draw.length(least=4), draw.length(least=3) | draw.beams()):
        cached = probe.generate(probe.candidate, inputs, use_cache=True, **options)
        uncached = probe.generate(probe.candidate, inputs, use_cache=False, **options)
        yield _same(cached.sequences, uncached.sequences, options)


@model_check(
    "a beam of one writes the most likely token at every step, whatever the options of beams", DECODERS, ("float64",)
)
def check_one_beam_is_greedy(probe: ModelProbe) -> Iterator[Verdict]:
    case, inputs = probe.case, decoding_inputs(probe.case)
    draw = Draw(case, inputs, 5)
    options = draw.length(least=2) | draw.ends() | draw.beams() | {"num_beams": 1, "num_return_sequences": 1}
    sequences = probe.generate(probe.candidate, inputs, **options).sequences
    prompt = prompt_tokens(case, inputs)
    written = written_tokens(sequences, prompt, end_tokens(options))
    likely = teacher_forced(case, inputs, sequences).argmax(axis=-1)[:, prompt - 1 :]
    padding = np.arange(likely.shape[1]) >= written[:, None]
    expected = np.where(padding, options.get("pad_token_id", case.pad_token_id), likely)
    yield judge_exact(sequences[:, prompt:], expected, f"token written with {options}")


@model_check("a sequence ends at its end token, with padding behind, and the longest one sets the length",
             DECODERS, ("float64",))  # fmt: skip
def check_sequences_end(probe: ModelProbe) -> Iterator[Verdict]:
    case, inputs = probe.case, decoding_inputs(probe.case)
    draw = Draw(case, inputs, 6)
    prompt = prompt_tokens(case, inputs)
    start = (
        inputs["input_ids"]
        if case.architecture != "led"
        else np.full((case.batch, 1), case.config["decoder_start_token_id"])
    )
    for kind in ({}, draw.beams()):
        pad = draw.one(3, case.pad_token_id)
        options = draw.length(least=3) | kind | {"eos_token_id": MANY_ENDS, "pad_token_id": pad}
        sequences = probe.generate(probe.candidate, inputs, **options).sequences
        most = options["max_new_tokens"] if "max_new_tokens" in options else options["max_length"] - prompt
        written = written_tokens(sequences, prompt, MANY_ENDS)
        behind = sequences[:, prompt:][np.arange(sequences.shape[1] - prompt) >= written[:, None]]
        yield judge_exact(behind, np.full(behind.shape, pad), f"token behind the end, with {options}")
        copies = options.get("num_return_sequences", 1)
        yield judge_exact(sequences[:, :prompt], np.repeat(start, copies, axis=0), f"prompt, with {options}")
        ended = np.isin(sequences[:, prompt:], MANY_ENDS).any(axis=1)
        full = bool((ended | (written == most)).all()) and prompt + int(written.max()) == sequences.shape[1]
        yield claim(full, f"length {sequences.shape[1]} of {sequences.tolist()} with {options}")


@model_check("states of the encoder that are handed in give what is computed inside, bit for bit", ("led",))
def check_encoder_outputs(probe: ModelProbe) -> Iterator[Verdict]:
    case, inside = probe.case, probe.forward()
    states = inside["encoder_hidden_states"][-1]
    masks = {"attention_mask": case.inputs["attention_mask"], "encoder_outputs": states}
    targets = {name: array for name, array in case.inputs.items() if name.startswith("decoder_")}
    handed = probe.forward_of({**masks, **targets})
    yield judge_exact(handed["logits"], inside["logits"], "logits from encoder_outputs")
    if case.dtype == "float64":  # decoding is in float64
        inputs = decoding_inputs(case)
        draw = Draw(case, inputs, 7)
        options = draw.length(least=3) | draw.one({}, draw.beams())
        computed = probe.generate(probe.candidate, masks, **options).sequences
        expected = probe.generate(probe.candidate, inputs, **options).sequences
        yield _same(computed, expected, options | {"encoder_outputs": "handed in"})


def _same_tokens(probe: ModelProbe, inputs: Arrays, **options: Any) -> Verdict:
    """Of as many sequences as are possible: no claim is made about what stands in for one of probability 0."""
    expected = probe.generate(ReferenceModels(), inputs, **options)
    if expected.sequences_scores is not None:
        possible = np.isfinite(expected.sequences_scores).reshape(-1, options["num_return_sequences"]).sum(axis=1).min()
        if possible < options["num_return_sequences"]:
            return _same_tokens(probe, inputs, **options | {"num_return_sequences": int(possible)})
    return _same(probe.generate(probe.candidate, inputs, **options).sequences, expected.sequences, options)


def _same(computed: np.ndarray, expected: np.ndarray, options: dict[str, Any]) -> Verdict:
    """Token by token, in the same number of rows and columns."""
    if computed.shape != expected.shape:
        return claim(False, f"shape of the ids with {options}: expected {expected.shape}, got {computed.shape}")
    return judge_exact(computed, expected, f"token written with {options}")
