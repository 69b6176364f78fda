"""Checkpoints between this project and the peer, bit for bit, in both directions."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors import safe_open

ARCHITECTURES = ("roberta", "longformer")
Folder = Callable[..., tuple[Path, Any]]


def assert_same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys()
    assert [name for name in a if a[name].dtype != b[name].dtype or not torch.equal(a[name], b[name])] == []


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_peers_checkpoint_is_read(architecture: str, ours: dict[str, Any], peer_folder: Folder) -> None:
    folder, theirs = peer_folder(architecture)
    model = ours[architecture].from_pretrained(folder)
    assert_same(model.state_dict(), theirs.state_dict())
    assert not model.training
    words = model.get_submodule(architecture).embeddings.word_embeddings.weight
    assert model.lm_head.decoder.weight is words
    assert model.lm_head.decoder.bias is model.lm_head.bias


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_peer_reads_ours(
    architecture: str, dtype: torch.dtype, ours: dict[str, Any], peer_folder: Folder, tmp_path: Path
) -> None:
    folder, theirs = peer_folder(architecture)
    model = ours[architecture].from_pretrained(folder, dtype=dtype)
    model.save_pretrained(tmp_path)
    again, told = type(theirs).from_pretrained(tmp_path, output_loading_info=True)
    assert not any(told.values()), told  # nothing missing, unexpected or of another shape
    assert_same(again.state_dict(), theirs.to(dtype).state_dict())
    if dtype == torch.float32:
        ids = torch.arange(4, 20)[None]
        for parameter in again.parameters():  # the peer maps files: where weights lie, last bits may depend on it
            parameter.data = parameter.data.clone()
        with torch.no_grad():
            assert torch.equal(again(ids).logits, theirs(ids).logits)
    assert_same(ours[architecture].from_pretrained(tmp_path).state_dict(), model.state_dict())
    with safe_open(tmp_path / "model.safetensors", framework="pt") as file:
        assert file.metadata() == {"format": "pt"}
        names = file.keys()
    assert len(names) == len(dict(model.named_parameters()))  # tied weights once
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]


def test_config_json_is_the_peers(ours: dict[str, Any], peer_folder: Folder, tmp_path: Path) -> None:
    folder, _ = peer_folder("longformer", attention_window=[4, 6])
    ours["longformer"].from_pretrained(folder).save_pretrained(tmp_path)
    written = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    peers = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    shared = written.keys() & peers.keys()
    assert shared == peers.keys()
    assert {name: written[name] for name in shared} == {name: peers[name] for name in shared}
    assert written["model_type"] == "longformer"
    assert written["attention_window"] == [4, 6]
    assert isinstance(transformers.AutoConfig.from_pretrained(tmp_path), transformers.LongformerConfig)


def test_the_peers_shards_are_read(ours: dict[str, Any], peer_folder: Folder, tmp_path: Path) -> None:
    _, theirs = peer_folder("longformer")
    theirs.save_pretrained(tmp_path, max_shard_size="8KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 2
    assert_same(ours["longformer"].from_pretrained(tmp_path).state_dict(), theirs.state_dict())


def test_another_number_of_labels_is_written_as_the_peer_reads_it(
    ours: dict[str, Any], sizes: dict[str, Any], tmp_path: Path
) -> None:
    from trueband.reference.config import XLMRobertaConfig

    ours["roberta"](XLMRobertaConfig(**sizes, num_labels=5)).save_pretrained(tmp_path)
    assert transformers.AutoConfig.from_pretrained(tmp_path).num_labels == 5
    assert ours["roberta"].from_pretrained(tmp_path).config.num_labels == 5
