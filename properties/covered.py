"""What a target was asked for: the least and the largest of each size, and what was too much for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ORDER = ("tokens", "heads", "head_dim", "window", "layers", "batch")
NAMES = {"window": "windows", "batch": "batches"}


class Covered:
    """Sizes of the calls that gave a result.

    Attributes:
        ranges: {name: (least, most)}.
        left_out: {shape: why}, in words, of what was not asked for.
    """

    def __init__(self) -> None:
        self.ranges: dict[str, tuple[int, int]] = {}
        self.left_out: dict[str, str] = {}

    def add(self, arrays: Mapping[str, Any], options: Mapping[str, Any]) -> None:
        """A call that gave a result."""
        batch, heads, tokens, head_dim = arrays["query"].shape
        self.add_sizes(tokens=tokens, heads=heads, head_dim=head_dim, window=options["window"], batch=batch)

    def add_sizes(self, **sizes: int) -> None:
        """A call of these sizes, of `ORDER`."""
        for name, value in sizes.items():
            least, most = self.ranges.get(name, (value, value))
            self.ranges[name] = min(least, value), max(most, value)

    def leave_out(self, shape: Any, why: str) -> None:
        """A shape that was not asked for."""
        self.left_out.setdefault(str(shape), why)

    def __bool__(self) -> bool:
        return bool(self.ranges)

    def __str__(self) -> str:
        """tokens 1..4,100, heads 1..32, head_dim 1..128, windows 0..4,096, batches 1..4"""
        return ", ".join(
            f"{NAMES.get(name, name)} {least:,}{f'..{most:,}' if most > least else ''}"
            for name, (least, most) in ((name, self.ranges[name]) for name in ORDER if name in self.ranges)
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"sizes": {name: list(self.ranges[name]) for name in ORDER if name in self.ranges},
                "left_out": self.left_out}  # fmt: skip
