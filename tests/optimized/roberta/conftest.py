"""Small models in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from trueband.reference import LongformerConfig, XLMRobertaConfig


@pytest.fixture
def make(small: dict[str, Any], randomize: Callable[[torch.nn.Module], Any]) -> Callable[..., Any]:
    """Makes a model of a class in float64, with fields of the configuration changed."""

    def made(kind: Any, **changed: Any) -> Any:
        if kind.__name__.startswith("XLM"):
            config: Any = XLMRobertaConfig(**{**small, **changed})
        else:
            config = LongformerConfig(**{**small, "attention_window": 4, **changed})
        return randomize(kind(config).double())

    return made
