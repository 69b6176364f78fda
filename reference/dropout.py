"""Dropout (JMLR 15, 2014): in training an element is 0 with probability p, and 1 / (1 - p) times itself otherwise."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from trueband.reference.arguments import Float

# keep(place, kind, shape): what multiplies the elements at a place of the model; 1 where there is no dropout.
Keep = Callable[[str, str, tuple[int, ...]], "Float | float"]


def keep_all(place: str, kind: str, shape: tuple[int, ...]) -> float:
    """No dropout."""
    return 1.0


@dataclass(frozen=True)
class Dropout:
    """Dropout of a model. The same place gets the same elements from the same seed.

    Attributes:
        seed: of the draws.
        rates: p by kind: "hidden" (embeddings, and what is added to a residual stream), "attention" (probabilities),
            "activation" (inside a feed-forward), "head" (of classifiers).
    """

    seed: int
    rates: Mapping[str, float] = field(default_factory=dict)

    def __call__(self, place: str, kind: str, shape: tuple[int, ...]) -> Float | float:
        p = self.rates.get(kind, 0.0)
        if not p:
            return 1.0
        drawn = np.random.default_rng([self.seed, zlib.crc32(place.encode())]).random(shape)
        return (drawn >= p) / (1 - p)
