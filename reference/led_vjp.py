"""LED in training: the equations of `led_encoder` and `led_decoder`, with dropout, and their vector-Jacobian products.

Dropout stands where BART has it (arXiv 1910.13461): behind the LayerNorm of the embeddings, on probabilities, on what
is added to the residual stream, and inside the feed-forward. Layers are never dropped as a whole.
Shapes: b batch, h heads, n tokens of the encoder, m of the decoder, D hidden size.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from trueband.reference.arguments import Float
from trueband.reference.config import LEDConfig
from trueband.reference.dropout import Keep
from trueband.reference.encoder_vjp import band_attention
from trueband.reference.full_attention import visible_keys
from trueband.reference.full_attention_vjp import full_attention
from trueband.reference.layers import State, merge_heads, split_heads
from trueband.reference.layers_vjp import Gradients, Vjp, feed_forward, layer_norm, linear, lookup, residual_norm
from trueband.reference.led_encoder import EPS
from trueband.reference.masks import Bool

Pair = Callable[[Float, Gradients], tuple[Float, Float]]


def led_embed(
    state: State, config: LEDConfig, prefix: str, side: str, words: dict[str, Any], keep: Keep
) -> tuple[Float, Vjp]:
    """keep LayerNorm(word + position), (b, n, D). Its vjp returns the gradient of the words (b, n, D).

    words: "input_ids" (b, n) or "inputs_embeds" (b, n, D).
    """
    ids, vjps = words.get("input_ids"), []
    if ids is None:
        added = words["inputs_embeds"]
    else:
        own = f"{prefix}{side}.embed_tokens.weight"
        table = own if own in state else f"{prefix}shared.weight"
        added, words_vjp = lookup(state, table, ids, config.pad_token_id)
        vjps.append(words_vjp)
    positions = np.broadcast_to(np.arange(added.shape[1]), added.shape[:2])
    part, positions_vjp = lookup(state, f"{prefix}{side}.embed_positions.weight", positions)
    y, norm_vjp = layer_norm(state, f"{prefix}{side}.layernorm_embedding", added + part, EPS)
    kept = keep(f"{prefix}{side}", "hidden", y.shape)

    def vjp(dy: Float, gradients: Gradients) -> Float:
        dadded = norm_vjp(kept * dy, gradients)
        for each in (*vjps, positions_vjp):
            each(dadded, gradients)
        return dadded

    return kept * y, vjp


def led_attention(
    state: State, name: str, heads: int, x: Float, keys: Float, visible: Bool, keep: Keep
) -> tuple[Float, Pair]:
    """Context (b, m, D) of the decoder's attention `name` of x (b, m, D) over `keys` (b, n, D). visible: (b, m, n).

    Its vjp returns the gradients of x as queries and of the keys.
    """
    (query, query_vjp), (key, key_vjp), (value, value_vjp) = (
        linear(state, f"{name}.{part}_proj", of) for part, of in (("q", x), ("k", keys), ("v", keys))
    )
    query, key, value = (split_heads(each, heads) for each in (query, key, value))
    kept = keep(name, "attention", (*query.shape[:3], key.shape[2]))
    output, attention_vjp = full_attention(query, key, value, visible[:, None], kept)

    def vjp(dcontext: Float, gradients: Gradients) -> tuple[Float, Float]:
        d = attention_vjp(split_heads(dcontext, heads))
        dkeys = key_vjp(merge_heads(d.key), gradients) + value_vjp(merge_heads(d.value), gradients)
        return query_vjp(merge_heads(d.query), gradients), dkeys

    return merge_heads(output), vjp


def led_feed_forward(state: State, name: str, x: Float, keep: Keep) -> tuple[Float, Vjp]:
    """LayerNorm(x + keep fc2(keep gelu(fc1(x))))."""
    names = (f"{name}.fc1", f"{name}.fc2", f"{name}.final_layer_norm")
    width = len(state[f"{name}.fc1.bias"])
    inner = keep(f"{name}.fc1", "activation", (*x.shape[:2], width))
    return feed_forward(state, names, x, EPS, inner, keep(f"{name}.fc2", "hidden", x.shape))


def led_encode(
    state: State, config: LEDConfig, words: dict[str, Any], real: Bool, flagged: Bool, keep: Keep, prefix: str
) -> tuple[list[Float], Vjp]:
    """Hidden states of the encoder; the vjp of the last, which returns dL/dwords. real, flagged: (b, n)."""
    x, embed_vjp = led_embed(state, config, prefix, "encoder", words, keep)
    states, vjps = [x], []
    for i in range(config.encoder_layers):
        name = f"{prefix}encoder.layers.{i}"
        part, heads = f"{name}.self_attn", config.encoder_attention_heads
        context, context_vjp = band_attention(
            state, f"{part}.longformer_self_attn", heads, x, config.window(i), real, flagged, keep
        )
        kept = keep(f"{part}.output", "hidden", x.shape)
        x, add_vjp = residual_norm(state, f"{part}.output", f"{part}_layer_norm", context, x, EPS, kept)
        x, feed_vjp = led_feed_forward(state, name, x, keep)
        states.append(x)
        vjps.append((context_vjp, add_vjp, feed_vjp))

    def vjp(dx: Float, gradients: Gradients) -> Float:
        for context_vjp, add_vjp, feed_vjp in reversed(vjps):
            dcontext, dresidual = add_vjp(feed_vjp(dx, gradients), gradients)
            dx = dresidual + context_vjp(dcontext, gradients)
        return embed_vjp(dx, gradients)

    return states, vjp


def led_decode(
    state: State,
    config: LEDConfig,
    words: dict[str, Any],
    encoded: Float,
    real: Bool | None,
    real_encoded: Bool,
    keep: Keep,
    prefix: str,
) -> tuple[list[Float], Pair]:
    """Hidden states of the decoder; the vjp of the last, which returns dL/dwords and dL/dencoded.

    encoded: (b, n, D); real (b, m), None: all; real_encoded (b, n).
    """
    x, embed_vjp = led_embed(state, config, prefix, "decoder", words, keep)
    tokens, heads = x.shape[1], config.decoder_attention_heads
    real = np.ones(x.shape[:2], dtype=bool) if real is None else real
    causal, every = visible_keys(real, tokens, causal=True), visible_keys(real_encoded, tokens, causal=False)
    states, vjps = [x], []
    for i in range(config.decoder_layers):
        name = f"{prefix}decoder.layers.{i}"
        done = []
        for part, visible in (("self_attn", causal), ("encoder_attn", every)):
            keys = x if part == "self_attn" else encoded
            context, context_vjp = led_attention(state, f"{name}.{part}", heads, x, keys, visible, keep)
            out = f"{name}.{part}.out_proj"
            kept = keep(out, "hidden", x.shape)
            x, add_vjp = residual_norm(state, out, f"{name}.{part}_layer_norm", context, x, EPS, kept)
            done.append((context_vjp, add_vjp))
        x, feed_vjp = led_feed_forward(state, name, x, keep)
        states.append(x)
        vjps.append((done, feed_vjp))

    def vjp(dx: Float, gradients: Gradients) -> tuple[Float, Float]:
        dencoded: Any = 0.0
        for ((own_vjp, add_own), (cross_vjp, add_cross)), feed_vjp in reversed(vjps):
            dcontext, dresidual = add_cross(feed_vjp(dx, gradients), gradients)
            dqueries, dkeys = cross_vjp(dcontext, gradients)
            dencoded = dencoded + dkeys
            dcontext, dresidual = add_own(dresidual + dqueries, gradients)
            dqueries, dkeys = own_vjp(dcontext, gradients)
            dx = dresidual + dqueries + dkeys
        return embed_vjp(dx, gradients), dencoded

    return states, vjp
