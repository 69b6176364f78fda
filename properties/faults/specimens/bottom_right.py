"""The specimen of the second edition without an argument for the offset: the last query stands at the last key."""

from __future__ import annotations

from typing import Any

from trueband.properties.candidate.target import EXTENSIONS
from trueband.properties.faults.specimens.extended import Extended
from trueband.properties.faults.specimens.extended_call import Array


class BottomRight(Extended):
    """The operator for queries that are the last tokens of the keys."""

    extensions = EXTENSIONS - {"offset", "offset_per_row"}

    def places(self, offset: Any, batch: int, queries: int, tokens: int) -> Array:
        return Extended.places(self, tokens - queries, batch, queries, tokens)
