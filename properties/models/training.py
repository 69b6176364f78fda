"""Training steps of models: their form, the reference's own steps, and how steps are judged.

train(model, batches, regime) -> Trained: a forward and a backward pass for each (inputs with labels, factor of its
    loss) of `batches`, gradients added up, in the mode, under the seed and with the parts that the regime says
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from trueband.properties.bounds.bound import Bound
from trueband.properties.bounds.precision import Precision
from trueband.properties.bounds.stochastic import SCALED, Arithmetic, Stochastic, stochastic
from trueband.properties.models.case import ModelCase
from trueband.properties.models.model import Arrays, Model
from trueband.properties.results.verdict import Verdict, judge, judge_exact
from trueband.reference.config import LEDConfig
from trueband.reference.dropout import Dropout, Keep, keep_all
from trueband.reference.training import Training, training_of

Batches = Sequence[tuple[Arrays, float]]
# What a candidate's steps may be able to do.
TRAINING = ("gradients", "checkpointing", "frozen_checkpointing", "dropout", "autocast")
BUFFERS = ("final_logits_bias",)  # weights of the Hub's models that are not trained


@dataclass(frozen=True)
class Regime:
    """How a step is run.

    Attributes:
        training: whether the model is in training mode; False: evaluation, where nothing is dropped.
        frozen: the names of the weights that require no gradient.
        checkpointing: whether gradient checkpointing is on.
        autocast: whether it runs in bfloat16, by `torch.autocast`; the weights keep their dtype.
        seed: the seed of the draws of the whole step.
        backward: whether there is a backward pass; False: only the outputs are wanted.
    """

    training: bool = True
    frozen: frozenset[str] = frozenset()
    checkpointing: bool = False
    autocast: bool = False
    seed: int = 0
    backward: bool = True

    def trains(self, name: str) -> bool:
        """Return whether a weight gets a gradient."""
        return self.backward and name not in BUFFERS and name not in self.frozen


@dataclass(frozen=True)
class Trained:
    """The result of a step, in NumPy.

    Attributes:
        outputs: the output of each batch, as of `forward`: hidden states, logits, loss.
        gradients: dL/dw by the Hub's name of w; None where the model has none.
        dtypes: the dtypes of the gradients.
        words: the gradient of `inputs_embeds`, (b, n, D), of each batch; None where that is not passed.
    """

    outputs: list[dict[str, Any]]
    gradients: dict[str, np.ndarray | None]
    dtypes: dict[str, str]
    words: list[np.ndarray | None]


class ReferenceTraining:
    """A mixin that gives the reference, as a candidate, its training steps."""

    def train(self, model: Model, batches: Batches, regime: Regime) -> Trained:
        outputs, words, sums = [], [], {name: np.zeros(array.shape) for name, array in model.state.items()}
        for i, (inputs, factor) in enumerate(batches):
            step = self.step(model, inputs, self.keep(model, i, regime))
            outputs.append(output_of(model, step))
            words.append(factor * step.words if "inputs_embeds" in inputs else None)
            sums = {name: sums[name] + factor * gradient for name, gradient in step.gradients.items()}
        gradients = {name: gradient if regime.trains(name) else None for name, gradient in sums.items()}
        return Trained(outputs, gradients, {name: model.dtype for name in gradients}, words)

    def keep(self, model: Model, batch: int, regime: Regime) -> Keep:
        """Return the dropout of a batch of the step."""
        return Dropout(regime.seed * 1000 + batch, rates(model)) if regime.training else keep_all

    def step(self, model: Model, inputs: Arrays, keep: Keep) -> Training:
        """Run the step of one batch."""
        return training_of(model.architecture)(model.state, model.settings, model.head, inputs, keep)


def output_of(model: Model, step: Training) -> dict[str, Any]:
    """Return a step of the reference in the form of `forward`."""
    output: dict[str, Any] = {"hidden_states": step.hidden_states, "loss": step.loss}
    if model.head == "qa":
        output |= {"start_logits": step.logits[..., 0], "end_logits": step.logits[..., 1]}
    else:
        output["logits"] = step.logits
    if step.encoder_hidden_states is not None:
        output["encoder_hidden_states"] = step.encoder_hidden_states
    return output


def rates(model: Model) -> dict[str, float]:
    """Return the rates of dropout of a model, by the kinds of `Dropout`."""
    settings = model.settings
    if isinstance(settings, LEDConfig):
        return {
            "hidden": settings.dropout,
            "attention": settings.attention_dropout,
            "activation": settings.activation_dropout,
            "head": settings.classifier_dropout,
        }
    hidden, own = settings.hidden_dropout_prob, getattr(settings, "classifier_dropout", None)
    return {
        "hidden": hidden,
        "attention": settings.attention_probs_dropout_prob,
        "head": hidden if own is None else own,
    }


def with_rates(model: Model, hidden: float = 0.0, attention: float = 0.0, activation: float = 0.0) -> Model:
    """Return the model with these rates of dropout, and none in its head where that has a rate of its own."""
    if model.architecture == "led":
        return model.with_config(
            dropout=hidden, attention_dropout=attention, activation_dropout=activation, classifier_dropout=0.0
        )
    changes = {"hidden_dropout_prob": hidden, "attention_probs_dropout_prob": attention}
    own = {} if model.architecture == "longformer" else {"classifier_dropout": 0.0}
    return model.with_config(**changes, **own)


@dataclass(frozen=True)
class Expected:
    """A step of the reference with the bounds of its results."""

    step: Training
    precision: Precision

    @classmethod
    def of(
        cls,
        case: ModelCase,
        inputs: Arrays,
        model: Model | None = None,
        keep: Keep = keep_all,
        how: Arithmetic = SCALED,
    ) -> Expected:
        """Run a step of the model of a case, or of another model on the same inputs."""
        model = model or case.model
        state = stochastic(model.state, case.seed, how)
        step = training_of(model.architecture)(state, model.settings, model.head, inputs, keep)
        return cls(step, Precision.of(case.dtype))

    def gradient(self, name: str) -> np.ndarray:
        return self.value(self.step.gradients[name])

    def bound(self, name: str) -> Bound:
        return self.bound_of(self.step.gradients[name])

    @staticmethod
    def value(array: Any) -> np.ndarray:
        return array.value if isinstance(array, Stochastic) else array

    def bound_of(self, array: Any) -> Bound:
        """Return the bound of a result of the step; the gradient of an unused weight is exactly 0."""
        if isinstance(array, Stochastic):
            return array.bound(self.precision)
        return Bound({"unused": np.zeros(np.shape(array))})


def judge_gradients(
    case: ModelCase,
    expected: Expected,
    trained: Trained,
    regime: Regime = Regime(),
    what: str = "",
    unjudged: Collection[str] = (),
    why: str = "it has none",
) -> Iterator[Verdict]:
    """Judge the gradient of every weight. No gradient counts as 0; a frozen weight must have none.

    Args:
        what: a description of the step, for messages.
        unjudged: the weights that are left out.
        why: a note for a weight that lacks its gradient.
    """
    for name in case.state:
        if name in BUFFERS or name in unjudged:
            continue
        label = f"gradient of {name}{what}"
        computed = trained.gradients.get(name)
        if not regime.trains(name):
            yield judge_exact(float(computed is not None), 0.0, f"{label}, frozen: number of gradients")
            continue
        right = expected.gradient(name)
        verdict = judge(np.zeros(right.shape) if computed is None else computed, right, expected.bound(name), label)
        yield verdict if verdict.passed or computed is not None else replace(verdict, note=why)


def judge_loss(expected: Expected, output: dict[str, Any], what: str = "") -> Verdict:
    """Judge the loss of a batch."""
    loss = expected.step.loss
    return judge(output["loss"], expected.value(loss), expected.bound_of(loss), f"loss{what}")
