"""Checks of training steps without dropout: outputs and gradients of every weight, against the reference's own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from trueband.properties.candidate.errors import CandidateEnded
from trueband.properties.checks.check import claim
from trueband.properties.models.case import HEADS, ModelCase
from trueband.properties.models.check import ModelProbe, model_check
from trueband.properties.models.checks.heads import with_head
from trueband.properties.models.frozen import frozen_sets
from trueband.properties.models.head_inputs import head_inputs, labels
from trueband.properties.models.head_taps import judge_head
from trueband.properties.models.model import Arrays
from trueband.properties.models.taps import judge_all
from trueband.properties.models.training import (
    Expected,
    Regime,
    Trained,
    judge_gradients,
    judge_loss,
    with_rates,
)
from trueband.properties.models.witness import ReferenceModels
from trueband.properties.results.verdict import Verdict, judge, judge_exact
from trueband.reference.led_decoder import shift_right
from trueband.reference.losses import IGNORED

SCALE = 1024.0  # of a loss that is scaled, as for float16
GRADIENTS = ("gradients",)
FROZEN = 5  # kinds of frozen weights that are tried on a case


@model_check(
    "a model in training without dropout computes what it does in evaluation",
    dtypes=("float32",),
    needs=GRADIENTS,
    at_size=300,
)
def check_training_outputs(probe: ModelProbe) -> Iterator[Verdict]:
    """Bounded: judged by the reference, each layer fed the model's own input, as every model in evaluation is."""
    case, inputs = probe.case, step_inputs(probe.case)
    yield from judge_all(case, inputs, _step(probe, case, inputs).outputs[0])


@model_check("the gradient of every weight is the reference's, and the loss too", needs=GRADIENTS, at_size=96)
def check_gradients(probe: ModelProbe) -> Iterator[Verdict]:
    """Bounded: gradients are computed numbers. Every operation of the reference is given random errors of the size of
    its roundings, in 16 runs; the bound is 8 times the spread of each element. Exact: a gradient that is 0 in each."""
    case = probe.case
    inputs = step_inputs(case)
    yield from _judged(case, inputs, _step(probe, case, inputs))


@model_check("the gradient of every weight of every head is the reference's", dtypes=("float64",), needs=GRADIENTS)
def check_head_gradients(probe: ModelProbe) -> Iterator[Verdict]:
    """Bounded: as gradients of the language model. The taps are judged as in evaluation."""
    heads = HEADS[probe.case.architecture][1:]
    case = with_head(seeing(probe.case), heads[probe.case.seed % len(heads)])
    inputs = {**head_inputs(case), **labels(case)}
    trained = _step(probe, case, inputs)
    if case.head != "choice":
        yield from judge_head(case, {**head_inputs(case)}, trained.outputs[0])
    yield from _judged(case, inputs, trained, f" under the head {case.head}")


@model_check("gradient checkpointing changes no gradient", dtypes=("float32",), needs=[*GRADIENTS, "checkpointing"])
def check_checkpointing(probe: ModelProbe) -> Iterator[Verdict]:
    """Bounded: what is computed again is the same function of the same numbers; judged by the reference."""
    case = seeing(probe.case)
    inputs = step_inputs(case)
    yield from _judged(case, inputs, _step(probe, case, inputs, Regime(checkpointing=True)), " with checkpointing")


@model_check("frozen weights get no gradient, and change that of no other", dtypes=("float32",), needs=GRADIENTS)
def check_frozen_weights(probe: ModelProbe) -> Iterator[Verdict]:
    """Exact: there is no gradient of what requires none. Bounded: the others, by the reference. Layers, embeddings,
    stacks, all but biases (BitFit, arXiv 2106.10199), LayerNorms, single weights and others are frozen."""
    yield from _frozen(probe, Regime(), "")


@model_check(
    "with gradient checkpointing too, frozen weights change the gradient of no other",
    dtypes=("float32",),
    needs=[*GRADIENTS, "checkpointing", "frozen_checkpointing"],
)
def check_frozen_checkpointing(probe: ModelProbe) -> Iterator[Verdict]:
    """Exact and bounded as without checkpointing. It is a feature of its own: reentrant checkpoints give no gradient
    where the inputs of a layer require none, and are right where everything is trained."""
    why = (
        "it has none; a reentrant checkpoint gives none where its inputs require none, and a ModelTarget says so by a "
        "`training` without frozen_checkpointing"
    )
    yield from _frozen(probe, Regime(checkpointing=True), " and checkpointing", why)


