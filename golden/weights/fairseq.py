"""Checkpoints of fairseq's RoBERTa, brought to the Hub's names; and the conversion of a RoBERTa to a Longformer.

A checkpoint is a pickle. It is read with `weights_only=True` and one class allowed besides tensors, argparse.Namespace
(the training arguments): no code of the file runs. torch is imported only when a checkpoint is read.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]

ENCODER = "decoder.sentence_encoder"  # fairseq's name for the encoder of its RoBERTa
LAYER_NORM_EPS = 1e-5  # fairseq's LayerNorm is built with torch's default; the checkpoint does not store it

_OUTSIDE = {
    f"{ENCODER}.embed_tokens.weight": "roberta.embeddings.word_embeddings.weight",
    f"{ENCODER}.embed_positions.weight": "roberta.embeddings.position_embeddings.weight",
    f"{ENCODER}.emb_layer_norm.weight": "roberta.embeddings.LayerNorm.weight",
    f"{ENCODER}.emb_layer_norm.bias": "roberta.embeddings.LayerNorm.bias",
    "decoder.lm_head.weight": "lm_head.decoder.weight",
    "decoder.lm_head.bias": "lm_head.bias",
    "decoder.lm_head.dense.weight": "lm_head.dense.weight",
    "decoder.lm_head.dense.bias": "lm_head.dense.bias",
    "decoder.lm_head.layer_norm.weight": "lm_head.layer_norm.weight",
    "decoder.lm_head.layer_norm.bias": "lm_head.layer_norm.bias",
}
_INSIDE_A_LAYER = {
    "self_attn.q_proj": "attention.self.query",
    "self_attn.k_proj": "attention.self.key",
    "self_attn.v_proj": "attention.self.value",
    "self_attn.out_proj": "attention.output.dense",
    "self_attn_layer_norm": "attention.output.LayerNorm",
    "fc1": "intermediate.dense",
    "fc2": "output.dense",
    "final_layer_norm": "output.LayerNorm",
}


class Checkpoint(NamedTuple):
    """Attributes:
    config: fields of `config.json` under the Hub's names.
    state: float32 arrays under the Hub's keys of a MaskedLM class.
    """

    config: dict[str, Any]
    state: Arrays


def load_fairseq_roberta(path: Path) -> Checkpoint:
    """Reads a fairseq RoBERTa with a language-model head.

    Raises:
        ValueError: missing or unknown keys, or training arguments that another computation would need.
    """
    import torch

    with torch.serialization.safe_globals([argparse.Namespace]):
        stored = torch.load(path, map_location="cpu", weights_only=True)
    model = {name: tensor.float().numpy() for name, tensor in stored["model"].items()}
    return convert_fairseq_roberta(older_names(model), training_arguments(stored))


def training_arguments(stored: Mapping[str, Any]) -> argparse.Namespace:
    """The arguments of the model in a checkpoint: `args`, or in files of newer versions the part `model` of `cfg`.

    Raises:
        ValueError: neither is there.
    """
    args, cfg = stored.get("args"), stored.get("cfg")
    if args is None and isinstance(cfg, Mapping):
        args = cfg.get("model")
    if isinstance(args, Mapping):
        args = argparse.Namespace(**args)
    if not isinstance(args, argparse.Namespace):
        raise ValueError(f"args: expected the training arguments, or cfg with those of the model, got {args!r}")
    return args


def older_names(model: Mapping[str, NDArray[Any]]) -> Arrays:
    """The arrays under the names of fairseq's first RoBERTa: newer ones say encoder and layernorm_embedding.

    Raises:
        ValueError: a checkpoint with classification heads, which a language model has no place for.
    """
    heads = sorted({name.split(".")[1] for name in model if name.startswith("classification_heads.")})
    if heads:
        raise ValueError(
            f"model: expected a language model without other heads, got the classification heads {', '.join(heads)}; "
            "delete their entries from the checkpoint to convert the rest"
        )
    renamed = {}
    for name, array in model.items():
        if name.endswith(".version"):  # a number of the format, not a weight
            continue
        start, _, rest = name.partition(".")
        name = f"decoder.{rest}" if start == "encoder" else name
        renamed[name.replace(f"{ENCODER}.layernorm_embedding.", f"{ENCODER}.emb_layer_norm.")] = array
    return renamed


def convert_fairseq_roberta(model: Arrays, args: argparse.Namespace) -> Checkpoint:
    """The same on arrays that are already read. `args`: the training arguments stored beside them."""
    if args.activation_fn != "gelu":
        raise ValueError(f"activation_fn: expected 'gelu', got {args.activation_fn!r}")
    names = hub_names(args.encoder_layers)
    missing, unknown = names.keys() - model.keys(), model.keys() - names.keys()
    if missing or unknown:
        raise ValueError(
            f"model: expected the keys of a fairseq RoBERTa with {args.encoder_layers} layers, "
            f"got missing: {_listed(missing)}; unknown: {_listed(unknown)}"
        )
    state = {hub: np.ascontiguousarray(model[fairseq], dtype=np.float32) for fairseq, hub in names.items()}
    words = state["roberta.embeddings.word_embeddings.weight"]
    if not np.array_equal(state["lm_head.decoder.weight"], words):
        raise ValueError("decoder.lm_head.weight: expected the word embeddings (tied), got other values")
    state["roberta.embeddings.token_type_embeddings.weight"] = np.zeros((1, words.shape[1]), dtype=np.float32)
    state["lm_head.decoder.bias"] = state["lm_head.bias"]
    positions = state["roberta.embeddings.position_embeddings.weight"].shape[0]
    config = {
        "vocab_size": words.shape[0],
        "hidden_size": args.encoder_embed_dim,
        "num_hidden_layers": args.encoder_layers,
        "num_attention_heads": args.encoder_attention_heads,
        "intermediate_size": args.encoder_ffn_embed_dim,
        "hidden_act": "gelu",
        "max_position_embeddings": positions,
        "type_vocab_size": 1,
        "layer_norm_eps": LAYER_NORM_EPS,
        "bos_token_id": 0,
        "pad_token_id": 1,
        "eos_token_id": 2,
    }
    return Checkpoint(config, state)


def hub_names(layers: int) -> dict[str, str]:
    """fairseq's key -> the Hub's key, for a model of so many layers."""
    inside = {
        f"{ENCODER}.layers.{i}.{fairseq}.{kind}": f"roberta.encoder.layer.{i}.{hub}.{kind}"
        for i in range(layers)
        for fairseq, hub in _INSIDE_A_LAYER.items()
        for kind in ("weight", "bias")
    }
    return _OUTSIDE | inside


def to_longformer(checkpoint: Checkpoint, attention_window: int, max_positions: int) -> Checkpoint:
    """A Longformer of the same weights (arXiv 2004.05150, section 5), which computes the same where its window covers
    the text.

    Rows 0 and 1 of the position table (the offset) are kept; the rows from 2 on are tiled to `max_positions` tokens.
    Query, key and value are copied to the projections of the global tokens.

    Args:
        attention_window: TWO-SIDED and even, as the Hub's configurations hold it.
        max_positions: longest text in tokens.
    """
    config, state = checkpoint
    offset = config["pad_token_id"] + 1
    converted = {name.replace("roberta.", "longformer.", 1): array for name, array in state.items()}
    table = converted["longformer.embeddings.position_embeddings.weight"]
    tiled = repeated(table[offset:], max_positions)
    converted["longformer.embeddings.position_embeddings.weight"] = np.concatenate([table[:offset], tiled])
    for name, array in list(converted.items()):
        for part in ("query", "key", "value"):
            if f".attention.self.{part}." in name:
                converted[name.replace(f".{part}.", f".{part}_global.")] = array
    changed = {"attention_window": attention_window, "max_position_embeddings": max_positions + offset}
    return Checkpoint(config | changed, converted)


def repeated(learned: NDArray[Any], max_positions: int) -> NDArray[Any]:
    """The learned rows of a position table, repeated to so many."""
    return np.tile(learned, (-(-max_positions // len(learned)), 1))[:max_positions]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
