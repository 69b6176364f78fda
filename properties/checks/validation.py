"""Bad input: ValueError or TypeError that names the argument, before any work is done (docs/contract.md, "Errors")."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from trueband.properties.candidate.probe import Probe
from trueband.properties.cases.strategies import Structure
from trueband.properties.checks.check import check, claim
from trueband.properties.results.verdict import Verdict


def bad_inputs(shape: tuple[int, int, int, int]) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Return (argument to be named, arrays, options) for every row of the contract's paragraph on errors."""
    batch, heads, tokens, head_dim = shape
    x = np.zeros(shape, dtype=np.float32)
    good: dict[str, Any] = {"query": x, "key": x, "value": x}
    window = {"window": 1}
    ones = np.ones((batch, tokens), dtype=bool)
    return [
        ("query", {**good, "query": x[0]}, window),
        ("key", {**good, "key": np.zeros((batch, heads, tokens + 1, head_dim), np.float32)}, window),
        ("value", {**good, "value": np.zeros((batch, heads + 1, tokens, head_dim), np.float32)}, window),
        ("key", {**good, "key": x.astype(np.float64)}, window),
        ("value", {**good, "value": x.astype(np.int64)}, window),
        ("query", {**good, "query": x.astype(np.int64)}, window),
        ("query_global", {**good, "query_global": x[:, :, :, :0]}, window),
        ("key_global", {**good, "key_global": x.astype(np.float64)}, window),
        ("value_global", {**good, "value_global": x[0]}, window),
        ("attention_mask", {**good, "attention_mask": ones.astype(np.int64)}, window),
        ("attention_mask", {**good, "attention_mask": np.ones((batch + 1, 1), bool)}, window),
        ("attention_mask", {**good, "attention_mask": np.ones((1, tokens + 1), bool)}, window),
        ("attention_mask", {**good, "attention_mask": ones[:, None, None, :]}, window),
        ("global_attention_mask", {**good, "global_attention_mask": ones.astype(np.float32)}, window),
        ("global_attention_mask", {**good, "global_attention_mask": ones[0]}, window),
        ("head_mask", {**good, "head_mask": np.ones(heads + 1, np.float32)}, window),
        ("window", good, {"window": -1}),
        ("window", good, {"window": 1.5}),
        ("dilation", good, {"window": 1, "dilation": 0}),
        ("dilation", good, {"window": 1, "dilation": (1,) * (heads + 1)}),
        ("scale", good, {"window": 1, "scale": float("inf")}),
        ("scale", good, {"window": 1, "scale": float("nan")}),
        ("causal", {**good, "global_attention_mask": ones}, {"window": 1, "causal": True}),
        ("dropout_p", good, {"window": 1, "dropout_p": -0.5}),
    ]


@check(
    "bad input raises ValueError or TypeError, names the argument, and says what was expected and got",
    Structure(families=("uniform",), long=False),
    ["validation"],
)
def check_rejects_bad_input(probe: Probe) -> Iterator[Verdict]:
    """Exact: what is raised is no number."""
    batch, heads, tokens, head_dim = probe.inputs.shape
    for argument, arrays, options in bad_inputs((batch, heads, tokens + 1, head_dim)):
        kind, message = probe.candidate.raises(arrays, options)
        said = kind in ("ValueError", "TypeError") and all(word in message for word in (argument, "expected", "got"))
        bad = f"bad {argument}{_form(arrays.get(argument))} with {options}"
        what = f"{bad}: expected ValueError or TypeError '{argument}: expected ..., got ...', "
        yield claim(said, what + (f"got {kind}: {message}" if kind else "got no error"))


def _form(array: Any) -> str:
    """Describe the form of an array, which is all that can be bad about it."""
    return "" if array is None else f", {array.dtype} {list(array.shape)},"