def _frozen(probe: ModelProbe, regime: Regime, suffix: str, why: str = "it has none") -> Iterator[Verdict]:
    case = seeing(probe.case)
    inputs = step_inputs(case)
    expected = Expected.of(case, inputs)
    for kind, names in frozen_sets(case, probe.random, FROZEN):
        what = f" with {kind} frozen{suffix}"
        try:
            trained = _step(probe, case, inputs, frozen := replace(regime, frozen=names))
        except CandidateEnded as error:
            raise CandidateEnded(f"{error},{what}{suffix and f'; {why}'}", error.status, error.traceback) from error
        yield from judge_gradients(case, expected, trained, frozen, what, why=why)


@model_check(
    "gradients of a scaled loss, summed over parts of a batch, are those of the batch, scaled",
    dtypes=("float32",),
    needs=GRADIENTS,
)
def check_accumulated_gradients(probe: ModelProbe) -> Iterator[Verdict]:
    """Bounded: gradients are linear in that of the loss, a power of two rounds nothing, and a mean over a batch is the
    mean of its parts, weighed by the labels that count in each. By the errors of the parts."""
    case = seeing(probe.case) if probe.case.batch > 1 else _twice(seeing(probe.case))
    inputs = step_inputs(case)
    counted = _counted(case, inputs["labels"])
    parts = [
        ({name: array[i : i + 1] for name, array in inputs.items()}, SCALE * counts / counted.sum())
        for i, counts in enumerate(counted)
        if counts
    ]
    trained = probe.train(with_rates(case.model), parts, Regime())
    whole = ReferenceModels().train(with_rates(case.model), [(inputs, SCALE)], Regime())
    steps = [(Expected.of(case, part), factor) for part, factor in parts]
    for name, right in whole.gradients.items():
        if right is None:
            continue
        computed = trained.gradients.get(name)
        bounds = [step.bound(name).scaled(factor) for step, factor in steps]
        label = f"gradient of {name}, {SCALE:g} times, over {len(parts)} parts"
        yield judge(np.zeros(right.shape) if computed is None else computed, right, sum(bounds[1:], bounds[0]), label)


@model_check("what stands in masked tokens gets no gradient, and changes none", dtypes=("float32",), needs=GRADIENTS)
def check_padding_gradients(probe: ModelProbe) -> Iterator[Verdict]:
    """Exact: the loss does not depend on masked tokens whose labels do not count; what reads them is multiplied by 0.
    Bounded: the same gradients for others in their place, by the errors of both."""
    case, inputs, words = _embedded(probe)
    real = case.real
    other = np.where(real[..., None], words, probe.random.standard_normal(words.shape))
    first, second = ({**inputs, "inputs_embeds": variant} for variant in (words, other))
    trained, changed = (_step(probe, case, variant) for variant in (first, second))
    expected = Expected.of(case, first)
    for what, step in (("", trained), (" with others in their place", changed)):
        yield from words_gradient(step, what)
        gradient, label = np.asarray(step.words[0]), f"gradient of the words{what}"
        yield judge_exact(gradient[~real], np.zeros((int((~real).sum()), words.shape[2])), f"{label}, masked")
        yield judge(
            gradient[real],
            expected.value(expected.step.words)[real],
            expected.bound_of(expected.step.words).at(real),
            f"{label}, real",
        )
        yield from judge_gradients(case, expected, step, what=f", masked tokens{what}")


