"""What was covered, forward and with gradients: ranges of sizes, the largest calls, and what was left out.

A range says nothing about two sizes at once: so the calls in which several sizes were large are listed beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from trueband.properties.cases.windows import limited

ORDER = ("tokens", "heads", "head_dim", "window", "layers", "batch", "dilation", "globals", "scale")
NAMES = {"window": "windows", "batch": "batches", "dilation": "dilations", "scale": "scales"}
MOST_SAMPLES = 3  # of the largest calls that are named


class Product(NamedTuple):
    """The sizes of one call."""

    batch: int
    heads: int
    head_dim: int
    tokens: int

    @property
    def numbers(self) -> int:
        """How many numbers one input has."""
        return self.batch * self.heads * self.head_dim * self.tokens

    def __str__(self) -> str:
        batch = f"batch {self.batch} x " if self.batch > 1 else ""
        return f"{batch}{self.heads} head{'s' if self.heads > 1 else ''} x {self.head_dim} x {self.tokens:,} tokens"


class Ranges:
    """The least and the largest value of each size.

    Attributes:
        ranges: {name: (least, most)}; the names are those of `ORDER`.
    """

    def __init__(self) -> None:
        self.ranges: dict[str, tuple[float, float]] = {}

    def widen(self, **sizes: float) -> None:
        """Add the sizes of a call."""
        for name, value in sizes.items():
            least, most = self.ranges.get(name, (value, value))
            self.ranges[name] = min(least, value), max(most, value)

    def __bool__(self) -> bool:
        return bool(self.ranges)

    def __str__(self) -> str:
        """tokens 1..4,100, heads 1..32, head_dim 64"""
        return ", ".join(
            f"{NAMES.get(name, name)} {least:,}{f'..{most:,}' if most > least else ''}"
            for name, (least, most) in ((name, self.ranges[name]) for name in ORDER if name in self.ranges)
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {name: list(self.ranges[name]) for name in ORDER if name in self.ranges}


class Calls(Ranges):
    """The sizes of the calls of one kind that gave a result. Dilation, globals and scale count where they were passed.

    Attributes:
        products: the sizes of the calls that no other call exceeds in every size.
    """

    def __init__(self) -> None:
        super().__init__()
        self.products: list[Product] = []

    def add(self, arrays: Mapping[str, Any], options: Mapping[str, Any]) -> None:
        """A call that gave a result."""
        batch, heads, _, head_dim = arrays["query"].shape
        tokens = arrays["key"].shape[2]
        self.widen(tokens=tokens, heads=heads, head_dim=head_dim, batch=batch)
        for limit in limited(options["window"]):
            self.widen(window=limit)
        dilation = options.get("dilation")
        for factor in dilation if isinstance(dilation, tuple | list) else () if dilation is None else (dilation,):
            self.widen(dilation=factor)
        if options.get("scale") is not None:
            self.widen(scale=options["scale"])
        if arrays.get("global_attention_mask") is not None:
            for count in np.sum(arrays["global_attention_mask"], axis=1):
                self.widen(globals=int(count))
        self._enlarge(Product(batch, heads, head_dim, tokens))

    @property
    def largest(self) -> list[Product]:
        """The call with the most numbers, and the largest ones with several rows, and with several rows and heads."""
        by_numbers = sorted(self.products, key=lambda product: (-product.numbers, product))
        batched = [product for product in by_numbers if product.batch > 1]
        several = [
            product for product in by_numbers if product.batch > 1 and product.heads > 1 and product.head_dim >= 64
        ]
        return list(dict.fromkeys([*by_numbers[:1], *batched[:1], *several[:1]]))[:MOST_SAMPLES]

    def _enlarge(self, product: Product) -> None:
        if any(all(a >= b for a, b in zip(kept, product, strict=True)) for kept in self.products):
            return
        smaller = lambda kept: all(a <= b for a, b in zip(kept, product, strict=True))  # noqa: E731
        self.products = [kept for kept in self.products if not smaller(kept)] + [product]

    def __str__(self) -> str:
        """tokens 1..4,100, heads 1..32, head_dim 64, windows 0..4,096, batches 1..8; largest: 32 heads x 64 x ..."""
        return f"{super().__str__()}; largest: {', '.join(map(str, self.largest))}"

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"sizes": super().to_dict(), "largest": [product._asdict() for product in self.largest]}


class Covered:
    """The calls that gave a result.

    Attributes:
        forward, gradients: the calls for an output alone, and those with a backward pass.
        left_out: {shape: reason}, in words, for each shape that was not tried.
        notes: what else is known of the kernel that no check claims, a sentence each.
    """

    def __init__(self) -> None:
        self.forward, self.gradients = Calls(), Calls()
        self.left_out: dict[str, str] = {}
        self.notes: list[str] = []

    def add(self, arrays: Mapping[str, Any], options: Mapping[str, Any], with_gradients: bool = False) -> None:
        """A call that gave a result."""
        (self.gradients if with_gradients else self.forward).add(arrays, options)

    def leave_out(self, shape: Any, why: str) -> None:
        """Note a shape that was not tried, and why."""
        self.left_out.setdefault(str(shape), why)

    def __bool__(self) -> bool:
        return bool(self.forward or self.gradients)

    def __str__(self) -> str:
        """forward: tokens 1..4,100, ...; largest: ...; with gradients: tokens 1..4,100, ...; largest: ..."""
        parts = [("forward", self.forward), ("with gradients", self.gradients)]
        return "; ".join(f"{name}: {calls}" for name, calls in parts if calls)

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        sizes = {"forward": self.forward.to_dict(), "gradients": self.gradients.to_dict(), "left_out": self.left_out}
        return {**sizes, "notes": self.notes} if self.notes else sizes
