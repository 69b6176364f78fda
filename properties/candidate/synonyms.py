"""The table that adapters are made of: what other kernels call the contract's arguments, and how each is filled."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Filling:
    """How an argument of another kernel is filled.

    Attributes:
        argument: the argument of the contract that the adapter takes for it; "" where it comes from the shapes.
        value: the expression that fills it, in terms of the contract's arguments.
        doubt: what the user must check, because kernels mean different things by the name; "" where they do not.
        required: the expression where the kernel does not take None; "" where it is the same.
        declares: what the adapter's Target declares for it.
        features: features that it shows, and that an argument of the contract does not.
    """

    argument: str
    value: str
    doubt: str = ""
    required: str = ""
    declares: str = ""
    features: tuple[str, ...] = ()


ONE_SIDED = "one-sided here, |i - j| <= window: change it if {name} counts otherwise"
REAL = "(b, n), True for a real token: change it if {name} is otherwise"
PADDED = "(b, n), True for a padded token: change it if {name} is otherwise"
NONE_OR = "None if attention_mask is None else "
ROOT = "query.shape[-1] ** -0.5 if scale is None else scale"

# One line for each meaning: the names in lower case, and how they are filled.
_TABLE: tuple[tuple[str, Filling], ...] = (
    ("query q queries qs xq q_states query_states query_layer q_proj q_input", Filling("query", "query")),
    ("key k keys ks xk k_states key_states key_layer k_proj k_input", Filling("key", "key")),
    ("value v values vs vals xv v_states value_states value_layer v_proj v_input", Filling("value", "value")),
    ("query_global q_global global_query global_q qg q_g query_globals", Filling("query_global", "query_global")),
    ("key_global k_global global_key global_k kg k_g key_globals", Filling("key_global", "key_global")),
    ("value_global v_global global_value global_v vg v_g value_globals", Filling("value_global", "value_global")),
    (
        "window radius window_radius half_window one_sided_window one_sided_window_size half_width window_half "
        "window_left window_size_left left_window left lookback look_backward window_l",
        Filling("window", "window"),
    ),
    (
        "window_right window_size_right right_window right lookahead look_forward window_r",
        Filling("window", "window", "as far as to the left; 0 if it is causal"),
    ),
    (
        "window_size w win ws wsize win_size window_len window_length local_window local_window_size band band_width "
        "bandwidth block_window swa_window windows context_window span",
        Filling("window", "window", ONE_SIDED),
    ),
    (
        "attention_window attention_window_size full_window total_window",
        Filling("window", "2 * window", "both sides, as in Hugging Face's configurations of Longformer"),
    ),
    (
        "sliding_window sliding_window_size",
        Filling("window", "window + 1", "the token itself counts, as in Hugging Face's decoders: 0 <= i - j < {name}"),
    ),
    ("attention_mask", Filling("attention_mask", "attention_mask")),
    (
        "mask m masks key_mask valid valid_mask real token_mask seq_mask input_mask pad_valid is_real attend_mask",
        Filling("attention_mask", "attention_mask", REAL),
    ),
    (
        "key_padding_mask src_key_padding_mask padding_mask pad_mask padding is_padding padded is_index_masked",
        Filling("attention_mask", f"{NONE_OR}~attention_mask", PADDED),
    ),
    (
        "attn_mask attention_bias_mask bool_mask",
        Filling(
            "attention_mask",
            f"{NONE_OR}attention_mask[:, None, None, :]",
            "(b, 1, 1, n), True for a real token: change it if {name} is otherwise",
        ),
    ),
    (
        "lengths seq_lens seqlens kv_lens valid_lens valid_lengths seq_lengths input_lengths lens real_lengths",
        Filling(
            "attention_mask",
            f"{NONE_OR}attention_mask.sum(-1)",
            "(b,), real tokens of each sequence",
            declares='padding="right"',
        ),
    ),
    ("causal is_causal use_causal causal_mask autoregressive", Filling("causal", "causal")),
    (
        "scale sm_scale softmax_scale scaling scale_factor qk_scale attn_scale attention_scale softmax_scaling",
        Filling("scale", "scale", required=ROOT),
    ),
    (
        "dilation dilation_rate dilations dilate dilation_factor",
        Filling("dilation", "dilation", "one int, or one for each head"),
    ),
    (
        "global_attention_mask global_mask global_attn_mask is_global is_global_attn is_index_global_attn "
        "global_token_mask globals global_flags",
        Filling(
            "global_attention_mask",
            "global_attention_mask",
            "(b, n), True for a global token: change it if {name} is otherwise",
        ),
    ),
    ("head_mask layer_head_mask heads_mask", Filling("head_mask", "head_mask")),
    ("dropout dropout_p p_dropout attn_dropout dropout_rate attention_dropout", Filling("", "0.0")),
    ("training is_training train return_attn_probs return_weights output_attentions", Filling("", "False")),
    (
        "offset q_offset query_offset offset_q q_start start_pos",
        Filling("offset", "offset", "query 0 stands at this token"),
    ),
    (
        "segments segment_ids seg_ids document_ids doc_ids sequence_ids",
        Filling("segments", "segments", "(b, n) of int64, rows attend keys of their own number"),
    ),
    (
        "softcap soft_cap logit_softcap logits_softcap logit_soft_cap logits_soft_cap attn_logits_soft_cap "
        "attn_logit_softcapping softcapping",
        Filling("softcap", "softcap", required="softcap or 0.0"),
    ),
    ("sinks sink s_aux head_sink attn_sink attn_sinks attention_sinks learnable_sink", Filling("sinks", "sinks")),
    (
        "slopes alibi_slopes alibi",
        Filling("slopes", "slopes", "slope * |i - j| is taken off a score, also to the right"),
    ),
    (
        "return_lse return_softmax_lse return_logsumexp",
        Filling("return_lse", "return_lse", "(output, lse) then, lse (b, h, n) in float32, a natural logarithm"),
    ),
    (
        "cu_seqlens cu_seqlens_q cu_seqlens_k cu_seqlens_kv cu_seq_lens cu_seq_lens_q cu_seq_lens_k cu_lens",
        Filling("attention_mask", "starts", declares='padding="right"'),
    ),
    ("max_seqlen_q max_seqlen_k max_seqlen_kv max_length_q max_length_k", Filling("", "{longest}")),
    ("num_key_value_groups num_kv_groups n_rep q_per_kv", Filling("", "{groups}", features=("gqa",))),
    (
        "num_kv_heads n_kv_heads kv_heads kv_num_heads num_key_value_heads nheads_k",
        Filling("", "{key_heads}", features=("gqa",)),
    ),
    ("batch batch_size b bsz", Filling("", "query.shape[0]")),
    ("heads num_heads n_heads nheads h nh n_head num_head", Filling("", "{heads}")),
    ("max_seqlen", Filling("", "{longest}")),
    ("tokens seq_len seqlen n length seq_length n_ctx t num_tokens", Filling("", "{tokens}")),
    (
        "block_size block block_m block_n block_q block_k tile tile_size chunk chunk_size bucket_size",
        Filling("", "64", "a {name} that suits the kernel"),
    ),
    ("head_dim d dim d_head headdim dim_head head_size", Filling("", "query.shape[-1]")),
)

FILLINGS: dict[str, Filling] = {name: filling for names, filling in _TABLE for name in names.split()}

_HEADS = "h|heads|nheads|num_heads|n_heads|nh|n_head|num_head|hq|head|q_heads|num_q_heads"
_TOKENS = (
    "n|t|s|l|m|seq|seqlen|seq_len|seqlen_q|length|tokens|time|q_len|n_ctx|num_tokens|sequence|sequence_length|tq|nq|sq|"
    "lq"
)
_SEP = r"[\s,*×]+(?:x\s+)?"
# "(batch, tokens, heads, head_dim)", "b t h d", "BSHD", "bqhd,bkhd->bhqk".
_LAYOUTS = {
    "bnhd": re.compile(rf"\b\w+{_SEP}(?:{_TOKENS}){_SEP}(?:{_HEADS}){_SEP}\w+\b|\bb[nstlqm]hd\b"),
    "bhnd": re.compile(rf"\b\w+{_SEP}(?:{_HEADS}){_SEP}(?:{_TOKENS}){_SEP}\w+\b|\bbh[nstlqm]d\b"),
}


def layout_in(text: str) -> str:
    """Return the layout that a text about a kernel shows first: "bnhd", "bhnd", or "" for none."""
    matches = [(match.start(), name) for name, pattern in _LAYOUTS.items() if (match := pattern.search(text.lower()))]
    return min(matches)[1] if matches else ""
