"""Where weights lie after reading: mapped where the file puts them on a line of 64 bytes, else copied to one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from trueband.optimized.checkpoints import loading
from trueband.optimized.checkpoints.weight_files import read_weights
from trueband.optimized.models import LongformerForMaskedLM

LINE = 64


def mapped(folder: Path) -> list[range]:
    """Addresses at which files of a folder are mapped into this process."""
    lines = [line for line in Path("/proc/self/maps").read_text().splitlines() if str(folder) in line]
    return [range(*(int(part, 16) for part in line.split()[0].split("-"))) for line in lines]


def begin_at(path: Path, place: int) -> None:
    """Lets the tensors of a safetensors file begin so many bytes behind a line, with spaces after its header."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    spaces = (place - 8 - length) % LINE
    header = content[8 : 8 + length] + b" " * spaces
    path.write_bytes(len(header).to_bytes(8, "little") + header + content[8 + length :])


def safetensors(folder: Path, place: int, dtype: torch.dtype) -> None:
    """One file."""
    LongformerForMaskedLM.from_pretrained(folder, dtype=dtype).save_pretrained(folder)
    begin_at(folder / "model.safetensors", place)


def shards(folder: Path, place: int, dtype: torch.dtype) -> None:
    """Two files and their index."""
    safetensors(folder, place, dtype)
    names = sorted(load_file(folder / "model.safetensors"))
    places: dict[str, str] = {}
    for number, some in enumerate((names[::2], names[1::2])):
        path = folder / f"model-{number}.safetensors"
        keep(folder / "model.safetensors", path, some)
        begin_at(path, place)
        places |= dict.fromkeys(some, path.name)
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))


def keep(source: Path, target: Path, names: list[str]) -> None:
    tensors = load_file(source)
    save_file({name: tensors[name] for name in names}, target, metadata={"format": "pt"})


def pickle(folder: Path, place: int, dtype: torch.dtype) -> None:
    """A file of `torch.save`, which puts storages on lines: each tensor begins somewhere in its own."""
    safetensors(folder, 0, dtype)
    state = load_file(folder / "model.safetensors")
    before = place // dtype.itemsize
    shifted = {name: torch.cat([t.new_zeros(before), t.flatten()])[before:].view(t.shape) for name, t in state.items()}
    (folder / "model.safetensors").unlink()
    torch.save(shifted, folder / "pytorch_model.bin")


Write = Callable[[Path, int, torch.dtype], None]
FORMS = pytest.mark.parametrize("write", [safetensors, shards, pickle], ids=lambda write: write.__name__)


def off_lines(model: LongformerForMaskedLM) -> list[str]:
    values = [*model.named_parameters(), *model.named_buffers()]
    return [name for name, value in values if value.data_ptr() % LINE]


@FORMS
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_weights_begin_on_lines_wherever_the_file_puts_them(
    folder: Path, write: Write, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = LongformerForMaskedLM.from_pretrained(folder, dtype=dtype).state_dict()
    expected = {name: tensor.clone() for name, tensor in expected.items()}
    write(folder, dtype.itemsize, dtype)
    stored = read_weights(folder)
    assert all(each.tensor.data_ptr() % (2 * dtype.itemsize) == dtype.itemsize for each in stored.values())
    for wanted in (None, dtype, torch.float64):
        model = LongformerForMaskedLM.from_pretrained(folder, dtype=wanted)
        assert off_lines(model) == []
        got = model.state_dict()
        assert got.keys() == expected.keys()
        assert all(torch.equal(got[name], expected[name].to(wanted or dtype)) for name in expected)
        assert model.lm_head.decoder.weight is model.longformer.embeddings.word_embeddings.weight
    monkeypatch.setattr(loading, "on_a_line", as_it_lies)
    assert off_lines(LongformerForMaskedLM.from_pretrained(folder))


def as_it_lies(tensor: Tensor) -> Tensor:
    """Wrong: what is mapped is taken, wherever it lies."""
    return tensor


@FORMS
@pytest.mark.parametrize("place", [0, 32])  # the bias of 40 words, which is first in a file, takes 32 bytes of a line
def test_what_lies_on_a_line_stays_mapped(folder: Path, write: Write, place: int) -> None:
    write(folder, place, torch.float32)
    files = {path: path.read_bytes() for path in folder.iterdir()}
    on_line = {name for name, each in read_weights(folder).items() if each.tensor.data_ptr() % LINE == 0}
    assert (len(on_line) > 20) == ((write, place) in [(safetensors, 32), (shards, 0), (shards, 32), (pickle, 0)])
    model = LongformerForMaskedLM.from_pretrained(folder)
    places = mapped(folder)
    assert {n for n, p in model.named_parameters() if any(p.data_ptr() in there for there in places)} == on_line
    with torch.no_grad():  # writing to a weight leaves the file as it is
        for parameter in model.parameters():
            parameter.zero_()
    assert {path: path.read_bytes() for path in folder.iterdir()} == files


def test_a_model_computes_the_same_from_every_place_in_a_file(folder: Path) -> None:
    ids: Any = torch.arange(4, 24)[None]
    found = []
    for place in range(0, LINE, 4):
        begin_at(folder / "model.safetensors", place)
        with torch.no_grad():
            found.append(LongformerForMaskedLM.from_pretrained(folder)(ids).logits)
    assert all(torch.equal(each, found[0]) for each in found)
