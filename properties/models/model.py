"""A model as data, for a candidate to build."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from trueband.reference.config import FAMILIES, Family

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Model:
    """A model as data.

    Attributes:
        architecture: one of `FAMILIES`.
        config: the fields of `config.json`.
        state: the weights under the Hub's keys.
        dtype: the dtype that the model computes in.
        head: one of the heads of `ModelCase`; "lm" is the language model, causal for a decoder.
    """

    architecture: str
    config: dict[str, Any]
    state: Arrays
    dtype: str
    head: str = "lm"

    @property
    def family(self) -> Family:
        """What the architecture's configuration, classes and weights are called."""
        return FAMILIES[self.architecture]

    @property
    def settings(self) -> Any:
        """The configuration, read."""
        return self.family.config.from_dict(self.config)

    @property
    def class_name(self) -> str:
        """The class with the head, under the Hub's name."""
        causal = self.head == "lm" and self.config.get("is_decoder", False)
        return self.family.class_with("decoder" if causal else self.head)

    def with_config(self, **changes: Any) -> Self:
        return replace(self, config={**self.config, **changes})

    def with_state(self, state: Arrays) -> Self:
        return replace(self, state=state)
