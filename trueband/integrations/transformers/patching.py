"""`patch` puts trueband's attention into a model of transformers, `unpatch` takes it out.

A layer keeps its object, with its weights, hooks and attributes, and gets another class: one that differs in `forward`
alone. Nothing else of the model changes, but that LED and Longformer no longer pad their inputs to whole windows.
"""

from __future__ import annotations

from types import MethodType
from typing import Any, TypeVar

from torch import nn

from trueband.integrations.transformers.interface import leave, use, with_windows
from trueband.integrations.transformers.layers import REPLACED, RESTORED, BandForward

Model = TypeVar("Model", bound=nn.Module)
PADS = "_pad_to_window_size"  # the method of transformers' models that pads


def patch(model: Model) -> Model:
    """Let trueband compute the local attention of a model of transformers; return the model.

    Args:
        model: any model of LED or Longformer, or a module that holds one: a head, an encoder, a model that peft or
            DistributedDataParallel has wrapped. Or a model whose layers have windows and call the attention interface
            of transformers (ModernBERT, Mistral, Gemma 2): it gets the implementation of `register`.

    A model that is patched already is left as it is. The weights are those of before, under the same names, and so are
    the answers within rounding, but that `global_attentions` are 0 where a row of the batch has fewer global tokens.
    Projections are called, never read: adapters and hooks in or on them work.

    Raises:
        TypeError: the model is no module of torch.
        ValueError: it has no layers that trueband can compute, or some that are wrapped so that their class is hidden.
    """
    layers = band_layers(model)
    if not layers:
        inner = with_windows(model)
        if inner is None:
            names = " or ".join(kind.__name__ for kind in REPLACED)
            raise ValueError(
                f"model: expected layers of the classes {names}, or sliding windows behind the attention interface, "
                f"got {type(model).__name__} without"
            )
        use(inner)
        return model
    for name, layer in layers.items():
        check(name, layer)
    for layer in layers.values():
        exchange(layer, REPLACED)
    for part in model.modules():
        if callable(getattr(type(part), PADS, None)) and PADS not in vars(part):
            vars(part)[PADS] = WholeWindowsIfNeeded(part)
    return model


def unpatch(model: Model) -> Model:
    """Undo `patch`: the model computes as before it, bit for bit. Return the model; one never patched is unchanged.

    Raises:
        TypeError: the model is no module of torch.
    """
    for layer in band_layers(model).values():
        exchange(layer, RESTORED)
    for part in model.modules():
        if isinstance(vars(part).get(PADS), WholeWindowsIfNeeded):
            del vars(part)[PADS]
    leave(model)
    return model


def band_layers(model: nn.Module) -> dict[str, nn.Module]:
    """The banded self-attentions of a model by their names, patched or not."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model: expected a torch.nn.Module, got {type(model).__name__}")
    parts: dict[str, nn.Module] = dict(model.named_modules())
    return {name: part for name, part in parts.items() if isinstance(part, tuple(REPLACED))}


def check(name: str, layer: nn.Module) -> None:
    """ValueError for a layer whose forward is not the one of its class in transformers, nor ours."""
    kind = type(layer)
    if kind not in REPLACED and kind not in RESTORED:
        raise ValueError(f"model: expected layers of transformers' own classes, got {kind.__qualname__} at {name!r}")
    wrapped = vars(layer).get("_old_forward", vars(layer).get("forward"))
    if wrapped is not None and getattr(wrapped, "__func__", None) is not kind.forward:
        raise ValueError(
            f"model: expected layers with the forward of their class, got one in its place at {name!r}: patch first"
        )


def exchange(layer: nn.Module, classes: dict[type[nn.Module], type[nn.Module]]) -> None:
    """Give a layer the class that stands for its own, if there is one."""
    kind = classes.get(type(layer))
    if kind is None:
        return
    layer.__class__ = kind
    if "_old_forward" in vars(layer):  # accelerate's hooks keep the method that they call
        vars(layer)["_old_forward"] = MethodType(kind.forward, layer)


class WholeWindowsIfNeeded:
    """In the place of a model's method that pads inputs to whole windows: without it where no layer needs it.

    Tokens that are added are masked, change no other token, and are cut off again: only time is saved.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def __call__(self, **inputs: Any) -> tuple[Any, ...]:
        """(0, *inputs) as they came, in the order of the peer's answer, which is that of its arguments."""
        if all(isinstance(layer, BandForward) for layer in band_layers(self.model).values()):
            inputs.pop("pad_token_id")
            return (0, *inputs.values())
        padded: tuple[Any, ...] = getattr(type(self.model), PADS)(self.model, **inputs)
        return padded
