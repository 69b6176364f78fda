"""The sets of weights that are commonly frozen, by name."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from trueband.properties.models.case import ModelCase
from trueband.properties.models.training import BUFFERS

Frozen = frozenset[str]
Choose = Callable[[ModelCase, list[str], np.random.Generator], "tuple[str, ...] | list[str]"]


def _layer(case: ModelCase, names: list[str], random: np.random.Generator) -> list[str]:
    start = f"{_stack(case, random)}{random.integers(case.layers)}."
    return [name for name in names if name.startswith(start)]


def _whole_stack(case: ModelCase, names: list[str], random: np.random.Generator) -> list[str]:
    start = _stack(case, random)
    return [name for name in names if name.startswith(start)]


def _bottom(case: ModelCase, names: list[str], random: np.random.Generator) -> list[str]:
    return [name for name in names if _embedding(name) or ".0." in name]


def _one(case: ModelCase, names: list[str], random: np.random.Generator) -> list[str]:
    return [names[int(random.integers(len(names)))]]


def _all_but_one(case: ModelCase, names: list[str], random: np.random.Generator) -> list[str]:
    # Without global tokens nothing reads their projections: a loss that depends on no trained weight has no gradient.
    read = [name for name in names if "_global" not in name]
    trained = read[int(random.integers(len(read)))]
    return [name for name in names if name != trained]


def _half(case: ModelCase, names: list[str], random: np.random.Generator) -> list[str]:
    kept = _one(case, [name for name in names if _norm(name)], random)
    return [name for name in names if name not in kept and random.integers(2)]


KINDS: dict[str, Choose] = {
    "one layer": _layer,
    "the words": lambda case, names, random: [case.family.word_embeddings],
    "the embeddings": lambda case, names, random: [name for name in names if _embedding(name)],
    "the embeddings and the first layers": _bottom,
    "a stack of layers": _whole_stack,
    "everything but biases": lambda case, names, random: [name for name in names if not name.endswith("bias")],
    "the biases": lambda case, names, random: [name for name in names if name.endswith("bias")],
    "the LayerNorms": lambda case, names, random: [name for name in names if _norm(name)],
    "everything but LayerNorms": lambda case, names, random: [name for name in names if not _norm(name)],
    "one weight": _one,
    "everything but one weight": _all_but_one,
    "half of the weights": _half,
}


def frozen_sets(case: ModelCase, random: np.random.Generator, count: int) -> list[tuple[str, Frozen]]:
    """Draw kinds of frozen weights, in words, with their names; the loss depends on some of the others."""
    names = [name for name in case.state if name not in BUFFERS]
    kinds = [list(KINDS)[i] for i in random.permutation(len(KINDS))[:count]]
    last = [name for name in names if _norm(name)][-1]
    sets = []
    for kind in kinds:
        frozen = frozenset(KINDS[kind](case, names, random))
        left = [name for name in names if name not in frozen and "_global" not in name]
        sets.append((kind, frozen if left else frozen - {last}))
    return sets


def _stack(case: ModelCase, random: np.random.Generator) -> str:
    """Return the prefix of the names of a stack's layers."""
    if case.architecture != "led":
        return f"{case.prefix}encoder.layer."
    return f"{case.prefix}{('encoder', 'decoder')[int(random.integers(2))]}.layers."


def _embedding(name: str) -> bool:
    return ("embed" in name and "distance" not in name) or "shared" in name


def _norm(name: str) -> bool:
    return "norm" in name.lower()
