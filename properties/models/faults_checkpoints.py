"""Seeded faults of what happens to a model besides computing: saved, loaded, edited, resized wrongly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from trueband.properties.models.faults_generation import faulty_candidate
from trueband.properties.models.reference_checkpoints import WORDS
from trueband.properties.models.witness import Arrays, ReferenceModels


@faulty_candidate("weights are saved with half the digits", "xlm-roberta longformer led", "round_trip")
class SavedInHalf(ReferenceModels):
    def save(
        self, architecture: str, head: str, config: dict[str, Any], state: Arrays, dtype: str, directory: Path
    ) -> None:
        halved = {name: array.astype(np.float16) for name, array in state.items()}
        super().save(architecture, head, config, halved, dtype, directory)


@faulty_candidate("final_logits_bias is not saved", "led", "round_trip")
class BiasNotSaved(ReferenceModels):
    def save(
        self, architecture: str, head: str, config: dict[str, Any], state: Arrays, dtype: str, directory: Path
    ) -> None:
        without = {name: array for name, array in state.items() if name != "final_logits_bias"}
        super().save(architecture, head, config, without, dtype, directory)


@faulty_candidate("biases start at zero when a model is loaded", "xlm-roberta longformer led", "round_trip")
class BiasesNotLoaded(ReferenceModels):
    def stored(self, directory: Path) -> Arrays:
        return {name: array * (not name.endswith("bias")) for name, array in super().stored(directory).items()}


@faulty_candidate("the configuration is saved with one window for all layers", "longformer led", "round_trip")
class WindowsNotSaved(ReferenceModels):
    def save(
        self, architecture: str, head: str, config: dict[str, Any], state: Arrays, dtype: str, directory: Path
    ) -> None:
        window = config["attention_window"][0]
        super().save(architecture, head, config | {"attention_window": window}, state, dtype, directory)


@faulty_candidate("keys are saved behind the prefix of a wrapper", "xlm-roberta longformer led", "round_trip")
class SavedWithPrefix(ReferenceModels):
    def save(
        self, architecture: str, head: str, config: dict[str, Any], state: Arrays, dtype: str, directory: Path
    ) -> None:
        wrapped = {f"module.{name}": array for name, array in state.items()}
        super().save(architecture, head, config, wrapped, dtype, directory)


@faulty_candidate("the output keeps a copy of the words", "xlm-roberta longformer led", "tied_words",
                  "huggingface/transformers #45005, #48154")  # fmt: skip
class StaleWords(ReferenceModels):
    def edited(
        self, architecture: str, config: dict[str, Any], state: Arrays, words: np.ndarray, inputs: Arrays, dtype: str
    ) -> Any:
        own = "lm_head.weight" if architecture == "led" else "lm_head.decoder.weight"
        copied = state | {own: state[WORDS[architecture]]}
        return super().edited(architecture, config, copied, words, inputs, dtype)


@faulty_candidate("a larger vocabulary is drawn anew", "led", "resized_vocabulary")
class OldWordsRedrawn(ReferenceModels):
    def resized(
        self, architecture: str, config: dict[str, Any], state: Arrays, size: int, inputs: Arrays, dtype: str
    ) -> Any:
        words = np.roll(state[WORDS[architecture]], 1, axis=0)
        changed = state | {WORDS[architecture]: words}
        return super().resized(architecture, config, changed, size, inputs, dtype)


@faulty_candidate("a change of the vocabulary forgets the bias", "led", "resized_vocabulary")
class ResizedBiasLost(ReferenceModels):
    def resized(
        self, architecture: str, config: dict[str, Any], state: Arrays, size: int, inputs: Arrays, dtype: str
    ) -> Any:
        without = state | {"final_logits_bias": np.zeros_like(state["final_logits_bias"])}
        return super().resized(architecture, config, without, size, inputs, dtype)
