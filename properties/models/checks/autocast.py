"""A check of models under autocast, with a bound of its own."""

from __future__ import annotations

from collections.abc import Iterator

from trueband.properties.bounds.stochastic import AUTOCAST, Stochastic
from trueband.properties.models.case import ModelCase
from trueband.properties.models.check import ModelProbe, model_check
from trueband.properties.models.checks.training import GRADIENTS, seeing, step_inputs
from trueband.properties.models.model import Model
from trueband.properties.models.training import (
    BUFFERS,
    Expected,
    Regime,
    judge_gradients,
    judge_loss,
    with_rates,
)
from trueband.properties.results.verdict import Verdict, judge

WORDS, WEIGHTS = 0.3, 0.5  # factors under which softmax is calm: roundings of 2^-8 move nothing by much
REGIMES = {"in training": Regime(autocast=True), "in evaluation": Regime(autocast=True, training=False, backward=False)}


@model_check(
    "under autocast hidden states, logits, the loss and gradients are the reference's, within what bfloat16 rounds",
    dtypes=("float32",),
    needs=[*GRADIENTS, "autocast"],
)
def check_autocast_values(probe: ModelProbe) -> Iterator[Verdict]:
    """Bounded: the reference is run with 128 samples of roundings as large as those of bfloat16, of all that autocast
    stores in it. Models of one layer, with weights that are small: of deeper ones no bound is claimed, as roundings of
    8 bits grow from layer to layer. The residual stream and LayerNorms are float32, as torch's autocast leaves them. Of
    every weight the product of its gradient and the reference's is judged too, in which roundings average out: a factor
    of 2 is seen there."""
    case = seeing(probe.case).replace(layers=1, windows=probe.case.windows[:1], pruned=probe.case.pruned[:1])
    inputs, model = step_inputs(case), calm(case)
    expected = Expected.of(case, inputs, model, how=AUTOCAST)
    for mode, regime in REGIMES.items():
        what = f", {mode} under autocast"
        trained = probe.train(model, [(inputs, 1.0)], regime)
        output = trained.outputs[0]
        for tap, states in (
            ("encoder_hidden_states", expected.step.encoder_hidden_states),
            ("hidden_states", expected.step.hidden_states),
            ("logits", [expected.step.logits]),
        ):
            for i, state in enumerate(states or ()):
                computed = output[tap] if tap == "logits" else output[tap][i]
                at = "" if tap == "logits" else f"[{i}]"
                yield judge(computed, expected.value(state), expected.bound_of(state), f"{tap}{at}{what}")
        yield judge_loss(expected, output, what)
        if not regime.backward:
            continue
        yield from judge_gradients(case, expected, trained, what=what)
        for name in case.state:
            gradient, computed = expected.step.gradients[name], trained.gradients.get(name)
            if name in BUFFERS or computed is None or not isinstance(gradient, Stochastic):
                continue
            along = gradient.along(gradient.value)
            told_of = f"gradient of {name}, product with the reference's{what}"
            yield judge((computed * gradient.value).sum(), along.value, expected.bound_of(along), told_of)


def calm(case: ModelCase) -> Model:
    """Return the model of a case with smaller words and weights, without dropout."""
    state = dict(case.state)
    for name, array in state.items():
        if name == case.family.word_embeddings:
            state[name] = WORDS * array
        elif array.ndim == 2 and "embed" not in name and name not in BUFFERS:
            state[name] = WEIGHTS * array
    return with_rates(case.model).with_state(state)
