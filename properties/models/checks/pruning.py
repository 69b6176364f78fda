"""A check of pruning heads."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from trueband.properties.checks.check import claim
from trueband.properties.models.check import ModelProbe, model_check
from trueband.properties.models.checks.arguments import VALUES, scaled_values
from trueband.properties.models.from_start import logits_bound
from trueband.properties.models.witness import ReferenceModels
from trueband.properties.results.verdict import Verdict, judge, judge_exact


@model_check(
    "pruning takes out the heads that it is told to, and leaves what masking them does", ("xlm-roberta",), ("float64",)
)
def check_pruned_heads(probe: ModelProbe) -> Iterator[Verdict]:
    """Exact: the weights that are left are copied, not computed. Bounded: the logits of two models."""
    case = probe.case.replace(heads=3, encoder_tokens=0, pruned=())
    layer, head = int(probe.random.integers(case.layers)), int(probe.random.integers(case.heads))
    config, state = probe.attempt(lambda: probe.candidate.prune(case.model, {layer: [head]}))
    _, expected = ReferenceModels().prune(case.model, {layer: [head]})
    same = state.keys() == expected.keys()
    yield claim(same, f"expected the weights {sorted(expected)} after pruning, got {sorted(state)}")
    for name in expected:
        what = f"{name} without head {head} of layer {layer}"
        fits = np.shape(state[name]) == expected[name].shape
        yield claim(fits, f"{what}: expected shape {expected[name].shape}, got {np.shape(state[name])}")
        yield judge_exact(state[name], expected[name], what)
    pruned = case.replace(pruned=tuple((head,) if i == layer else () for i in range(case.layers)))
    yield claim(
        {int(i): tuple(heads) for i, heads in config["pruned_heads"].items()} == {layer: (head,)},
        f"pruned_heads: expected {{{layer}: ({head},)}}, got {config['pruned_heads']}",
    )
    mask = np.ones((case.layers, case.heads))
    mask[layer, head] = 0
    whole, without = ModelProbe(probe.candidate, case), ModelProbe(probe.candidate, pruned)
    masked = whole.forward(head_mask=mask)["logits"]
    left = without.forward_of(case.inputs, state)["logits"]
    silenced = scaled_values(case, case.state, VALUES["xlm-roberta"]["head_mask"], mask)  # what the mask amounts to
    bound = logits_bound(pruned, case.inputs, state) + logits_bound(case, case.inputs, silenced)
    yield judge(left, masked, bound, "logits without a head")
