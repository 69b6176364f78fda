"""The names and shapes of the weights under the Hub's state-dict keys, and random numbers for them."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from trueband.properties.bounds.precision import round_to

Shapes = Iterator[tuple[str, tuple[int, ...]]]
Weights = dict[str, np.ndarray]


def head_shapes(config: Mapping[str, Any], prefix: str, head: str, size: int) -> Shapes:
    """Return the shapes of a head: "lm", "sequence", "token", "choice" or "qa"; LED (prefix "led.") has other names."""
    labels = config.get("num_labels", 2)
    if head == "lm" and prefix == "led.":
        yield "final_logits_bias", (1, config["vocab_size"])
    elif head == "lm":
        yield "lm_head.bias", (config["vocab_size"],)
        yield from _linear("lm_head.dense", size, size)
        yield from _norm("lm_head.layer_norm", size)
    elif head == "sequence":
        name = "classification_head" if prefix == "led." else "classifier"
        yield from _linear(f"{name}.dense", size, size)
        yield from _linear(f"{name}.out_proj", labels, size)
    elif head == "token":
        yield from _linear("classifier", labels, size)
    elif head == "choice":
        yield from pooler_shapes(prefix, size)
        yield from _linear("classifier", 1, size)
    else:
        yield from _linear("qa_outputs", 2, size)


def pooler_shapes(prefix: str, size: int) -> Shapes:
    """Return the shapes of the pooler, tanh(dense(first token))."""
    yield from _linear(f"{prefix}pooler.dense", size, size)


def encoder_shapes(config: Mapping[str, Any], prefix: str, separate_globals: bool) -> Shapes:
    """Return the shapes of RoBERTa's encoder or decoder; Longformer's has projections of its own for global tokens."""
    size, inner = config["hidden_size"], config["intermediate_size"]
    head_dim = size // config["num_attention_heads"]
    embeddings = f"{prefix}embeddings"
    yield f"{embeddings}.word_embeddings.weight", (config["vocab_size"], size)
    yield f"{embeddings}.position_embeddings.weight", (config["max_position_embeddings"], size)
    yield f"{embeddings}.token_type_embeddings.weight", (config["type_vocab_size"], size)
    yield from _norm(f"{embeddings}.LayerNorm", size)
    for i in range(config["num_hidden_layers"]):
        layer = f"{prefix}encoder.layer.{i}"
        kept = size - head_dim * len(config.get("pruned_heads", {}).get(str(i), ()))
        for suffix in ("", "_global") if separate_globals else ("",):
            yield from _attention(f"{layer}.attention", kept, size, suffix)
        if config.get("position_embedding_type", "absolute") != "absolute":
            distances = 2 * config["max_position_embeddings"] - 1
            yield f"{layer}.attention.self.distance_embedding.weight", (distances, head_dim)
        yield from _added(f"{layer}.attention.output", size, kept)
        if config.get("add_cross_attention"):
            yield from _attention(f"{layer}.crossattention", size, size, "")
            yield from _added(f"{layer}.crossattention.output", size, size)
        yield from _linear(f"{layer}.intermediate.dense", inner, size)
        yield from _added(f"{layer}.output", size, inner)


def _attention(name: str, kept: int, size: int, suffix: str) -> Shapes:
    for part in ("query", "key", "value"):
        yield from _linear(f"{name}.self.{part}{suffix}", kept, size)


def _added(name: str, size: int, into: int) -> Shapes:
    yield from _linear(f"{name}.dense", size, into)
    yield from _norm(f"{name}.LayerNorm", size)


def led_shapes(config: Mapping[str, Any], prefix: str) -> Shapes:
    """Return the shapes of LED's encoder and decoder; the embeddings are tied."""
    size = config["d_model"]
    yield f"{prefix}shared.weight", (config["vocab_size"], size)
    for side in ("encoder", "decoder"):
        yield f"{prefix}{side}.embed_positions.weight", (config[f"max_{side}_position_embeddings"], size)
        yield from _norm(f"{prefix}{side}.layernorm_embedding", size)
        for i in range(config[f"{side}_layers"]):
            layer = f"{prefix}{side}.layers.{i}"
            if side == "encoder":
                for suffix in ("", "_global"):
                    for part in ("query", "key", "value"):
                        yield from _linear(f"{layer}.self_attn.longformer_self_attn.{part}{suffix}", size, size)
                yield from _linear(f"{layer}.self_attn.output", size, size)
            for attention in ("self_attn", "encoder_attn") if side == "decoder" else ():
                for part in ("k_proj", "v_proj", "q_proj", "out_proj"):
                    yield from _linear(f"{layer}.{attention}.{part}", size, size)
                if attention == "encoder_attn":
                    yield from _norm(f"{layer}.encoder_attn_layer_norm", size)
            yield from _norm(f"{layer}.self_attn_layer_norm", size)
            yield from _linear(f"{layer}.fc1", config[f"{side}_ffn_dim"], size)
            yield from _linear(f"{layer}.fc2", size, config[f"{side}_ffn_dim"])
            yield from _norm(f"{layer}.final_layer_norm", size)


def random_weights(shapes: Shapes, seed: int) -> Weights:
    """Draw float32 numbers: matrices of size 1 / sqrt(fan-in) (tables: 1), gains about 1, biases about 0; none is 0."""
    weights = {}
    for name, shape in shapes:
        random = np.random.default_rng([seed, zlib.crc32(name.encode())])
        numbers = random.standard_normal(shape)
        if "norm" in name.lower() and name.endswith("weight"):
            numbers = 1 + 0.2 * numbers
        elif len(shape) == 1 or name == "final_logits_bias":
            numbers = 0.3 * numbers
        elif "embed" not in name and "shared" not in name:
            numbers = 2 * numbers / np.sqrt(shape[-1])
        weights[name] = round_to(numbers, "float32")
    return weights


def _linear(name: str, out: int, into: int) -> Shapes:
    yield f"{name}.weight", (out, into)
    yield f"{name}.bias", (out,)


def _norm(name: str, size: int) -> Shapes:
    yield f"{name}.weight", (size,)
    yield f"{name}.bias", (size,)
