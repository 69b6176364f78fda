"""How publishers print a model's outputs: fields as they are, probabilities, the best tokens, predictions.

Shapes: b batch, n tokens, C classes, V vocabulary, k best tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trueband.golden.checkpoints.directory import Directory
from trueband.golden.checkpoints.inputs import Encoded

Array = NDArray[Any]


@dataclass(frozen=True)
class Printed:
    """Attributes:
    numbers: before the slice; None where only texts were printed.
    texts: None where only numbers were printed.
    """

    numbers: Array | None = None
    texts: list[str] | None = None


@dataclass(frozen=True)
class Run:
    """Attributes:
    fields: outputs of the model by the Hub's names.
    encoded: its inputs.
    directory: the directory of the checkpoint.
    details: the details of the golden.
    """

    fields: Mapping[str, Array]
    encoded: Encoded
    directory: Directory
    details: Mapping[str, Any]

    def field(self, name: str) -> Array:
        """Return one output. Raises ValueError where the model does not return it."""
        if name not in self.fields:
            raise ValueError(f"output: expected one of {', '.join(sorted(self.fields))}, got {name!r}")
        return self.fields[name]


Output = Callable[[Run], Printed]
OUTPUTS: dict[str, Output] = {}


def output(name: str) -> Callable[[Output], Output]:
    """Register an output that is more than a field of the model's."""

    def register(function: Output) -> Output:
        OUTPUTS[name] = function
        return function

    return register


def printed_output(name: str, run: Run) -> Printed:
    """Return what was printed under a name: a registered output, else a field."""
    return OUTPUTS[name](run) if name in OUTPUTS else Printed(run.field(name))


def softmax(logits: Array) -> NDArray[np.float64]:
    """Softmax over the last axis, in float64."""
    raised = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=-1, keepdims=True))


@output("start_logits;end_logits")
def both_logits(run: Run) -> Printed:
    """(2 b, n): the rows of the starts, then those of the ends."""
    return Printed(np.concatenate([run.field("start_logits"), run.field("end_logits")]))


@output("softmax(logits)")
def probabilities(run: Run) -> Printed:
    """Probabilities of all classes, or of those in details.classes."""
    logits = run.field("logits")
    return Printed(softmax(logits[..., run.details["classes"]] if "classes" in run.details else logits))


@output("sigmoid(logits)")
def sigmoid(run: Run) -> Printed:
    return Printed(1 / (1 + np.exp(-run.field("logits").astype(np.float64))))


@output("argmax(logits)")
def best_class(run: Run) -> Printed:
    return Printed(run.field("logits").argmax(axis=-1))


@output("top_tokens")
def top_tokens(run: Run) -> Printed:
    """Best tokens at places, and their logits or probabilities: (places, k).

    details: k; of "logits" or "probabilities"; tokens, how they are written (`Texts.named`); at: pairs of row and
    position, or "<mask>", wherever the input has it.
    """
    at, logits = run.details["at"], run.field("logits")
    places = np.argwhere(run.encoded.ids == run.directory.mask_token_id) if at == "<mask>" else np.array(at)
    chosen = logits[places[:, 0], places[:, 1]]
    values = softmax(chosen) if run.details["of"] == "probabilities" else chosen
    best = np.argsort(-values, axis=-1, kind="stable")[:, : run.details["k"]]
    texts = [run.directory.texts.named(int(token), run.details["tokens"]) for token in best.flatten()]
    return Printed(np.take_along_axis(values, best, axis=-1), texts)


@output("prediction;loss")
def prediction_and_loss(run: Run) -> Printed:
    """The prediction as texts and the loss (1,): the token of the mask, the class, classes of tokens, or the answer."""
    loss = np.asarray(run.field("loss"), dtype=np.float64).reshape(1)
    if "start_logits" in run.fields:
        start, end = (int(run.field(name)[0].argmax()) for name in ("start_logits", "end_logits"))
        ids = [int(number) for number in run.encoded.ids[0, start : end + 1]]
        return Printed(loss, ["".join(run.directory.texts.named(number, "texts") for number in ids)])
    best = run.field("logits").argmax(axis=-1)
    if run.details.get("of") == "mask":
        row, place = np.argwhere(run.encoded.ids == run.directory.mask_token_id)[0]
        return Printed(loss, [run.directory.texts.named(int(best[row, place]), "texts")])
    return Printed(loss, [run.directory.labels[int(number)] for number in best.flatten()])


@output("best_label")
def best_label(run: Run) -> Printed:
    """Zero-shot classification: each row is a text with one label; among `labels` the most probable, by the class that
    says that it follows. details: labels; entailment, that class."""
    labels = run.details["labels"]
    follows = run.field("logits")[:, run.details["entailment"]].reshape(-1, len(labels))
    shares = softmax(follows)
    return Printed(shares.max(axis=-1), [labels[i] for i in shares.argmax(axis=-1)])


@output("answers")
def answers(run: Run) -> Printed:
    """The most probable span of the second text: its letters, and the product of the probabilities of start and end,
    each among the tokens of that text. details: longest, in tokens; contexts."""
    batch = run.encoded.texts()
    texts, scores = [], []
    for row, context in enumerate(run.details["contexts"]):
        inside = np.array([segment == 1 for segment in batch.segments[row]])
        ends = [run.field(name)[row, : len(inside)] for name in ("start_logits", "end_logits")]
        start, end = (softmax(np.where(inside, logits, -np.inf)) for logits in ends)
        spans = np.tril(np.triu(np.outer(start, end)), run.details["longest"] - 1)
        first, last = np.unravel_index(int(spans.argmax()), spans.shape)
        texts.append(context[batch.offsets[row][first][0] : batch.offsets[row][last][1]].strip())
        scores.append(spans[first, last])
    return Printed(np.array(scores), texts)
