"""Recipes of inputs: exact ids, exact lengths."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from trueband.golden.checkpoints.recipes import array_of
from trueband.golden.store import open_store

WORDS = [20920, 232, 328, 1437]


def test_repeated_and_joined() -> None:
    ids = array_of({"concat": [[0], {"repeat": 1000, "of": WORDS}, [2]], "length": 4002}, "input_ids")
    assert np.array_equal(ids, [[0, *(WORDS * 1000), 2]])


def test_masks_follow_the_ids() -> None:
    ids = np.array([[5, 6, 7], [8, 9, 1]])
    assert np.array_equal(array_of("ones", "attention_mask", ids), [[1, 1, 1], [1, 1, 1]])
    assert np.array_equal(array_of({"ones_at": [0, 2]}, "global_attention_mask", ids), [[1, 0, 1], [1, 0, 1]])
    assert np.array_equal(array_of("input_ids", "labels", ids), ids)


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"repeat": 2, "of": [1, 2], "length": 5}, "input_ids: expected 5 tokens, as the recipe says, got 4"),
        ([[1, 2], [3]], "input_ids: expected rows of one length"),
        ([[1.5]], "input_ids: expected integers"),
        ({"twice": [1]}, "input_ids: expected a recipe of repeat or concat"),
        ({"repeat": 2, "of": [1], "eval": "x"}, "input_ids: expected a recipe of repeat or concat"),
        ("ones", "input_ids: expected ids beside 'ones'"),
        (7, "input_ids: expected a recipe of an array"),
    ],
)
def test_a_wrong_recipe(recipe: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        array_of(recipe, "input_ids")


def lengths() -> dict[str, tuple[Any, int]]:
    """Of every recipe in the store that tells its length: what to build, and the length."""
    found = {}
    store = open_store()
    for name in store:
        for argument, recipe in store.golden(name).metadata.inputs.items():
            if isinstance(recipe, dict) and "length" in recipe:
                found[f"{name} {argument}"] = recipe, recipe["length"]
    return found


def test_every_length_of_the_store() -> None:
    told = lengths()
    assert len(told) >= 10
    for name, (recipe, length) in told.items():
        free = {key: value for key, value in recipe.items() if key != "length"}
        assert array_of(free, name).shape == (1, length), name
