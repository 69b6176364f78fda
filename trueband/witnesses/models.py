"""The optimized models as a candidate of the model checks, NumPy in and out. torch is imported on the first call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trueband.properties.models.covered import ModelsCovered
from trueband.properties.models.model import Arrays, Model
from trueband.properties.models.training import TRAINING
from trueband.reference.config import FAMILIES, GenerationConfig
from trueband.reference.decoding import Generated
from trueband.witnesses.building import build
from trueband.witnesses.torch_models import TorchModels, tensors


class OptimizedModels(TorchModels):
    """`trueband.optimized`, in float64 or float32, on the CPU."""

    features: frozenset[str] = frozenset({"deterministic", *TRAINING})

    def __init__(self) -> None:
        self.covered = ModelsCovered()

    def build(self, model: Model, name: str | None = None) -> Any:
        """A new module of a class, or of that of the model, with its weights, in evaluation mode."""
        return build(name or model.class_name, model.config, model.state, model.dtype)

    def stored(self, architecture: str, head: str, directory: Path) -> Any:
        """The model in a folder."""
        from trueband.optimized import models

        return getattr(models, FAMILIES[architecture].class_with(head)).from_pretrained(directory)

    def reordered(self, cache: Any, rows: Any) -> Any:
        """A cache with these rows (r,) of the batch, an int64 tensor."""
        return cache.reorder(rows)

    def save(self, model: Model, directory: Path) -> None:
        """Write the folder of a model."""
        self.module(model).save_pretrained(directory)

    def generate(self, model: Model, inputs: Arrays, options: dict[str, Any], seed: int) -> Generated:
        """Ids, (b * num_return_sequences, longest), and scores of beams, from cached decoding."""
        import torch

        module = self.module(model)
        with torch.no_grad():
            written = module.generate(
                generation_config=GenerationConfig(**options),
                generator=torch.Generator().manual_seed(seed),
                return_dict_in_generate=True,
                **tensors(inputs, module),
            )
        scores = written.sequences_scores
        return Generated(written.sequences.numpy(), None if scores is None else scores.numpy())
