"""Small models in folders, recordings of them, and ways to spoil both."""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from trueband.commands.golden import command as golden_command
from trueband.golden.store import read_golden, write_golden
from trueband.golden.store.digest import file_sha256
from trueband.optimized import models
from trueband.reference.config import LEDConfig, LongformerConfig, XLMRobertaConfig

SIZES: dict[str, Any] = {
    "vocab_size": 300,
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 32,
    "max_position_embeddings": 60,
    "type_vocab_size": 1,
    "layer_norm_eps": 1e-5,
}
LED: dict[str, Any] = {
    "vocab_size": 60,
    "d_model": 16,
    "encoder_layers": 3,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 24,
    "decoder_ffn_dim": 20,
    "max_encoder_position_embeddings": 48,
    "max_decoder_position_embeddings": 40,
}
MODELS: dict[str, tuple[str, Any]] = {
    "roberta": ("XLMRobertaForMaskedLM", XLMRobertaConfig(**SIZES)),
    "roberta_base": ("XLMRobertaModel", XLMRobertaConfig(**SIZES)),
    "longformer": ("LongformerForMaskedLM", LongformerConfig(**SIZES, attention_window=(4, 8, 6))),
    "led": ("LEDForConditionalGeneration", LEDConfig(**LED, attention_window=(4, 8, 6))),
    "led_base": ("LEDModel", LEDConfig(**LED, attention_window=(4, 8, 6))),
}
for _family, _heads in {
    "roberta": ("SequenceClassification", "TokenClassification", "QuestionAnswering", "MultipleChoice"),
    "longformer": ("SequenceClassification", "TokenClassification", "QuestionAnswering", "MultipleChoice"),
    "led": ("SequenceClassification", "QuestionAnswering"),
}.items():
    for _head in _heads:
        _base_name, _base = MODELS[_family][0].partition("For")[0], MODELS[_family][1]
        _labels = {"num_labels": 3} if _head in ("SequenceClassification", "TokenClassification") else {}
        MODELS[f"{_family}_{_head}"] = (f"{_base_name}For{_head}", dataclasses.replace(_base, **_labels))
DECODER = XLMRobertaConfig(**SIZES, is_decoder=True)
PRUNED = {0: (1,), 2: (0, 3)}
MODELS |= {
    "roberta_decoder": ("XLMRobertaForCausalLM", DECODER),
    "roberta_cross": ("XLMRobertaForCausalLM", dataclasses.replace(DECODER, add_cross_attention=True)),
    "roberta_decoder_base": ("XLMRobertaModel", dataclasses.replace(DECODER, add_cross_attention=True)),
    "roberta_pruned": ("XLMRobertaForMaskedLM", XLMRobertaConfig(**SIZES, pruned_heads=PRUNED)),
    "roberta_pruned_cross": (
        "XLMRobertaForCausalLM",
        dataclasses.replace(DECODER, add_cross_attention=True, pruned_heads=PRUNED),
    ),
    "longformer_base": ("LongformerModel", MODELS["longformer"][1]),
    **{
        f"roberta_{kind}": ("XLMRobertaModel", XLMRobertaConfig(**SIZES, position_embedding_type=kind))
        for kind in ("relative_key", "relative_key_query")
    },
    "roberta_decoder_relative": (
        "XLMRobertaForCausalLM",
        dataclasses.replace(DECODER, position_embedding_type="relative_key_query"),
    ),
}


