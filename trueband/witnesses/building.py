"""Models of `trueband.optimized` with NumPy weights: the one place where a witness gets its model.

torch is imported on the call.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trueband.reference.config import family_of_class

State = Mapping[str, NDArray[Any]]


def build(model_class: str, config: Mapping[str, Any], state: State, dtype: str) -> Any:
    """A new model with these weights, in evaluation mode on the CPU.

    Args:
        model_class: a class of `trueband.optimized.models`, such as "LEDForConditionalGeneration".
        config: content of `config.json`.
        state: weights under the names of the class, those of a pooling layer if the model is to have one.
        dtype: of the model before the weights are copied into it, such as "float64", which keeps all their digits.

    Raises:
        ValueError: there is no such class; the weights are not those of the model, see `fill`.
    """
    import torch

    from trueband.optimized import models
    from trueband.optimized.checkpoints.config_file import takes_pooling_layer

    settings = family_of_class(model_class).config.from_dict(config)
    kind: Any = getattr(models, model_class)
    pooler = {"add_pooling_layer": "pooler.dense.weight" in state} if takes_pooling_layer(kind) else {}
    model = kind(settings, **pooler).to(getattr(torch, dtype))
    fill(model, state)
    return model.eval()


def fill(model: Any, state: State) -> None:
    """Copy weights into a model of torch, which is to have nothing but them.

    Args:
        model: knows by itself which of its weights are tied: these are one tensor under several names.
        state: weights by name. One name of tied weights is enough.

    Raises:
        ValueError: a weight that is missing under all of its names, that the model does not have, or of another shape.
    """
    import torch

    from trueband.optimized.checkpoints.keys import tied_names

    held = model.state_dict()
    missing = [first for first, names in tied_names(model).items() if not any(name in state for name in names)]
    unknown = [name for name in state if name not in held]
    if missing or unknown:
        kind = type(model).__name__
        raise ValueError(f"state: expected the weights of {kind}, got missing {missing}, unknown {unknown}")
    for name, array in state.items():
        if array.shape != held[name].shape:
            raise ValueError(f"state: expected {name} of shape {tuple(held[name].shape)}, got {array.shape}")
    model.load_state_dict({name: torch.tensor(array) for name, array in state.items()}, strict=False)


def widest_dtype(state: State) -> str:
    """The dtype that holds every number of the weights, such as "float32"."""
    return str(np.result_type(*(array.dtype for array in state.values())))
