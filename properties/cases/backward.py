"""How gradients are asked for, and what comes back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
LAYOUTS = ("contiguous", "transposed", "offset", "columns", "packed", "interleaved", "expanded", "reused")
# Of a device only: inputs that are written late on another stream, and a graph that is replayed with them.
STREAM, REPLAY = "written late on another stream", "written before a replay"
GRAD_LAYOUTS = ("contiguous", "transposed", "offset", "columns", "expanded")
# Any numbers can lie so: neither equal rows nor a call before are needed.
PLAIN_LAYOUTS = ("transposed", "offset", "columns", "packed", "interleaved")
WAYS = ("once", "twice", "added", "after another")


@dataclass(frozen=True)
class Backward:
    """How a forward and a backward pass are run.

    Attributes:
        layout: of the inputs in memory, as of `Runner.call`; STREAM: they are written late before either pass.
        of: names of the inputs that have this layout, the others are contiguous; (): all of them.
        grad_layout: of the gradient of the output: "contiguous"; "transposed", (b, n, h, d) memory, as a merge of the
            heads leaves it; "offset", a slice of larger storage full of NaN; "columns", (b, h, d, n) memory;
            "expanded", strides of 0 along every axis that has equal numbers, as a sum over the output leaves it.
        way: "once". "twice": the backward pass runs twice through the same graph, and the second one counts (what
            differentiates by itself: torch, jax). "added": to a `.grad` that is there, whose numbers, those of
            `already_there`, are subtracted from what comes out (torch). "after another": a forward pass with other
            numbers comes between the two passes, as from layer to layer of a model (torch, jax).
    """

    layout: str = "contiguous"
    of: tuple[str, ...] = ()
    grad_layout: str = "contiguous"
    way: str = "once"

    def __post_init__(self) -> None:
        for name, allowed in (("layout", (*LAYOUTS, STREAM)), ("grad_layout", GRAD_LAYOUTS), ("way", WAYS)):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name}: expected one of {', '.join(allowed)}, got {getattr(self, name)!r}")

    def layout_of(self, name: str) -> str:
        """Of one input."""
        return self.layout if not self.of or name in self.of else "contiguous"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Of a parsed JSON object."""
        return cls(**{**values, "of": tuple(values["of"])})


ONCE = Backward()


class Gradients(dict[str, Array]):
    """Gradients by the names of their arguments.

    Attributes:
        output: the result of the forward pass that they belong to; None where the candidate gives gradients alone.
    """

    def __init__(self, found: Mapping[str, Array], output: Array | None = None) -> None:
        super().__init__(found)
        self.output = output


def already_there(shape: tuple[int, ...]) -> Array:
    """Numbers of a `.grad` before the backward pass: whole, none of them 0."""
    return np.resize(np.arange(1.0, 8.0), shape)
