"""The base of all models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from trueband.optimized.checkpoints import PretrainedModel

Result = TypeVar("Result")


class Stack(nn.Module):
    """Layers that can be computed again in the backward pass instead of keeping what they computed."""

    gradient_checkpointing = False

    @property
    def recomputes(self) -> bool:
        return self.gradient_checkpointing and self.training and torch.is_grad_enabled()

    def run(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """function(*arguments); with gradient checkpointing, once more in the backward pass, with the same dropout."""
        if not self.recomputes:
            return function(*arguments)
        result: Result = checkpoint(function, *arguments, use_reentrant=False)
        return result


class Model(PretrainedModel):
    """A model of this package."""

    config: Any

    def gradient_checkpointing_enable(self) -> None:
        """Keep only the layers' inputs in training: less memory, one more forward pass, the same gradients."""
        self._set_checkpointing(True)

    def gradient_checkpointing_disable(self) -> None:
        self._set_checkpointing(False)

    def _set_checkpointing(self, on: bool) -> None:
        for part in self.modules():
            if isinstance(part, Stack):
                part.gradient_checkpointing = on

    def _set_config(self, config: Any) -> None:
        """Set one configuration for the model and for the models and stacks inside it."""
        for part in self.modules():
            if hasattr(part, "config"):
                part.config = config
