"""What happens to a model besides computing, done by the reference: saving, loading, editing and resizing its words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]
WORDS = {
    "xlm-roberta": "roberta.embeddings.word_embeddings.weight",
    "longformer": "longformer.embeddings.word_embeddings.weight",
    "led": "led.shared.weight",
}
CONFIG, WEIGHTS = "config.json", "model.safetensors"


class ReferenceCheckpoints:
    """To be mixed into the reference as a candidate. A model is its configuration and its weights, so nothing is
    shared: the words stand under one key, and whatever reads them reads that key."""

    def forward(self, architecture: str, config: dict[str, Any], state: Arrays, inputs: Arrays, dtype: str) -> Any:
        raise NotImplementedError

    def head(
        self, architecture: str, head: str, config: dict[str, Any], state: Arrays, inputs: Arrays, dtype: str
    ) -> Any:
        raise NotImplementedError

    def save(
        self, architecture: str, head: str, config: dict[str, Any], state: Arrays, dtype: str, directory: Path
    ) -> None:
        """Writes config.json and model.safetensors."""
        from safetensors.numpy import save_file

        (directory / CONFIG).write_text(json.dumps(config | {"model_type": architecture}), encoding="utf-8")
        save_file({name: array.astype(dtype) for name, array in state.items()}, directory / WEIGHTS)

    def load(self, architecture: str, head: str, inputs: Arrays, directory: Path) -> Any:
        """What the model that was saved there gives."""
        config = json.loads((directory / CONFIG).read_text(encoding="utf-8"))
        state = self.stored(directory)
        if head == "lm":
            return self.forward(architecture, config, state, inputs, "float64")
        return self.head(architecture, head, config, state, inputs, "float64")

    def stored(self, directory: Path) -> Arrays:
        return {name: array.astype(np.float64) for name, array in stored_arrays(directory).items()}

    def edited(
        self, architecture: str, config: dict[str, Any], state: Arrays, words: np.ndarray, inputs: Arrays, dtype: str
    ) -> Any:
        """What the model gives after the words have been overwritten."""
        return self.forward(architecture, config, state | {WORDS[architecture]: words}, inputs, dtype)

    def resized(
        self, architecture: str, config: dict[str, Any], state: Arrays, size: int, inputs: Arrays, dtype: str
    ) -> Any:
        """LED with a vocabulary of another size: new words are small random numbers, their bias is 0."""
        old, bias = state[WORDS[architecture]], np.zeros((1, size))
        words = 0.02 * np.random.default_rng(size).standard_normal((size, old.shape[1]))
        kept = min(size, len(old))
        words[:kept], bias[:, :kept] = old[:kept], state["final_logits_bias"][:, :kept]
        changed = state | {WORDS[architecture]: words, "final_logits_bias": bias}
        output = self.forward(architecture, config | {"vocab_size": size}, changed, inputs, dtype)
        return {**output, "words": words, "bias": bias}


def stored_arrays(directory: Path) -> Arrays:
    """All tensors of a folder's model.safetensors, in their own dtypes."""
    from safetensors.numpy import load_file

    arrays: Arrays = load_file(directory / WEIGHTS)
    return arrays
