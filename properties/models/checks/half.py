"""Checks of LED's encoder in float16, where a layer may overflow: see `half`.

The last layer is given a LayerNorm that lets three channels leave the range of float16's ordinary numbers: channels 0
and 1 are the largest number of either sign, whatever comes in, and channel 2 or another one overflows for a token.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from trueband.properties.bounds.led_variance import Layer, led_encoder_layer_moments
from trueband.properties.bounds.precision import Precision
from trueband.properties.bounds.variance import sigma_bound
from trueband.properties.checks.check import claim
from trueband.properties.models.case import ModelCase
from trueband.properties.models.check import ModelProbe, model_check
from trueband.properties.models.half import LARGEST, LIMIT, to_half
from trueband.properties.models.weights import Weights
from trueband.properties.results.verdict import Verdict, judge, judge_exact, no_evidence
from trueband.reference.config import LEDConfig
from trueband.reference.led_encoder import led_encoder_layer

HALF = Precision.of("float16")
BEYOND = LARGEST + 16.0  # from here on the nearest float16 is infinite
HUGE = 2.0**15  # a gain: times a normalized number of at least 1 it leads from the largest number out of the range


@model_check(
    "in float16 an encoder layer that overflows is clamped, and NaN passes through",
    ("led",),
    ("float64",),
    about="precision",
)
def check_half_clamp(probe: ModelProbe) -> Iterator[Verdict]:
    """Exact: 0 times a finite number plus the largest one is the largest, a sum of NaN is NaN, and what is clamped is
    the limit. Bounded: everything else."""
    rows = {"masked": probe.case.masked[:1] * 2, "global_": probe.case.global_[:1] * 2, "target_masked": ()}
    case = probe.case.replace(batch=2, **rows)
    edge = _at_the_edge(case)
    yield from _finite(ModelProbe(probe.candidate, case), edge)
    yield from _with_nan(ModelProbe(probe.candidate, case), edge)
    yield from _overflowing(ModelProbe(probe.candidate, case), edge)


def _finite(probe: ModelProbe, state: Weights) -> Iterator[Verdict]:
    last = probe.encode(state, probe.case.inputs, "float16")[-1]
    yield judge_exact(last[..., :2], _edges(last, LARGEST), "largest float16 in a layer where all is finite")


def _with_nan(probe: ModelProbe, state: Weights) -> Iterator[Verdict]:
    case = probe.case
    inputs = {name: array for name, array in case.inputs.items() if name != "input_ids"}
    inputs["inputs_embeds"] = case.words[case.inputs["input_ids"]]
    inputs["inputs_embeds"][0] = np.nan
    last = probe.encode(state, inputs, "float16")[-1]
    yield claim(bool(np.isnan(last[0]).all()), f"row of NaN: expected NaN to pass through, got {last[0].ravel()[:4]}")
    yield judge_exact(last[1, :, :2], _edges(last[1], LIMIT), "largest float16 in a row beside a row of NaN")


def _overflowing(probe: ModelProbe, state: Weights) -> Iterator[Verdict]:
    """Make token 0 of row 0 overflow in the channel where it is farthest from the mean, but for errors of the layer."""
    case, config = probe.case, LEDConfig.from_dict(probe.case.config)
    norm, i = _norm(case), case.layers - 1
    entering = probe.encode(state, case.inputs, "float16")[-2]
    plain = {**state, f"{norm}.weight": np.ones(config.d_model), f"{norm}.bias": np.zeros(config.d_model)}
    first = _layer(case, plain, entering)[0, 0, 2:]
    channel = 2 + int(np.argmax(np.abs(first)))
    gain, bias = state[f"{norm}.weight"].copy(), state[f"{norm}.bias"].copy()
    sign = np.sign(first[channel - 2])
    gain[channel], bias[channel] = HUGE, sign * LARGEST
    over = {**state, f"{norm}.weight": gain, f"{norm}.bias": bias}
    taps = probe.encode(over, case.inputs, "float16")
    computed = _layer(case, over, taps[-2])
    layer = Layer(over, f"led.encoder.layers.{i}", case.heads, HALF)
    real, flagged = case.real, case.flagged
    bound = sigma_bound(led_encoder_layer_moments(layer, taps[-2], config.window(i), real, flagged))
    # Clamping brings two numbers closer, never farther apart.
    yield judge(taps[-1], np.clip(computed, -LIMIT, LIMIT), bound, "a layer that overflows")
    at = (0, 0, channel)
    if sign * computed[at] - bound.total[at] < BEYOND:  # so near to the mean that it may not have overflowed
        yield no_evidence("a layer that overflows", skipped=2)
        return
    yield judge_exact(taps[-1][..., :2], _edges(taps[-1], LIMIT), "largest float16 in a layer that overflows")
    yield judge_exact(taps[-1][at], sign * LIMIT, "what overflowed")


def _at_the_edge(case: ModelCase) -> Weights:
    """Return weights on the grid of float16; channels 0 and 1 of the last layer are the largest of either sign."""
    state = {name: to_half(array) for name, array in case.state.items()}
    norm = _norm(case)
    state[f"{norm}.weight"][:2] = 0.0
    state[f"{norm}.bias"][:2] = LARGEST, -LARGEST
    return state


def _norm(case: ModelCase) -> str:
    return f"led.encoder.layers.{case.layers - 1}.final_layer_norm"


def _edges(like: np.ndarray, limit: float) -> np.ndarray:
    return np.broadcast_to([limit, -limit], (*like.shape[:-1], 2))


def _layer(case: ModelCase, state: Weights, entering: np.ndarray) -> np.ndarray:
    """Compute the last layer in float64."""
    config, i = LEDConfig.from_dict(case.config), case.layers - 1
    return led_encoder_layer(
        state,
        f"led.encoder.layers.{i}",
        config,
        entering,
        window=config.window(i),
        attention_mask=case.real,
        global_attention_mask=case.flagged,
    )
