"""The checks of a model's inputs: "<argument>: expected ..., got ...", before any layer runs.

What depends on the contents of a tensor is checked inside small operators, which tracing leaves alone.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from trueband.optimized.attention.arguments import check_device, check_tensor
from trueband.reference.config import LongformerConfig, XLMRobertaConfig

Config = XLMRobertaConfig | LongformerConfig


@torch.library.custom_op("trueband::checked_ids", mutates_args=())
def checked_ids(ids: Tensor, name: str, count: int) -> Tensor:
    """A copy of ids that all lie in 0 .. count - 1."""
    outside = ids[(ids < 0) | (ids >= count)]
    if outside.numel():
        raise ValueError(f"{name}: expected ids from 0 to {count - 1}, got {outside[0].item()}")
    return ids.clone(memory_format=torch.contiguous_format)


@torch.library.custom_op("trueband::checked_mask", mutates_args=())
def checked_mask(mask: Tensor, name: str) -> Tensor:
    """A mask of 0 and 1 as bools."""
    other = mask[(mask != 0) & (mask != 1)]
    if other.numel():
        raise ValueError(f"{name}: expected 0 and 1 only, got {other[0].item()}")
    return (mask != 0).contiguous()


@torch.library.custom_op("trueband::positions_from_ids", mutates_args=())
def positions_from_ids(input_ids: Tensor, pad_token_id: int, max_length: int) -> Tensor:
    """(b, n) int64: pad + 1, pad + 2, ... over the ids that are not padding, wherever padding stands; pads get pad."""
    not_pad = input_ids != pad_token_id
    length = int(not_pad.sum(dim=1).max())
    if length > max_length:
        raise ValueError(f"input_ids: expected at most {max_length} tokens, got {length}")
    return not_pad.cumsum(dim=1) * not_pad + pad_token_id


@checked_ids.register_fake
def _(ids: Tensor, name: str, count: int) -> Tensor:
    return ids.new_empty(ids.shape)


@checked_mask.register_fake
def _(mask: Tensor, name: str) -> Tensor:
    return mask.new_empty(mask.shape, dtype=torch.bool)


@positions_from_ids.register_fake
def _(input_ids: Tensor, pad_token_id: int, max_length: int) -> Tensor:
    return input_ids.new_empty(input_ids.shape, dtype=torch.int64)


def check_ids(name: str, ids: Any, shape: tuple[int, int] | None, count: int, device: torch.device) -> Tensor:
    """Integers of shape (b, n), 0 <= id < count."""
    check_tensor(name, ids)
    if ids.dtype not in (torch.int64, torch.int32):
        raise TypeError(f"{name}: expected dtype int64 or int32, got {ids.dtype}")
    if ids.ndim != 2 or min(ids.shape) < 1 or (shape is not None and tuple(ids.shape) != shape):
        wanted = "(batch, tokens), both at least 1" if shape is None else f"(batch, tokens) = {shape}"
        raise ValueError(f"{name}: expected shape {wanted}, got {tuple(ids.shape)}")
    if ids.device != device:
        raise ValueError(f"{name}: expected the device of the model, {device}, got {ids.device}")
    checked: Tensor = checked_ids(ids, name, count)
    return checked


def check_embeddings(name: str, embeddings: Any, like: Tensor) -> None:
    """Floats of shape (b, n, D). `like`: a weight of the model, (.., D)."""
    check_tensor(name, embeddings)
    if embeddings.dtype != like.dtype:
        raise TypeError(f"{name}: expected the dtype of the model, {like.dtype}, got {embeddings.dtype}")
    if embeddings.ndim != 3 or min(embeddings.shape) < 1 or embeddings.shape[2] != like.shape[-1]:
        raise ValueError(f"{name}: expected shape (batch, tokens, {like.shape[-1]}), got {tuple(embeddings.shape)}")
    if embeddings.device != like.device:
        raise ValueError(f"{name}: expected the device of the model, {like.device}, got {embeddings.device}")


def check_binary_mask(name: str, mask: Any, like: Tensor) -> Tensor | None:
    """A mask of 0 and 1 (bool, int or float) of shape (b, n) exactly, as bools. `like`: (b, n, D)."""
    if mask is None:
        return None
    check_tensor(name, mask)
    if mask.is_complex():
        raise TypeError(f"{name}: expected a bool, integer or floating dtype, got {mask.dtype}")
    if mask.shape != like.shape[:2]:
        raise ValueError(f"{name}: expected shape (batch, tokens) = {tuple(like.shape[:2])}, got {tuple(mask.shape)}")
    check_device(name, mask, like.device)
    if mask.dtype == torch.bool:
        return mask
    checked: Tensor = checked_mask(mask, name)
    return checked


def check_head_masks(head_mask: Any, config: Config, device: torch.device) -> list[Tensor | None]:
    """One (h,) mask or None for each layer, from (layers, heads) of a floating dtype."""
    layers = config.num_hidden_layers
    if head_mask is None:
        return [None] * layers
    check_tensor("head_mask", head_mask)
    if not head_mask.is_floating_point():
        raise TypeError(f"head_mask: expected a floating dtype, got {head_mask.dtype}")
    shape = (layers, config.num_attention_heads)
    if tuple(head_mask.shape) != shape:
        raise ValueError(f"head_mask: expected shape (layers, heads) = {shape}, got {tuple(head_mask.shape)}")
    check_device("head_mask", head_mask, device)
    return list(head_mask.unbind())


# What these models compute, for fields of a configuration that could ask for something else.
COMPUTED = {
    "hidden_act": "gelu",
    "position_embedding_type": "absolute",
    "is_decoder": False,
    "add_cross_attention": False,
    "chunk_size_feed_forward": 0,
    "pruned_heads": {},
    "tie_word_embeddings": True,
}


def check_config(config: Config) -> None:
    """Nothing that a configuration asks for is left out in silence."""
    for name, computed in COMPUTED.items():
        asked = getattr(config, name, computed)
        if asked != computed:
            raise ValueError(f"{name}: expected {computed!r}, got {asked!r}")
