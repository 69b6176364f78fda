"""Anybody's models as a candidate of the model checks: `trueband check --model-target module:factory`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from trueband.model_witness import LANGUAGE_MODELS, Arrays, OptimizedModels
from trueband.properties.models.case import ModelCase
from trueband.properties.models.target import ModelTarget


class HubModels(OptimizedModels):
    """Models of a target, called as the package's own are: both have the Hub's signatures."""

    def __init__(self, target: ModelTarget) -> None:
        self.target = target

    @property
    def fit(self) -> Callable[[ModelCase], ModelCase]:
        """See `ModelTarget.fit`."""
        return self.target.fit

    @property
    def architectures(self) -> tuple[str, ...]:
        return self.target.architectures

    def build(
        self, architecture: str, config: dict[str, Any], state: Arrays, dtype: str, name: str | None = None
    ) -> Any:
        import torch

        model = self.target.factory(architecture, name or LANGUAGE_MODELS[architecture], dict(config), dict(state))
        return model.to(getattr(torch, dtype)).eval()

    def generate(
        self, architecture: str, config: dict[str, Any], state: Arrays, inputs: Arrays, options: dict[str, Any]
    ) -> np.ndarray:
        """Ids, from the model's own `generate` with the options as keywords, in float64."""
        import torch

        model = self.build(architecture, config, state, "float64")
        with torch.no_grad():
            sequences: np.ndarray = model.generate(**self.tensors(inputs, model), **options).numpy()
        return sequences
