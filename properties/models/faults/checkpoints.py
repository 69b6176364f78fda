"""Seeded faults of models that are saved, loaded, edited or resized wrongly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from trueband.properties.models.faults.fault import faulty_candidate
from trueband.properties.models.model import Arrays, Model
from trueband.properties.models.witness import ReferenceModels


@faulty_candidate("weights are saved with half the digits", "xlm-roberta longformer led", "round_trip")
class SavedInHalf(ReferenceModels):
    def save(self, model: Model, directory: Path) -> None:
        halved = {name: array.astype(np.float16) for name, array in model.state.items()}
        super().save(model.with_state(halved), directory)


@faulty_candidate("final_logits_bias is not saved", "led", "round_trip")
class BiasNotSaved(ReferenceModels):
    def save(self, model: Model, directory: Path) -> None:
        without = {name: array for name, array in model.state.items() if name != "final_logits_bias"}
        super().save(model.with_state(without), directory)


@faulty_candidate("biases start at zero when a model is loaded", "xlm-roberta longformer led", "round_trip")
class BiasesNotLoaded(ReferenceModels):
    def stored(self, directory: Path) -> Arrays:
        return {name: array * (not name.endswith("bias")) for name, array in super().stored(directory).items()}


@faulty_candidate("the configuration is saved with one window for all layers", "longformer led", "round_trip")
class WindowsNotSaved(ReferenceModels):
    def save(self, model: Model, directory: Path) -> None:
        super().save(model.with_config(attention_window=model.config["attention_window"][0]), directory)


@faulty_candidate("keys are saved behind the prefix of a wrapper", "xlm-roberta longformer led", "round_trip")
class SavedWithPrefix(ReferenceModels):
    def save(self, model: Model, directory: Path) -> None:
        wrapped = {f"module.{name}": array for name, array in model.state.items()}
        super().save(model.with_state(wrapped), directory)


@faulty_candidate(
    "the output keeps a copy of the words",
    "xlm-roberta longformer led",
    "tied_words",
    "huggingface/transformers #45005, #48154",
)
class StaleWords(ReferenceModels):
    def edited(self, model: Model, words: np.ndarray, inputs: Arrays) -> Any:
        own = "lm_head.weight" if model.architecture == "led" else "lm_head.decoder.weight"
        copied = model.state | {own: model.state[model.family.word_embeddings]}
        return super().edited(model.with_state(copied), words, inputs)


@faulty_candidate("a larger vocabulary is drawn anew", "led", "resized_vocabulary")
class OldWordsRedrawn(ReferenceModels):
    def resized(self, model: Model, size: int, inputs: Arrays) -> Any:
        table = model.family.word_embeddings
        redrawn = model.state | {table: np.roll(model.state[table], 1, axis=0)}
        return super().resized(model.with_state(redrawn), size, inputs)


@faulty_candidate("a change of the vocabulary forgets the bias", "led", "resized_vocabulary")
class ResizedBiasLost(ReferenceModels):
    def resized(self, model: Model, size: int, inputs: Arrays) -> Any:
        without = model.state | {"final_logits_bias": np.zeros_like(model.state["final_logits_bias"])}
        return super().resized(model.with_state(without), size, inputs)
