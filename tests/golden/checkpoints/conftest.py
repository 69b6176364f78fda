"""Stand-ins: small folders made by transformers with random weights, a table that names them, and goldens restated with
what transformers computes from them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, processors, trainers
from tokenizers import decoders as token_decoders

from trueband.golden.checkpoints import CheckpointEntry
from trueband.golden.store import Golden, Store, Tolerance, open_store, write_golden
from trueband.golden.store.store import write_index

WORDS = 50265
ENCODER: dict[str, Any] = {
    "vocab_size": WORDS,
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "type_vocab_size": 1,
    "layer_norm_eps": 1e-5,
    "initializer_range": 0.3,
    "max_position_embeddings": 600,
}
SEQ2SEQ: dict[str, Any] = {
    "vocab_size": WORDS,
    "d_model": 8,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 16,
    "decoder_ffn_dim": 16,
    "init_std": 0.3,
}
LED = {"max_encoder_position_embeddings": 4096, "max_decoder_position_embeddings": 1024, "attention_window": [64, 64]}
BART = {"max_position_embeddings": 1024, "num_labels": 3}
LONGFORMER = {**ENCODER, "max_position_embeddings": 4200, "attention_window": [64, 64]}
TEXTS = (
    "The capital of France is Paris. Hello, my dog is cute. What is BGE M3? The goal of life is happiness and love. "
    "Where does Amy live ? Amy lives in Amsterdam. While Amy lives in Amsterdam, Eric is in The Hague."
)
DIGITS = Tolerance(1e-4, 0.0, "printed with 4 decimals")


def entry(name: str, model_type: str, shape: Mapping[str, Any], **more: Any) -> CheckpointEntry:
    left_out = ("init_std", "initializer_range", "layer_norm_eps", "attention_window")
    kept = {key: value for key, value in shape.items() if key not in left_out}
    return CheckpointEntry(name, model_type, kept, **more)


@pytest.fixture(scope="session")
def table() -> dict[str, CheckpointEntry]:
    """The checkpoints of the store, scaled down."""
    entries = [
        entry(
            "allenai/led-base-16384",
            "led",
            SEQ2SEQ | LED,
            computes={"attention_window": 64},
            derived_from="facebook/bart-base",
        ),
        entry("facebook/bart-base", "bart", {**SEQ2SEQ, **BART, "num_labels": 2}),
        entry("facebook/bart-large-mnli", "bart", SEQ2SEQ | BART),
        entry("allenai/longformer-base-4096", "longformer", LONGFORMER, computes={"attention_window": 64}),
        entry("FacebookAI/roberta-base", "roberta", ENCODER),
        entry(
            "cardiffnlp/twitter-roberta-base-emotion",
            "roberta",
            ENCODER | {"num_labels": 4},
            architecture="RobertaForSequenceClassification",
        ),
        entry("camembert-base", "camembert", ENCODER),
        entry("BAAI/bge-m3", "xlm-roberta", ENCODER),
        entry("deepset/roberta-base-squad2", "roberta", ENCODER | {"max_position_embeddings": 601}),
    ]
    return {each.id: each for each in entries}


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    return byte_level()


@pytest.fixture(scope="session")
def make(tmp_path_factory: pytest.TempPathFactory, tokenizer: Tokenizer) -> Callable[..., tuple[Path, Any]]:
    """Writes a folder: (folder, model), of a class of transformers and the fields of its configuration."""
    transformers.utils.logging.disable_progress_bar()

    def write(model_class: str, with_tokenizer: bool = False, **fields: Any) -> tuple[Path, Any]:
        folder = tmp_path_factory.mktemp("folder") / "checkpoint"
        kind = getattr(transformers, model_class)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(11)
            model = kind(kind.config_class(**fields)).eval()
            for name, parameter in model.named_parameters():
                if name.endswith("bias"):
                    torch.nn.init.normal_(parameter, std=0.3)
        model.save_pretrained(folder)
        if with_tokenizer:
            tokenizer.save(str(folder / "tokenizer.json"))
        return folder, model

    return write


@pytest.fixture(scope="session")
def sizes() -> dict[str, dict[str, Any]]:
    """Fields of the configurations of the stand-ins."""
    return {"led": SEQ2SEQ | LED, "bart": SEQ2SEQ | BART, "longformer": LONGFORMER, "encoder": ENCODER}


@pytest.fixture(scope="session")
def led(make: Callable[..., tuple[Path, Any]]) -> tuple[Path, Any]:
    """LED-base's stand-in, with its vocabulary and lengths."""
    return make("LEDForConditionalGeneration", **SEQ2SEQ, **LED)


def byte_level() -> Tokenizer:
    """Byte-level BPE of a few words, with RoBERTa's special tokens and pairs."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = token_decoders.ByteLevel()
    special = ["<s>", "<pad>", "</s>", "<unk>", AddedToken("<mask>", lstrip=True, special=True)]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([TEXTS] * 3, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    return tokenizer


@pytest.fixture
def restate(tmp_path: Path) -> Callable[..., Store]:
    """A store of goldens of the package that say something else: `restate({id: (numbers, texts)})`."""

    def write(values: Mapping[str, tuple[Any, list[str] | None]], **changes: Any) -> Store:
        for name, (numbers, texts) in values.items():
            golden = open_store().golden(name)
            tolerance = None if numbers is None else DIGITS
            told = dataclasses.replace(golden.metadata, expected=texts, tolerance=tolerance, **changes)
            arrays = {} if numbers is None else {"expected": np.round(np.asarray(numbers, dtype=np.float64), 4)}
            write_golden(tmp_path / "store" / f"{name}.safetensors", Golden(told, arrays))
        write_index(tmp_path / "store")
        open_store.cache_clear()
        return open_store(tmp_path / "store")

    return write


@pytest.fixture
def changed_config() -> Callable[..., Path]:
    """A copy of a folder with other fields in its config.json."""

    def write(folder: Path, target: Path, **fields: Any) -> Path:
        target.mkdir(parents=True)
        for path in folder.iterdir():
            (target / path.name).symlink_to(path)
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        (target / "config.json").unlink()
        (target / "config.json").write_text(json.dumps(config | fields), encoding="utf-8")
        return target

    return write
