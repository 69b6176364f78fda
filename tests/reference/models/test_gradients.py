"""The gradients of the reference's models are the slopes of its losses, which other code computes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from trueband.properties.bounds.bound import Bound
from trueband.properties.models.case import HEADS, ModelCase
from trueband.properties.models.faults.training import GeluOfTanh, NormWithoutMean, SoftmaxWithoutSum, TiedOnce
from trueband.properties.models.head_inputs import head_inputs, labels
from trueband.properties.models.model import Arrays
from trueband.properties.models.training import BUFFERS, Expected, Regime
from trueband.properties.models.witness import ReferenceModels
from trueband.properties.results.verdict import Verdict, judge

STEP = 2.0**-12  # of a weight: its cube and a roundoff over it are about as small


def case_of(architecture: str, head: str = "lm", **options: Any) -> ModelCase:
    """Two rows, with padding and global tokens where the head leaves the choice."""
    free = head == "lm"
    if architecture != "xlm-roberta":
        options |= {"windows": (2,), "global_": ((0,), (2, 5)) if free else ((), ())}
    if architecture == "led":
        options |= {"target_tokens": 3, "target_masked": ((), (2,))}
    masked = ((), (6,)) if free else ((), ())
    return ModelCase(architecture, tokens=7, batch=2, heads=2, masked=masked, head=head, dtype="float64", **options)


CASES = {
    f"{architecture}-{head}": case_of(architecture, head) for architecture, heads in HEADS.items() for head in heads
}
CASES |= {
    "multi-label": case_of("longformer", "sequence", seed=5),
    "regression": case_of("xlm-roberta", "sequence", seed=3),
    "decoder": case_of("xlm-roberta", causal=True, encoder_tokens=3),
    "relative-keys": case_of("xlm-roberta", positions="relative_key", causal=True),
    "relative-queries": case_of("xlm-roberta", positions="relative_key_query"),
    "pruned": case_of("xlm-roberta", pruned=((1,),)),
}


def inputs_of(case: ModelCase) -> Arrays:
    return {**(case.inputs if case.head == "lm" else head_inputs(case)), **labels(case)}


def judged_slope(case: ModelCase, name: str, found: np.ndarray, loss_error: float) -> Verdict:
    """A gradient times a random direction, against the central difference of the loss along it. Rows of padding stay
    as they are: they are not trained, whatever the slope along them.

    The error of a difference over 2 h is c h^2 + ..., with 4 times that over 4 h: their difference is 3 times it. What
    rounds is the loss, twice, over 2 h.
    """
    inputs, direction = inputs_of(case), np.random.default_rng(3).standard_normal(found.shape)
    if name.endswith(("word_embeddings.weight", "position_embeddings.weight", "shared.weight")):
        direction[case.pad_token_id] = 0.0

    def loss(moved: float) -> float:
        state = {**case.state, name: case.state[name] + moved * direction}
        return float(ReferenceModels().forward(replace(case.model, state=state), inputs)["loss"])

    near, far = ((loss(h) - loss(-h)) / (2 * h) for h in (STEP, 2 * STEP))
    bound = Bound({"step": np.asarray(abs(far - near)), "rounding": np.asarray(loss_error / STEP)})
    return judge(float((found * direction).sum()), near, bound, f"slope along {name}")


def slopes(case: ModelCase, candidate: ReferenceModels) -> list[Verdict]:
    """Of every weight that is trained."""
    loss = Expected.of(case, inputs_of(case))
    loss_error = float(loss.bound_of(loss.step.loss).total)
    gradients = candidate.train(case.model, [(inputs_of(case), 1.0)], Regime(training=False)).gradients
    return [judged_slope(case, name, found, loss_error) for name, found in gradients.items() if found is not None]


@pytest.mark.parametrize("name", CASES)
def test_a_gradient_is_the_slope_of_the_loss(name: str) -> None:
    verdicts = slopes(CASES[name], ReferenceModels())
    assert len(verdicts) == len(set(CASES[name].state) - set(BUFFERS))
    assert [str(verdict) for verdict in verdicts if not verdict.passed] == []


@pytest.mark.parametrize("wrong", [NormWithoutMean, GeluOfTanh, SoftmaxWithoutSum, TiedOnce])
def test_a_wrong_gradient_is_not_the_slope(wrong: type[ReferenceModels]) -> None:
    assert not all(verdict.passed for verdict in slopes(CASES["longformer-lm"], wrong()))


@pytest.mark.parametrize("name", CASES)
def test_a_step_computes_what_the_model_does(name: str) -> None:
    case = CASES[name]
    expected = Expected.of(case, inputs_of(case))
    output = ReferenceModels().forward(case.model, inputs_of(case))
    for i, tap in enumerate(output["hidden_states"]):
        state = expected.step.hidden_states[i]
        verdict = judge(tap, expected.value(state), expected.bound_of(state), f"hidden states {i}")
        assert verdict.passed, verdict
    assert judge(output["loss"], expected.value(expected.step.loss), expected.bound_of(expected.step.loss)).passed
