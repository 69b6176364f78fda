"""Checks of the models without a head, and of their pooler."""

from __future__ import annotations

from collections.abc import Iterator

from trueband.properties.bounds.variance import known, linear_moments, sigma_bound, tanh_moments
from trueband.properties.checks.check import claim
from trueband.properties.models.check import ModelProbe, model_check
from trueband.properties.models.taps import judge_decoder_layers, judge_embeddings, judge_layers
from trueband.properties.results.verdict import Verdict, judge


@model_check("a model without a head computes what the one inside a head does", dtypes=("float64",))
def check_headless_layers(probe: ModelProbe) -> Iterator[Verdict]:
    """Bounded: judged by the reference, each layer fed the model's own input."""
    case, output = probe.case, probe.base(pooled=False)
    yield claim("pooler_output" not in output, "expected no pooler_output without a pooler, got one")
    yield from judge_embeddings(case, case.inputs, output)
    yield from judge_layers(case, case.inputs, output)
    if case.architecture == "led":
        yield from judge_decoder_layers(case, case.inputs, output)


@model_check("the pooler is tanh(dense(first token)) of the last layer", ("xlm-roberta", "longformer"))
def check_pooler(probe: ModelProbe) -> Iterator[Verdict]:
    """Bounded: judged by the reference, fed the model's own last states."""
    case, output = probe.case, probe.base(pooled=True)
    yield claim("pooler_output" in output, "expected a pooler_output from a model with a pooler, got none")
    state, first = case.headless_state(pooled=True), known(output["hidden_states"][-1][:, 0])
    dense = linear_moments(first, state["pooler.dense.weight"], state["pooler.dense.bias"], probe.precision)
    moments = tanh_moments(dense, probe.precision)
    yield judge(output["pooler_output"], moments.value, sigma_bound(moments), "pooler_output")
