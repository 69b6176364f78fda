"""`hf-mistral`, `hf-gemma2`, `hf-gpt-oss`, `hf-modernbert`: the attention functions of transformers' models of today.

Each runs with the masks that its model makes: `create_sliding_window_causal_mask`, of ModernBERT
`create_bidirectional_sliding_window_mask`. Where there are fewer queries than keys, the other keys come out of a
`DynamicCache` of sliding layers, as in generation. A layer of `sliding_window=1` keeps all keys instead of none (its
slice begins at -0), and the mask does not fit them: so the decoders are declared, and asked, for windows from 1 on.

Added here: the rows of masked tokens set to 0, for which the models compute anything. `sliding_window` counts the token
itself: W = window + 1. In ModernBERT it does not: |i - j| <= W.

The eager functions store their scores in the dtype of the input, which is declared for bfloat16 (`-bf16`). In float64
all but gpt-oss take a softmax of float32, in which the masks' smallest float64 is minus infinity: a row of padding that
sees no key is NaN, and all gradients are. So they are not declared for float64.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from trueband.properties.candidate.target import Target
from trueband.properties.cases.limits import Sizes

FEATURES = frozenset({"padding", "scale", "backward", "deterministic", "deterministic_gradients"})
DECODER = FEATURES | {"causal_only", "gqa", "bottom_right", "value_dim"}
WIDE: Any = {"dtypes": ("float64", "float32"), "library": "torch"}
ONE: Any = {"dtypes": ("float32",), "library": "torch"}
ALL: Any = {"dtypes": ("float64", "float32", "bfloat16", "float16"), "library": "torch"}
STORED: Any = {"dtypes": ("bfloat16",), "stored_scores": "bfloat16", "library": "torch"}


def _decoded(
    forward: Any,
    implementation: str,
    query: Any,
    key: Any,
    value: Any,
    window: int,
    attention_mask: Any,
    scale: float | None,
    **of_model: Any,
) -> Any:
    """A decoder's function on a query (b, h, m, d) that stands at the last m of n tokens."""
    from transformers import DynamicCache, MistralConfig
    from transformers.masking_utils import create_sliding_window_causal_mask

    of_layer: Any = {"num_hidden_layers": 1, "attn_implementation": implementation}
    config = MistralConfig(sliding_window=window + 1, **of_layer)
    if window < 1:
        raise ValueError(f"window: expected at least 1, got {window}")
    queries, cached, cache = query.shape[2], key.shape[2] - query.shape[2], None
    if cached:
        cache = DynamicCache(config=config)
        cache.update(key[:, :, :cached], value[:, :, :cached], 0)
    mask = create_sliding_window_causal_mask(
        config, _embedded(query), None if attention_mask is None else attention_mask.long(), past_key_values=cache
    )
    if cache is not None:
        key, value = cache.update(key[:, :, cached:], value[:, :, cached:], 0)
    module = SimpleNamespace(
        num_key_value_groups=query.shape[1] // key.shape[1],
        is_causal=True,
        training=False,
        **of_model.pop("module", {}),
    )
    scaling = query.shape[-1] ** -0.5 if scale is None else scale
    output = forward(module, query, key, value, mask, scaling=scaling, sliding_window=window + 1, **of_model)[0]
    output = output.transpose(1, 2)
    return output if attention_mask is None else output.masked_fill(~attention_mask[:, None, -queries:, None], 0)


def _embedded(query: Any) -> Any:
    """Something that has the batch, the tokens and the dtype of a query."""
    return query[:, 0]


def mistral(
    query: Any, key: Any, value: Any, *, window: int, attention_mask: Any = None, scale: float | None = None
) -> Any:
    """transformers' Mistral, eager."""
    from transformers.models.mistral.modeling_mistral import eager_attention_forward

    return _decoded(eager_attention_forward, "eager", query, key, value, window, attention_mask, scale)


def mistral_sdpa(
    query: Any, key: Any, value: Any, *, window: int, attention_mask: Any = None, scale: float | None = None
) -> Any:
    """transformers' sdpa function, with the masks of Mistral."""
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    return _decoded(sdpa_attention_forward, "sdpa", query, key, value, window, attention_mask, scale)


