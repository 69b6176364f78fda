"""Checks of decoding: the written tokens, one by one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from trueband.properties.models.check import ModelProbe, model_check
from trueband.properties.models.decoding import DECODERS, MANY_ENDS, Draw, decoder_prompt, decoding_inputs
from trueband.properties.models.model import Arrays
from trueband.properties.models.taps import judge_decoder_layers, judge_logits
from trueband.properties.models.written import judge_form, judge_written
from trueband.properties.results.verdict import Verdict


@model_check("greedy decoding writes the reference's tokens", DECODERS, ("float64",), about="generation")
def check_greedy_tokens(probe: ModelProbe) -> Iterator[Verdict]:
    """By margin: a token that scores less than another, by more than the errors of both, is wrong; near-ties are no
    evidence."""
    inputs = decoding_inputs(probe.case)
    yield from _judged(probe, inputs, Draw(probe.case, inputs, 1).length(least=5))


@model_check("beam search writes the reference's tokens, best first", DECODERS, ("float64",), about="generation")
def check_beam_tokens(probe: ModelProbe) -> Iterator[Verdict]:
    """By margin: a row of which the reference's search had a near-tie is no evidence, the others are exact."""
    inputs = decoding_inputs(probe.case)
    draw = Draw(probe.case, inputs, 2)
    yield from _judged(probe, inputs, draw.length(least=4) | draw.beams() | draw.ends())


@model_check(
    "lengths, ends, repetition and prompts constrain as in the reference", DECODERS, ("float64",), about="generation"
)
def check_constrained_tokens(probe: ModelProbe) -> Iterator[Verdict]:
    """By margin: near-ties are no evidence; what is forbidden or forced is exact."""
    inputs = decoding_inputs(probe.case) | decoder_prompt(probe.case)
    draw = Draw(probe.case, inputs, 3)
    options = draw.length(least=3) | draw.ends() | draw.constraints()
    yield from _judged(probe, inputs, options)
    yield from _judged(probe, inputs, options | draw.beams())
    yield from _judged(probe, inputs, draw.length(least=3) | draw.least_new())


@model_check(
    "decoding with a cache writes the reference's tokens, as without", DECODERS, ("float64",), about="generation"
)
def check_cached_tokens(probe: ModelProbe) -> Iterator[Verdict]:
    """By margin: both are judged by the reference; near-ties are no evidence."""
    inputs = decoding_inputs(probe.case) | decoder_prompt(probe.case)
    draw = Draw(probe.case, inputs, 4)
    for options in (draw.length(least=4), draw.length(least=3) | draw.beams()):
        uncached = probe.generate(probe.candidate, inputs, use_cache=False, **options).sequences
        cached = probe.generate(probe.candidate, inputs, use_cache=True, **options).sequences
        yield from judge_written(probe.case, inputs, cached, options | {"use_cache": True})
        if not np.array_equal(cached, uncached):
            yield from judge_written(probe.case, inputs, uncached, options | {"use_cache": False})


@model_check(
    "a beam of one writes the most likely token at every step, whatever the options of beams",
    DECODERS,
    ("float64",),
    about="generation",
)
def check_one_beam_is_greedy(probe: ModelProbe) -> Iterator[Verdict]:
    """By margin, as greedy tokens."""
    inputs = decoding_inputs(probe.case)
    draw = Draw(probe.case, inputs, 5)
    options = draw.length(least=2) | draw.ends() | draw.beams() | {"num_beams": 1, "num_return_sequences": 1}
    yield from _judged(probe, inputs, options)


@model_check(
    "a sequence ends at its end token, with padding behind, and the longest one sets the length",
    DECODERS,
    ("float64",),
    about="generation",
)
def check_sequences_end(probe: ModelProbe) -> Iterator[Verdict]:
    """Exact: whatever the tokens are, what stands before and behind them follows from them."""
    case, inputs = probe.case, decoding_inputs(probe.case)
    draw = Draw(case, inputs, 6)
    for kind in ({}, draw.beams()):
        pad = draw.choice(3, case.pad_token_id)
        options = draw.length(least=3) | kind | {"eos_token_id": MANY_ENDS, "pad_token_id": pad}
        yield from judge_form(case, inputs, probe.generate(probe.candidate, inputs, **options).sequences, options)


@model_check("states of the encoder that are handed in stand for what is computed inside", ("led",), about="generation")
def check_encoder_outputs(probe: ModelProbe) -> Iterator[Verdict]:
    """Bounded: layers and logits are judged by the reference on the states handed in. By margin: the tokens."""
    case = probe.case
    states = probe.forward()["encoder_hidden_states"][-1]
    masks = {"attention_mask": case.inputs["attention_mask"], "encoder_outputs": states}
    targets = {name: array for name, array in case.inputs.items() if name.startswith("decoder_")}
    handed = probe.forward_of({**masks, **targets}) | {"encoder_hidden_states": [states]}
    yield from judge_decoder_layers(case, case.inputs, handed)
    yield judge_logits(case, handed)
    if case.dtype == "float64":  # decoding is in float64
        inputs = decoding_inputs(case)
        draw = Draw(case, inputs, 7)
        options = draw.length(least=3) | draw.choice({}, draw.beams())
        written = probe.generate(probe.candidate, masks, **options).sequences
        yield from judge_written(case, inputs, written, options)


def _judged(probe: ModelProbe, inputs: Arrays, options: dict[str, Any]) -> Iterator[Verdict]:
    written = probe.generate(probe.candidate, inputs, **options).sequences
    yield from judge_written(probe.case, inputs, written, options)
