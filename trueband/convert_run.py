"""Each conversion from reading to verdict: read the source, convert, write a folder, read it back, judge."""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from trueband.convert_check import judge_fairseq, judge_heads, judge_led, judge_longformer, judge_positions
from trueband.convert_roberta import PREFIX, TIED, fairseq_to_hub, roberta_to_longformer
from trueband.convert_source import BART_OFFSET
from trueband.golden.bart import bart_to_led, complete_bart, without_tied
from trueband.golden.fairseq import Arrays, Checkpoint, convert_fairseq_roberta
from trueband.properties.verdict import Verdict

# Files of the tokenizer and of generation go along as they are.
ALONG = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.json", "merges.txt",
    "sentencepiece.bpe.model", "generation_config.json",
)  # fmt: skip


def convert_roberta(source: Path, folder: Path, max_positions: int, window: int) -> list[Verdict]:
    """RoBERTa of the Hub to Longformer. `window`: two-sided."""
    config, state, dtype = read_hub(source)
    converted = roberta_to_longformer(config, state, window, max_positions)
    write_hub(folder, converted, dtype)
    copy_along(source, folder)
    prefixed = state if any(name.startswith(PREFIX) for name in state) else {PREFIX + k: v for k, v in state.items()}
    offset = config.get("pad_token_id", 1) + 1
    _, stored, _ = read_hub(folder)
    name = "embeddings.position_embeddings.weight"
    positions = judge_positions(stored[f"longformer.{name}"][offset:], prefixed[f"{PREFIX}{name}"][offset:])
    heads = judge_heads(without_tied(prefixed, TIED), stored, PREFIX)
    return [*judge_longformer(folder, config, prefixed, window // 2), positions, heads]


def convert_bart(source: Path, folder: Path, max_positions: int, window: int) -> list[Verdict]:
    """BART of the Hub to LED. `window`: two-sided."""
    config, state, dtype = read_hub(source)
    state = complete_bart(state)
    write_hub(folder, bart_to_led(Checkpoint(config, state), window, max_positions), dtype)
    copy_along(source, folder)
    _, stored, _ = read_hub(folder)
    learned = {side: state[f"model.{side}.embed_positions.weight"][BART_OFFSET:] for side in ("encoder", "decoder")}
    positions = [
        judge_positions(stored[f"led.{side}.embed_positions.weight"], table, f"position table of the {side}")
        for side, table in learned.items()
    ]
    return [*judge_led(folder, config, state, window // 2), *positions, judge_heads(state, stored, "model.")]


def convert_fairseq(source: Path, folder: Path, max_positions: int, window: int) -> list[Verdict]:
    """RoBERTa of fairseq to the Hub's names. `max_positions` and `window` do not apply."""
    model, args = read_fairseq(source)
    write_hub(folder, fairseq_to_hub(convert_fairseq_roberta(model, args)), "float32")
    return judge_fairseq(folder, model, args.encoder_layers, args.encoder_attention_heads)


def read_hub(folder: Path) -> tuple[dict[str, Any], Arrays, str]:
    """`config.json`, arrays (half types as float32, which holds them exactly), and the dtype they are stored in."""
    from trueband.optimized.checkpoints.weight_files import floating, read_json, read_weights

    if not folder.is_dir():
        raise ValueError(f"SOURCE: expected a folder with config.json and weights, got {folder}")
    stored = read_weights(folder)
    tensors = {name: floating(name, each) for name, each in stored.items() if not name.endswith(".position_ids")}
    dtypes = {str(tensor.dtype).removeprefix("torch.") for tensor in tensors.values()}
    if len(dtypes) != 1:
        raise ValueError(f"SOURCE: expected weights of one dtype, got {', '.join(sorted(dtypes)) or 'none'}")
    dtype = dtypes.pop()
    arrays = {name: (tensor if dtype == "float64" else tensor.float()).numpy() for name, tensor in tensors.items()}
    return read_json(folder / "config.json"), arrays, dtype


def read_fairseq(path: Path) -> tuple[Arrays, argparse.Namespace]:
    """Arrays under fairseq's names and the training arguments; no code of the file runs."""
    import torch

    if not path.is_file():
        raise ValueError(f"SOURCE: expected a fairseq checkpoint (.pt), got {path}")
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            stored = torch.load(path, map_location="cpu", weights_only=True)
        model = {name: tensor.float().numpy() for name, tensor in stored["model"].items()}
        args = stored["args"]
    except Exception as error:  # whatever a broken or hostile pickle raises
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(f"{path}: expected a fairseq checkpoint, got: {said}") from error
    return model, args


def write_hub(folder: Path, checkpoint: Checkpoint, dtype: str) -> None:
    """`config.json` and `model.safetensors`. Every tensor is a copy of its own."""
    import torch

    from trueband.optimized.checkpoints.writing import write_folder

    tensors = {
        name: torch.tensor(np.ascontiguousarray(array), dtype=getattr(torch, dtype))
        for name, array in checkpoint.state.items()
    }
    config = _json(checkpoint.config | {"dtype": dtype, "tie_word_embeddings": True})
    write_folder(folder, {"config.json": config}, {"model.safetensors": tensors})


def copy_along(source: Path, folder: Path) -> None:
    for name in ALONG:
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=2, sort_keys=True) + "\n"
