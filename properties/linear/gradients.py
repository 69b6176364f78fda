"""Gradients from some rows, or of some keys, with their bounds, without any array as large as n x n.

Where dO is 0 but in some rows, dQ is exactly 0 elsewhere, and dK and dV of every key are sums over those rows alone:
every other term is a product with 0, which adds nothing and rounds nothing. So their bounds count those rows only.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trueband.properties.bounds import Bound
from trueband.properties.bounds.attention_gradients import (
    INPUTS,
    Part,
    bounds_of_parts,
    gradient_parts,
    of_group,
)
from trueband.properties.cases.inputs import Inputs
from trueband.properties.linear.patches import ELEMENTS, Patch, head_slices, patches
from trueband.reference.arguments import Arguments, Float

Positions = NDArray[np.int64]


class SomeGradients(NamedTuple):
    """Gradients of one argument at some positions of some heads of a sequence.

    Attributes:
        name: of the argument.
        batch, heads: whose; heads of keys for a gradient of keys or values.
        positions: (p,) of the rows (of query) or keys (of key and value).
        exact: (heads, p, d).
        bound: of the same shape.
    """

    name: str
    batch: int
    heads: slice
    positions: Positions
    exact: Float
    bound: Bound


def gradients_of_rows(inputs: Inputs, grad_output: Float, rows: NDArray[np.int64]) -> Iterator[SomeGradients]:
    """Gradients where dO is 0 but in some rows: dQ of these rows, dK and dV of every key; some heads at a time.

    Args:
        grad_output: (b, h, r, d), of the rows.
        rows: (b, r) positions, in order, each once.
    """
    _, heads, _, head_dim = inputs.shape
    tokens, group = inputs.real.shape[1], inputs.structure.group
    for batch, chosen in enumerate(rows):
        found = patches(inputs.structure, batch, chosen, head_dim)
        positions = {"query": chosen, "key": np.arange(tokens), "value": np.arange(tokens)}
        at_once = min([max(1, ELEMENTS // (tokens * head_dim)), *(patch.heads_at_once(head_dim) for patch in found)])
        at_once = max(at_once // group, 1) * group  # whole groups
        for some in head_slices(heads, at_once):
            grads = [grad_output[batch, some][:, np.searchsorted(chosen, patch.rows)] for patch in found]
            yield from _gathered(inputs, batch, some, found, grads, positions)


def query_gradients(inputs: Inputs, grad_output: Float, rows: NDArray[np.int64]) -> Iterator[SomeGradients]:
    """dQ of some rows, for any dO: it depends on no other row's; arguments as of `gradients_of_rows`."""
    _, heads, _, head_dim = inputs.shape
    for batch, chosen in enumerate(rows):
        found = patches(inputs.structure, batch, chosen, head_dim)
        for some in head_slices(heads, min((patch.heads_at_once(head_dim) for patch in found), default=heads)):
            grads = [grad_output[batch, some][:, np.searchsorted(chosen, patch.rows)] for patch in found]
            yield from _gathered(inputs, batch, some, found, grads, {"query": chosen})


def gradients_of_keys(
    inputs: Inputs, grad_output: Float, batch: int, head: int, keys: Positions
) -> Iterator[SomeGradients]:
    """dK and dV of some local keys of one head, for any dO, from all rows that see them.

    These are twice the window, and see four times the window of keys.

    Args:
        grad_output: (b, h, n, d).
        keys: (p,) positions of real tokens that are not global, close together.
    """
    some = slice(head, head + 1)
    rows = rows_seeing(inputs.structure, batch, keys)
    found = patches(inputs.structure, batch, rows, inputs.shape[3])
    grads = [grad_output[batch, some][:, patch.rows] for patch in found]
    yield from _gathered(inputs, batch, some, found, grads, {"key": keys, "value": keys})


def rows_seeing(structure: Arguments, batch: int, keys: Positions) -> Positions:
    """Rows that may see any of some local keys: those within the window, and the global ones."""
    left, right = structure.reach
    position = np.arange(structure.real.shape[1])
    near = (position <= keys[-1] + left) & (position >= keys[0] - right)
    return np.flatnonzero(structure.real[batch] & (near | structure.is_global[batch]))


def _gathered(
    inputs: Inputs,
    batch: int,
    heads: slice,
    found: list[Patch],
    grads: list[Float],
    positions: dict[str, Positions],
) -> Iterator[SomeGradients]:
    """The parts of all patches at the wanted positions, put together."""
    count, group = len(range(*heads.indices(inputs.shape[1]))), inputs.structure.group
    there, dims = {patch.is_global for patch in found}, {name: inputs.arrays[name].shape[3] for name in positions}
    kinds = [
        {name: _nothing((1, count, len(place), dims[name]), kind in there) for name, place in positions.items()}
        for kind in (False, True)
    ]
    for patch, grad in zip(found, grads, strict=True):
        rows, arrays, arguments = patch.computed(inputs, heads)
        parts = gradient_parts(rows, arrays, arguments, grad[None], inputs.precision)
        for name, part in zip(INPUTS, parts, strict=True):
            if name in positions:
                _add(
                    kinds[patch.is_global][name],
                    part,
                    patch.rows if name == "query" else patch.columns,
                    positions[name],
                )
    for name, place in positions.items():
        local, global_ = kinds[0][name], kinds[1][name]
        of = heads
        if name != "query" and group > 1:
            local, global_ = (of_group(part, group, inputs.precision) for part in (local, global_))
            of = slice(heads.start // group, heads.stop // group)
        separate = f"{name}_global" in inputs.arrays
        exact = (
            {name: local.exact, f"{name}_global": global_.exact} if separate else {name: local.exact + global_.exact}
        )
        for each, bound in bounds_of_parts(name, local, global_, separate, inputs.precision).items():
            yield SomeGradients(each, batch, of, place, exact[each][0], bound.at(0))


def _nothing(shape: tuple[int, ...], to_add: bool) -> Part:
    """A part of no rows, in memory of its own only where others are added."""
    exact, error, size, lost = (np.zeros(shape) if to_add else np.broadcast_to(0.0, shape) for _ in range(4))
    return Part(exact, error, size, lost, np.zeros((*shape[:3], 1)))


def _add(total: Part, part: Part, positions: Positions, wanted: Positions) -> None:
    """Add a part at its positions to a total at the wanted ones; both in order."""
    _, here, there = np.intersect1d(positions, wanted, assume_unique=True, return_indices=True)
    target = slice(there[0], there[-1] + 1) if _contiguous(there) else there
    source = slice(here[0], here[-1] + 1) if _contiguous(here) else here
    for sum_, term in zip(total, part, strict=True):
        sum_[:, :, target] += term[:, :, source]


def _contiguous(places: Positions) -> bool:
    return bool(places.size) and int(places[-1] - places[0]) + 1 == places.size
