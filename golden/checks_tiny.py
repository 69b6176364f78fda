"""Golden checks on one layer of a published Longformer (`longformer-random-tiny`), judged at the operator.

Probabilities are read through one-hot values: with 4 tokens and head dim 4, values that are the unit matrix make the
output of a row the row of its probabilities, so any callable can be judged, also one that returns none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trueband.golden.published import published
from trueband.golden.records import GoldenCheck, Outcome
from trueband.golden.witness import AttentionWitness, run_attention
from trueband.properties.bounds.attention import attention_bound
from trueband.properties.bounds.bound import Bound
from trueband.properties.bounds.precision import Precision
from trueband.properties.verdict import judge, judge_exact
from trueband.reference.arguments import check_arguments
from trueband.reference.layout import CompactProbabilities, dense_to_compact

HALF_UNIT = 0.5e-4  # the values are printed to 4 decimals
PROJECTIONS = ("query", "key", "value", "query_global", "key_global", "value_global")
Layout = Callable[..., CompactProbabilities]


def _entry(name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(
        entry for entry in published("longformer_random_tiny_outputs")["entries"] if entry["id"] == f"lf_tiny_{name}"
    )
    return found


def layer_inputs(entry: dict[str, Any]) -> dict[str, Any]:
    """Arguments of the operator for an entry, float32: the published inputs through the published projections."""
    data = published("longformer_random_tiny_layer0")
    hidden = np.array(data["hf_test_hidden_states"])
    additive = np.array(entry["inputs"]["attention_mask_additive"])  # below 0: masked; above 0: global
    if len(additive) == 2:
        hidden = np.concatenate([hidden, hidden - 0.5])
    batch, tokens, size = hidden.shape
    heads = data["num_heads"]
    packed = [hidden @ np.array(data[f"{kind}weight"]) + np.array(data[f"{kind}bias"]) for kind in ("", "global_")]
    columns = np.concatenate(packed, axis=-1).reshape(batch, tokens, len(PROJECTIONS), heads, size // heads)
    arguments: dict[str, Any] = {
        name: np.ascontiguousarray(columns[:, :, i].transpose(0, 2, 1, 3), dtype=np.float32)
        for i, name in enumerate(PROJECTIONS)
    }
    masks = {"attention_mask": additive >= 0, "global_attention_mask": additive > 0}
    return arguments | masks | {"window": data["one_sided_window"]}


def _run(witness: AttentionWitness, arguments: dict[str, Any]) -> NDArray[np.float64]:
    return run_attention(witness, **arguments)


def _one_hot_values(arguments: dict[str, Any]) -> dict[str, Any]:
    unit = np.broadcast_to(np.eye(4, dtype=np.float32), arguments["value"].shape).copy()
    return arguments | {"value": unit, "value_global": unit.copy()}


def _probabilities(
    witness: AttentionWitness, arguments: dict[str, Any], layout: Layout = dense_to_compact
) -> CompactProbabilities:
    dense = _run(witness, _one_hot_values(arguments))  # (b, h, n, n)
    is_global = arguments["global_attention_mask"]
    return layout(dense, is_global, arguments["window"], (1,) * dense.shape[1])


def half_unit(printed: str) -> float:
    """Half a unit of the last digit shown.

    >>> half_unit("-0.0396")
    5e-05
    """
    return 0.5 * 10.0 ** -len(printed.partition(".")[2])


def _row(output: NDArray[np.float64], at: tuple[int, int]) -> NDArray[np.float64]:
    """Row (batch, token) of an output (b, h, n, d), with the heads side by side as a layer returns them."""
    batch, token = at
    return output[batch, :, token].ravel()


def _tolerance(arguments: dict[str, Any], at: tuple[int, int], half_units: list[float]) -> Bound:
    """Half a unit of the printed digits, and what float32 does to the operator."""
    float32 = attention_bound(check_arguments(**arguments), Precision.of("float32")).total
    return Bound({"printed digits": np.array(half_units), "float32": _row(float32, at)})


def _output(name: str, at: tuple[int, int]) -> GoldenCheck:
    def check(witness: AttentionWitness) -> Outcome:
        entry = _entry(name)
        arguments = layer_inputs(entry)
        bound = _tolerance(arguments, at, [HALF_UNIT] * 8)
        return Outcome.of(judge(_row(_run(witness, arguments), at), entry["expected"], bound, name))

    return GoldenCheck(f"lf_tiny_{name}", f"the published output row {list(at)} of the layer, in its digits", check)


def _more_digits(name: str, at: tuple[int, int]) -> GoldenCheck:
    """The same row as a second test suite prints it: each number with as many digits as it shows."""

    def check(witness: AttentionWitness) -> Outcome:
        entry = _entry(name)
        arguments, printed = layer_inputs(entry), entry["more_digits"]["printed"]
        bound = _tolerance(arguments, at, [half_unit(number) for number in printed])
        expected = [float(number) for number in printed]
        return Outcome.of(judge(_row(_run(witness, arguments), at), expected, bound, name))

    return GoldenCheck(f"lf_tiny_{name}_more_digits", f"output row {list(at)} as printed with up to 6 decimals", check)


def _local_row(name: str, at: tuple[int, int, int]) -> GoldenCheck:
    """`at`: batch, token, head, as the published slice counts."""

    def check(witness: AttentionWitness) -> Outcome:
        entry = _entry(name)
        arguments = layer_inputs(entry)
        batch, token, head = at
        row = _probabilities(witness, arguments).local[batch, head, token]
        return Outcome.of(judge(row, entry["expected"], _digits(arguments, len(row)), name))

    return GoldenCheck(
        f"lf_tiny_{name}", f"the published compact probabilities of row {list(at)}, in their digits", check
    )


def _global_row(witness: AttentionWitness) -> Outcome:
    entry = _entry("attn_probs_global_1")
    arguments = layer_inputs(entry)
    row = _probabilities(witness, arguments).global_[1, 0, :, 0]  # batch 1, head 0, its first global token
    return Outcome.of(judge(row, entry["expected"], _digits(arguments, len(row)), "attn_probs_global_1"))


def _zero_rows(witness: AttentionWitness) -> Outcome:
    local = _probabilities(witness, layer_inputs(_entry("attn_probs_zero_rows"))).local
    rows = np.concatenate([local[0, :, 2:4].ravel(), local[1, :, 1:4].ravel()])  # global and masked tokens
    return Outcome.of(judge_exact(rows, np.zeros_like(rows), "attn_probs_zero_rows"))


def filler_outcome(witness: AttentionWitness, layout: Layout = dense_to_compact) -> Outcome:
    """The peer fills the columns of missing global slots with 1 / n; the contract says 0."""
    entry = _entry("attn_probs_global_filler")
    compact = _probabilities(witness, layer_inputs(entry), layout)
    missing = np.concatenate([compact.global_[0, :, :, 1:].ravel(), compact.local[0, :, :, 1:3].ravel()])
    return Outcome.of(judge_exact(missing, np.zeros_like(missing), "columns of missing global tokens"))


def _digits(arguments: dict[str, Any], size: int) -> Bound:
    """As `_tolerance`, for probabilities: the operator's bound for one-hot values, at its largest."""
    float32 = attention_bound(check_arguments(**_one_hot_values(arguments)), Precision.of("float32")).total
    return Bound({"printed digits": np.full(size, HALF_UNIT), "float32": np.full(size, float32.max())})


_ROWS = {"layer_local": (0, 1), "layer_global_a": (0, 2), "layer_global_b": (1, 2)}

CHECKS = (
    *(_output(name, at) for name, at in _ROWS.items()),
    *(_more_digits(name, at) for name, at in _ROWS.items()),
    _local_row("attn_probs_local_0", (0, 0, 0)),
    _local_row("attn_probs_local_1", (1, 0, 0)),
    GoldenCheck(
        "lf_tiny_attn_probs_global_1", "the published probabilities of a global row, in their digits", _global_row
    ),
    GoldenCheck(
        "lf_tiny_attn_probs_zero_rows", "local probabilities of global and of masked rows: exactly 0", _zero_rows
    ),
    GoldenCheck(
        "lf_tiny_attn_probs_global_filler",
        "missing global slots hold exactly 0 (published: 1/4, a quirk of the peer that the contract does not copy)",
        filler_outcome,
    ),
)
