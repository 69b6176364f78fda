"""Lets the reference save and load a model, and edit and resize its words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from trueband.properties.models.model import Arrays, Model

CONFIG, WEIGHTS = "config.json", "model.safetensors"


class ReferenceCheckpoints:
    """A mixin for the reference as a candidate. A model is its configuration and its weights, so nothing is shared:
    the words stand under one key, and whatever reads them reads that key."""

    def forward(self, model: Model, inputs: Arrays) -> Any:
        raise NotImplementedError

    def save(self, model: Model, directory: Path) -> None:
        """Write config.json and model.safetensors."""
        from safetensors.numpy import save_file

        config = model.config | {"model_type": model.architecture}
        (directory / CONFIG).write_text(json.dumps(config), encoding="utf-8")
        save_file({name: array.astype(model.dtype) for name, array in model.state.items()}, directory / WEIGHTS)

    def load(self, architecture: str, head: str, inputs: Arrays, directory: Path) -> Any:
        """Return the results of the model that was saved there, and its weights."""
        config, state = json.loads((directory / CONFIG).read_text(encoding="utf-8")), self.stored(directory)
        return {**self.forward(Model(architecture, config, state, "float64", head), inputs), "state": state}

    def stored(self, directory: Path) -> Arrays:
        return {name: array.astype(np.float64) for name, array in stored_arrays(directory).items()}

    def edited(self, model: Model, words: np.ndarray, inputs: Arrays) -> Any:
        """Return the results of the model after its words have been overwritten."""
        return self.forward(model.with_state(model.state | {model.family.word_embeddings: words}), inputs)

    def resized(self, model: Model, size: int, inputs: Arrays) -> Any:
        """Resize LED's vocabulary: new words are small random numbers, and their bias is 0."""
        table = model.family.word_embeddings
        old, bias = model.state[table], np.zeros((1, size))
        words = 0.02 * np.random.default_rng(size).standard_normal((size, old.shape[1]))
        kept = min(size, len(old))
        words[:kept], bias[:, :kept] = old[:kept], model.state["final_logits_bias"][:, :kept]
        changed = model.state | {table: words, "final_logits_bias": bias}
        output = self.forward(model.with_config(vocab_size=size).with_state(changed), inputs)
        return {**output, "words": words, "bias": bias}


def stored_arrays(directory: Path) -> Arrays:
    """Return all tensors of a folder's model.safetensors, in their own dtypes."""
    from safetensors.numpy import load_file

    arrays: Arrays = load_file(directory / WEIGHTS)
    return arrays
