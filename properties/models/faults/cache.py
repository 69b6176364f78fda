"""Seeded faults of caches: what a step reads of earlier tokens, and what happens when rows change places.

The tokens of the prompt are right; those of the steps result from reading something else.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from trueband.properties.models.faults.fault import faulty_candidate
from trueband.properties.models.model import Arrays, Model
from trueband.properties.models.witness import ReferenceModels, read_in_steps

DECODERS = "xlm-roberta led"
REORDERED = "permuted_cache duplicated_cache"


class OtherCache(ReferenceModels):
    """Models whose steps read `remembered`, the inputs of all tokens; `rows` of the batch go on."""

    def remembered(self, config: dict[str, Any], inputs: Arrays, rows: np.ndarray, whole: Arrays, width: int) -> Arrays:
        return whole

    def steps(self, model: Model, inputs: Arrays, rows: np.ndarray, following: list[np.ndarray]) -> Any:
        whole = read_in_steps(model.architecture, inputs, rows, following)
        width = inputs["decoder_input_ids" if model.architecture == "led" else "input_ids"].shape[1]
        other = self.remembered(model.config, inputs, rows, dict(whole), width)
        first, later = (self.forward(model, variant) for variant in (whole, other))
        steps = {
            "hidden_states": [
                np.concatenate([prompt[:, :width], step[:, width:]], axis=1)
                for prompt, step in zip(first["hidden_states"], later["hidden_states"], strict=True)
            ],
            "logits": np.concatenate([first["logits"][:, :width], later["logits"][:, width:]], axis=1),
        }
        return {**first, **steps}


def _mask(whole: Arrays) -> str:
    return "decoder_attention_mask" if "decoder_input_ids" in whole else "attention_mask"


def _unmoved(inputs: Arrays, rows: np.ndarray) -> Arrays:
    """Return as many rows as go on, in their old places."""
    return {name: array[np.arange(len(rows)) % len(array)] for name, array in inputs.items()}


@faulty_candidate(
    "a step with a cache attends the padding of the prompt",
    DECODERS,
    "cached_steps",
    "transformers 5.23: a cached step ignores its mask",
)
class StepAttendsPadding(OtherCache):
    def remembered(self, config: dict[str, Any], inputs: Arrays, rows: np.ndarray, whole: Arrays, width: int) -> Arrays:
        return {**whole, _mask(whole): np.ones_like(whole[_mask(whole)])}


@faulty_candidate("a cache is one step behind", DECODERS, "cached_steps")
class StaleCache(OtherCache):
    def remembered(self, config: dict[str, Any], inputs: Arrays, rows: np.ndarray, whole: Arrays, width: int) -> Arrays:
        mask = whole[_mask(whole)].copy()
        mask[:, width - 1] = 0
        return {**whole, _mask(whole): mask}


@faulty_candidate(
    "after a cache positions count the padding on the left",
    "xlm-roberta",
    "cached_steps",
    "transformers 5.23: cached decoding with left pads",
)
class StepsCountPadding(OtherCache):
    def remembered(self, config: dict[str, Any], inputs: Arrays, rows: np.ndarray, whole: Arrays, width: int) -> Arrays:
        ids, pad = whole["input_ids"], config["pad_token_id"]
        positions = pad + np.cumsum(ids != pad, axis=1) * (ids != pad)
        new = ids.shape[1] - width
        positions[:, width:] = pad + 1 + width + np.arange(new)
        return {**whole, "position_ids": positions}


@faulty_candidate("rows change places and the cache does not", DECODERS, REORDERED)
class CacheNotReordered(OtherCache):
    def remembered(self, config: dict[str, Any], inputs: Arrays, rows: np.ndarray, whole: Arrays, width: int) -> Arrays:
        return {name: _with_prompt(whole[name], old, width) for name, old in _unmoved(inputs, rows).items()} | {
            name: array for name, array in whole.items() if name not in inputs
        }


@faulty_candidate("the cache is reordered twice", DECODERS, "permuted_cache")
class ReorderedTwice(OtherCache):
    def remembered(self, config: dict[str, Any], inputs: Arrays, rows: np.ndarray, whole: Arrays, width: int) -> Arrays:
        twice = {name: array[rows[rows % len(rows)] % len(array)] for name, array in inputs.items()}
        return {**whole, **{name: _with_prompt(whole[name], old, width) for name, old in twice.items()}}


@faulty_candidate(
    "keys and values of the encoder stay where they are when rows change places",
    DECODERS,
    REORDERED,
    "transformers 4: beam reorder moves the first two of four tensors",
)
class CrossNotReordered(OtherCache):
    def remembered(self, config: dict[str, Any], inputs: Arrays, rows: np.ndarray, whole: Arrays, width: int) -> Arrays:
        led = "decoder_input_ids" in inputs
        of_encoder = {
            name: array
            for name, array in _unmoved(inputs, rows).items()
            if (led and not name.startswith("decoder_")) or name.startswith("encoder_")
        }
        return {**whole, **of_encoder}


def _with_prompt(whole: np.ndarray, prompt: np.ndarray, width: int) -> np.ndarray:
    """Return the whole with another prompt; or `prompt` itself, where the array is not of the decoder's tokens."""
    if prompt.shape[1] != width or whole.shape[1] == prompt.shape[1]:
        return prompt
    return np.concatenate([prompt, whole[:, width:]], axis=1)
