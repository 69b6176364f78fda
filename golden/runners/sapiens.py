"""Outputs of the trained RoBERTa: as it is, as a Longformer, and as the encoder of an LED.

Inputs: {"residues": text, "star": what "*" is read as, "pads_after": pads, "masked_before": masked residues in front,
"global_tokens": positions, or "all"}; all but the text may be left out.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trueband.golden.at_hand import weights
from trueband.golden.judged import judge_published
from trueband.golden.records import Outcome
from trueband.golden.registry import Context, runner
from trueband.golden.seq2seq_witness import run_seq2seq
from trueband.golden.store import Golden
from trueband.golden.weights.sapiens import FIRST_RESIDUE, MASK, PAD, UNKNOWN, decode_best, encode
from trueband.golden.witness import Output, run_masked_lm

STARS = {"<mask>": MASK, "<unk>": UNKNOWN}
DECODER_START = 2
AT_ONCE = 8  # copies of the text in a batch: scores of all 119 fill memory, and take longer


class Inputs(NamedTuple):
    """Attributes:
    input_ids, attention_mask, global_attention_mask: (1, n), masks of 0 and 1.
    residues: where the text stands, without start and end.
    """

    input_ids: NDArray[np.int64]
    attention_mask: NDArray[np.int64]
    global_attention_mask: NDArray[np.int64]
    residues: slice


def inputs_of(recipe: dict[str, Any]) -> Inputs:
    """Make the inputs that a recipe describes."""
    text = encode(recipe["residues"], STARS[recipe.get("star", "<mask>")])
    before, after = recipe.get("masked_before", 0), recipe.get("pads_after", 0)
    ids = np.concatenate([np.full((1, before), FIRST_RESIDUE), text, np.full((1, after), PAD)], axis=1)
    end = before + text.shape[1]
    mask = np.zeros_like(ids)
    mask[:, before:end] = 1
    return Inputs(ids, mask, global_flags(ids, recipe.get("global_tokens", [])), slice(before + 1, end - 1))


def global_flags(ids: NDArray[np.int64], where: list[int] | str) -> NDArray[np.int64]:
    """1 at the positions named, or everywhere ("all")."""
    flags = np.zeros_like(ids)
    places = range(ids.shape[1]) if isinstance(where, str) else where
    flags[:, list(places)] = 1
    return flags


def _run(golden: Golden, context: Context) -> tuple[Output, Inputs]:
    inputs = inputs_of(golden.metadata.inputs)
    converted = golden.metadata.conversion
    architecture = "roberta" if converted is None else converted["to"]
    output = run_masked_lm(
        context.witness("masked_lm"),
        architecture,
        weights(golden, context),
        inputs.input_ids,
        inputs.attention_mask,
        inputs.global_attention_mask if architecture == "longformer" else None,
    )
    return output, inputs


def _mean(hidden_states: NDArray[Any], residues: slice) -> NDArray[np.float64]:
    mean: NDArray[np.float64] = hidden_states[0, residues].astype(np.float64).mean(axis=0)
    return mean


@runner("sapiens_embedding", form="masked_lm")
def embedding(golden: Golden, context: Context) -> Outcome:
    """Mean of the last hidden states over the residues, within the printed digits."""
    output, inputs = _run(golden, context)
    return judge_published(golden, _mean(output.hidden_states[-1], inputs.residues))


@runner("sapiens_led_embedding", form="seq2seq")
def led_embedding(golden: Golden, context: Context) -> Outcome:
    """The same, of the encoder of an LED, within the printed digits."""
    inputs = inputs_of(golden.metadata.inputs)
    output = run_seq2seq(
        context.witness("seq2seq"),
        weights(golden, context),
        inputs.input_ids,
        inputs.global_attention_mask,
        np.array([[DECODER_START]]),
        inputs.attention_mask,
    )
    return judge_published(golden, _mean(output.encoder_last_hidden_state, inputs.residues))


@runner("sapiens_distance", form="masked_lm")
def distance(golden: Golden, context: Context) -> Outcome:
    """Judge how far the embedding is from the published one where the window is below the length. It has to be far."""
    output, inputs = _run(golden, context)
    off_by = np.abs(_mean(output.hidden_states[-1], inputs.residues) - golden.arrays["published"])
    return judge_published(golden, [off_by.max()])


@runner("sapiens_probabilities", form="masked_lm")
def probabilities(golden: Golden, context: Context) -> Outcome:
    """Softmax over all 25 symbols; of it, the 20 residues at one place of the text, within the printed digits."""
    output, inputs = _run(golden, context)
    logits = output.logits[0, inputs.residues].astype(np.float64)[golden.metadata.details["residue"]]
    exponentials = np.exp(logits - logits.max())
    return judge_published(golden, (exponentials / exponentials.sum())[FIRST_RESIDUE:MASK])


@runner("sapiens_infill", form="masked_lm")
def infill(golden: Golden, context: Context) -> Outcome:
    """The best residue, everywhere or where the text has "*".

    Letter by letter: no choice is within the errors of a float32 run (tests/golden/test_margins.py).
    """
    output, inputs = _run(golden, context)
    best = decode_best(output.logits[0, inputs.residues])
    if not golden.metadata.details["everywhere"]:
        text = golden.metadata.inputs["residues"]
        best = "".join(b if a == "*" else a for a, b in zip(text, best, strict=True))
    return judge_published(golden, [best])


@runner("sapiens_accuracy", form="masked_lm")
def accuracy(golden: Golden, context: Context) -> Outcome:
    """The share of residues found again, each masked in a copy of its own.

    A count: no choice is within the errors of a float32 run (tests/golden/test_margins.py).
    """
    text = golden.metadata.inputs["residues"]
    ids = encode(text)
    places = np.arange(1, ids.shape[1] - 1)
    copies = np.repeat(ids, len(places), axis=0)
    copies[np.arange(len(places)), places] = MASK
    witness, checkpoint = context.witness("masked_lm"), weights(golden, context)
    decoded = ""
    for some in np.array_split(np.arange(len(places)), len(places) // AT_ONCE):
        logits = run_masked_lm(witness, "roberta", checkpoint, copies[some]).logits
        decoded += decode_best(logits[np.arange(len(some)), places[some]])
    return judge_published(golden, [sum(a == b for a, b in zip(decoded, text, strict=True)) / len(text)])
