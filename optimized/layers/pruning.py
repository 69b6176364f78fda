"""Taking heads out of the self-attention of RoBERTa-type models."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from trueband.optimized.layers.blocks import Encoder
from trueband.optimized.layers.full_attention import SelfAttention
from trueband.reference.config import XLMRobertaConfig


def prune(encoder: Encoder, config: XLMRobertaConfig, heads: Mapping[int, Iterable[int]]) -> XLMRobertaConfig:
    """Prunes the layers in place and returns the configuration of what is left."""
    wanted = {layer: {*some, *config.pruned_heads.get(layer, ())} for layer, some in heads.items()}
    merged = {**config.pruned_heads, **{layer: tuple(some) for layer, some in wanted.items()}}
    after = dataclasses.replace(config, pruned_heads=merged)
    for layer in wanted:
        if not after.kept_heads(layer):
            raise ValueError(f"heads: expected at least one head left in layer {layer}, got none")
    for layer in wanted:
        prune_layer(encoder.layer[layer], config.kept_heads(layer), after.kept_heads(layer))
    return after


def prune_layer(layer: nn.Module, before: list[int], left: list[int]) -> None:
    """Keeps, of the heads `before`, those that are `left`: rows of query, key and value, columns of the output."""
    block = layer.get_submodule("attention")
    attention, output = block.get_submodule("self"), block.get_submodule("output.dense")
    assert isinstance(attention, SelfAttention)
    head_dim = attention.head_dim
    stays = torch.tensor([head in left for head in before]).repeat_interleave(head_dim)
    for part in (attention.query, attention.key, attention.value):
        part.weight, part.bias = parameter(part.weight[stays], part.weight), parameter(part.bias[stays], part.bias)
        part.out_features = int(stays.sum())
    assert isinstance(output, nn.Linear)
    output.weight = parameter(output.weight[:, stays], output.weight)
    output.in_features = int(stays.sum())
    attention.heads = len(left)


def parameter(values: Tensor, like: Tensor) -> nn.Parameter:
    return nn.Parameter(values.detach().clone(), requires_grad=like.requires_grad)
