"""Which checkpoint a folder holds."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import pytest

from trueband.golden.checkpoints import CheckpointEntry, read_table, recognize
from trueband.golden.store import GoldenFileError

LED_BASE = {
    "model_type": "led",
    "vocab_size": 50265,
    "d_model": 768,
    "encoder_layers": 6,
    "decoder_layers": 6,
    "encoder_attention_heads": 12,
    "decoder_attention_heads": 12,
    "encoder_ffn_dim": 3072,
    "decoder_ffn_dim": 3072,
    "max_encoder_position_embeddings": 16384,
    "max_decoder_position_embeddings": 1024,
    "attention_window": [1024] * 6,
}
LED_LARGE = LED_BASE | {
    "d_model": 1024,
    "encoder_layers": 12,
    "decoder_layers": 12,
    "encoder_attention_heads": 16,
    "decoder_attention_heads": 16,
    "encoder_ffn_dim": 4096,
    "decoder_ffn_dim": 4096,
}


def test_a_random_folder_of_led_base_shape_is_led_base(tmp_path: Path) -> None:
    found = recognize(tmp_path, LED_BASE)
    assert (found.entry.id, found.by) == ("allenai/led-base-16384", "shape")
    assert found.entry.keys == {"allenai/led-base-16384", "facebook/bart-base"}


def test_two_of_one_shape_are_told_apart_by_name_or_by_the_user(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"allenai/led-large-16384, allenai/led-large-16384-arxiv; say which with --as"
    ):
        recognize(tmp_path, LED_LARGE)
    arxiv = "allenai/led-large-16384-arxiv"
    assert recognize(tmp_path, LED_LARGE | {"_name_or_path": arxiv}).entry.id == arxiv
    cache = tmp_path / "models--allenai--led-large-16384-arxiv" / "snapshots" / "abc"
    assert recognize(cache, LED_LARGE).entry.id == arxiv
    assert recognize(tmp_path / "allenai" / "led-large-16384", LED_LARGE).entry.id == "allenai/led-large-16384"
    assert recognize(tmp_path / "led-large-16384-arxiv", LED_LARGE).entry.id == arxiv
    assert recognize(tmp_path, LED_LARGE, arxiv).by == "--as"


def test_a_last_name_that_two_have(tmp_path: Path) -> None:
    same = read_table()["sentence-transformers/stsb-roberta-base"]
    config = {"model_type": "roberta", **same.shape, "id2label": {"0": "LABEL_0"}}
    with pytest.raises(
        ValueError, match="cross-encoder/stsb-roberta-base, sentence-transformers/stsb-roberta-base; say"
    ):
        recognize(tmp_path / "stsb-roberta-base", config)
    found = recognize(tmp_path / "cross-encoder" / "stsb-roberta-base", config)
    assert found.entry.id == "cross-encoder/stsb-roberta-base"


def test_the_architecture_tells_apart_too(tmp_path: Path) -> None:
    fields = {
        "model_type": "roberta",
        "vocab_size": 50265,
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
        "max_position_embeddings": 514,
        "type_vocab_size": 1,
    }
    named = {"architectures": ["RobertaForSequenceClassification"], "id2label": {str(i): str(i) for i in range(28)}}
    assert recognize(tmp_path, fields | named).entry.id == "SamLowe/roberta-base-go_emotions"


def test_a_class_that_no_checkpoint_of_the_shape_names(tmp_path: Path) -> None:
    """A Longformer of base's shape with a masked-language-model head is base, not one that was trained to classify."""
    same = read_table()["allenai/longformer-base-4096"]
    config = {"model_type": "longformer", **same.shape, "architectures": ["LongformerForMaskedLM"]}
    assert recognize(tmp_path, config).entry.id == same.id


def test_a_name_does_not_outweigh_the_shape(tmp_path: Path) -> None:
    """The wrong name: a base model that calls itself large."""
    found = recognize(tmp_path, LED_BASE | {"_name_or_path": "allenai/led-large-16384"})
    assert (found.entry.id, found.by) == ("allenai/led-base-16384", "shape")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"d_model": 512}, r"not allenai/led-base-16384: d_model: published 768, here 512"),
        ({"model_type": "bert"}, r"model_type 'bert'; known: .*led.*roberta"),
    ],
)
def test_no_checkpoint_of_the_table(fields: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=f"(?s)^--checkpoint: expected a checkpoint that goldens are known of.*{message}"
    ):
        recognize(tmp_path, LED_BASE | fields)


def test_the_user_cannot_name_what_does_not_fit(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"^--as: expected the shape of allenai/led-large-16384, .*d_model: published 1024"
    ):
        recognize(tmp_path, LED_BASE, "allenai/led-large-16384")
    with pytest.raises(ValueError, match=r"^--as: expected one of .*, got 'nobody/nothing'"):
        recognize(tmp_path, LED_BASE, "nobody/nothing")


def test_the_digest_of_the_weights_comes_first(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    table = {name: each for name, each in read_table().items() if each.model_type == "led"}
    known = "allenai/led-large-16384"
    right = dataclasses.replace(table[known], weights_sha256={"model.safetensors": digest})
    found = recognize(tmp_path, LED_LARGE, table=table | {known: right})
    assert (found.entry.id, found.by) == (known, "sha256 of model.safetensors")
    wrong = dataclasses.replace(table[known], weights_sha256={"model.safetensors": "0" * 64})
    found = recognize(tmp_path, LED_LARGE, known, table | {known: wrong})
    assert found.weights == {"model.safetensors": ("0" * 64, digest)}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "expected the table of checkpoints"),
        ('{"a/b": {"model_type": "led", "color": 1}}', r"a/b: expected the fields .*, got \['color'\]"),
        ('{"a/b": {}}', "a/b: expected all fields that have no default"),
        ('{"a/b": {"model_type": "led", "derived_from": "c/d"}}', "derived_from: expected one listed, got c/d"),
    ],
)
def test_a_spoiled_table(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "table.json").write_text(content, encoding="utf-8")
    with pytest.raises(GoldenFileError, match=message):
        read_table(tmp_path / "table.json")


def test_every_entry_is_one_checkpoint() -> None:
    names = [name for each in read_table().values() for name in each.names]
    assert len(names) == len(set(names))
    assert all(isinstance(each, CheckpointEntry) for each in read_table().values())
