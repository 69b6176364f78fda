"""A folder of a model in the form of the Hub, `config.json` and weights: the one reader and the one writer.

torch is imported on the call.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]
CONFIG, WEIGHTS = "config.json", "model.safetensors"


class HubFolder(NamedTuple):
    """The content of a folder.

    Attributes:
        config: content of `config.json`.
        state: weights under the names in the file, half types as float32, which holds them exactly.
        dtype: the dtype that the weights are stored in, such as "bfloat16".
        files: the files that the weights stand in.
    """

    config: dict[str, Any]
    state: Arrays
    dtype: str
    files: tuple[Path, ...]


def read_config(folder: Path, argument: str) -> dict[str, Any]:
    """The content of `config.json`.

    Args:
        folder: the folder of a model.
        argument: what the user knows the folder by, for messages.

    Raises:
        ValueError: there is no such folder, or no `config.json` that can be read.
    """
    from trueband.optimized.checkpoints.weight_files import read_json

    if not folder.is_dir():
        raise ValueError(f"{argument}: expected a folder with config.json and weights, got {folder}")
    return read_json(folder / CONFIG)


def read_folder(folder: Path, argument: str) -> HubFolder:
    """Read a folder that transformers or this package has written.

    Buffers of position ids, which some versions of transformers have written, are left out.

    Args:
        folder: the folder of a model.
        argument: what the user knows the folder by, for messages.

    Raises:
        ValueError: there is no such folder, no `config.json` or no weights; a file cannot be read; the weights have
            several dtypes.
    """
    from trueband.optimized.checkpoints.weight_files import floating, read_weights

    config = read_config(folder, argument)
    stored = read_weights(folder)
    tensors = {
        name: floating(name, array) for name, array in stored.items() if name.rpartition(".")[2] != "position_ids"
    }
    dtypes = {str(tensor.dtype).removeprefix("torch.") for tensor in tensors.values()}
    if len(dtypes) != 1:
        got = ", ".join(sorted(dtypes)) or "none"
        raise ValueError(f"{argument}: expected weights of one dtype in {folder}, got {got}")
    dtype = dtypes.pop()
    state = {name: (tensor if dtype == "float64" else tensor.float()).numpy() for name, tensor in tensors.items()}
    return HubFolder(config, state, dtype, tuple(sorted({array.file for array in stored.values()})))


def write_folder(folder: Path, config: Mapping[str, Any], state: Mapping[str, NDArray[Any]], dtype: str) -> None:
    """Write `config.json` and `model.safetensors`, every tensor as a copy of its own.

    Args:
        folder: made if need be.
        config: fields of `config.json`. That the words are tied, and the dtype, are written besides.
        state: weights by name, tied ones once.
        dtype: the dtype that they are stored in.
    """
    import torch

    from trueband.optimized.checkpoints import writing

    tensors = {
        name: torch.tensor(np.ascontiguousarray(array), dtype=getattr(torch, dtype)) for name, array in state.items()
    }
    content = {**config, "dtype": dtype, "tie_word_embeddings": True}
    text = json.dumps(content, indent=2, sort_keys=True) + "\n"
    writing.write_folder(folder, {CONFIG: text}, {WEIGHTS: tensors})
