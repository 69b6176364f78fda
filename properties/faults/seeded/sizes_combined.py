"""Faults that need two conditions at once, at production sizes: each condition alone is handled right."""

from __future__ import annotations

from typing import Any

import numpy as np

from trueband.properties.faults.seeded.registry import fault
from trueband.properties.faults.specimens.banded import Banded
from trueband.properties.faults.specimens.differentiated import Differentiated, Saved
from trueband.properties.faults.specimens.plain import Array, Call, Specimen

FORWARD, BACKWARD = "combinations", "combined_gradients"
BOTH = (FORWARD, BACKWARD)
MANY = 330  # tokens
FEW_GLOBALS = 6

for _name, _when, _story in (
    ("long", lambda shape: shape[2] > MANY, f"of more than {MANY} tokens"),
    ("many_heads", lambda shape: shape[1] >= 4, "of 4 heads and more"),
    ("wide_heads", lambda shape: shape[3] > 64, "of head_dims past 64"),
):

    @fault(
        "gradients",
        f"gradients of later sequences {_story} are not written",
        BACKWARD,
        step="gradients",
        of=Banded,
        name=f"gradients_of_later_sequences_lost_{_name}",
    )
    def _later_lost(
        self: Banded, query: Array, key: Array, value: Array, grad_output: Array, when: Any = _when, **options: Any
    ) -> dict[str, Array]:
        gradients = Banded.gradients(self, query, key, value, grad_output, **options)
        if when(query.shape):
            for name in gradients.keys() - {"head_mask"}:
                gradients[name][1:] = 0
        return gradients


@fault(
    "globals",
    f"the keys of global tokens behind the {FEW_GLOBALS}th are local ones",
    *BOTH,
    step="seen",
    of=Banded,
    seen="a buffer for so many global keys",
)
def later_globals_are_local(self: Banded, call: Call, b: int, rows: Array, columns: Array) -> Array:
    before = call.flagged.copy()
    call.flagged[b, np.flatnonzero(before[b])[FEW_GLOBALS:]] = False
    seen = Banded.seen(self, call, b, rows, columns)
    call.flagged[...] = before
    return seen


@fault("options", "a dilation past 3 is 3", "matches_reference", *BOTH, step="read", of=Banded)
def dilation_at_most_3(self: Banded, *arrays: Array, dilation: Any = 1, **options: Any) -> Call:
    least = min(dilation, 3) if isinstance(dilation, int) else tuple(min(rate, 3) for rate in dilation)
    return Banded.read(self, *arrays, dilation=least, **options)


@fault("scale", "a scale past 1 is 1", "matches_reference", *BOTH, step="read", of=Banded)
def scale_at_most_1(self: Banded, *arrays: Array, scale: float | None = None, **options: Any) -> Call:
    return Banded.read(self, *arrays, scale=None if scale is None else min(scale, 1.0), **options)


@fault(
    "gradients",
    f"past {MANY} tokens gradients are doubled where some inputs are frozen",
    BACKWARD,
    step="hand_back",
    of=Differentiated,
)
def gradients_beside_frozen_doubled(self: Any, saved: Saved, gradients: dict[str, Array]) -> list[Array | None]:
    doubled = len(saved.wanted) < len(saved.arrays) and saved.arrays["query"].shape[2] > MANY
    returned = Differentiated.hand_back(self, saved, gradients)
    return [gradient * 2 if doubled and gradient is not None else gradient for gradient in returned]


def _as_adjacent(array: Array) -> Array:
    """Read the array as if its channels were adjacent."""
    apart = array.shape[-1] > 1 and array.strides[-1] > array.itemsize and array.ndim == 4
    return array.transpose(0, 1, 3, 2).reshape(array.shape) if apart else array


@fault("harness", "keys are read as if their channels were adjacent", *BOTH, step="read", of=Banded)
def channels_of_keys_adjacent(self: Banded, query: Array, key: Array, *arrays: Array, **options: Any) -> Call:
    return Banded.read(self, query, _as_adjacent(key), *arrays, **options)


@fault("harness", "grad_output is read as if its channels were adjacent", BACKWARD, step="upstream", of=Banded)
def channels_of_grad_output_adjacent(self: Banded, call: Call, b: int, grad_output: Array) -> Array:
    return Banded.upstream(self, call, b, _as_adjacent(grad_output))


@fault(
    "harness",
    "keys that share a storage with queries are the queries",
    *BOTH,
    step="read",
    of=Banded,
    seen="the address of a packed projection",
)
def packed_keys_are_queries(self: Banded, query: Array, key: Array, *arrays: Array, **options: Any) -> Call:
    return Banded.read(self, query, query if np.may_share_memory(query, key) else key, *arrays, **options)


@fault("harness", f"grad_output of one number is taken for 0 past {MANY} tokens", BACKWARD, step="upstream", of=Banded)
def constant_grad_output_lost(self: Banded, call: Call, b: int, grad_output: Array) -> Array:
    lost = grad_output.shape[2] > MANY and not any(grad_output.strides)
    return Banded.upstream(self, call, b, grad_output * (not lost))


