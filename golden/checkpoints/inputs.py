"""The inputs of a golden as arrays: recipes of ids, masks and labels, and texts through the folder's tokenizer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from trueband.golden.checkpoints.directory import Directory
from trueband.golden.checkpoints.recipes import Ids, array_of
from trueband.golden.checkpoints.texts import Batch
from trueband.golden.records import CannotRun

IGNORED = -100  # a label that does not count
TOKENIZER = "tokenizer"  # attention_mask: 1 for the tokens of the text, 0 for its padding


@dataclass(frozen=True)
class Encoded:
    """Attributes:
    arrays: the arrays by the names of the model's arguments.
    batch: the batch of texts; None where the source gives ids.
    """

    arrays: dict[str, NDArray[Any]]
    batch: Batch | None

    @property
    def ids(self) -> Ids:
        return self.arrays["input_ids"]

    @property
    def real(self) -> NDArray[np.bool_]:
        """(b, n): tokens that are not padding of the batch."""
        mask = np.ones_like(self.ids) if self.batch is None else self.batch.mask
        return mask.astype(bool)

    def texts(self) -> Batch:
        """The batch of texts; ValueError where the golden has none."""
        if self.batch is None:
            raise ValueError("input_ids: expected texts, got ids")
        return self.batch


def encode(inputs: Mapping[str, Any], directory: Directory) -> Encoded:
    """Make all inputs of a golden.

    Raises:
        CannotRun: texts without a tokenizer, names of labels that the checkpoint does not have.
        ValueError: a recipe that is none.
    """
    recipe = inputs.get("input_ids")
    batch = directory.texts.batch(recipe, directory.pad_token_id) if is_text(recipe) else None
    ids = array_of(recipe, "input_ids") if batch is None else batch.ids
    arrays: dict[str, NDArray[Any]] = {"input_ids": ids}
    # The decoder's ids before what follows them.
    for name, value in sorted(inputs.items(), key=lambda item: item[0] != "decoder_input_ids"):
        if name == "attention_mask" and value == TOKENIZER:
            if batch is None:
                raise ValueError("attention_mask: expected texts beside 'tokenizer', got ids")
            arrays[name] = batch.mask
        elif name == "labels" and isinstance(value, Mapping):
            arrays[name] = _labels(value, ids, directory)
        elif name == "decoder_input_ids" and is_text(value):
            arrays[name] = directory.texts.batch(value, directory.pad_token_id).ids
        elif name != "input_ids":
            like = arrays.get("decoder_input_ids") if name.startswith("decoder_") else ids
            arrays[name] = array_of(value, name, like)
    return Encoded(arrays, batch)


def is_text(recipe: Any) -> TypeGuard[Mapping[str, Any]]:
    """Return whether a recipe is one of texts."""
    return isinstance(recipe, Mapping) and ("texts" in recipe or "pairs" in recipe)


def _labels(recipe: Mapping[str, Any], ids: Ids, directory: Directory) -> Ids:
    """{"of_masks": text}: the text's tokens where the input has masks. {"names": [...]}: classes by their names."""
    if recipe.keys() == {"of_masks"}:
        right = directory.texts.batch({"texts": [recipe["of_masks"]]}, directory.pad_token_id).ids
        if right.shape != ids.shape:
            raise ValueError(f"labels: expected a text of {ids.shape[1]} tokens, got {right.shape[1]}")
        return np.where(ids == directory.mask_token_id, right, IGNORED)
    if recipe.keys() == {"names"}:
        numbers = {name: number for number, name in directory.labels.items()}
        if not numbers.keys() >= set(recipe["names"]):
            raise CannotRun(
                f"needs the labels {', '.join(sorted(set(recipe['names'])))}; config.json has {list(numbers)}"
            )
        return np.array([[numbers[name] for name in recipe["names"]]])
    raise ValueError(f"labels: expected a recipe of of_masks or names, got {dict(recipe)!r}")
