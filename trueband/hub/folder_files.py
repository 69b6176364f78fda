"""A folder of a model as recordings need it: what is recorded of it, and the sha256 of the files of its weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trueband.golden.recordings.inputs import STATES, Inputs
from trueband.golden.recordings.model import Recorded, described
from trueband.golden.recordings.reference import entering_of
from trueband.golden.store.digest import file_sha256
from trueband.hub.folder import read_folder
from trueband.reference.config import LEDConfig

Arrays = dict[str, NDArray[Any]]


class ModelFolder(NamedTuple):
    """A model that is recorded.

    Attributes:
        folder: the folder of `config.json` and the weights.
        config: content of `config.json`.
        recorded: what taps are recorded of.
        stored: dtype of the weights.
        sha256: of the files of weights, by their names.
    """

    folder: Path
    config: dict[str, Any]
    recorded: Recorded
    stored: str
    sha256: dict[str, str]


def read_model(folder: Path, argument: str) -> ModelFolder:
    """Read a folder that transformers or this package has written.

    Args:
        folder: the folder of the model.
        argument: what the user knows the folder by, for messages.

    Raises:
        ValueError: no such folder, no weights, weights of several dtypes, a kind of model that is not recorded.
    """
    read = read_folder(folder, argument)
    sha256 = {file.name: file_sha256(file) for file in read.files}
    return ModelFolder(folder, read.config, described(read.config, read.state), read.dtype, sha256)


def load_model(model: ModelFolder, dtype: str, device: str | None = None) -> Any:
    """The optimized model in a dtype."""
    import torch

    from trueband.optimized import models

    kind: Any = getattr(models, model.recorded.model_class)
    return kind.from_pretrained(model.folder, dtype=getattr(torch, dtype), device=device)


def float64_states(model: ModelFolder, inputs: Inputs) -> Arrays:
    """What each stage reads in a run of the whole optimized model in float64: memory stays linear in the length."""
    import torch

    tensors = {
        name: torch.tensor(array.astype(np.float64) if name == STATES else array) for name, array in inputs.items()
    }
    with torch.no_grad():
        output = load_model(model, "float64")(**tensors, output_hidden_states=True)
    if isinstance(model.recorded.config, LEDConfig):
        states = (_arrays(output.encoder_hidden_states), _arrays(output.decoder_hidden_states))
        return entering_of(model.recorded, inputs, *states)
    return entering_of(model.recorded, inputs, _arrays(output.hidden_states))


def read_inputs(path: Path) -> Arrays:
    """Ids and masks by argument name, of a JSON object of nested lists or of a safetensors file.

    Raises:
        ValueError: no such file, another format, or lists that are no table.
    """
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    from trueband.optimized.checkpoints.weight_files import read_json

    if not path.is_file():
        raise ValueError(f"--inputs: expected a JSON or safetensors file, got {path}")
    content: Mapping[str, Any] = read_json(path)
    arrays = {}
    for name, value in content.items():
        try:
            arrays[name] = np.array(value)
        except ValueError as error:
            raise ValueError(f"{path}: {name}: expected rows of one length (pad them), got others") from error
    return arrays


def _read_safetensors(path: Path) -> Arrays:
    from safetensors import SafetensorError
    from safetensors.torch import load_file  # NumPy has no bfloat16

    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ValueError(f"--inputs: expected a JSON or safetensors file, got {path}: {error}") from error
    return {
        name: (tensor.double() if tensor.is_floating_point() else tensor).numpy() for name, tensor in tensors.items()
    }


def _arrays(tensors: Any) -> list[NDArray[Any]]:
    return [tensor.numpy() for tensor in tensors]
