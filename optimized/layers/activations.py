"""The functions between the two maps of a feed-forward, under the names that the Hub's configurations have for them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor
from torch.nn.functional import gelu, relu, silu, tanh

Activation = Callable[[Tensor], Tensor]
_by_tanh: Activation = partial(gelu, approximate="tanh")
ACTIVATIONS: dict[str, Activation] = {
    "gelu": gelu,
    "gelu_new": _by_tanh,
    "gelu_fast": _by_tanh,
    "gelu_pytorch_tanh": _by_tanh,
    "relu": relu,
    "silu": silu,
    "swish": silu,
    "tanh": tanh,
}


def activation(name: str, wanted: object) -> Activation:
    """The function that the field `name` of a configuration asks for.

    Raises:
        ValueError: one that is not implemented.
    """
    if not isinstance(wanted, str) or wanted not in ACTIVATIONS:
        known = ", ".join(repr(each) for each in ACTIVATIONS)
        raise ValueError(f"{name}: expected one of {known}, got {wanted!r}")
    return ACTIVATIONS[wanted]
