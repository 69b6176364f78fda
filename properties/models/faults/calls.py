"""Seeded faults that change from call to call."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from trueband.properties.models.faults.fault import faulty_candidate
from trueband.properties.models.model import Arrays, Model
from trueband.properties.models.witness import ReferenceModels


@faulty_candidate("every other call sums in another order", "xlm-roberta longformer led", "deterministic")
class OrderChanges(ReferenceModels):
    calls = itertools.count()

    def forward(self, model: Model, inputs: Arrays) -> Any:
        output, last_bits = super().forward(model, inputs), next(self.calls) % 2
        if "logits" in output and last_bits:
            output["logits"] = np.nextafter(output["logits"], np.inf)
        return output
