"""The arguments of `band_attention`, checked before any work is done: "<argument>: expected ..., got ..."."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)

# Not written as unions: torch.compile of torch 2.6 cannot trace those.
INTEGERS, NUMBERS, PAIR = (int, torch.SymInt), (int, float), (tuple, list)
FARTHEST = 2**62  # positions are int64, and so are distances


def check_query(query: Any) -> None:
    """The one argument that sets the shape, dtype and device of the others."""
    check_tensor("query", query)
    if query.dtype not in DTYPES:
        raise TypeError(f"query: expected dtype float32, float64, bfloat16 or float16, got {query.dtype}")
    if query.ndim != 4 or 0 in query.shape:
        raise ValueError(
            f"query: expected shape (batch, heads, tokens, head_dim), all at least 1, got {tuple(query.shape)}"
        )


def check_key(key: Any, query: Tensor) -> None:
    """The batch, the head_dim, the dtype and the device of the query; heads that divide its heads."""
    batch, heads, _, head_dim = query.shape
    check_projection("key", key, query, (batch, "key heads", "keys", head_dim), "shape")
    if heads % key.shape[1]:
        raise ValueError(f"key: expected a number of heads that divides the {heads} of query, got {key.shape[1]}")


def check_value(value: Any, key: Tensor, query: Tensor) -> None:
    """The shape of the key but for the head_dim, the dtype and the device of the query."""
    check_projection("value", value, query, (*key.shape[:3], "value_dim"), "the batch, heads and tokens of key")


def check_like(name: str, tensor: Any, like: Tensor, query: Tensor) -> None:
    """Another projection: shape of the local one, dtype and device of the query."""
    check_projection(name, tensor, query, tuple(like.shape), f"the shape of {name.removesuffix('_global')}")


def check_projection(name: str, tensor: Any, query: Tensor, shape: tuple[Any, ...], expected: str) -> None:
    """A tensor of a shape, in which a word stands for any size of at least 1."""
    check_tensor(name, tensor)
    if tensor.dtype != query.dtype:
        raise TypeError(f"{name}: expected the dtype of query, {query.dtype}, got {tensor.dtype}")
    if not fits(tensor, shape):
        raise ValueError(f"{name}: expected {expected} ({', '.join(map(str, shape))}), got {tuple(tensor.shape)}")
    check_device(name, tensor, query.device)


def fits(tensor: Tensor, shape: tuple[Any, ...]) -> bool:
    if tensor.ndim != len(shape):
        return False
    pairs = zip(shape, tensor.shape, strict=True)
    return all(got > 0 if isinstance(size, str) else got == size for size, got in pairs)


def check_mask(name: str, mask: Any, shape: tuple[int, int], device: torch.device) -> None:
    """A mask of exactly this shape: masks never broadcast."""
    check_tensor(name, mask)
    if mask.dtype != torch.bool:
        raise TypeError(f"{name}: expected dtype bool, got {mask.dtype}")
    if tuple(mask.shape) != shape:
        raise ValueError(f"{name}: expected shape (batch, tokens) = {shape}, got {tuple(mask.shape)}")
    check_device(name, mask, device)


def check_per_head(name: str, values: Any, heads: int, device: torch.device) -> None:
    """Check one number for each head, of any floating dtype."""
    check_tensor(name, values)
    if not values.is_floating_point():
        raise TypeError(f"{name}: expected a floating dtype, got {values.dtype}")
    if tuple(values.shape) != (heads,):
        raise ValueError(f"{name}: expected shape (heads,) = ({heads},), got {tuple(values.shape)}")
    check_device(name, values, device)


def check_segments(segments: Any, shape: tuple[int, int], device: torch.device) -> None:
    """Check one number for each token, of any integer dtype."""
    check_tensor("segments", segments)
    if segments.dtype == torch.bool or segments.is_floating_point() or segments.is_complex():
        raise TypeError(f"segments: expected an integer dtype, got {segments.dtype}")
    if tuple(segments.shape) != shape:
        raise ValueError(f"segments: expected shape (batch, tokens) = {shape}, got {tuple(segments.shape)}")
    check_device("segments", segments, device)


def check_integer(name: str, value: Any, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, INTEGERS):
        raise TypeError(f"{name}: expected an int >= {least}, got {type(value).__name__}")
    if value < least:
        raise ValueError(f"{name}: expected an int >= {least}, got {value}")


def check_window(window: Any) -> tuple[Any, Any]:
    """How many steps a row sees to the left and to the right; None: no limit."""
    if not isinstance(window, PAIR):
        check_integer("window", window, least=0)
        return near(window), near(window)
    if len(window) != 2:
        raise ValueError(f"window: expected an int >= 0 or a pair (left, right), got {len(window)} limits")
    for limit in window:
        if limit is not None:
            check_integer("window", limit, least=0)
    return near(window[0]), near(window[1])


def near(limit: Any) -> Any:
    """The limit, or None where no distance of two positions is as large: it need not fit into 64 bits."""
    return None if isinstance(limit, int) and limit >= 2 * FARTHEST - 1 else limit


def check_offset(offset: Any, batch: int, device: torch.device) -> None:
    """Check an int, or an int64 tensor with one for each row of the batch, whose numbers are looked at later."""
    if isinstance(offset, Tensor):
        if offset.dtype != torch.int64:
            raise TypeError(f"offset: expected {an_offset(batch)}, got dtype {offset.dtype}")
        if tuple(offset.shape) != (batch,):
            raise ValueError(f"offset: expected {an_offset(batch)}, got shape {tuple(offset.shape)}")
        check_device("offset", offset, device)
        return
    if isinstance(offset, bool) or not isinstance(offset, INTEGERS):
        raise TypeError(f"offset: expected {an_offset(batch)}, got {type(offset).__name__}")
    if offset > FARTHEST or offset < -FARTHEST:
        raise ValueError(f"offset: expected at most 2^62 in size, got {offset}")


def an_offset(batch: int) -> str:
    """Asked for only when there is an error: torch.compile takes a size that is written out for a constant."""
    return f"an int or a tensor of shape (batch,) = ({batch},) of dtype int64"


def check_softcap(softcap: Any) -> float | None:
    if softcap is None:
        return None
    if isinstance(softcap, bool) or not isinstance(softcap, NUMBERS):
        raise TypeError(f"softcap: expected a finite float > 0 or None, got {type(softcap).__name__}")
    if not 0 < softcap < math.inf:
        raise ValueError(f"softcap: expected a finite float > 0 or None, got {softcap}")
    return float(softcap)


def check_slopes(slopes: Any, dilations: list[int], device: torch.device) -> None:
    """Check one slope for each head; distances are in tokens, so none is dilated."""
    check_per_head("slopes", slopes, len(dilations), device)
    if any(dilation != 1 for dilation in dilations):
        raise ValueError(f"slopes: expected None with a dilation above 1 (not defined), got slopes and {dilations}")


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


def check_flag(name: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise TypeError(f"{name}: expected a bool, got {type(value).__name__}")


def check_tensor(name: str, value: Any) -> None:
    if not isinstance(value, Tensor):
        raise TypeError(f"{name}: expected a torch tensor, got {type(value).__name__}")


def check_device(name: str, value: Tensor, device: torch.device) -> None:
    if value.device != device:
        raise ValueError(f"{name}: expected the device of query, {device}, got {value.device}")
