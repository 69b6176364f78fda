"""Anybody's models as a candidate of the model checks: `trueband check --model-target module:factory`."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from trueband.model_witness import HEADS, LANGUAGE_MODELS, Arrays, OptimizedModels, tensors
from trueband.properties.models.case import ModelCase
from trueband.properties.models.target import ModelTarget
from trueband.reference.decoding import Generated


class HubModels(OptimizedModels):
    """Models of a target, called as the package's own are: both have the Hub's signatures.

    Where the two differ, the Hub's form counts: options of `generate` are keywords, its draws are seeded by
    `torch.manual_seed`, and a cache is reordered in place by `reorder_cache`.
    """

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
        self, architecture: str, config: dict[str, Any], state: Arrays, dtype: str, name: str, **options: Any
    ) -> Any:
        """A new model. Whether it has a pooler, which `options` tell, is told the factory by the state."""
        import torch

        model = self.target.factory(architecture, name, dict(config), dict(state))
        return model.to(getattr(torch, dtype)).eval()

    def stored(self, architecture: str, name: str, directory: Path) -> Any:
        """The model in a folder, by `from_pretrained` of the class that wrote it."""
        return self.writer.from_pretrained(directory).eval()

    def reordered(self, cache: Any, rows: Any) -> Any:
        """The cache, its rows taken anew in place."""
        cache.reorder_cache(rows)
        return cache

    def save(
        self, architecture: str, head: str, config: dict[str, Any], state: Arrays, dtype: str, directory: Path
    ) -> None:
        """Writes a model's folder."""
        model = self.build(
            architecture, config, state, dtype, HEADS.get((architecture, head), LANGUAGE_MODELS[architecture])
        )
        self.writer = type(model)
        model.save_pretrained(directory)

    def generate(
        self,
        architecture: str,
        config: dict[str, Any],
        state: Arrays,
        inputs: Arrays,
        options: dict[str, Any],
        seed: int,
    ) -> Generated:
        """Ids and scores of beams, from the model's own `generate` with the options as keywords, in float64."""
        import torch

        name = "XLMRobertaForCausalLM" if architecture == "xlm-roberta" else LANGUAGE_MODELS[architecture]
        model = self.model(architecture, config, state, "float64", name)
        asked = {key: list(value) if isinstance(value, tuple) else value for key, value in options.items()}
        with torch.no_grad(), torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what it says of its options is no verdict
            torch.manual_seed(seed)
            written = model.generate(
                **tensors(inputs, model), **asked, return_dict_in_generate=True, output_scores=True
            )
        scores = getattr(written, "sequences_scores", None)
        return Generated(np.asarray(written.sequences), None if scores is None else np.asarray(scores))
