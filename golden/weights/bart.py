"""Conversions to LED (arXiv 2004.05150, section 7): of a BART, and of a RoBERTa as the encoder of one.

LED's position tables have no offset: the first two rows of BART's and of RoBERTa's go, and the encoder's rows are
repeated to the new length. The projections of the global tokens start as copies of those of all tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from trueband.golden.weights.fairseq import Arrays, Checkpoint, repeated

OFFSET = 2  # rows of a position table before the one of the first token
WORDS = "model.shared.weight"
COPIES = ("model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight", "lm_head.weight")
ATTENTION = {"q_proj": "query", "k_proj": "key", "v_proj": "value"}
# What LED computes; a BART with anything else cannot become one. The first value is BART's default.
COMPUTED: dict[str, tuple[Any, ...]] = {
    "model_type": ("bart",),
    "activation_function": ("gelu",),
    "scale_embedding": (False,),
    "normalize_before": (False,),
    "normalize_embedding": (True,),
    "add_final_layer_norm": (False,),
    "static_position_embeddings": (False,),
    "add_bias_logits": (False,),
}
NEEDED = (
    "vocab_size",
    "d_model",
    "max_position_embeddings",
    *(f"{side}_{what}" for side in ("encoder", "decoder") for what in ("layers", "attention_heads", "ffn_dim")),
)
ROBERTA_LAYER = {
    **{f"attention.self.{part}": f"self_attn.longformer_self_attn.{part}" for part in ATTENTION.values()},
    "attention.output.dense": "self_attn.output",
    "attention.output.LayerNorm": "self_attn_layer_norm",
    "intermediate.dense": "fc1",
    "output.dense": "fc2",
    "output.LayerNorm": "final_layer_norm",
}


def check_computed(config: Mapping[str, Any], computed: Mapping[str, tuple[Any, ...]]) -> None:
    """ValueError where a configuration asks for what the converted model does not compute."""
    for name, values in computed.items():
        got = config.get(name, values[0])
        if got not in values:
            raise ValueError(f"{name}: expected {' or '.join(map(repr, values))}, got {got!r}")


def check_there(config: Mapping[str, Any], names: Iterable[str]) -> None:
    """ValueError where a configuration does not say what a conversion must know."""
    for name in names:
        if name not in config:
            raise ValueError(f"{name}: expected it in the configuration, got none")


def without_tied(state: Arrays, tied: Mapping[str, str]) -> Arrays:
    """Remove the copies of tied arrays. Raises ValueError where a copy is another array."""
    for copy, original in tied.items():
        if copy in state and original in state and not np.array_equal(state[copy], state[original]):
            raise ValueError(f"{copy}: expected the values of {original} (tied), got others")
    return {name: array for name, array in state.items() if name not in tied or tied[name] not in state}


def complete_bart(state: Arrays) -> Arrays:
    """A BART's arrays under "model.", the tied ones once, with the bias of the logits."""
    if not any(name.startswith("model.") for name in state):
        state = {f"model.{name}": array for name, array in state.items()}
    words = next((state[name] for name in (WORDS, *COPIES) if name in state), None)
    if words is None:
        raise ValueError(f"state: expected word embeddings under {WORDS}, got none")
    state = without_tied(state | {WORDS: words}, dict.fromkeys(COPIES, WORDS))
    return {"final_logits_bias": np.zeros((1, len(words)), dtype=words.dtype)} | state


def bart_to_led(checkpoint: Checkpoint, attention_window: int, max_positions: int) -> Checkpoint:
    """An LED of the same weights.

    Args:
        checkpoint: content of a BART's `config.json`, and arrays as `complete_bart` returns them.
        attention_window: TWO-SIDED and even.
        max_positions: longest text in tokens.
    """
    config, state = checkpoint
    check_computed(config, COMPUTED)
    check_there(config, NEEDED)
    converted: Arrays = {}
    for name, array in state.items():
        led = f"led.{name.removeprefix('model.')}" if name.startswith("model.") else name
        if led == "led.encoder.embed_positions.weight":
            converted[led] = repeated(array[OFFSET:], max_positions)
        elif led == "led.decoder.embed_positions.weight":
            converted[led] = array[OFFSET:]
        elif ".encoder." in led and ".self_attn." in led:
            prefix, part, kind = led.rsplit(".", 2)
            if part == "out_proj":
                converted[f"{prefix}.output.{kind}"] = array
            else:
                inside = f"{prefix}.longformer_self_attn.{ATTENTION[part]}"
                converted[f"{inside}.{kind}"] = array
                converted[f"{inside}_global.{kind}"] = array.copy()
        else:
            converted[led] = array
    left_out = ("max_position_embeddings", "num_hidden_layers", *COMPUTED)
    kept = {name: value for name, value in config.items() if name not in left_out}
    changed = {
        "activation_function": "gelu",
        "architectures": [name.replace("Bart", "LED", 1) for name in config.get("architectures") or ["BartModel"]],
        "attention_window": [attention_window] * config["encoder_layers"],
        "max_decoder_position_embeddings": len(converted["led.decoder.embed_positions.weight"]),
        "max_encoder_position_embeddings": max_positions,
        "model_type": "led",
    }
    return Checkpoint(kept | changed, converted)


def roberta_to_led_encoder(checkpoint: Checkpoint, attention_window: int, max_positions: int) -> Checkpoint:
    """An LED whose encoder is a RoBERTa (keys of its MaskedLM class), with a decoder of no layers, all zeros.

    The token type 0, the only one, is added to the positions: LED has none.
    """
    config, state = checkpoint
    words, embeddings = state["roberta.embeddings.word_embeddings.weight"], "roberta.embeddings"
    size = config["hidden_size"]
    types = state[f"{embeddings}.token_type_embeddings.weight"]
    converted: Arrays = {
        "final_logits_bias": np.zeros((1, len(words)), dtype=words.dtype),
        "led.shared.weight": words,
        "led.encoder.embed_positions.weight": repeated(
            state[f"{embeddings}.position_embeddings.weight"][OFFSET:] + types[0], max_positions
        ),
        "led.decoder.embed_positions.weight": np.zeros((1, size), dtype=words.dtype),
    }
    for kind in ("weight", "bias"):
        converted[f"led.encoder.layernorm_embedding.{kind}"] = state[f"{embeddings}.LayerNorm.{kind}"]
        converted[f"led.decoder.layernorm_embedding.{kind}"] = np.zeros(size, dtype=words.dtype)
        for i in range(config["num_hidden_layers"]):
            for hub, led in ROBERTA_LAYER.items():
                array = state[f"roberta.encoder.layer.{i}.{hub}.{kind}"]
                converted[f"led.encoder.layers.{i}.{led}.{kind}"] = array
                if ".longformer_self_attn." in led:
                    converted[f"led.encoder.layers.{i}.{led}_global.{kind}"] = array.copy()
    layers, heads, inner = (config[name] for name in ("num_hidden_layers", "num_attention_heads", "intermediate_size"))
    return Checkpoint(
        {
            "vocab_size": len(words),
            "d_model": size,
            "encoder_layers": layers,
            "encoder_attention_heads": heads,
            "encoder_ffn_dim": inner,
            "decoder_layers": 0,
            "decoder_attention_heads": 1,
            "decoder_ffn_dim": 1,
            "max_encoder_position_embeddings": max_positions,
            "max_decoder_position_embeddings": 1,
            "attention_window": [attention_window] * layers,
            "model_type": "led",
            "pad_token_id": 1,
            "bos_token_id": 0,
            "eos_token_id": 2,
            "decoder_start_token_id": 2,
        },
        converted,
    )
