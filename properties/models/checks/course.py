"""Checks of models used as in training: step after step, with the weights overwritten in between."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from trueband.properties.bounds.bound import Bound
from trueband.properties.checks.check import claim
from trueband.properties.models.case import ModelCase
from trueband.properties.models.check import ModelProbe, model_check
from trueband.properties.models.checks.training import GRADIENTS, seeing, step_inputs
from trueband.properties.models.course import CLEARED, WAYS, Step
from trueband.properties.models.frozen import frozen_sets
from trueband.properties.models.model import Arrays
from trueband.properties.models.taps import judge_all
from trueband.properties.models.training import BUFFERS, Expected, Regime, Trained, with_rates
from trueband.properties.results.verdict import Verdict, judge

WRITTEN = 2  # ways of overwriting that are tried on a case
READ, READ_IN_TRAINING = Regime(training=False, backward=False), Regime(backward=False)


@model_check(
    "weights that are overwritten in place count at once, in evaluation and in training",
    dtypes=("float32",),
    needs=GRADIENTS,
    about="checkpoints",
)
def check_overwritten_weights(probe: ModelProbe) -> Iterator[Verdict]:
    """Bounded: every tap is judged by the reference on the weights of the moment. All weights are overwritten, through
    copy_, .data, an optimizer's step and others: a copy that was made at an earlier call is one of old weights."""
    case = seeing(probe.case)
    inputs, state = step_inputs(case), case.state
    steps, states, moments = [Step(inputs, READ), Step(inputs, READ_IN_TRAINING)], [state] * 2, ["at first"] * 2
    for i in probe.random.permutation(len(WAYS))[:WRITTEN]:
        state = halved(state, probe.random)
        steps += [Step(inputs, READ, state=state, way=WAYS[i]), Step(inputs, READ_IN_TRAINING)]
        states, moments = [*states, state, state], [*moments, *[f"after {WAYS[i]}"] * 2]
    for step, now, moment, trained in zip(steps, states, moments, _course(probe, case, steps), strict=True):
        mode = "training" if step.regime.training else "evaluation"
        for verdict in judge_all(case, inputs, trained.outputs[0], now):
            yield said(verdict, f"in {mode}, {moment}")


@model_check(
    "gradients add up from step to step until they are cleared, of the weights of the moment, and freezing "
    "and thawing count from the next step on",
    dtypes=("float32",),
    needs=GRADIENTS,
)
def check_training_course(probe: ModelProbe) -> Iterator[Verdict]:
    """Bounded: sums of gradients of the reference, by the errors of all. Exact: a weight that is frozen and whose
    gradient was taken away has none."""
    case = seeing(probe.case)
    inputs, after = step_inputs(case), halved(case.state, probe.random)
    way, clear = WAYS[int(probe.random.integers(len(WAYS)))], CLEARED[int(probe.random.integers(2))]
    ((kind, frozen),) = frozen_sets(case, probe.random, 1)
    steps = [
        Step(inputs),
        Step(inputs),
        Step(inputs, Regime(frozen=frozen), clear, after, way),
        Step(inputs),
    ]
    descriptions = (
        "of a first step",
        "of two steps",
        f"cleared to {clear} after {way}, {kind} frozen",
        f"of a step with {kind} frozen and one with all trained",
    )
    old, new = Expected.of(case, inputs), Expected.of(case, inputs, case.model.with_state(after))
    course = _course(probe, case, steps)
    for expected, trained, what, times in zip((old, old, new, new), course, descriptions, (1, 2, 1, 2), strict=True):
        cut = trained is course[2]
        for name in case.state:
            if name in BUFFERS:
                continue
            summed = times - (name in frozen) if expected is new else times
            gradient = trained.gradients.get(name)
            if cut and name in frozen and clear == "none":
                yield claim(gradient is None, f"gradient of {name}, {what}: expected none, got one")
                continue
            right, bound = expected.gradient(name) * summed, expected.bound(name)
            yield judge(
                np.zeros(right.shape) if gradient is None else gradient,
                right,
                bound.scaled(summed) if summed else Bound({"frozen": np.zeros(right.shape)}),
                f"gradient of {name}, {what}",
            )


def halved(state: Arrays, random: np.random.Generator) -> Arrays:
    """Halve some numbers of every weight: the difference of old and new is exact."""
    return {
        name: array if name in BUFFERS else array * random.choice((0.5, 1.0), array.shape)
        for name, array in state.items()
    }


def said(verdict: Verdict, what: str) -> Verdict:
    """Return the verdict with more words on what was compared."""
    return replace(verdict, what=f"{verdict.what} {what}")


def _course(probe: ModelProbe, case: ModelCase, steps: list[Step]) -> list[Trained]:
    return probe.course(with_rates(case.model), steps)
