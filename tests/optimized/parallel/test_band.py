"""Band attention with the tokens over ranks is that of the contract, forward and backward."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from trueband.adapters.chunked_ranks import band_attention, target
from trueband.properties.candidate.errors import CandidateEnded
from trueband.properties.candidate.runner import Runner
from trueband.properties.candidate.target import Target
from trueband.properties.cases.inputs import Inputs
from trueband.properties.checks.right_gradients import RightGradients
from trueband.properties.results.verdict import judge

TOKENS = 13
PLACES = np.arange(TOKENS)[None].repeat(2, axis=0)
GLOBALS = {"global_attention_mask": PLACES % 6 == 1}
# {name: (arrays, options)}
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "causal": ({}, {"window": 2, "causal": True}),
    "window over all shards": ({}, {"window": 9}),
    "two sides": ({}, {"window": (5, 1), "dilation": 2}),
    "no limit": ({}, {"window": (None, 0)}),
    "padding": ({"attention_mask": PLACES % 5 != 0}, {"window": 3}),
    "globals": (GLOBALS, {"window": 2}),
    "globals of one row": ({"global_attention_mask": (PLACES == 12) & [[True], [False]]}, {"window": 0}),
    "globals and padding": ({**GLOBALS, "attention_mask": PLACES < 8}, {"window": 2, "softcap": 3.0}),
    "segments": ({"segments": PLACES // 5}, {"window": 4}),
    "sinks and slopes": ({"sinks": np.array([0.5, -1]), "slopes": np.array([0.5, 0.25])}, {"window": 4}),
    "head mask": ({"head_mask": np.array([0.5, 2])}, {"window": 1, "scale": 0.5}),
}


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    opened = Runner(target)
    yield opened
    opened.function.end()


def inputs_of(name: str) -> Inputs:
    random, (arrays, options) = np.random.default_rng(0), CASES[name]
    projections = {name: random.standard_normal((2, 2, TOKENS, 3)) for name in ("query", "key", "value")}
    return Inputs({**projections, **arrays}, options, "float64")


@pytest.mark.parametrize("ranks", [1, 2, 4])
@pytest.mark.parametrize("name", CASES)
def test_as_the_contract_says(runner: Runner, name: str, ranks: int) -> None:
    inputs = inputs_of(name)
    options = {**inputs.options, "ranks": ranks}
    output = runner.call(inputs.arrays, options, "float64")
    verdict = judge(output, inputs.output, inputs.bound)
    assert verdict.passed, verdict
    upstream = np.random.default_rng(1).standard_normal(output.shape)
    gradients = runner.gradients(inputs.arrays, options, "float64", upstream, inputs.floating)
    for verdict in RightGradients(inputs, upstream).judge(gradients):
        assert verdict.passed, verdict


@pytest.mark.parametrize("name", ["causal", "sinks", "segments"])
def test_what_is_not_defined_with_globals_is_refused_by_every_rank(runner: Runner, name: str) -> None:
    found = next(case for case in CASES if name in case)
    inputs = inputs_of(found)
    arrays = {**inputs.arrays, **GLOBALS}
    with pytest.raises(CandidateEnded, match=rf"{name}: expected none with a global token .*, got both"):
        runner.call(arrays, {**inputs.options, "ranks": 2}, "float64")


def on_a_mesh(query: Any, key: Any, value: Any, *, group: Any, **options: Any) -> Any:
    from torch.distributed.device_mesh import init_device_mesh

    return band_attention(query, key, value, group=init_device_mesh("cpu", (2,)), **options)


def test_a_mesh_is_as_good_as_a_group() -> None:
    meshed = Target(on_a_mesh, ("float64",), frozenset({"empty_shards"}), "torch", ranks=(2,))
    runner, inputs = Runner(meshed), inputs_of("causal").with_options(causal=None)
    try:
        found = runner.call(inputs.arrays, inputs.options, "float64")
    finally:
        runner.function.end()
    assert judge(found, inputs.output, inputs.bound).passed
