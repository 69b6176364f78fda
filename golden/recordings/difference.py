"""The difference between two recordings of the same inputs, tap by tap, in units of the bound.

Rows that both hold are compared. The bound is that of two correct implementations, one in the dtype of each recording:
8 sqrt(s_A^2 + s_B^2).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from trueband.golden.recordings.recording import own_taps, rows_of, sigma, tap_names
from trueband.golden.store import Golden
from trueband.properties.bounds.bound import Bound
from trueband.properties.bounds.variance import SIGMAS
from trueband.properties.results.verdict import judge


@dataclass(frozen=True)
class Apart:
    """One tap.

    Attributes:
        name: the name of the tap.
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
        ValueError: other inputs, other taps, or no row in common: such recordings cannot be compared.
    """
    names = tap_names(a)
    if a.metadata.inputs_sha256 != b.metadata.inputs_sha256:
        raise ValueError(f"B: expected the inputs of {a.id}, got others in {b.id}")
    if names != tap_names(b):
        raise ValueError(f"B: expected the taps {', '.join(names)} of {a.id}, got {', '.join(tap_names(b))}")
    if not np.array_equal(a.arrays["columns"], b.arrays["columns"]):
        raise ValueError(f"B: expected a vocabulary of the size that {a.id} was recorded with, got another in {b.id}")
    differences = []
    for name in names:
        sides = tuple(zip((a, b), _common_rows(a, b, name), strict=True))
        taps = [golden.arrays[f"tap.{name}"][at] for golden, at in sides]
        if taps[0].shape != taps[1].shape:
            raise ValueError(f"B: expected {name} of the width that it has in {a.id}, got another in {b.id}")
        spread = np.hypot(*(sigma(golden, name, golden.metadata.dtype)[at] for golden, at in sides))
        bound = Bound({f"{SIGMAS} sigma of both": SIGMAS * spread})
        reference = judge(taps[0], taps[1], bound, name)
        own = [own_taps(golden)[name][at] for golden, at in sides if name in own_taps(golden)]
        differences.append(
            Apart(name, reference.ratio, judge(own[0], own[1], bound, name).ratio if len(own) == 2 else None)
        )
    return differences


def _common_rows(a: Golden, b: Golden, name: str) -> tuple[Any, Any]:
    """Index the rows of a tap that both recordings hold, in A and in B. A tap without rows is taken whole."""
    of_a, of_b = rows_of(a, name), rows_of(b, name)
    if of_a is None or of_b is None:
        return np.s_[:], np.s_[:]
    common, in_a, in_b = np.intersect1d(of_a, of_b, return_indices=True)
    if not len(common):
        raise ValueError(f"B: expected a row of {a.id} for {name}, got none of them in {b.id}")
    return np.s_[:, in_a], np.s_[:, in_b]
