"""Checks of the layers. Every layer is judged alone: the reference is fed the candidate's own layer input."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from trueband.properties.models.case import FIRST_WORD, VOCABULARY, ModelCase
from trueband.properties.models.check import ModelProbe, model_check
from trueband.properties.models.from_start import logits_bound
from trueband.properties.models.model import Arrays
from trueband.properties.models.taps import (
    judge_decoder_layers,
    judge_embeddings,
    judge_layers,
    judge_logits,
)
from trueband.properties.results.verdict import Verdict, judge


@model_check(
    "the embeddings are LayerNorm(word + position): positions start and skip padding as the model's do",
    about="positions",
)
def check_embeddings(probe: ModelProbe) -> Iterator[Verdict]:
    """Bounded: judged by the reference."""
    yield from judge_embeddings(probe.case, probe.case.inputs, probe.forward())


@model_check("every layer of the encoder, fed its own input, gives what the reference gives", at_size=300)
def check_encoder_layers(probe: ModelProbe) -> Iterator[Verdict]:
    """Bounded: judged by the reference, fed the model's own input."""
    yield from judge_layers(probe.case, probe.case.inputs, probe.forward())


@model_check("every layer of the decoder, fed its own input, gives what the reference gives", ("led",), at_size=300)
def check_decoder_layers(probe: ModelProbe) -> Iterator[Verdict]:
    """Bounded: judged by the reference, fed the model's own input."""
    yield from judge_decoder_layers(probe.case, probe.case.inputs, probe.forward())


@model_check("the logits are those of the last hidden states, with tied embeddings and the bias added once")
def check_logits(probe: ModelProbe) -> Iterator[Verdict]:
    """Bounded: judged by the reference, fed the model's own last states."""
    yield judge_logits(probe.case, probe.forward())


@model_check("what stands in masked tokens changes no real row", dtypes=("float64",))
def check_masked_ids_are_ignored(probe: ModelProbe) -> Iterator[Verdict]:
    """Bounded: two runs, by the errors of both."""
    case = probe.case
    # Of RoBERTa's kind positions follow the ids: only what comes after the last real token may change.
    behind = np.flip(np.cumsum(np.flip(case.real, 1), axis=1), 1) == 0
    changeable = ~case.real if case.architecture == "led" else behind
    ids = case.inputs["input_ids"]
    other = np.where(changeable, probe.random.integers(FIRST_WORD, VOCABULARY, ids.shape), ids)
    rows = case.real if case.architecture != "led" else np.ones(case.inputs["decoder_input_ids"].shape, dtype=bool)
    yield _same(probe, [{**case.inputs, "input_ids": variant} for variant in (ids, other)], rows, "other ids")
    yield _same(probe, _embedded(case, case.inputs, "input_ids", ~case.real), rows, "NaN")


@model_check("no logits depend on later tokens of the decoder", ("xlm-roberta", "led"), ("float64",))
def check_decoder_is_causal(probe: ModelProbe) -> Iterator[Verdict]:
    """Bounded: two runs, by the errors of both."""
    case = probe.case.decoder
    probe, targets = ModelProbe(probe.candidate, case), case.inputs[case.targets]
    last = int(probe.random.integers(targets.shape[1]))
    later = np.broadcast_to(np.arange(targets.shape[1]) > last, targets.shape)
    following = (targets - FIRST_WORD + 1) % (VOCABULARY - FIRST_WORD) + FIRST_WORD
    both = [{**case.inputs, case.targets: ids} for ids in (targets, np.where(later, following, targets))]
    yield _same(probe, both, ~later, f"other ids behind {last}")
    # A masked token may hold anything; a real one only if the candidate says so.
    mask = case.targets.replace("input_ids", "attention_mask")
    real = case.inputs.get(mask, np.ones_like(targets))
    if "nan_local" not in probe.candidate.features:
        real = np.where(later, 0, real)
    yield _same(probe, _embedded(case, {**case.inputs, mask: real}, case.targets, later), ~later, f"NaN behind {last}")


def _embedded(case: ModelCase, inputs: Arrays, ids: str, hidden: np.ndarray) -> list[Arrays]:
    """Return the inputs with embeddings in place of `ids`: 0 where they are hidden (b, n), and NaN there."""
    others = {name: array for name, array in inputs.items() if name != ids}
    words = case.words[inputs[ids]]
    name = ids.replace("input_ids", "inputs_embeds")
    return [{**others, name: np.where(hidden[..., None], value, words)} for value in (0.0, np.nan)]


def _same(probe: ModelProbe, inputs: list[Arrays], rows: np.ndarray, what: str) -> Verdict:
    """Judge that two runs have the same logits in some rows (b, n) bool; the numbers of the first are finite."""
    before, after = (probe.forward_of(variant)["logits"][rows] for variant in inputs)
    bound = logits_bound(probe.case, inputs[0]).at(rows).scaled(2.0)
    return judge(after, before, bound, f"logits with {what} in hidden tokens")
