"""Slices of an output in Python's notation, such as "[:, :3, :3]" or ".sum()": read as syntax, never run."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

REDUCTIONS = ("sum", "mean")
FORM = 'a slice such as "[0, :3, [0, 2]]", ".sum()" or ".mean()"'

Part = int | slice | list[int]


@dataclass(frozen=True)
class Slice:
    """Attributes:
    parts: an index for each axis from the first on.
    reduction: over all that is left; None: none.
    """

    parts: tuple[Part, ...] = ()
    reduction: str | None = None

    def of(self, array: NDArray[Any]) -> NDArray[Any]:
        """The part of an array that the slice names; sums and means in float64.

        Raises:
            ValueError: more parts than axes, or an index that the axis does not have.
        """
        try:
            taken = array[self.parts]
        except IndexError as error:
            raise ValueError(f"slice: expected one of an output of shape {array.shape}, got {self}: {error}") from error
        if self.reduction is None:
            return np.asarray(taken)
        return np.asarray(getattr(np, self.reduction)(taken, dtype=np.float64))


def parse_slice(text: str | None) -> Slice:
    """Read a slice; None: all of the output.

    Raises:
        ValueError: anything else than integers, ranges, lists of integers, `.sum()` and `.mean()`.
    """
    if text is None:
        return Slice()
    try:
        node = ast.parse(f"x{text}", mode="eval").body
    except SyntaxError as error:
        raise ValueError(f"slice: expected {FORM}, got {text!r}") from error
    reduction = None
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        if node.args or node.keywords or node.func.attr not in REDUCTIONS:
            raise ValueError(f"slice: expected {FORM}, got {text!r}")
        reduction = node.func.attr
        node = node.func.value
    parts: tuple[Part, ...] = ()
    if isinstance(node, ast.Subscript):
        axes = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        parts = tuple(_part(axis, text) for axis in axes)
        node = node.value
    if not isinstance(node, ast.Name) or node.id != "x":
        raise ValueError(f"slice: expected {FORM}, got {text!r}")
    return Slice(parts, reduction)


def _part(node: ast.expr, text: str) -> Part:
    if isinstance(node, ast.Slice):
        ends = (node.lower, node.upper, node.step)
        return slice(*(None if end is None else _integer(end, text) for end in ends))
    if isinstance(node, ast.List):
        return [_integer(element, text) for element in node.elts]
    return _integer(node, text)


def _integer(node: ast.expr, text: str) -> int:
    sign = 1
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        node, sign = node.operand, -1
    if not isinstance(node, ast.Constant) or type(node.value) is not int:
        raise ValueError(f"slice: expected {FORM}, got {text!r}")
    return sign * node.value
