"""Seeded faults of layers, of logits, of decoding and of heads."""

from __future__ import annotations

import numpy as np

from trueband.properties.models.faults.fault import Call, fault


@fault("positions start at 0", "xlm-roberta longformer", "embeddings", "sentence-transformers PR 3879")
def positions_from_0(call: Call) -> Call:
    offset = call.config["pad_token_id"] + 1
    return call.map_state("position_embeddings", lambda table: np.roll(table, offset, axis=0))


@fault("padding counts as a position", "xlm-roberta", "embeddings", "huggingface/transformers #1761")
def padding_counts(call: Call) -> Call:
    pad = call.config["pad_token_id"]

    def counted(ids: np.ndarray) -> np.ndarray:
        tail = np.flip(np.cumsum(np.flip(ids != pad, -1), axis=-1), -1) == 0
        return np.where((ids == pad) & ~tail, 7, ids)

    return call.map_inputs(counted, "input_ids")


@fault("positions are offset by 2, as in BART", "led", "embeddings")
def positions_offset_by_2(call: Call) -> Call:
    return call.map_state("embed_positions", lambda table: np.roll(table, -2, axis=0))


@fault("embeddings are scaled by the root of the hidden size", "led", "embeddings logits")
def embeddings_scaled(call: Call) -> Call:
    return call.map_state("shared", lambda table: table * 2.0)


@fault("the LayerNorm of the embeddings is skipped", "led", "embeddings")
def embedding_norm_without_gain(call: Call) -> Call:
    return call.map_state("layernorm_embedding.weight", np.ones_like)


@fault("the window is one short", "longformer led", "encoder_layers")
def window_one_short(call: Call) -> Call:
    return call.with_config(attention_window=[max(window - 2, 2) for window in call.config["attention_window"]])


@fault("all layers use the window of the first", "longformer led", "encoder_layers")
def window_of_layer_0(call: Call) -> Call:
    return call.with_config(
        attention_window=[call.config["attention_window"][0]] * len(call.config["attention_window"])
    )


@fault("the two-sided window is taken as one-sided", "longformer led", "encoder_layers", "allenai/longformer #194")
def window_twice_as_wide(call: Call) -> Call:
    return call.with_config(attention_window=[2 * window for window in call.config["attention_window"]])


@fault("global tokens are treated as local", "longformer led", "encoder_layers", "allenai/longformer #28, #254")
def globals_ignored(call: Call) -> Call:
    return call.map_inputs(np.zeros_like, "global_attention_mask")


@fault(
    "rows of global tokens use the local projections",
    "longformer led",
    "encoder_layers",
    "allenai/longformer #129 (one module for both)",
)
def global_projections_are_local(call: Call) -> Call:
    changed = call
    for part in ("query", "key", "value"):
        changed = changed.copy_state(f"{part}.", f"{part}_global.")
    return changed


@fault("the global value projection is the global key's", "longformer led", "encoder_layers")
def global_value_is_key(call: Call) -> Call:
    return call.copy_state("key_global", "value_global")


@fault("padding is attended", "xlm-roberta longformer led", "encoder_layers", "huggingface/transformers PR 5219")
def padding_attended(call: Call) -> Call:
    return call.with_inputs(attention_mask=np.ones_like(call.inputs["attention_mask"]))


@fault("padding is attended, so that what it holds matters", "led", "masked_ids_are_ignored")
def padding_reaches_logits(call: Call) -> Call:
    return padding_attended(call)


@fault("the first padded token is attended", "xlm-roberta longformer led", "encoder_layers")
def first_pad_attended(call: Call) -> Call:
    mask = call.inputs["attention_mask"].copy()
    mask[..., 1:] |= call.inputs["attention_mask"][..., :-1]
    return call.with_inputs(attention_mask=mask)


@fault("the mask of the first row is used for the batch", "xlm-roberta longformer led", "encoder_layers")
def mask_of_row_0(call: Call) -> Call:
    mask = call.inputs["attention_mask"]
    return call.with_inputs(attention_mask=np.repeat(mask[:1], len(mask), axis=0))


@fault("LayerNorm's epsilon is 0.001", "xlm-roberta longformer", "embeddings encoder_layers logits")
def epsilon_too_large(call: Call) -> Call:
    return call.with_config(layer_norm_eps=1e-3)


@fault("the attention's output has no bias", "xlm-roberta longformer", "encoder_layers")
def output_bias_lost(call: Call) -> Call:
    return call.map_state("attention.output.dense.bias", np.zeros_like)


@fault("the scale is that of the hidden size, not of the head", "led", "encoder_layers decoder_layers")
def scale_too_small(call: Call) -> Call:
    factor = 1 / np.sqrt(2)
    changed = call.map_state("q_proj", lambda array: array * factor)
    return changed.map_state("query", lambda array: array * factor)


@fault("cross-attention reads its own keys as values", "led", "decoder_layers")
def cross_values_are_keys(call: Call) -> Call:
    return call.copy_state("encoder_attn.k_proj", "encoder_attn.v_proj")


@fault("the first layer of the decoder runs in place of the last", "led", "decoder_layers greedy_tokens")
def first_decoder_layer_repeated(call: Call) -> Call:
    last = call.config["decoder_layers"] - 1
    return call.copy_state("decoder.layers.0.", f"decoder.layers.{last}.")


@fault("final_logits_bias is added twice", "led", "logits")
def bias_twice(call: Call) -> Call:
    return call.map_state("final_logits_bias", lambda bias: 2 * bias)


