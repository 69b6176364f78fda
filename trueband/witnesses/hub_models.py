"""Anybody's models as a candidate of the model checks: `trueband check --model-target module:factory`."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from trueband.properties.models.case import ModelCase
from trueband.properties.models.covered import ModelsCovered
from trueband.properties.models.model import Arrays, Model
from trueband.properties.models.target import ModelTarget
from trueband.reference.decoding import Generated
from trueband.witnesses.torch_models import TorchModels, tensors


class HubModels(TorchModels):
    """Models of a target, called as the package's own are: both have the Hub's signatures.

    Where the two differ, the Hub's form counts: options of `generate` are keywords, its draws are seeded by
    `torch.manual_seed`, and a cache is reordered in place by `reorder_cache`.
    """

    def __init__(self, target: ModelTarget) -> None:
        self.target = target
        self.features = target.features
        self.covered = ModelsCovered()

    @property
    def fit(self) -> Callable[[ModelCase], ModelCase]:
        """See `ModelTarget.fit`."""
        return self.target.fit

    @property
    def architectures(self) -> tuple[str, ...]:
        return self.target.architectures

    def build(self, model: Model, name: str | None = None) -> Any:
        """Build a new module. The state shows the factory whether it has a pooler."""
        import torch

        name = name or model.class_name
        module = self.target.factory(model.architecture, name, dict(model.config), dict(model.state))
        return module.to(getattr(torch, model.dtype)).eval()

    def stored(self, architecture: str, head: str, directory: Path) -> Any:
        """The model in a folder, by `from_pretrained` of the class that wrote it."""
        return self.writer.from_pretrained(directory).eval()

    def reordered(self, cache: Any, rows: Any) -> Any:
        """The cache, its rows taken anew in place."""
        cache.reorder_cache(rows)
        return cache

    def save(self, model: Model, directory: Path) -> None:
        """Writes a model's folder."""
        module = self.build(model)
        self.writer = type(module)
        module.save_pretrained(directory)

    def generate(self, model: Model, inputs: Arrays, options: dict[str, Any], seed: int) -> Generated:
        """Ids and scores of beams, from the model's own `generate` with the options as keywords."""
        import torch

        module = self.module(model)
        arguments = {key: list(value) if isinstance(value, tuple) else value for key, value in options.items()}
        with torch.no_grad(), torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what it says of its options is no verdict
            torch.manual_seed(seed)
            written = module.generate(
                **tensors(inputs, module), **arguments, return_dict_in_generate=True, output_scores=True
            )
        scores = getattr(written, "sequences_scores", None)
        return Generated(np.asarray(written.sequences), None if scores is None else np.asarray(scores))
