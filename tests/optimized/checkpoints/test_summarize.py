"""`trueband summarize` on a tiny LED with a tokenizer of whole words."""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

from trueband.commands import summarize as summarize_command
from trueband.optimized.models import LEDForConditionalGeneration
from trueband.reference.config import GenerationConfig, LEDConfig

SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]
WORDS = [f"w{i}" for i in range(26)]
TEXT = "w1 w2 w3 w4 w5 w6 w7"
Run = Callable[..., str]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    vocabulary = {word: i for i, word in enumerate(SPECIAL + WORDS)}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    tokenizer.add_special_tokens(SPECIAL)
    tokenizer.enable_truncation(3)  # what a tokenizer.json of the Hub may ask for is not done
    tokenizer.enable_padding(length=50)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    model = LEDForConditionalGeneration(
        LEDConfig(
            vocab_size=30,
            d_model=16,
            encoder_layers=1,
            decoder_layers=1,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            encoder_ffn_dim=16,
            decoder_ffn_dim=16,
            max_encoder_position_embeddings=12,
            max_decoder_position_embeddings=10,
            attention_window=2,
        )
    )
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=1.0)
    model.save_pretrained(tmp_path)
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8")
    return tmp_path


@pytest.fixture
def summarize(capsys: pytest.CaptureFixture[str]) -> Run:
    """What the command writes to stdout."""
    parser = argparse.ArgumentParser()
    summarize_command.add_parser(parser.add_subparsers())

    def run(*arguments: object) -> str:
        options = parser.parse_args(["summarize", *map(str, arguments)])
        assert options.run(options) == 0
        return capsys.readouterr().out

    return run


def written(folder: Path, text: str = TEXT, globals_: int = 1, **options: Any) -> str:
    """The same by hand."""
    words = SPECIAL + WORDS
    ids = torch.tensor([[0, *(words.index(word) for word in text.split()), 2]])
    flags = torch.zeros_like(ids)
    flags[:, :globals_] = 1
    model = LEDForConditionalGeneration.from_pretrained(folder)
    sequences = model.generate(ids, GenerationConfig(**{"max_length": 10} | options), global_attention_mask=flags)
    assert isinstance(sequences, torch.Tensor)
    return " ".join(words[i] for i in sequences[0].tolist() if i >= len(SPECIAL)) + "\n"


def test_the_summary_is_what_generate_writes(folder: Path, summarize: Run) -> None:
    plain = summarize(folder, folder / "text.txt")
    assert plain == written(folder)  # 20 tokens are the default; the decoder has positions for 10
    assert len(plain.split()) > 3


def test_options_and_files_say_how_to_decode(folder: Path, summarize: Run) -> None:
    beams: dict[str, Any] = {"num_beams": 3, "no_repeat_ngram_size": 1, "length_penalty": 2.0}
    (folder / "generation_config.json").write_text(json.dumps(beams | {"max_length": None}))
    assert summarize(folder, folder / "text.txt") == written(folder, **beams)
    greedy = summarize(folder, folder / "text.txt", "--num-beams", 1, "--max-length", 6)
    assert greedy == written(folder, no_repeat_ngram_size=1, max_length=6)
    assert greedy != written(folder, **beams)


@pytest.mark.parametrize("count", [None, 0, 3])
def test_the_first_token_is_global(
    count: int | None, folder: Path, summarize: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[torch.Tensor] = []
    right = LEDForConditionalGeneration.generate

    def watched(self: Any, *arguments: Any, **options: Any) -> Any:
        given.append(options["global_attention_mask"])
        return right(self, *arguments, **options)

    monkeypatch.setattr(LEDForConditionalGeneration, "generate", watched)
    summarize(folder, folder / "text.txt", *(() if count is None else ("--global-tokens", count)))
    globals_ = 1 if count is None else count
    assert [flags.tolist() for flags in given] == [[[1] * globals_ + [0] * (9 - globals_)]]


def test_standard_input_and_a_text_that_is_too_long(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(" ".join(WORDS)))
    ids = " ".join(WORDS[:10])  # 12 positions, two of them for start and end
    parser = argparse.ArgumentParser()
    summarize_command.add_parser(parser.add_subparsers())
    options = parser.parse_args(["summarize", str(folder), "-"])
    assert options.run(options) == 0
    out, err = capsys.readouterr()
    assert out == written(folder, ids)
    assert "the text has 28 tokens; the first 12 are read" in err


def test_without_the_package_the_error_says_how_to_get_it(
    folder: Path, summarize: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(ValueError, match=r"^tokenizers: expected the package.*: pip install 'trueband\[text\]'$"):
        summarize(folder, folder / "text.txt")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "tokenizer.json").unlink(), r"^DIR: expected a folder with tokenizer\.json, got"),
        (lambda folder: (folder / "tokenizer.json").write_text("{"), r"tokenizer\.json: expected a tokenizer, got"),
        (lambda folder: (folder / "text.txt").write_text(" \n"), r"text\.txt: expected a text, got nothing"),
        (lambda folder: (folder / "text.txt").write_bytes(b"\xff"), r"text\.txt: expected text in UTF-8"),
        (lambda folder: (folder / "model.safetensors").unlink(), r"^directory: expected model\.safetensors"),
    ],
)
def test_wrong_files(spoil: Callable[[Path], object], message: str, folder: Path, summarize: Run) -> None:
    spoil(folder)
    with pytest.raises(ValueError, match=message):
        summarize(folder, folder / "text.txt")


def test_a_wrong_option(folder: Path, summarize: Run) -> None:
    with pytest.raises(ValueError, match=r"^--global-tokens: expected an int >= 0, got -1"):
        summarize(folder, folder / "text.txt", "--global-tokens", -1)
    with pytest.raises(ValueError, match=r"^num_beams: expected an int >= 1, got 0"):
        summarize(folder, folder / "text.txt", "--num-beams", 0)