def make_model(name: str, folder: Path, dtype: torch.dtype = torch.float32) -> Path:
    kind, config = MODELS[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        model = getattr(models, kind)(config)
        for part, parameter in model.named_parameters():
            torch.nn.init.normal_(parameter, mean=float("norm" in part.lower() and "weight" in part), std=0.3)
        model.to(dtype).save_pretrained(folder)
    return folder


def make_inputs(name: str, path: Path, seed: int = 1) -> Path:
    """Two texts of 32 and 25 tokens, with global tokens of their own where the model has such.

    With a classifier: three end tokens in each, and the global tokens of the task, which no mask tells; of choices
    each three texts.
    """
    random = np.random.default_rng(seed)
    kind, config = MODELS[name]
    classifies = kind.endswith(("Classification", "Answering", "Choice"))
    ids = random.integers(3, 60, (2, 3, 32) if kind.endswith("Choice") else (2, 32))
    mask = np.ones_like(ids)
    ids[1, ..., 25:], mask[1, ..., 25:] = 1, 0
    if classifies:
        ids[..., 0], ids[..., [5, 6, 24]] = 0, 2
    content = {"input_ids": ids.tolist(), "attention_mask": mask.tolist()}
    if "roberta" not in name and not classifies:
        flags = np.zeros_like(ids)
        flags[0, [0, 17]] = flags[1, 4] = 1
        content["global_attention_mask"] = flags.tolist()
    if "led" in name and not classifies:
        content["decoder_input_ids"] = random.integers(3, 60, (2, 9)).tolist()
        content["decoder_attention_mask"] = [[1] * 9, [1] * 6 + [0] * 3]
    if getattr(config, "add_cross_attention", False):
        content["encoder_hidden_states"] = random.standard_normal((2, 7, 16)).tolist()
        content["encoder_attention_mask"] = [[1] * 7, [1] * 4 + [0] * 3]
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def run_golden(*arguments: object) -> int:
    parser = argparse.ArgumentParser()
    golden_command.add_parser(parser.add_subparsers())
    options = parser.parse_args(["golden", *map(str, arguments)])
    code: int = options.run(options)
    return code


@pytest.fixture
def golden_cli() -> Callable[..., int]:
    """`trueband golden` with its arguments; the exit code."""
    return run_golden


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], SimpleNamespace]:
    """A model's folder, the file of its inputs and a recording, by the name of the model. Not to be changed."""
    found: dict[str, SimpleNamespace] = {}

    def make(name: str) -> SimpleNamespace:
        if name not in found:
            base = tmp_path_factory.mktemp(name)
            folder, inputs = make_model(name, base / "model"), make_inputs(name, base / "inputs.json")
            assert run_golden("record", folder, "--inputs", inputs, "--out", base / "recording.safetensors") == 0
            found[name] = SimpleNamespace(folder=folder, inputs=inputs, recording=base / "recording.safetensors")
        return found[name]

    return make


def reconfigured(folder: Path, target: Path, **changes: Any) -> Path:
    """A copy with another config.json."""
    shutil.copytree(folder, target)
    path = target / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")
    return target


def with_one_bit_changed(folder: Path, target: Path, tensor: str, bit: int) -> Path:
    """A copy with one mantissa bit of the largest weight of a tensor changed."""
    shutil.copytree(folder, target)
    tensors = load_file(target / "model.safetensors")
    flat = tensors[tensor].reshape(-1).clone()
    place = int(flat.abs().argmax())
    flat[place : place + 1].view(torch.int32).bitwise_xor_(1 << bit)
    tensors[tensor] = flat.reshape(tensors[tensor].shape)
    save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})
    return target


def told_of(recording: Path, folder: Path, target: Path) -> Path:
    """A copy of a recording that tells the sha256 of another folder's weights as if they were the recorded ones."""
    golden = read_golden(recording)
    sha256 = {name: file_sha256(folder / name) for name in golden.metadata.weights_sha256}
    metadata = dataclasses.replace(golden.metadata, weights_sha256=sha256)
    write_golden(target, dataclasses.replace(golden, metadata=metadata))
    return target


@pytest.fixture(scope="session")
def tools() -> SimpleNamespace:
    return SimpleNamespace(
        make_model=make_model,
        make_inputs=make_inputs,
        reconfigured=reconfigured,
        with_one_bit_changed=with_one_bit_changed,
        told_of=told_of,
    )
