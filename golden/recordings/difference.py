"""How far two recordings of the same inputs are apart, tap by tap, in units of the bound.

The bound is that of two correct implementations, one in the dtype of each recording: 8 sqrt(s_A^2 + s_B^2).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from trueband.golden.recordings.recording import own_taps, sigma, tap_names
from trueband.golden.store import Golden
from trueband.properties.bounds.bound import Bound
from trueband.properties.bounds.variance import SIGMAS
from trueband.properties.verdict import judge


@dataclass(frozen=True)
class Apart:
    """One tap.

    Attributes:
        name: of the tap.
        reference: largest difference of the references, in units of the bound. Not 0 where weights, configurations
            or the arithmetic of the reference differ.
        own: the same of the recorded implementations; None where a recording holds the reference alone.
    """

    name: str
    reference: float
    own: float | None

    @property
    def within(self) -> bool:
        return self.reference <= 1 and (self.own is None or self.own <= 1)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def difference(a: Golden, b: Golden) -> list[Apart]:
    """Tap by tap, in the order of computation; symmetrical.

    Raises:
        ValueError: other inputs, other rows, or other taps: such recordings cannot be compared.
    """
    names = tap_names(a)
    if a.metadata.inputs_sha256 != b.metadata.inputs_sha256:
        raise ValueError(f"B: expected the inputs of {a.id}, got others in {b.id}")
    if names != tap_names(b):
        raise ValueError(f"B: expected the taps {', '.join(names)} of {a.id}, got {', '.join(tap_names(b))}")
    for name in ("rows", "decoder_rows", "columns", *(f"tap.{each}" for each in names)):
        shapes = [golden.arrays[name].shape if name in golden.arrays else None for golden in (a, b)]
        kept = name.startswith("tap.") or shapes[0] is None or np.array_equal(a.arrays[name], b.arrays.get(name, ()))
        if shapes[0] != shapes[1] or not kept:
            raise ValueError(f"B: expected {name} as in {a.id}, {shapes[0]}, got others in {b.id}, {shapes[1]}")
    found = []
    for name in names:
        spread = np.hypot(sigma(a, name, a.metadata.dtype), sigma(b, name, b.metadata.dtype))
        bound = Bound({f"{SIGMAS} sigma of both": SIGMAS * spread})
        own = [own_taps(golden).get(name) for golden in (a, b)]
        found.append(
            Apart(
                name,
                judge(a.arrays[f"tap.{name}"], b.arrays[f"tap.{name}"], bound, name).ratio,
                None if own[0] is None or own[1] is None else judge(own[0], own[1], bound, name).ratio,
            )
        )
    return found
