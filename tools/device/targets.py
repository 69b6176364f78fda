"""Targets of the model checks whose tensors are on a device; the checks themselves see the CPU."""

from __future__ import annotations

import os
from dataclasses import fields, is_dataclass
from types import SimpleNamespace
from typing import Any

import torch

from trueband.properties.models.target import ModelTarget
from trueband.witnesses.building import build

PLACE = os.environ.get("TRUEBAND_DEVICE_PLACE", "cuda")
BACKEND = os.environ.get("TRUEBAND_DEVICE_BACKEND", "inductor")


class Served:
    """A model on a device that is called with tensors on the CPU, and answers with such.

    What keeps state between calls, as a cache does, stays on the device.
    """

    def __init__(self, module: Any, call: Any = None) -> None:
        self._module, self._call = module, module if call is None else call

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        there = moved((arguments, options), PLACE)
        return moved(self._call(*there[0], **there[1]), "cpu")

    def generate(self, **options: Any) -> Any:
        """What the model generates; the scores of every step, which other models are asked for, are not."""
        options.pop("output_scores", None)
        return moved(self._module.generate(**moved(options, PLACE)), "cpu")

    def to(self, dtype: Any) -> Served:
        """This, in another dtype."""
        self._module.to(dtype)
        return self

    def eval(self) -> Served:
        self._module.eval()
        return self

    def state_dict(self) -> dict[str, Any]:
        """Copies of the weights, on the CPU."""
        return {name: tensor.cpu() for name, tensor in self._module.state_dict().items()}

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._module, name)
        return Served(found) if isinstance(found, torch.nn.Module) else found


def moved(value: Any, place: str) -> Any:
    """Tensors within tuples, lists, dicts and outputs of a model, at another place; all else as it is."""
    if isinstance(value, torch.Tensor):
        return value.to(place)
    if isinstance(value, tuple | list) and not hasattr(value, "_fields"):
        return type(value)(moved(item, place) for item in value)
    if isinstance(value, dict):
        return {name: moved(item, place) for name, item in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return SimpleNamespace(**{each.name: moved(getattr(value, each.name), place) for each in fields(value)})
    return value


def own(architecture: str, class_name: str, config: dict[str, Any], state: dict[str, Any]) -> Any:
    """A model of the package on the device."""
    return Served(build(class_name, config, state, "float32").to(PLACE))


def compiled(architecture: str, class_name: str, config: dict[str, Any], state: dict[str, Any]) -> Any:
    """The same, compiled."""
    module = build(class_name, config, state, "float32").to(PLACE)
    return Served(module, torch.compile(module, dynamic=True, backend=BACKEND))


models = ModelTarget(own, name="trueband.optimized on the device", training=())
compiled_models = ModelTarget(compiled, name="trueband.optimized on the device, compiled", training=())
