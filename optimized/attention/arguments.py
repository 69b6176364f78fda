"""The arguments of `band_attention`, checked before any work is done: "<argument>: expected ..., got ..."."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)

# Not written as unions: torch.compile of torch 2.6 cannot trace those.
INTEGERS, NUMBERS = (int, torch.SymInt), (int, float)


def check_query(query: Any) -> None:
    """The one argument that sets the shape, dtype and device of the others."""
    check_tensor("query", query)
    if query.dtype not in DTYPES:
        raise TypeError(f"query: expected dtype float32, float64, bfloat16 or float16, got {query.dtype}")
    if query.ndim != 4 or 0 in query.shape:
        raise ValueError(
            f"query: expected shape (batch, heads, tokens, head_dim), all at least 1, got {tuple(query.shape)}"
        )


def check_like_query(name: str, value: Any, query: Tensor) -> None:
    """Another projection: shape, dtype and device of the query."""
    check_tensor(name, value)
    if value.dtype != query.dtype:
        raise TypeError(f"{name}: expected the dtype of query, {query.dtype}, got {value.dtype}")
    if value.shape != query.shape:
        raise ValueError(f"{name}: expected the shape of query, {tuple(query.shape)}, got {tuple(value.shape)}")
    check_device(name, value, query.device)


def check_mask(name: str, mask: Any, shape: tuple[int, int], device: torch.device) -> None:
    """A mask of exactly this shape: masks never broadcast."""
    check_tensor(name, mask)
    if mask.dtype != torch.bool:
        raise TypeError(f"{name}: expected dtype bool, got {mask.dtype}")
    if tuple(mask.shape) != shape:
        raise ValueError(f"{name}: expected shape (batch, tokens) = {shape}, got {tuple(mask.shape)}")
    check_device(name, mask, device)


def check_head_mask(head_mask: Any, heads: int, device: torch.device) -> None:
    """Check one weight for each head, of any floating dtype."""
    check_tensor("head_mask", head_mask)
    if not head_mask.is_floating_point():
        raise TypeError(f"head_mask: expected a floating dtype, got {head_mask.dtype}")
    if tuple(head_mask.shape) != (heads,):
        raise ValueError(f"head_mask: expected shape (heads,) = ({heads},), got {tuple(head_mask.shape)}")
    check_device("head_mask", head_mask, device)


def check_integer(name: str, value: Any, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, INTEGERS):
        raise TypeError(f"{name}: expected an int >= {least}, got {type(value).__name__}")
    if value < least:
        raise ValueError(f"{name}: expected an int >= {least}, got {value}")


def check_dilation(dilation: Any, heads: int) -> list[int]:
    """One dilation for each head."""
    if not isinstance(dilation, Sequence):
        check_integer("dilation", dilation, least=1)
        return [dilation] * heads
    if len(dilation) != heads:
        raise ValueError(f"dilation: expected one int or one for each of {heads} heads, got {len(dilation)}")
    for number in dilation:
        check_integer("dilation", number, least=1)
    return list(dilation)


def check_scale(scale: Any, head_dim: int) -> float:
    if scale is None:
        return 1 / math.sqrt(head_dim)
    if isinstance(scale, bool) or not isinstance(scale, NUMBERS):
        raise TypeError(f"scale: expected a finite float or None, got {type(scale).__name__}")
    if not math.isfinite(scale):
        raise ValueError(f"scale: expected a finite float or None, got {scale}")
    return float(scale)


def check_dropout(dropout_p: Any) -> float:
    if isinstance(dropout_p, bool) or not isinstance(dropout_p, NUMBERS):
        raise TypeError(f"dropout_p: expected a float in [0, 1), got {type(dropout_p).__name__}")
    if not 0 <= dropout_p < 1:
        raise ValueError(f"dropout_p: expected a float in [0, 1), got {dropout_p}")
    return float(dropout_p)


def check_causal(causal: Any) -> None:
    if not isinstance(causal, bool):
        raise TypeError(f"causal: expected a bool, got {type(causal).__name__}")


def check_tensor(name: str, value: Any) -> None:
    if not isinstance(value, Tensor):
        raise TypeError(f"{name}: expected a torch tensor, got {type(value).__name__}")


def check_device(name: str, value: Tensor, device: torch.device) -> None:
    if value.device != device:
        raise ValueError(f"{name}: expected the device of query, {device}, got {value.device}")
