"""`trueband summarize`: what an LED writes about a text file. Needs the package `tokenizers` (the extra `text`)."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trueband.commands import exit_codes
from trueband.commands.arguments import Command, Commands, add_command
from trueband.reports.progress import Progress

DESCRIPTION = """\
Summarize a text with an LED. DIR holds a checkpoint (config.json, model.safetensors) and its tokenizer.json. The first
token attends globally. generation_config.json, or else config.json, says how to decode; the options below take
precedence. A text that is longer than the model's positions is cut, and a line on stderr says so."""

# Options of the command that are options of GenerationConfig, with their types and what they say.
OPTIONS: dict[str, tuple[type, str]] = {
    "max_length": (int, "longest summary in tokens, start and end included"),
    "min_length": (int, "shortest summary in tokens, start and end included"),
    "num_beams": (int, "beams of the search; 1: greedy"),
    "length_penalty": (float, "above 1: longer summaries"),
    "no_repeat_ngram_size": (int, "no n-gram of this size twice; 0: any"),
}


def add_parser(commands: Commands[Command]) -> None:
    """Register the command."""
    command = add_command(commands, "summarize", "summarize a text with an LED", DESCRIPTION, run_summarize)
    command.add_argument("directory", type=Path, metavar="DIR", help="folder of a checkpoint, with tokenizer.json")
    command.add_argument("file", metavar="FILE", help="the text, in UTF-8; -: standard input")
    for name, (kind, text) in OPTIONS.items():
        command.add_argument(f"--{name.replace('_', '-')}", type=kind, metavar="N", help=text)
    command.add_argument(
        "--global-tokens", type=int, default=1, metavar="N", help="how many of the first tokens attend globally"
    )
    command.add_argument("--device", help="e.g. cuda (default: cpu)")


def run_summarize(options: argparse.Namespace) -> int:
    """The summary on stdout, progress on stderr.

    Raises:
        ValueError: no tokenizers package, no tokenizer.json, a checkpoint that cannot be read, wrong options.
    """
    tokenizer = read_tokenizer(options.directory)
    if options.global_tokens < 0:
        raise ValueError(f"--global-tokens: expected an int >= 0, got {options.global_tokens}")
    text = read_text(options.file)

    import torch

    from trueband.optimized.models import LEDForConditionalGeneration

    model = LEDForConditionalGeneration.from_pretrained(options.directory, device=options.device)
    ids = encode(tokenizer, text, model.config.max_encoder_position_embeddings)
    how = generation_config(options, model.config.max_decoder_position_embeddings)
    input_ids = torch.tensor([ids], device=options.device)
    flags = torch.zeros_like(input_ids)
    flags[:, : options.global_tokens] = 1
    with progress(model, len(ids), how.max_length if how.max_new_tokens is None else how.max_new_tokens):
        written = model.generate(input_ids, how, attention_mask=torch.ones_like(input_ids), global_attention_mask=flags)
    assert isinstance(written, torch.Tensor)
    print(tokenizer.decode(written[0].tolist(), skip_special_tokens=True).strip())
    return exit_codes.PASSED


def read_tokenizer(directory: Path) -> Any:
    """`tokenizer.json` of a folder, without the padding and truncation that it may ask for."""
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise ValueError(
            "tokenizers: expected the package, which summarize reads tokenizer.json with, got none; "
            "to install it: pip install 'trueband[text]'"
        ) from error
    path = directory / "tokenizer.json"
    if not path.is_file():
        raise ValueError(f"DIR: expected a folder with tokenizer.json, got {directory}")
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the package raises nothing narrower
        raise ValueError(f"{path}: expected a tokenizer, got: {error}") from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def read_text(file: str) -> str:
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: expected text in UTF-8, got other bytes") from error
    if not text.strip():
        raise ValueError(f"{file}: expected a text, got nothing")
    return text


def encode(tokenizer: Any, text: str, longest: int) -> list[int]:
    """Ids with the special tokens, cut to the model's positions."""
    ids: list[int] = tokenizer.encode(text).ids
    if len(ids) > longest:
        tokenizer.enable_truncation(longest)
        print(f"trueband: the text has {len(ids):,} tokens; the first {longest:,} are read", file=sys.stderr)
        ids = tokenizer.encode(text).ids
    return ids


def generation_config(options: argparse.Namespace, longest: int) -> Any:
    """Return how to decode: the folder's files, then the command's options; no longer than the decoder's positions."""
    from trueband.optimized.checkpoints.weight_files import read_json
    from trueband.reference.config import GenerationConfig

    own = options.directory / "generation_config.json"
    read = GenerationConfig.from_dict(read_json(own if own.is_file() else options.directory / "config.json"))
    changes = {name: getattr(options, name) for name in OPTIONS if getattr(options, name) is not None}
    if "max_length" in changes:
        changes["max_new_tokens"] = None
    if "min_length" in changes:
        changes["min_new_tokens"] = None
    how = dataclasses.replace(read, **changes)
    return dataclasses.replace(how, max_length=min(how.max_length, longest))


@contextmanager
def progress(model: Any, tokens: int, most: int) -> Iterator[None]:
    """A bar on stderr, where that is a terminal: one step for each token that is written."""
    with Progress(most, lines=False) as bar:
        bar.at(f"reading {tokens:,} tokens")
        hook = model.register_forward_hook(lambda *_: bar.advance("writing"))
        try:
            yield
        finally:
            hook.remove()
