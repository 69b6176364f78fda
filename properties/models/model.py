"""A model as data: what a candidate is asked to build."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from trueband.reference.config import LEDConfig, LongformerConfig, XLMRobertaConfig

Arrays = dict[str, np.ndarray]
CONFIGS: dict[str, Any] = {"xlm-roberta": XLMRobertaConfig, "longformer": LongformerConfig, "led": LEDConfig}


@dataclass(frozen=True, eq=False)
class Model:
    """A model as data.

    Attributes:
        architecture: one of `CONFIGS`.
        config: fields of `config.json`.
        state: arrays under the Hub's keys.
        dtype: the model computes in.
        head: as of `ModelCase`; "lm" is the language model, causal for a decoder.
    """

    architecture: str
    config: dict[str, Any]
    state: Arrays
    dtype: str
    head: str = "lm"

    @property
    def settings(self) -> Any:
        """The configuration, read."""
        return CONFIGS[self.architecture].from_dict(self.config)

    def with_config(self, **changes: Any) -> Self:
        return replace(self, config={**self.config, **changes})

    def with_state(self, state: Arrays) -> Self:
        return replace(self, state=state)
