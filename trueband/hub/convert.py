"""Each conversion from reading to verdict: read the source, convert, write a folder, read it back, judge."""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

from trueband.golden.weights.bart import bart_to_led, complete_bart, without_tied
from trueband.golden.weights.fairseq import (
    Arrays,
    Checkpoint,
    convert_fairseq_roberta,
    older_names,
    training_arguments,
)
from trueband.hub.convert_check import judge_fairseq, judge_heads, judge_led, judge_longformer, judge_positions
from trueband.hub.convert_roberta import PREFIX, TIED, fairseq_to_hub, roberta_to_longformer
from trueband.hub.convert_source import BART_OFFSET
from trueband.hub.folder import read_folder, write_folder
from trueband.properties.results.verdict import Verdict

# Files of the tokenizer and of generation go along as they are, but for the longest text.
ALONG = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "sentencepiece.bpe.model",
    "spiece.model",
    "tokenizer.model",
    "generation_config.json",
)


def convert_roberta(source: Path, folder: Path, max_positions: int, window: int) -> list[Verdict]:
    """RoBERTa of the Hub to Longformer. `window`: two-sided."""
    read = read_folder(source, "SOURCE")
    config, state = read.config, read.state
    converted = roberta_to_longformer(config, state, window, max_positions)
    write_folder(folder, *converted, read.dtype)
    copy_along(source, folder, max_positions)
    prefixed = state if any(name.startswith(PREFIX) for name in state) else {PREFIX + k: v for k, v in state.items()}
    offset = config.get("pad_token_id", 1) + 1
    stored = read_folder(folder, "TARGET").state
    name = "embeddings.position_embeddings.weight"
    positions = judge_positions(stored[f"longformer.{name}"][offset:], prefixed[f"{PREFIX}{name}"][offset:])
    heads = judge_heads(without_tied(prefixed, TIED), stored, PREFIX)
    return [*judge_longformer(folder, config, prefixed, window // 2), positions, heads]


def convert_bart(source: Path, folder: Path, max_positions: int, window: int) -> list[Verdict]:
    """BART of the Hub to LED. `window`: two-sided."""
    read = read_folder(source, "SOURCE")
    config, state = read.config, complete_bart(read.state)
    converted = bart_to_led(Checkpoint(config, state), window, max_positions)
    write_folder(folder, *converted, read.dtype)
    copy_along(source, folder, max_positions)
    stored = read_folder(folder, "TARGET").state
    learned = {side: state[f"model.{side}.embed_positions.weight"][BART_OFFSET:] for side in ("encoder", "decoder")}
    positions = [
        judge_positions(stored[f"led.{side}.embed_positions.weight"], table, f"position table of the {side}")
        for side, table in learned.items()
    ]
    return [*judge_led(folder, config, state, window // 2), *positions, judge_heads(state, stored, "model.")]


def convert_fairseq(source: Path, folder: Path, max_positions: int, window: int) -> list[Verdict]:
    """RoBERTa of fairseq to the Hub's names. `max_positions` and `window` do not apply."""
    model, args = read_fairseq(source)
    converted = fairseq_to_hub(convert_fairseq_roberta(model, args))
    write_folder(folder, *converted, "float32")
    return judge_fairseq(folder, model, args.encoder_layers, args.encoder_attention_heads)


def read_fairseq(path: Path) -> tuple[Arrays, argparse.Namespace]:
    """Arrays under fairseq's names and the training arguments; no code of the file runs."""
    import torch

    if not path.is_file():
        raise ValueError(f"SOURCE: expected a fairseq checkpoint (.pt), got {path}")
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            stored = torch.load(path, map_location="cpu", weights_only=True)
        model = {name: tensor.float().numpy() for name, tensor in stored["model"].items()}
        arguments = {name: stored[name] for name in ("args", "cfg") if name in stored}
    except Exception as error:  # whatever a broken or hostile pickle raises
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        hint = ""
        if "omegaconf" in str(error):
            hint = ", with its cfg as plain dicts (OmegaConf.to_container) in the place of objects of omegaconf"
        raise ValueError(f"{path}: expected a fairseq checkpoint{hint}, got: {said}") from error
    return older_names(model), training_arguments(arguments)


def copy_along(source: Path, folder: Path, max_positions: int) -> None:
    """Copy what stands beside the weights. A tokenizer that would cut texts at the old length gets the new one."""
    for name in ALONG:
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)
    from trueband.optimized.checkpoints.weight_files import read_json

    path = folder / "tokenizer_config.json"
    if path.is_file():
        said = read_json(path)
        longest = said.get("model_max_length")
        if isinstance(longest, int) and longest < max_positions:
            path.write_text(json.dumps(said | {"model_max_length": max_positions}, indent=2) + "\n", encoding="utf-8")
