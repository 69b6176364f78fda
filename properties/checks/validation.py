"""Bad input: ValueError or TypeError that names the argument, before any work is done (docs/contract.md, "Errors")."""

from __future__ import annotations

from collections.abc import Collection, Iterator
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


def bad_extensions(
    shape: tuple[int, int, int, int], features: Collection[str]
) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Return the same for what the second edition has added, as far as a target has it."""
    batch, heads, tokens, head_dim = shape
    x = np.zeros(shape, dtype=np.float32)
    good: dict[str, Any] = {"query": x, "key": x, "value": x}
    window, of_heads = {"window": 1}, np.zeros(heads, np.float32)
    three, two = (np.zeros((batch, count, tokens, head_dim), np.float32) for count in (3, 2))
    numbers, ones = np.zeros((batch, tokens), np.int64), np.ones((batch, tokens), bool)
    offsets = np.zeros(batch, np.int64)
    rows: dict[str, list[tuple[str, dict[str, Any], dict[str, Any]]]] = {
        "asymmetric": [("window", good, {"window": pair}) for pair in ((1,), (1, -1), (True, 1), (1, 2, 3), (1.5, 0))],
        "gqa": [("key", {"query": three, "key": two, "value": two}, window)],
        "value_dim": [("value", {**good, "value": x[..., :0]}, window)],
        "softcap": [
            ("softcap", good, {**window, "softcap": cap}) for cap in (0.0, -1.0, float("inf"), float("nan"), True)
        ],
        "sinks": [
            ("sinks", {**good, "sinks": np.zeros(heads + 1, np.float32)}, window),
            ("sinks", {**good, "sinks": of_heads.astype(np.int64)}, window),
        ],
        "slopes": [
            ("slopes", {**good, "slopes": np.zeros((1, heads), np.float32)}, window),
            ("slopes", {**good, "slopes": of_heads}, {**window, "dilation": 2}),
        ],
        "offset": [("offset", good, {**window, "offset": wrong}) for wrong in (1.5, True, 2**62 + 1, -(2**62) - 1)],
        "offset_per_row": [
            ("offset", {**good, "offset": np.zeros(batch + 1, np.int64)}, window),
            ("offset", {**good, "offset": offsets.astype(np.int32)}, window),
            ("offset", {**good, "offset": offsets.astype(np.float32)}, window),
        ],
        "segments": [
            ("segments", {**good, "segments": numbers[:, :-1]}, window),
            ("segments", {**good, "segments": numbers.astype(np.float32)}, window),
            ("segments", {**good, "segments": numbers[0]}, window),
        ],
        "lse": [("return_lse", good, {**window, "return_lse": 1})],
    }
    found = [row for feature, of_feature in rows.items() if feature in features for row in of_feature]
    if {"segments", "offset"} <= set(features):
        found.append(("offset", {**good, "segments": numbers}, {**window, "offset": 1}))
    if "globals" in features:
        flagged = {**good, "global_attention_mask": ones}
        excluded = {"segments": numbers, "sinks": of_heads, "slopes": of_heads}
        found += [(name, {**flagged, name: array}, window) for name, array in excluded.items() if name in features]
        found += [("offset", flagged, {**window, "offset": 1})] if "offset" in features else []
    return found


@check(
    "bad input raises ValueError or TypeError, names the argument, and says what was expected and got",
    Structure(families=("uniform",), long=False),
    ["validation"],
)
def check_rejects_bad_input(probe: Probe) -> Iterator[Verdict]:
    """Exact: what is raised is no number."""
    batch, heads, tokens, head_dim = probe.inputs.shape
    shape = (batch, heads, tokens + 1, head_dim)
    for argument, arrays, options in [*bad_inputs(shape), *bad_extensions(shape, probe.candidate.features)]:
        kind, message = probe.candidate.raises(arrays, options)
        said = kind in ("ValueError", "TypeError") and all(word in message for word in (argument, "expected", "got"))
        bad = f"bad {argument}{_form(arrays.get(argument))} with {options}"
        what = f"{bad}: expected ValueError or TypeError '{argument}: expected ..., got ...', "
        yield claim(said, what + (f"got {kind}: {message}" if kind else "got no error"))


def _form(array: Any) -> str:
    """Describe the form of an array, which is all that can be bad about it."""
    return "" if array is None else f", {array.dtype} {list(array.shape)},"