@fault("final_logits_bias is lost", "led", "logits beam_tokens")
def bias_lost(call: Call) -> Call:
    return call.map_state("final_logits_bias", np.zeros_like)


@fault("the decoder of the head is a stale copy of the embeddings", "xlm-roberta longformer", "logits")
def stale_head(call: Call) -> Call:
    return call.map_state("lm_head.bias", lambda bias: np.roll(bias, 1))


@fault("generation starts from the wrong token", "led", "greedy_tokens beam_tokens")
def wrong_start(call: Call) -> Call:
    return call.with_config(decoder_start_token_id=7)


@fault(
    "generation does not hand the global mask to the encoder",
    "led",
    "greedy_tokens beam_tokens",
    "huggingface/transformers #7489, PR 17112",
)
def generation_drops_globals(call: Call) -> Call:
    return call if call.options is None else globals_ignored(call)


@fault("generation lets the decoder attend padding", "led", "greedy_tokens")
def generation_attends_padding(call: Call) -> Call:
    return call if call.options is None else padding_attended(call)


@fault("beam scores are not divided by the length", "led", "beam_tokens")
def length_penalty_ignored(call: Call) -> Call:
    return call.with_options(length_penalty=0.0)


@fault("one beam fewer is kept", "led", "beam_tokens")
def one_beam_fewer(call: Call) -> Call:
    options = call.options or {}
    beams, returned = options.get("num_beams", 1), options.get("num_return_sequences", 1)
    return call.with_options(num_beams=beams - 1) if beams > max(returned, 2) else call


@fault("the least length is ignored", "led", "constrained_tokens")
def least_length_ignored(call: Call) -> Call:
    return call.with_options(min_length=0, min_new_tokens=None)


@fault("repeated n-grams are allowed", "led", "constrained_tokens")
def ngrams_allowed(call: Call) -> Call:
    return call.with_options(no_repeat_ngram_size=0)


@fault("the repetition penalty is ignored", "led", "constrained_tokens")
def penalty_ignored(call: Call) -> Call:
    return call.with_options(repetition_penalty=1.0)


@fault("the last token is not forced", "led", "constrained_tokens")
def end_not_forced(call: Call) -> Call:
    return call.with_options(forced_eos_token_id=None)


@fault("later tokens of the decoder are seen", "led", "decoder_is_causal")
def decoder_sees_ahead(call: Call) -> Call:
    if call.options is not None:
        return call

    def last_first(targets: np.ndarray) -> np.ndarray:
        return np.concatenate([targets[:, -1:], targets[:, 1:]], axis=1)

    return call.map_inputs(last_first, "decoder_input_ids", "decoder_inputs_embeds")


@fault("head masks are ignored", "xlm-roberta longformer led", "head_masks", "transformers 5: swallowed silently")
def head_masks_ignored(call: Call) -> Call:
    return call.without_inputs("head_mask", "decoder_head_mask", "cross_attn_head_mask")


@fault("embeddings handed in are halved", "xlm-roberta longformer led", "inputs_embeds")
def embeds_halved(call: Call) -> Call:
    return call.map_inputs(lambda embeds: embeds / 2, "inputs_embeds")


@fault("padding on the left counts as a position", "xlm-roberta", "left_padding")
def left_padding_counts(call: Call) -> Call:
    pad = call.config["pad_token_id"]
    return call.map_inputs(lambda ids: np.where(np.cumsum(ids != pad, axis=-1) == 0, 7, ids), "input_ids")


@fault("attentions are those of the mask shifted by one", "longformer led", "attentions")
def attentions_shifted(call: Call) -> Call:
    if "output_attentions" not in call.inputs:
        return call
    return call.with_inputs(global_attention_mask=np.roll(call.inputs["global_attention_mask"], 1, axis=1))


@fault("masks of any value are taken", "xlm-roberta longformer led", "rejects_bad_model_input")
def any_mask_is_taken(call: Call) -> Call:
    return call.with_inputs(attention_mask=(call.inputs["attention_mask"] > 0).astype(np.int64))


@fault(
    "with a cache the padding of the encoder is attended",
    "led",
    "cached_tokens",
    "transformers 5.23: a cached step ignores its mask",
)
def cache_loses_mask(call: Call) -> Call:
    cached = call.options is not None and call.options.get("use_cache", True)
    return padding_attended(call) if cached else call


@fault("the classification head lacks its first bias", "xlm-roberta longformer led", "heads")
def head_bias_lost(call: Call) -> Call:
    return call.map_state("dense.bias", np.zeros_like) if call.head == "sequence" else call


@fault("start and end of an answer are swapped", "xlm-roberta longformer led", "heads")
def span_swapped(call: Call) -> Call:
    return call.map_state("qa_outputs", lambda array: array[::-1].copy())


@fault("a label that does not count is class 0", "xlm-roberta longformer", "heads")
def ignored_label_counts(call: Call) -> Call:
    if call.head != "token":
        return call
    return call.with_inputs(labels=np.maximum(call.inputs["labels"], 0))


@fault(
    "classification without a global mask has no global token",
    "longformer",
    "default_globals",
    "huggingface/transformers #18190 (LED without a global mask)",
)
def no_default_globals(call: Call) -> Call:
    if call.head not in ("sequence", "qa", "choice"):
        return call
    return call.with_inputs(global_attention_mask=np.zeros_like(call.inputs["input_ids"]))