@fault("heads", "a grid of 64 programs for sequences times heads is launched", FORWARD, step="mask_heads", of=Banded)
def grid_of_64_sequences_times_heads(self: Banded, call: Call, output: Array) -> Array:
    heads = len(output)
    launched = call.index * heads + np.arange(heads) < 64
    return Banded.mask_heads(self, call, output) * (launched[:, None, None] | (heads == 1))


@fault(
    "indexing",
    "from 8 heads of 128 channels on values are read backwards past 512 tokens",
    *BOTH,
    step="local_inputs",
    of=Banded,
    seen="a kernel for large models alone",
)
def values_of_large_models_flipped(self: Banded, call: Call, b: int) -> list[Array]:
    query, key, value = Specimen.local_inputs(self, call, b)
    heads, tokens, head_dim = value.shape
    return [query, key, value[..., ::-1] if heads >= 8 and tokens > 512 and head_dim >= 128 else value]


@fault("window", "a window past the end of more than 1,300 tokens is half of them", *BOTH, step="read", of=Banded)
def whole_window_halved(self: Banded, query: Array, *arrays: Array, window: int, **options: Any) -> Call:
    tokens = query.shape[2]
    return Banded.read(self, query, *arrays, window=tokens // 2 if window >= tokens > 1300 else window, **options)


@fault("window", "a window is kept in 15 bits", *BOTH, step="read", of=Banded)
def window_of_15_bits(self: Banded, *arrays: Array, window: int, **options: Any) -> Call:
    return Banded.read(self, *arrays, window=window % 2**15, **options)


@fault("window", "a window of 10,000 and more is 1", *BOTH, step="read", of=Banded)
def huge_window_lost(self: Banded, *arrays: Array, window: int, **options: Any) -> Call:
    return Banded.read(self, *arrays, window=1 if window >= 10_000 else window, **options)


@fault("window", f"a window of 0 is 1 past {MANY} tokens", *BOTH, step="read", of=Banded)
def no_window_is_one_at_size(self: Banded, query: Array, *arrays: Array, window: int, **options: Any) -> Call:
    return Banded.read(self, query, *arrays, window=max(window, int(query.shape[2] > MANY)), **options)


@fault("globals", "global tokens of a padded batch are local ones past 512 tokens", *BOTH, step="drop_flags", of=Banded)
def globals_of_padded_batch_lost(self: Banded, flagged: Array, real: Array) -> Array:
    batch, tokens = flagged.shape
    lost = batch > 1 and tokens > 512 and not real.all()
    return Banded.drop_flags(self, flagged, real) & (not lost)


@fault(
    "harness", "transposed queries of a batch go to other sequences past 512 tokens", FORWARD, step="read", of=Banded
)
def transposed_queries_of_a_batch_mixed(self: Banded, query: Array, *arrays: Array, **options: Any) -> Call:
    batch, heads, tokens, _ = query.shape
    mixed = batch > 1 and heads > 1 and tokens > 512 and query.strides[2] > query.strides[1]
    return Banded.read(self, query[::-1] if mixed else query, *arrays, **options)


def _in_half(total: Array) -> Array:
    return total.astype(np.float16).astype(total.dtype)


@fault(
    "precision",
    "sums of values are kept in half precision from tile to tile",
    "sums_are_wide_at_size",
    step="weigh",
    of=Banded,
)
def output_sum_in_half(self: Banded, call: Call, probabilities: Array, value: Array) -> Array:
    total = np.zeros((*probabilities.shape[:2], value.shape[-1]), probabilities.dtype)
    for first in range(0, value.shape[1], 64):
        tile = slice(first, first + 64)
        total = _in_half(total + probabilities[..., tile] @ value[:, tile])
    return total


@fault(
    "precision",
    "dQ is kept in half precision from tile to tile of keys",
    "gradient_sums_are_wide_at_size",
    step="grad_query",
    of=Banded,
)
def query_gradient_tiles_in_half(self: Banded, call: Call, grad_s: Array, key: Array) -> Array:
    total = np.zeros((*grad_s.shape[:2], key.shape[-1]), grad_s.dtype)
    for first in range(0, key.shape[1], 64):
        tile = slice(first, first + 64)
        total = _in_half(total + Banded.grad_query(self, call, grad_s[..., tile], key[:, tile]))
    return total


for _gradient in ("key", "value"):

    @fault(
        "precision",
        f"d{_gradient[0].upper()} is kept in half precision from tile to tile of rows",
        "gradient_sums_are_wide_at_size",
        step=f"add_{_gradient}",
        of=Banded,
        name=f"{_gradient}_gradient_tiles_in_half",
    )
    def _in_half_of_rows(self: Banded, call: Call, total: Array, rows: Array, columns: Array, part: Array) -> None:
        total[:, columns] = _in_half(total[:, columns] + part)
