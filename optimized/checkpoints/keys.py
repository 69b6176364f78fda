"""Names in a checkpoint against names in a model: prefixes, tied weights, what is missing and what is too much."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeVar

from torch import nn

# Left over in a file without harm: a buffer that is computed here, the tied copy of the word embeddings, and a pooling
# layer that the model does not have.
HARMLESS = re.compile(r"(^|\.)embeddings\.position_ids$|^lm_head\.decoder\.(weight|bias)$|(^|\.)pooler\.")
# Zero unless a checkpoint says otherwise.
ZERO = "final_logits_bias"

Value = TypeVar("Value")


class Match(NamedTuple):
    """Attributes:
    found: for each group of tied names of the model, the names in the file (as the model calls them) that hold it.
    missing: the first name of each group that the file has nothing for.
    unexpected: names in the file that the model has no place for, as the file calls them.
    """

    found: dict[str, list[str]]
    missing: list[str]
    unexpected: list[str]


def tied_names(model: nn.Module) -> dict[str, list[str]]:
    """First name -> all names, of every parameter and stored buffer of a model, in its order."""
    groups: dict[int, list[str]] = {}
    for name, value in model.state_dict(keep_vars=True).items():
        groups.setdefault(id(value), []).append(name)
    return {names[0]: names for names in groups.values()}


def with_prefix_of(model_names: Iterable[str], stored: Mapping[str, Value], prefix: str) -> dict[str, Value]:
    """A checkpoint's entries under the model's names: a base model reads one with a head, and the other way round."""
    wanted = set(model_names)
    inside = any(name.startswith(prefix) for name in wanted)
    if inside == any(name.startswith(prefix) for name in stored):
        return dict(stored)
    if inside:
        return {prefix + name if prefix + name in wanted else name: value for name, value in stored.items()}
    return {name.removeprefix(prefix): value for name, value in stored.items()}


def match(groups: Mapping[str, list[str]], stored: Iterable[str]) -> Match:
    """Find which of a model's tied groups a file holds. `stored`: under the model's names."""
    names = list(stored)
    held = set(names)
    matched = {first: [name for name in group if name in held] for first, group in groups.items()}
    known = {name for group in groups.values() for name in group}
    return Match(
        found={first: here for first, here in matched.items() if here},
        missing=[first for first, here in matched.items() if not here and first != ZERO],
        unexpected=[name for name in names if name not in known and not HARMLESS.search(name)],
    )


def listed(names: Iterable[str], most: int = 12) -> str:
    """Names for a message, the first of many."""
    every = list(names)
    more = f" and {len(every) - most} more" if len(every) > most else ""
    return ", ".join(every[:most]) + more
