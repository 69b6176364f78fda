"""Checkpoints that are spoiled: one ValueError that names the file and the tensor, and no code of a file ever runs."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from trueband.optimized.models import LongformerForMaskedLM

DENSE = "longformer.encoder.layer.0.intermediate.dense.weight"


def rewrite(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    state = load_file(folder / "model.safetensors")
    change(state)
    save_file(state, folder / "model.safetensors")


def reconfigure(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def truncate(folder: Path, share: float) -> None:
    path = folder / "model.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])


def break_header(folder: Path) -> None:
    path = folder / "model.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:8] + b"?" + content[9:])


def shards(folder: Path, **changes: str) -> None:
    names = list(load_file(folder / "model.safetensors"))
    (folder / "model.safetensors").rename(folder / "part.safetensors")
    places = dict.fromkeys(names, "part.safetensors") | changes
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))


def as_pickle(folder: Path, content: object) -> None:
    (folder / "model.safetensors").unlink()
    torch.save(content, folder / "pytorch_model.bin")


def truncated_pickle(folder: Path) -> None:
    as_pickle(folder, load_file(folder / "model.safetensors"))
    path = folder / "pytorch_model.bin"
    path.write_bytes(path.read_bytes()[:2000])


SPOILED: dict[str, tuple[Callable[[Path], object], str]] = {
    "no weights": (
        lambda folder: (folder / "model.safetensors").unlink(),
        r"directory: expected model\.safetensors or pytorch_model\.bin .*got neither",
    ),
    "half a file": (lambda folder: truncate(folder, 0.5), r"model\.safetensors: expected a whole safetensors file"),
    "nothing of a file": (lambda folder: truncate(folder, 0), r"model\.safetensors: expected a whole safetensors file"),
    "a broken header": (break_header, r"model\.safetensors: expected a whole safetensors file"),
    "a missing tensor": (
        lambda folder: rewrite(folder, lambda state: state.pop(DENSE)),
        rf"model\.safetensors: expected {DENSE}, got no such tensors$",
    ),
    "another shape": (
        lambda folder: rewrite(folder, lambda state: state.update({DENSE: torch.zeros(16, 32)})),
        rf"model\.safetensors: expected {DENSE} of shape \(32, 16\), got \(16, 32\)",
    ),
    "integers": (
        lambda folder: rewrite(folder, lambda state: state.update({DENSE: torch.zeros(32, 16, dtype=torch.int64)})),
        rf"model\.safetensors: expected {DENSE} in one of .*, got torch\.int64",
    ),
    "mixed dtypes": (
        lambda folder: rewrite(folder, lambda state: state.update({DENSE: torch.zeros(32, 16, dtype=torch.float64)})),
        rf"expected one dtype .*torch\.float64 \({DENSE}\)",
    ),
    "a missing shard": (
        lambda folder: shards(folder, **{DENSE: "other.safetensors"}),
        rf"index\.json: expected the shard other\.safetensors of {DENSE} beside it, got no such file",
    ),
    "a shard elsewhere": (
        lambda folder: shards(folder, **{DENSE: "../part.safetensors"}),
        rf"index\.json: expected the name of a file beside it for {DENSE}, got '\.\./part\.safetensors'",
    ),
    "a tensor that its shard does not hold": (
        lambda folder: shards(folder, **{"longformer.ghost": "part.safetensors"}),
        r"part\.safetensors: expected longformer\.ghost \(as model\.safetensors\.index\.json says\)",
    ),
    "an index without a map": (
        lambda folder: (
            (folder / "model.safetensors").rename(folder / "part.safetensors")
            and (folder / "model.safetensors.index.json").write_text("{}")
        ),
        r"model\.safetensors\.index\.json: expected a weight_map",
    ),
    "a truncated pickle": (truncated_pickle, r"pytorch_model\.bin: expected a file of tensors"),
    "a pickle of a list": (
        lambda folder: as_pickle(folder, [1]),
        r"pytorch_model\.bin: expected a state dict, got list",
    ),
    "a pickle of numbers": (
        lambda folder: as_pickle(folder, {"a": 1}),
        r"pytorch_model\.bin: expected tensors by name, got int under 'a'",
    ),
    "no configuration": (
        lambda folder: (folder / "config.json").unlink(),
        r"directory: expected config\.json in .*, got no such file",
    ),
    "a configuration that is no JSON": (
        lambda folder: (folder / "config.json").write_text("{"),
        r"config\.json: expected JSON",
    ),
    "a configuration that is a list": (
        lambda folder: (folder / "config.json").write_text("[]"),
        r"config\.json: expected a JSON object, got list",
    ),
    "another model type": (
        lambda folder: reconfigure(folder, model_type="led"),
        r"config\.json: expected model_type 'longformer', got 'led'",
    ),
    "an odd window": (
        lambda folder: reconfigure(folder, attention_window=7),
        r"config\.json: attention_window: expected even",
    ),
    "a window for one layer only": (
        lambda folder: reconfigure(folder, attention_window=[8]),
        r"config\.json: attention_window: expected one window for each of 2 layers, got 1",
    ),
    "an activation that is not computed": (
        lambda folder: reconfigure(folder, hidden_act="mish"),
        r"config\.json: hidden_act: expected one of 'gelu'.*, got 'mish'",
    ),
    "more layers than weights": (
        lambda folder: reconfigure(folder, num_hidden_layers=3),
        r"expected longformer\.encoder\.layer\.2\.attention\.self\.query\.weight, .* and 10 more, got no such tensors",
    ),
}


@pytest.mark.parametrize("name", SPOILED)
def test_a_spoiled_checkpoint_is_refused(name: str, folder: Path) -> None:
    spoil, message = SPOILED[name]
    LongformerForMaskedLM.from_pretrained(folder)  # the right one is read
    spoil(folder)
    with pytest.raises(ValueError, match=message):
        LongformerForMaskedLM.from_pretrained(folder)


def test_mixed_dtypes_are_read_when_the_dtype_is_given(folder: Path) -> None:
    rewrite(folder, lambda state: state.update({DENSE: state[DENSE].double()}))
    model = LongformerForMaskedLM.from_pretrained(folder, dtype=torch.float64)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float64}


@pytest.mark.parametrize("dtype", [torch.int64, torch.complex64])
def test_a_dtype_that_models_do_not_compute_in(dtype: torch.dtype, folder: Path) -> None:
    with pytest.raises(ValueError, match=r"^dtype: expected one of .*, got torch\."):
        LongformerForMaskedLM.from_pretrained(folder, dtype=dtype)


@pytest.mark.parametrize("kind", ["a file", "nothing"])
def test_a_path_that_is_no_folder(kind: str, folder: Path) -> None:
    path = folder / ("config.json" if kind == "a file" else "absent")
    with pytest.raises(ValueError, match=r"^directory: expected a folder"):
        LongformerForMaskedLM.from_pretrained(path)
    if kind == "a file":
        with pytest.raises(ValueError, match=r"^directory: expected a folder"):
            LongformerForMaskedLM.from_pretrained(folder).save_pretrained(path)


class Hostile:
    """Unpickling it makes a file."""

    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.victim,)


@pytest.mark.parametrize("form", ["torch.save", "plain pickle"])
def test_a_hostile_pickle_does_nothing(form: str, folder: Path, tmp_path: Path) -> None:
    victim = tmp_path / "touched"
    content = load_file(folder / "model.safetensors") | {"longformer.hostile": Hostile(victim)}
    (folder / "model.safetensors").unlink()
    path = folder / "pytorch_model.bin"
    if form == "torch.save":
        torch.save(content, path)
        torch.load(path, weights_only=False)
    else:
        path.write_bytes(pickle.dumps(Hostile(victim)))
        pickle.loads(path.read_bytes())
    assert victim.exists()  # it is hostile indeed
    victim.unlink()
    with pytest.raises(ValueError, match=r"pytorch_model\.bin: expected a file of tensors"):
        LongformerForMaskedLM.from_pretrained(folder)
    assert not victim.exists()


def test_an_interrupted_save_leaves_the_old_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import trueband.optimized.checkpoints.writing as writing

    model = LongformerForMaskedLM.from_pretrained(folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def interrupted(_: object, path: Path, **__: object) -> None:
        Path(path).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(writing, "save_file", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.save_pretrained(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
