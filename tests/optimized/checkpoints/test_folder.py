"""The one reader and writer of folders: what it gives, what it leaves out, what it says of a wrong one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from trueband.hub.folder import HubFolder, read_config, read_folder, write_folder

CONFIG = {"model_type": "led", "d_model": 4}
STATE = {"led.shared.weight": np.arange(8, dtype=np.float32).reshape(4, 2), "lm_head.bias": np.ones(3, np.float32)}


def written(folder: Path, dtype: str = "float32") -> HubFolder:
    write_folder(folder, CONFIG, STATE, dtype)
    return read_folder(folder, "DIR")


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
def test_what_is_written_is_read(tmp_path: Path, dtype: str) -> None:
    """Exact: numbers that every dtype holds. Half types are read as float32."""
    read = written(tmp_path / "new", dtype)
    assert read.config == {**CONFIG, "dtype": dtype, "tie_word_embeddings": True}
    assert read.dtype == dtype
    assert read.files == (tmp_path / "new" / "model.safetensors",)
    assert {name: array.dtype.name for name, array in read.state.items()} == dict.fromkeys(
        STATE, "float64" if dtype == "float64" else "float32"
    )
    assert all(np.array_equal(read.state[name], array) for name, array in STATE.items())
    assert load_file(read.files[0])["lm_head.bias"].dtype == getattr(torch, dtype)


@pytest.mark.parametrize("name", ["position_ids", "embeddings.position_ids", "led.encoder.embeddings.position_ids"])
def test_buffers_of_position_ids_are_left_out(tmp_path: Path, name: str) -> None:
    """They are integers, which are no weights. Wrong: a reader that leaves out what only ends like them."""
    path = written(tmp_path).files[0]
    save_file({**load_file(path), name: torch.arange(3), "no_position_ids": torch.ones(1)}, path)
    assert read_folder(tmp_path, "DIR").state.keys() == {*STATE, "no_position_ids"}


def test_shards_are_files_of_the_folder(tmp_path: Path) -> None:
    path = written(tmp_path).files[0]
    places = {}
    for i, (name, tensor) in enumerate(load_file(path).items()):
        places[name] = f"part-{i}.safetensors"
        save_file({name: tensor}, tmp_path / places[name])
    path.unlink()
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    read = read_folder(tmp_path, "DIR")
    assert read.files == (tmp_path / "part-0.safetensors", tmp_path / "part-1.safetensors")
    assert read.state.keys() == STATE.keys()


def no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def no_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def no_json(folder: Path) -> None:
    (folder / "config.json").write_text("{")


def two_dtypes(folder: Path) -> None:
    path = folder / "model.safetensors"
    save_file({**load_file(path), "half": torch.ones(1, dtype=torch.float16)}, path)


def integers(folder: Path) -> None:
    path = folder / "model.safetensors"
    save_file({**load_file(path), "count": torch.ones(1, dtype=torch.int64)}, path)


def nothing(folder: Path) -> None:
    save_file({}, folder / "model.safetensors")


def gone(folder: Path) -> None:
    no_weights(folder)
    no_config(folder)
    folder.rmdir()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (gone, r"^SOURCE: expected a folder with config\.json and weights, got .*model$"),
        (no_config, r"expected config\.json in .*model, got no such file$"),
        (no_json, r"config\.json: expected JSON, got"),
        (no_weights, r"expected model\.safetensors or pytorch_model\.bin"),
        (two_dtypes, r"^SOURCE: expected weights of one dtype in .*model, got float16, float32$"),
        (nothing, r"^SOURCE: expected weights of one dtype in .*model, got none$"),
        (integers, r"model\.safetensors: expected count in one of float64, .*, got torch\.int64$"),
    ],
)
def test_a_wrong_folder_is_refused(tmp_path: Path, spoil: Callable[[Path], Any], message: str) -> None:
    """By the name that the user knows the folder by, or with the file that is wrong."""
    written(tmp_path / "model")
    spoil(tmp_path / "model")
    with pytest.raises(ValueError, match=message):
        read_folder(tmp_path / "model", "SOURCE")


def test_the_configuration_alone_needs_no_weights(tmp_path: Path) -> None:
    config = written(tmp_path).config
    no_weights(tmp_path)
    assert read_config(tmp_path, "--checkpoint") == config
    with pytest.raises(ValueError, match=r"^--checkpoint: expected a folder with config\.json and weights, got"):
        read_config(tmp_path / "other", "--checkpoint")
