"""Recipes of the inputs of published outputs: ids by repetition, masks by their ones.

A recipe of an array is
- nested lists of integers, as they are;
- {"repeat": k, "of": recipe} and {"concat": [recipe, ...]}, with "length" where the source states it: (1, n);
- "ones" or {"ones_at": [i, ...]}: of the shape of input_ids, of decoder_input_ids for arguments of the decoder;
- "input_ids": the same as them.
Texts have recipes of their own, see `trueband.golden.checkpoints.texts`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
SAME = "input_ids"
FORMS = {"repeat": {"repeat", "of", "length"}, "concat": {"concat", "length"}, "ones_at": {"ones_at"}}


def array_of(recipe: Any, name: str, like: Ids | None = None) -> Ids:
    """The array of a recipe.

    Args:
        recipe: see above.
        name: the name of the argument, for errors.
        like: input_ids or decoder_input_ids, for recipes that follow them.

    Raises:
        ValueError: an unknown recipe, ragged lists, or a length that differs from the recipe's.
    """
    if isinstance(recipe, list):
        return _integers(recipe, name)
    if recipe == "ones" or recipe == SAME or (isinstance(recipe, Mapping) and recipe.keys() == {"ones_at"}):
        if like is None:
            raise ValueError(f"{name}: expected ids beside {recipe!r}, got none")
        if recipe == SAME:
            return like.copy()
        mask = np.full_like(like, 1 if recipe == "ones" else 0)
        if isinstance(recipe, Mapping):
            mask[:, _integers(recipe["ones_at"], name)] = 1
        return mask
    if isinstance(recipe, Mapping):
        return _row(recipe, name)[None]
    raise ValueError(f"{name}: expected a recipe of an array, got {recipe!r}")


def _row(recipe: Any, name: str) -> Ids:
    """(n,)"""
    if isinstance(recipe, list):
        return _integers(recipe, name)
    form = next((form for form in ("repeat", "concat") if isinstance(recipe, Mapping) and form in recipe), None)
    if form is None or not recipe.keys() <= FORMS[form]:
        raise ValueError(f"{name}: expected a recipe of repeat or concat, got {recipe!r}")
    if form == "repeat":
        row = np.tile(_row(recipe["of"], name), recipe["repeat"])
    else:
        row = np.concatenate([_row(part, name) for part in recipe["concat"]])
    length = recipe.get("length", len(row))
    if len(row) != length:
        raise ValueError(f"{name}: expected {length} tokens, as the recipe says, got {len(row)}")
    return row


def _integers(content: Any, name: str) -> Ids:
    try:
        array = np.array(content)
    except ValueError as error:
        raise ValueError(f"{name}: expected rows of one length, got ragged ones") from error
    if array.dtype.kind != "i":
        raise ValueError(f"{name}: expected integers, got {content!r}")
    return array.astype(np.int64)
