"""Checks that the arguments of a model with a head reach the model inside. The seed of a case picks the head."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from trueband.properties.models.case import HEADS, ModelCase
from trueband.properties.models.check import ModelProbe, model_check
from trueband.properties.models.checks.arguments import VALUES, scaled_values
from trueband.properties.models.checks.heads import with_head
from trueband.properties.models.head_inputs import head_inputs
from trueband.properties.models.head_taps import judge_head
from trueband.properties.models.model import Arrays
from trueband.properties.results.verdict import Verdict

FLAT = ("input_ids", "attention_mask", "global_attention_mask", "token_type_ids", "position_ids", "inputs_embeds")


@model_check(
    "masks, positions, types and embeddings that a head is given reach the model inside",
    dtypes=("float64",),
    about="heads",
)
def check_head_arguments(probe: ModelProbe) -> Iterator[Verdict]:
    """Bounded: every tap is judged by the reference on what was given, head masks as scaled values."""
    heads = HEADS[probe.case.architecture]
    case = with_head(probe.case, heads[probe.case.seed % len(heads)])
    inputs = _arguments(probe, case)
    yield from judge_head(case, inputs, probe.head(case, _shaped(case, inputs)))
    masks: Arrays = {}
    state = case.state
    for name, parts in VALUES[case.architecture].items():
        masks[name] = np.array([0.0, 0.5, 1.0])[probe.random.integers(0, 3, (case.layers, case.heads))]
        state = scaled_values(case, state, parts, masks[name])
    yield from judge_head(case, inputs, probe.head(case, {**_shaped(case, inputs), **masks}), state)
    if (case.architecture, case.head) != ("led", "sequence"):  # it looks for the end token in the ids
        embedded = {name: array for name, array in inputs.items() if name != "input_ids"}
        embedded["inputs_embeds"] = case.words[inputs["input_ids"]]
        yield from judge_head(case, embedded, probe.head(case, _shaped(case, embedded)))


def _arguments(probe: ModelProbe, case: ModelCase) -> Arrays:
    """Return the inputs (b, n) of the head, and everything else that the model takes."""
    inputs = {name: array.reshape(case.batch, -1) for name, array in head_inputs(case).items()}
    shape = inputs["input_ids"].shape
    if case.architecture == "led":
        inputs["global_attention_mask"] = probe.random.integers(0, 2, shape)
        if case.head != "sequence":
            inputs["decoder_input_ids"] = case.inputs["decoder_input_ids"]
        return inputs
    inputs["token_type_ids"] = probe.random.integers(0, case.config["type_vocab_size"], shape)
    inputs["position_ids"] = probe.random.integers(0, case.config["max_position_embeddings"], shape)
    if case.architecture == "longformer":
        inputs["global_attention_mask"] = probe.random.integers(0, 2, shape)
    elif case.head != "choice":
        across = ("encoder_hidden_states", "encoder_attention_mask")
        inputs |= {name: case.inputs[name] for name in across if name in case.inputs}
    return inputs


def _shaped(case: ModelCase, inputs: Arrays) -> Arrays:
    """Shape the rows of the batch as the choices of one question, for a head that chooses."""
    if case.head != "choice":
        return inputs
    return {name: array[None] if name in FLAT else array for name, array in inputs.items()}
