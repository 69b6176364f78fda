"""The checks of a model's inputs: "<argument>: expected ..., got ...", before any layer runs.

What depends on the contents of a tensor is checked inside small operators, which tracing leaves alone.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from trueband.optimized.attention.arguments import check_device, check_tensor
from trueband.optimized.attention.operators.dense import in_onnx
from trueband.reference.config import LongformerConfig, XLMRobertaConfig

Config = XLMRobertaConfig | LongformerConfig
Maybe = Tensor | None  # an argument that may be left out
SEPARATORS = 3  # <s> question </s> </s> context </s>


@torch.library.custom_op("trueband::checked_ids", mutates_args=())
def _checked_ids(ids: Tensor, name: str, count: int) -> Tensor:
    """A copy of ids that all lie in 0 .. count - 1."""
    outside = ids[(ids < 0) | (ids >= count)]
    if outside.numel():
        raise ValueError(f"{name}: expected ids from 0 to {count - 1}, got {outside[0].item()}")
    return ids.clone(memory_format=torch.contiguous_format)


@torch.library.custom_op("trueband::checked_mask", mutates_args=())
def _checked_mask(mask: Tensor, name: str) -> Tensor:
    """A mask of 0 and 1 as bools."""
    other = mask[(mask != 0) & (mask != 1)]
    if other.numel():
        raise ValueError(f"{name}: expected 0 and 1 only, got {other[0].item()}")
    return (mask != 0).contiguous()


@torch.library.custom_op("trueband::counted_positions", mutates_args=())
def _counted_positions(counted: Tensor, before: Tensor | None, name: str, first: int, max_length: int) -> Tensor:
    """(b, n) int64: first, first + 1, ... over the tokens that count, wherever they stand; the others get first - 1.

    `before`: (b,), how many of a row have been given out already.
    """
    length = int(_numbers(counted, before).max())
    if length > max_length:
        raise ValueError(f"{name}: expected at most {max_length} tokens, got {length}")
    return _numbered(counted, before, name, first, max_length)


def _numbers(counted: Tensor, before: Tensor | None) -> Tensor:
    numbers = counted.cumsum(dim=1)
    return numbers if before is None else numbers + before[:, None]


def _numbered(counted: Tensor, before: Tensor | None, name: str, first: int, max_length: int) -> Tensor:
    return _numbers(counted, before) * counted + first - 1


@torch.library.custom_op("trueband::last_end", mutates_args=())
def _last_end(input_ids: Tensor, eos_token_id: int) -> Tensor:
    """(b,) int64: where a row has its last end token; every row must have the same number of them, at least one."""
    counts = (input_ids == eos_token_id).sum(dim=1)
    if not bool(counts.min() > 0) or bool((counts != counts[0]).any()):
        raise ValueError(
            f"input_ids: expected the same number of end tokens (id {eos_token_id}), at least one, in every row, "
            f"got {counts.tolist()}"
        )
    return _last(input_ids, eos_token_id)


def _last(ids: Tensor, wanted: int) -> Tensor:
    there = ids == wanted
    return (there * torch.arange(1, there.shape[1] + 1, device=there.device)).argmax(dim=1)


@torch.library.custom_op("trueband::first_separator", mutates_args=())
def _first_separator(input_ids: Tensor, sep_token_id: int) -> Tensor:
    """(b,) int64: where a row has the first of its separators, of which it must have three."""
    counts = (input_ids == sep_token_id).sum(dim=1).tolist()
    for row, count in enumerate(counts):
        if count != SEPARATORS:
            raise ValueError(
                f"input_ids: expected {SEPARATORS} separators (id {sep_token_id}) in every row, or a "
                f"global_attention_mask, got {count} in row {row}"
            )
    return _first(input_ids, sep_token_id)


def _first(ids: Tensor, wanted: int) -> Tensor:
    return (ids == wanted).int().argmax(dim=1)


@_checked_ids.register_fake
def _(ids: Tensor, name: str, count: int) -> Tensor:
    return ids.new_empty(ids.shape)


@_checked_mask.register_fake
def _(mask: Tensor, name: str) -> Tensor:
    return mask.new_empty(mask.shape, dtype=torch.bool)


@_counted_positions.register_fake
def _(counted: Tensor, before: Tensor | None, name: str, first: int, max_length: int) -> Tensor:
    return counted.new_empty(counted.shape, dtype=torch.int64)


@_last_end.register_fake
def _(input_ids: Tensor, eos_token_id: int) -> Tensor:
    return input_ids.new_empty(input_ids.shape[0], dtype=torch.int64)


@_first_separator.register_fake
def _(input_ids: Tensor, sep_token_id: int) -> Tensor:
    return input_ids.new_empty(input_ids.shape[0], dtype=torch.int64)


# What ONNX gets has no checks of contents: it knows no exceptions.
checked_ids = in_onnx(_checked_ids, lambda ids, name, count: ids)
checked_mask = in_onnx(_checked_mask, lambda mask, name: mask != 0)
counted_positions = in_onnx(_counted_positions, _numbered)
last_end = in_onnx(_last_end, _last)
first_separator = in_onnx(_first_separator, _first)


def device_of(weight: Tensor, given: Tensor) -> torch.device:
    """The device of the model, or of what it is given where its weights come only when they are used (device meta)."""
    return given.device if weight.device.type == "meta" else weight.device


def check_ids(name: str, ids: Any, shape: tuple[int, int] | None, count: int, device: torch.device) -> Tensor:
    """Integers of shape (b, n), 0 <= id < count."""
    check_tensor(name, ids)
    if ids.dtype not in (torch.int64, torch.int32):
        raise TypeError(f"{name}: expected dtype int64 or int32, got {ids.dtype}")
    if ids.ndim != 2 or 0 in ids.shape or (shape is not None and tuple(ids.shape) != shape):
        wanted = "(batch, tokens), both at least 1" if shape is None else f"(batch, tokens) = {shape}"
        raise ValueError(f"{name}: expected shape {wanted}, got {tuple(ids.shape)}")
    if ids.device != device and device.type != "meta":
        raise ValueError(f"{name}: expected the device of the model, {device}, got {ids.device}")
    checked: Tensor = checked_ids(ids, name, count)
    return checked


def check_row_ids(name: str, ids: Any, shape: tuple[int, int], count: int, device: torch.device) -> Tensor:
    """The same, where one row (1, n) stands for all rows of the batch."""
    if isinstance(ids, Tensor) and tuple(ids.shape) == (1, shape[1]):
        ids = ids.expand(shape)
    return check_ids(name, ids, shape, count, device)


def check_embeddings(name: str, embeddings: Any, like: Tensor) -> None:
    """Floats of shape (b, n, D). `like`: a weight of the model, (.., D)."""
    check_tensor(name, embeddings)
    if embeddings.dtype != like.dtype:
        raise TypeError(f"{name}: expected the dtype of the model, {like.dtype}, got {embeddings.dtype}")
    if embeddings.ndim != 3 or 0 in embeddings.shape or embeddings.shape[2] != like.shape[-1]:
        raise ValueError(f"{name}: expected shape (batch, tokens, {like.shape[-1]}), got {tuple(embeddings.shape)}")
    if embeddings.device != like.device and like.device.type != "meta":
        raise ValueError(f"{name}: expected the device of the model, {like.device}, got {embeddings.device}")


def check_encoder_states(name: str, states: Any, batch: int, like: Tensor) -> Tensor:
    """(b, n, D) of an encoder, for a decoder of the same batch."""
    check_embeddings(name, states, like)
    if states.shape[0] != batch:
        raise ValueError(f"{name}: expected a batch of {batch}, got {states.shape[0]}")
    checked: Tensor = states
    return checked


def main_input(input_ids: Maybe = None, inputs_embeds: Maybe = None, **_: Any) -> Maybe:
    """The one of the two that is given: (b, n) or (b, n, D); None for anything else: the model will say so."""
    tokens = input_ids if input_ids is not None else inputs_embeds
    return tokens if isinstance(tokens, Tensor) and tokens.ndim >= 2 else None


def check_one_input(ids_name: str, input_ids: Any, embeds_name: str, inputs_embeds: Any) -> None:
    if (input_ids is None) == (inputs_embeds is None):
        got = "neither" if input_ids is None else "both"
        raise ValueError(f"{ids_name}: expected exactly one of {ids_name} and {embeds_name}, got {got}")


def check_binary_mask(name: str, mask: Any, like: Tensor, past: int = 0) -> Tensor | None:
    """A mask of 0 and 1 (bool, int or float) of shape (b, past + n) exactly, as bools. `like`: (b, n, D)."""
    if mask is None:
        return None
    check_tensor(name, mask)
    if mask.is_complex():
        raise TypeError(f"{name}: expected a bool, integer or floating dtype, got {mask.dtype}")
    shape = (like.shape[0], past + like.shape[1])
    if tuple(mask.shape) != shape:
        raise ValueError(f"{name}: expected shape (batch, tokens) = {shape}, got {tuple(mask.shape)}")
    check_device(name, mask, like.device)
    if mask.dtype == torch.bool:
        return mask
    checked: Tensor = checked_mask(mask, name)
    return checked


def check_head_masks(
    head_mask: Any, layers: int, heads: int, device: torch.device, name: str = "head_mask"
) -> list[Tensor | None]:
    """Return one (h,) mask or None for each layer, from (layers, heads) of a floating dtype."""
    if head_mask is None:
        return [None] * layers
    check_tensor(name, head_mask)
    if not head_mask.is_floating_point():
        raise TypeError(f"{name}: expected a floating dtype, got {head_mask.dtype}")
    if tuple(head_mask.shape) != (layers, heads):
        raise ValueError(f"{name}: expected shape (layers, heads) = {(layers, heads)}, got {tuple(head_mask.shape)}")
    check_device(name, head_mask, device)
    return list(head_mask.unbind())


def with_legacy_flags(attention_mask: Any, global_attention_mask: Any) -> tuple[Any, Any]:
    """Both masks, from one that has 2 for global tokens: how the first Longformers were called.

    It is looked at only where no other mask says what is global, and not in what is compiled or exported.
    """
    if global_attention_mask is not None or torch.compiler.is_compiling() or not isinstance(attention_mask, Tensor):
        return attention_mask, global_attention_mask
    if attention_mask.dtype == torch.bool or attention_mask.is_complex():
        return attention_mask, None
    flags = attention_mask == 2
    if not bool(flags.any()):
        return attention_mask, None
    return attention_mask.masked_fill(flags, 1), flags
