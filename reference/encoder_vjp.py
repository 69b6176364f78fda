"""XLM-RoBERTa and Longformer in training: the equations of `roberta` and `longformer`, with dropout, and their
vector-Jacobian products. Shapes: b batch, h heads, n tokens, D hidden size.

The places of dropout are those of BERT (arXiv 1810.04805): behind the LayerNorm of the embeddings, on the
probabilities of every attention, and on what every dense layer adds to the residual stream.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from trueband.reference.arguments import Float
from trueband.reference.band_self_attention import PROJECTIONS
from trueband.reference.config import LongformerConfig, XLMRobertaConfig
from trueband.reference.dropout import Keep
from trueband.reference.embeddings import Config, default_positions
from trueband.reference.full_attention import visible_keys
from trueband.reference.full_attention_vjp import full_attention, relative_scores
from trueband.reference.layers import State, merge_heads, split_heads, weight
from trueband.reference.layers_vjp import Gradients, Vjp, feed_forward, layer_norm, linear, lookup, residual_norm
from trueband.reference.masks import Bool, global_tokens, visible_to_global_rows, visible_to_local_rows


def embed(
    state: State, config: Config, inputs: dict[str, Any], keep: Keep, prefix: str
) -> tuple[Float, Callable[[Float, Gradients], Float]]:
    """keep LayerNorm(word + type + position), (b, n, D). Its vjp returns the gradient of the words (b, n, D).

    inputs: input_ids (b, n) or inputs_embeds (b, n, D), and token_type_ids and position_ids where they are given.
    """
    name, ids, pad = f"{prefix}embeddings", inputs.get("input_ids"), config.pad_token_id
    vjps: list[Vjp] = []
    if ids is None:
        added = inputs["inputs_embeds"]
    else:
        added, words_vjp = lookup(state, f"{name}.word_embeddings.weight", ids, pad)
        vjps.append(words_vjp)
    shape = added.shape[:2]
    types = inputs.get("token_type_ids")
    tables: list[tuple[str, Any, int | None]] = [
        ("token_type_embeddings", np.zeros(shape, dtype=np.int64) if types is None else types, None)
    ]
    if config.absolute_positions:
        positions = inputs.get("position_ids")
        tables.append(
            ("position_embeddings", default_positions(ids, shape, pad) if positions is None else positions, pad)
        )
    for table, places, padding in tables:
        part, part_vjp = lookup(state, f"{name}.{table}.weight", places, padding)
        added = added + part
        vjps.append(part_vjp)
    y, norm_vjp = layer_norm(state, f"{name}.LayerNorm", added, config.layer_norm_eps)
    kept = keep(name, "hidden", y.shape)

    def vjp(dy: Float, gradients: Gradients) -> Float:
        dadded = norm_vjp(kept * dy, gradients)
        for each in vjps:
            each(dadded, gradients)
        return dadded

    return kept * y, vjp


def roberta_attention(
    state: State, name: str, config: XLMRobertaConfig, x: Float, keys: Float, visible: Bool, keep: Keep
) -> tuple[Float, Vjp]:
    """Context (b, m, D) of the attention `name` of x (b, m, D) over `keys` (b, n, D), which is x in self-attention.

    visible: (b, m, n). Its vjp returns the gradient of x; keys of an encoder are taken as given.
    """
    heads = len(weight(state, f"{name}.query.bias")) // config.head_dim
    (query, query_vjp), (key, key_vjp), (value, value_vjp) = (
        linear(state, f"{name}.{part}", of) for part, of in (("query", x), ("key", keys), ("value", keys))
    )
    query, key, value = (split_heads(each, heads) for each in (query, key, value))
    relative: Any = 0.0
    is_relative = keys is x and not config.absolute_positions
    table = f"{name}.distance_embedding.weight"
    if is_relative:
        relative, relative_vjp = relative_scores(query, key, weight(state, table), config.position_embedding_type)
    kept = keep(name, "attention", (*query.shape[:3], key.shape[2]))
    output, attention_vjp = full_attention(query, key, value, visible[:, None], kept, relative)

    def vjp(dcontext: Float, gradients: Gradients) -> Float:
        d = attention_vjp(split_heads(dcontext, heads))
        dquery, dkey = d.query, d.key
        if is_relative:
            from_query, from_key, dtable = relative_vjp(d.relative)
            dquery, dkey = dquery + from_query, dkey + from_key
            gradients.add(table, dtable)
        dx = query_vjp(merge_heads(dquery), gradients)
        dkeys = key_vjp(merge_heads(dkey), gradients) + value_vjp(merge_heads(d.value), gradients)
        return dx + dkeys if keys is x else dx

    return merge_heads(output), vjp


def band_attention(
    state: State, name: str, heads: int, x: Float, window: int, real: Bool, flagged: Bool, keep: Keep
) -> tuple[Float, Vjp]:
    """Context (b, n, D) of banded attention: the rows of global tokens have projections of their own.

    real, flagged: (b, n), tokens that are real, and that are to be global.
    """
    projected = [linear(state, f"{name}.{part}", x) for part in PROJECTIONS]
    parts = [split_heads(each, heads) for each, _ in projected]
    is_global = global_tokens(flagged, real)
    kinds = (
        ("", parts[:3], visible_to_local_rows(real, is_global, window, (1,) * heads, causal=False)),
        ("_global", parts[3:], visible_to_global_rows(real, is_global, heads)),
    )
    # Rows of the other kind see nothing and are 0: the sum of both holds each row once.
    attended = [
        full_attention(query, key, value, visible, keep(f"{name}{kind}", "attention", visible.shape))
        for kind, (query, key, value), visible in kinds
    ]

    def vjp(dcontext: Float, gradients: Gradients) -> Float:
        do = split_heads(dcontext, heads)
        found = [each for _, attention_vjp in attended for each in attention_vjp(do)[:3]]
        dx = [part_vjp(merge_heads(d), gradients) for (_, part_vjp), d in zip(projected, found, strict=True)]
        return dx[0] + dx[1] + dx[2] + dx[3] + dx[4] + dx[5]

    return merge_heads(attended[0][0] + attended[1][0]), vjp


def encoder_layer(
    state: State, config: Config, name: str, x: Float, attentions: list[tuple[str, Any]], keep: Keep
) -> tuple[Float, Vjp]:
    """A post-LN layer: each attention and then the feed-forward, added to what they read.

    attentions: their names inside the layer, and for each a function of x that returns (context, vjp).
    """
    eps, done = config.layer_norm_eps, []
    for part, attend in attentions:
        context, context_vjp = attend(x)
        output = f"{name}.{part}.output"
        kept = keep(output, "hidden", x.shape)
        x, add_vjp = residual_norm(state, f"{output}.dense", f"{output}.LayerNorm", context, x, eps, kept)
        done.append((context_vjp, add_vjp))
    names = (f"{name}.intermediate.dense", f"{name}.output.dense", f"{name}.output.LayerNorm")
    y, feed_vjp = feed_forward(state, names, x, eps, keep=keep(f"{name}.output", "hidden", x.shape))

    def vjp(dy: Float, gradients: Gradients) -> Float:
        dx = feed_vjp(dy, gradients)
        for context_vjp, add_vjp in reversed(done):
            dcontext, dresidual = add_vjp(dx, gradients)
            dx = dresidual + context_vjp(dcontext, gradients)
        return dx

    return y, vjp


def encode(
    state: State, config: XLMRobertaConfig | LongformerConfig, inputs: dict[str, Any], keep: Keep, prefix: str
) -> tuple[list[Float], Vjp]:
    """Hidden states after the embeddings and after each layer; the vjp of the last, which returns dL/dwords.

    inputs: of `roberta_model` or `longformer_model`, checked by them.
    """
    x, embed_vjp = embed(state, config, inputs, keep, prefix)
    real = np.asarray(inputs.get("attention_mask", np.ones(x.shape[:2])), dtype=bool)
    states, vjps = [x], []
    for i in range(config.num_hidden_layers):
        name = f"{prefix}encoder.layer.{i}"
        attended = attentions(state, config, i, name, inputs, real, keep)
        x, layer_vjp = encoder_layer(state, config, name, x, attended, keep)
        states.append(x)
        vjps.append(layer_vjp)

    def vjp(dx: Float, gradients: Gradients) -> Float:
        for layer_vjp in reversed(vjps):
            dx = layer_vjp(dx, gradients)
        return embed_vjp(dx, gradients)

    return states, vjp


def attentions(
    state: State, config: Any, i: int, name: str, inputs: dict[str, Any], real: Bool, keep: Keep
) -> list[tuple[str, Any]]:
    """Of layer i, as `encoder_layer` takes them."""
    if isinstance(config, LongformerConfig):
        flagged = np.asarray(inputs.get("global_attention_mask", np.zeros(real.shape)), dtype=bool)
        part, heads, window = f"{name}.attention.self", config.num_attention_heads, config.window(i)
        return [("attention", lambda x: band_attention(state, part, heads, x, window, real, flagged, keep))]
    own = visible_keys(real, real.shape[1], config.is_decoder)
    found: list[tuple[str, Any]] = [
        ("attention", lambda x: roberta_attention(state, f"{name}.attention.self", config, x, x, own, keep))
    ]
    encoded = inputs.get("encoder_hidden_states")
    if encoded is not None:
        mask = np.asarray(inputs.get("encoder_attention_mask", np.ones(encoded.shape[:2])), dtype=bool)
        every = visible_keys(mask, real.shape[1], causal=False)
        part_across = f"{name}.crossattention.self"
        found.append(
            (
                "crossattention",
                lambda x: roberta_attention(state, part_across, config, x, encoded.astype(np.float64), every, keep),
            )
        )
    return found
