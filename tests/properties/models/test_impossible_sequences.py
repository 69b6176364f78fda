"""What stands in for a sequence that the constraints leave no room for is not judged."""

from __future__ import annotations

from typing import Any

import numpy as np

from trueband.properties.models.case import ModelCase
from trueband.properties.models.check import ModelProbe
from trueband.properties.models.checks import MODEL_CHECKS
from trueband.properties.models.model import Arrays, Model
from trueband.properties.models.witness import ReferenceModels
from trueband.reference.decoding import Generated

FORCED = ModelCase("led", tokens=4, windows=(2,), seed=17, target_tokens=2, target_masked=((),))


class StandsInOtherwise(ReferenceModels):
    changed: list[dict[str, Any]] = []  # noqa: RUF012

    def generate(self, model: Model, inputs: Arrays, options: dict[str, Any], seed: int) -> Generated:
        written = super().generate(model, inputs, options, seed)
        impossible = np.isneginf(() if written.sequences_scores is None else written.sequences_scores)
        if not impossible.any():
            return written
        self.changed.append(options)
        return written._replace(sequences=np.where(impossible[:, None], 7, written.sequences))


def test_impossible_sequences_are_not_compared() -> None:
    """The token that is forced to be the first is an end token: there is one sequence, and 3 are asked for."""
    candidate, check = StandsInOtherwise(), MODEL_CHECKS["constrained_tokens"]
    asked = {"num_beams": 3, "num_return_sequences": 3, "forced_bos_token_id": 8, "eos_token_id": (8, 2)}
    inputs = {name: array for name, array in FORCED.inputs.items() if not name.startswith("decoder_")}
    candidate.generate(FORCED.model, inputs, asked, 0)
    assert candidate.changed == [asked]
    assert all(verdict.passed for verdict in check.function(ModelProbe(candidate, FORCED)))
