"""Seeded faults of LED's encoder in float16: layers that overflow and are clamped wrongly."""

from __future__ import annotations

import numpy as np

from trueband.properties.models.faults.fault import faulty_candidate
from trueband.properties.models.half import LARGEST, LIMIT, clamped, half_encoder
from trueband.properties.models.model import Arrays, Model
from trueband.properties.models.witness import ReferenceModels


class ClampedOtherwise(ReferenceModels):
    """Models whose encoder clamps otherwise in these layers."""

    def clamp(self, x: np.ndarray) -> np.ndarray:
        return clamped(x)

    def encode(self, model: Model, inputs: Arrays) -> list[np.ndarray]:
        return half_encoder(model.state, model.settings, inputs, model.dtype, self.clamp)


@faulty_candidate(
    "a layer that overflows in float16 stays infinite", "led", "half_clamp", "huggingface/transformers PR 19229, #12225"
)
class NeverClamped(ClampedOtherwise):
    def clamp(self, x: np.ndarray) -> np.ndarray:
        return x


@faulty_candidate("layers are clamped in float16 where nothing overflows", "led", "half_clamp")
class AlwaysClamped(ClampedOtherwise):
    def clamp(self, x: np.ndarray) -> np.ndarray:
        return np.clip(x, -LIMIT, LIMIT)


@faulty_candidate("each row of the batch is clamped by itself", "led", "half_clamp")
class ClampedByRow(ClampedOtherwise):
    def clamp(self, x: np.ndarray) -> np.ndarray:
        return np.stack([clamped(row) for row in x])


@faulty_candidate("clamping turns NaN into a number", "led", "half_clamp")
class NanCleared(ClampedOtherwise):
    def clamp(self, x: np.ndarray) -> np.ndarray:
        return np.nan_to_num(clamped(x))


@faulty_candidate("layers are clamped to the largest number of float16", "led", "half_clamp")
class ClampedToLargest(ClampedOtherwise):
    def clamp(self, x: np.ndarray) -> np.ndarray:
        return np.clip(x, -LARGEST, LARGEST)
