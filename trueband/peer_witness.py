"""The optimized models as a witness of what a peer gave, NumPy in and out. torch is imported on the call.

The form is that of `trueband.golden.recordings.peer`.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trueband.golden.recordings.peer import config_of, flat
from trueband.reference.config import GenerationConfig

Arrays = dict[str, NDArray[Any]]


def optimized_outputs(
    model_class: str, config: dict[str, Any], state: Arrays, inputs: Arrays, generation: dict[str, Any] | None = None
) -> Arrays:
    """In float64.

    Raises:
        RuntimeError: weights under keys that the model does not have, or without some that it has.
    """
    import torch

    from trueband.optimized import models

    model: Any = getattr(models, model_class)(config_of(model_class, config))
    model.load_state_dict({name: torch.tensor(array) for name, array in state.items()}, strict=True)
    model = model.double().eval()
    tensors = {name: torch.tensor(array) for name, array in inputs.items()}
    with torch.no_grad():
        if generation is not None:
            return {
                "sequences": np.asarray(model.generate(generation_config=GenerationConfig(**generation), **tensors))
            }
        output = model(**tensors, output_hidden_states=True, output_attentions=True)
    fields = {each.name: getattr(output, each.name) for each in dataclasses.fields(output)}
    return flat({name: value for name, value in fields.items() if name != "past_key_values"})
