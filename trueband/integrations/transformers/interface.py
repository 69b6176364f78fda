"""`attn_implementation="trueband"`: the operator behind the attention interface of transformers (4.53 or later).

For models whose layers pass their windows to that interface. Not for LED and Longformer, whose attention is their own:
they are patched.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import transformers
from torch import Tensor, nn

from trueband.integrations.transformers.masks import padding_mask
from trueband.integrations.transformers.windows import Call, attend

NAME = "trueband"
BEFORE = "_attention_before_trueband"  # on a model, what it computed its attention with
REFUSED = ("position_bias", "cache", "cu_seq_lens_q", "cu_seq_lens_k")


def register() -> None:
    """Make `attn_implementation="trueband"` known to transformers, for `from_pretrained` and `set_attn_implementation`.

    Raises:
        ValueError: this version of transformers has no interface for attention and its masks.
    """
    if not has_interface():
        raise ValueError(
            f"transformers: expected AttentionMaskInterface (4.53 or later), got version {transformers.__version__}"
        )
    from transformers.masking_utils import AttentionMaskInterface

    transformers.AttentionInterface.register(NAME, attention)
    AttentionMaskInterface.register(NAME, padding_mask)


def has_interface() -> bool:
    return hasattr(transformers, "AttentionInterface") and find_spec("transformers.masking_utils") is not None


def attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    is_causal: bool | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """The attention of one layer, as transformers calls it: (b, m, h, d), and None in the place of probabilities.

    Shapes: query (b, h, m, d); key, value (b, k, n, d), the last m of n tokens are those of the queries;
    attention_mask (b, n) bool of `padding_mask`. `sliding_window` counts the token itself; None: no limit.

    Raises:
        ValueError: an option that the operator does not have.
    """
    for name in REFUSED:
        if options.get(name) is not None:
            kind = type(options[name]).__name__
            raise ValueError(f"{name}: expected None with the attention of trueband, got {kind}")
    if attention_mask is not None and attention_mask.ndim != 2:
        raise ValueError(
            f"attention_mask: expected shape (batch, tokens) with the attention of trueband, got "
            f"{tuple(attention_mask.shape)}"
        )
    if attention_mask is not None:  # a static cache is longer than what was written to it
        key, value = (each[:, :, : attention_mask.shape[1]] for each in (key, value))
    call = Call(
        query,
        key,
        value,
        left=None if sliding_window is None else sliding_window - 1,
        causal=bool(getattr(module, "is_causal", True) if is_causal is None else is_causal),
        attention_mask=attention_mask,
        scale=scaling,
        dropout_p=dropout,
        softcap=softcap,
        sinks=s_aux,
    )
    return attend(call).transpose(1, 2).contiguous(), None


def with_windows(module: nn.Module) -> Any:
    """The outermost model of transformers in a module, if its layers have windows and call the interface, else None."""
    model: Any = next((part for part in module.modules() if isinstance(part, transformers.PreTrainedModel)), None)
    if model is None or not has_interface():
        return None
    configs = [model.config, *(getattr(model.config, name, None) for name in getattr(model.config, "sub_configs", ()))]
    windows = any(getattr(config, "sliding_window", None) is not None for config in configs)
    return model if windows and model._can_set_attn_implementation() else None


def use(model: Any) -> None:
    """Let a model of `with_windows` compute its attention with trueband."""
    register()
    before = implementation(model)
    if before == NAME:
        return
    model.set_attn_implementation(NAME)
    if implementation(model) != NAME:
        raise ValueError(f"model: expected a class that takes other attention, got {type(model).__name__}")
    vars(model)[BEFORE] = before


def leave(model: Any) -> None:
    """Let the parts of a model that `use` has changed compute their attention as before it."""
    for part in model.modules():
        before = vars(part).pop(BEFORE, None)
        if before is not None:
            part.set_attn_implementation(before)


def implementation(model: Any) -> str:
    return str(model.config._attn_implementation)
