"""The base of all models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from trueband.optimized.checkpoints import PretrainedModel
from trueband.optimized.checkpoints.config_file import check_config
from trueband.optimized.layers.vocabulary import Vocabulary

Result = TypeVar("Result")


class Stack(nn.Module):
    """Layers that can be computed again in the backward pass instead of keeping what they computed."""

    gradient_checkpointing = False
    checkpointing_options: Mapping[str, Any] = {}

    @property
    def recomputes(self) -> bool:
        return self.gradient_checkpointing and self.training and torch.is_grad_enabled()

    def run(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """function(*arguments); with gradient checkpointing, once more in the backward pass, with the same dropout."""
        if not self.recomputes:
            return function(*arguments)
        result: Result = checkpoint(function, *arguments, use_reentrant=False, **self.checkpointing_options)
        return result


class Model(Vocabulary, PretrainedModel):
    """A model of this package."""

    supports_gradient_checkpointing = True
    config: Any

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = check_config(type(self), config)

    @property
    def device(self) -> torch.device:
        """Where the weights are; those that are kept elsewhere until they are used (device meta) do not count."""
        devices = [parameter.device for parameter in self.parameters()]
        return next((device for device in devices if device.type != "meta"), devices[0])

    @property
    def dtype(self) -> torch.dtype:
        return next(parameter.dtype for parameter in self.parameters() if parameter.is_floating_point())

    def num_parameters(self, only_trainable: bool = False, exclude_embeddings: bool = False) -> int:
        """How many numbers the weights are, tied ones once; without those of tables of embeddings, if so wanted."""
        tables = [part for part in self.modules() if isinstance(part, nn.Embedding)] if exclude_embeddings else []
        left_out = {id(parameter) for table in tables for parameter in table.parameters()}
        return sum(
            parameter.numel()
            for parameter in self.parameters()
            if id(parameter) not in left_out and (parameter.requires_grad or not only_trainable)
        )

    @property
    def is_gradient_checkpointing(self) -> bool:
        return any(isinstance(part, Stack) and part.gradient_checkpointing for part in self.modules())

    def gradient_checkpointing_enable(
        self,
        gradient_checkpointing_kwargs: Mapping[str, Any] | None = None,
        every_n_layers: int | None = None,
        offload: bool | None = None,
    ) -> None:
        """Keep only the layers' inputs in training: less memory, one more forward pass, the same gradients.

        Args:
            gradient_checkpointing_kwargs: options of `torch.utils.checkpoint.checkpoint`. `use_reentrant` may be there;
                what runs is never reentrant, which gives every weight its gradient.
            every_n_layers, offload: passed over: every layer is computed again, and its input stays where it is.
        """
        options = dict(gradient_checkpointing_kwargs or {})
        options.pop("use_reentrant", None)
        self._set_checkpointing(True, options)

    def activation_checkpointing_enable(
        self, activation_checkpointing_kwargs: Mapping[str, Any] | None = None, **others: Any
    ) -> None:
        """`gradient_checkpointing_enable` under its newer name."""
        self.gradient_checkpointing_enable(activation_checkpointing_kwargs, **others)

    def activation_checkpointing_disable(self) -> None:
        self.gradient_checkpointing_disable()

    def gradient_checkpointing_disable(self) -> None:
        self._set_checkpointing(False, {})

    def _set_checkpointing(self, on: bool, options: Mapping[str, Any]) -> None:
        for part in self.modules():
            if isinstance(part, Stack):
                part.gradient_checkpointing, part.checkpointing_options = on, options