@model_check(
    "under autocast gradients are finite, of the weights' dtype, and free of masked tokens",
    dtypes=("float32",),
    needs=[*GRADIENTS, "autocast", "deterministic"],
)
def check_autocast(probe: ModelProbe) -> Iterator[Verdict]:
    """Exact with deterministic: the same step gives the same bits, and 0 times a masked token is 0 in any dtype. What
    the numbers are is the claim of autocast_values."""
    case, inputs, words = _embedded(probe)
    real = case.real
    regime, steps = Regime(autocast=True), []
    for _ in range(2):
        steps.append(_step(probe, case, {**inputs, "inputs_embeds": words}, regime))
    first, again = steps
    for name, gradient in first.gradients.items():
        if gradient is None:
            continue
        label = f"gradient of {name} under autocast"
        yield claim(first.dtypes[name] == case.dtype, f"{label}: expected {case.dtype}, got {first.dtypes[name]}")
        yield claim(bool(np.isfinite(gradient).all()), f"{label}: expected finite numbers, got others")
    yield from same_gradients(first, again, "under autocast, again")
    yield from words_gradient(first, " under autocast")
    of_words = np.asarray(first.words[0])
    yield judge_exact(of_words[~real], np.zeros_like(of_words[~real]), "gradient of masked words under autocast")


def same_gradients(first: Trained, again: Trained, what: str) -> Iterator[Verdict]:
    """Judge that two steps have the same gradients, bit for bit."""
    for name, gradient in first.gradients.items():
        repeated, label = again.gradients.get(name), f"gradient of {name} {what}"
        if gradient is None or repeated is None:
            yield claim(gradient is repeated, f"{label}: expected a gradient in both steps or in none, got one")
        else:
            yield judge_exact(repeated, gradient, label)


def step_inputs(case: ModelCase) -> Arrays:
    """Return the inputs of a case with labels for its language model; for odd seeds LED's decoder reads the labels."""
    inputs = {**case.inputs, **labels(case)}
    if case.architecture == "led" and case.seed % 2:
        start = case.config["decoder_start_token_id"]
        inputs["decoder_input_ids"] = shift_right(inputs["labels"], case.pad_token_id, start)
    return inputs


def seeing(case: ModelCase) -> ModelCase:
    """Return the case with at most two rows and layers, in which every row of LED's decoder sees something: other
    checks cover rows that see nothing."""
    rows: dict[str, Any] = {name: getattr(case, name)[:2] for name in ("masked", "global_")}
    rows["target_masked"] = tuple(tuple(i for i in row if i) for row in case.target_masked[:2])
    layers: dict[str, Any] = {"windows": case.windows[:2], "pruned": case.pruned[:2]}
    return case.replace(batch=min(case.batch, 2), layers=min(case.layers, 2), **rows, **layers)


def words_gradient(step: Trained, what: str) -> Iterator[Verdict]:
    """Judge that `inputs_embeds` has a gradient."""
    yield claim(step.words[0] is not None, f"inputs_embeds{what}: expected a gradient, as it requires one, got none")


def _embedded(probe: ModelProbe) -> tuple[ModelCase, Arrays, np.ndarray]:
    """Return an encoder's case with masked tokens, its inputs without labels on them, and its words (b, n, D)."""
    case = seeing(probe.case).replace(causal=False, encoder_tokens=0)
    if not any(case.masked):
        case = case.replace(masked=((case.tokens - 1,), *case.masked[1:]))
    inputs = step_inputs(case)
    if case.architecture != "led":
        inputs["labels"] = np.where(case.real, inputs["labels"], IGNORED)
        inputs["labels"][tuple(np.argwhere(case.real)[0])] = 0
    words: np.ndarray = case.words[inputs.pop("input_ids")]
    return case, inputs, words


def _step(probe: ModelProbe, case: ModelCase, inputs: Arrays, regime: Regime | None = None) -> Trained:
    """Run one batch without dropout."""
    return probe.train(with_rates(case.model), [(inputs, 1.0)], regime or Regime())


def _judged(case: ModelCase, inputs: Arrays, trained: Trained, what: str = "") -> Iterator[Verdict]:
    expected = Expected.of(case, inputs)
    yield judge_loss(expected, trained.outputs[0], what)
    yield from judge_gradients(case, expected, trained, what=what)


def _counted(case: ModelCase, labels: np.ndarray) -> np.ndarray:
    """Return (b,): how many labels of each row count."""
    counts = labels != IGNORED
    return (counts[:, 1:] if case.architecture != "led" and case.causal else counts).sum(axis=1)


def _twice(case: ModelCase) -> ModelCase:
    """Return the case with every row twice: ids and labels are drawn anew."""
    rows = {name: getattr(case, name) * 2 for name in ("masked", "global_", "target_masked")}
    return replace(case, batch=2, **rows)