def gemma2(
    query: Any,
    key: Any,
    value: Any,
    *,
    window: int,
    attention_mask: Any = None,
    scale: float | None = None,
    softcap: float | None = None,
) -> Any:
    """transformers' Gemma 2, eager; its sdpa function refuses a softcap."""
    from transformers.models.gemma2.modeling_gemma2 import eager_attention_forward

    return _decoded(eager_attention_forward, "eager", query, key, value, window, attention_mask, scale, softcap=softcap)


def gpt_oss(
    query: Any,
    key: Any,
    value: Any,
    *,
    window: int,
    attention_mask: Any = None,
    scale: float | None = None,
    sinks: Any = None,
) -> Any:
    """transformers' gpt-oss, eager, which has no sdpa. Without sinks: sinks of the smallest score that there is."""
    import torch
    from transformers.models.gpt_oss.modeling_gpt_oss import eager_attention_forward

    if sinks is None:
        sinks = query.new_full(query.shape[1:2], torch.finfo(query.dtype).min)
    module = {"sinks": sinks}
    return _decoded(eager_attention_forward, "eager", query, key, value, window, attention_mask, scale, module=module)


def modernbert(
    query: Any, key: Any, value: Any, *, window: int, attention_mask: Any = None, scale: float | None = None
) -> Any:
    """transformers' ModernBERT, eager."""
    from transformers.models.modernbert.modeling_modernbert import eager_attention_forward

    return _encoded(eager_attention_forward, "eager", query, key, value, window, attention_mask, scale)


def modernbert_sdpa(
    query: Any, key: Any, value: Any, *, window: int, attention_mask: Any = None, scale: float | None = None
) -> Any:
    """transformers' sdpa function, with the masks of ModernBERT."""
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    return _encoded(sdpa_attention_forward, "sdpa", query, key, value, window, attention_mask, scale)


def _encoded(
    forward: Any, implementation: str, query: Any, key: Any, value: Any, window: int, attention_mask: Any, scale: Any
) -> Any:
    """The function of an encoder with a window to both sides."""
    from transformers import ModernBertConfig
    from transformers.masking_utils import create_bidirectional_sliding_window_mask

    of_layer: Any = {"num_hidden_layers": 1, "attn_implementation": implementation}
    config = ModernBertConfig(local_attention=2 * window, **of_layer)
    real = None if attention_mask is None else attention_mask.long()
    mask = create_bidirectional_sliding_window_mask(config, _embedded(query), real)
    module = SimpleNamespace(is_causal=False, training=False)
    scaling = query.shape[-1] ** -0.5 if scale is None else scale
    output = forward(module, query, key, value, mask, scaling=scaling, sliding_window=window + 1)[0].transpose(1, 2)
    return output if attention_mask is None else output.masked_fill(~attention_mask[:, None, :, None], 0)


FROM_1: Any = {"sizes": {"window": Sizes(least=1)}}
OF_MISTRAL: Any = {"features": DECODER, **FROM_1}
mistral_target = Target(mistral, name="transformers Mistral[eager]", **ONE, **OF_MISTRAL)
mistral_bf16 = Target(mistral, name="transformers Mistral[eager, bfloat16]", **STORED, **OF_MISTRAL)
mistral_sdpa_target = Target(mistral_sdpa, name="transformers Mistral[sdpa]", **ALL, **OF_MISTRAL)
OF_GEMMA: Any = {"features": DECODER | {"softcap"}, **FROM_1}
gemma2_target = Target(gemma2, name="transformers Gemma 2[eager]", **ONE, **OF_GEMMA)
gemma2_bf16 = Target(gemma2, name="transformers Gemma 2[eager, bfloat16]", **STORED, **OF_GEMMA)
OF_GPT_OSS: Any = {"features": DECODER | {"sinks", "sinks_gradient"}, **FROM_1}
gpt_oss_target = Target(gpt_oss, name="transformers gpt-oss[eager]", **WIDE, **OF_GPT_OSS)
gpt_oss_bf16 = Target(gpt_oss, name="transformers gpt-oss[eager, bfloat16]", **STORED, **OF_GPT_OSS)
modernbert_target = Target(modernbert, name="transformers ModernBERT[eager]", features=FEATURES, **ONE)
modernbert_bf16 = Target(modernbert, name="transformers ModernBERT[eager, bfloat16]", features=FEATURES, **STORED)
modernbert_sdpa_target = Target(modernbert_sdpa, name="transformers ModernBERT[sdpa]", features=FEATURES, **ALL)
