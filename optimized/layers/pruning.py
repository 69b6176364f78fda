"""Taking heads out of the self-attention of RoBERTa-type models."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from trueband.optimized.layers.base import Model
from trueband.optimized.layers.blocks import Encoder
from trueband.optimized.layers.full_attention import SelfAttention
from trueband.optimized.layers.plain import is_plain
from trueband.reference.config import XLMRobertaConfig


class Pruned(Model):
    """A model of the RoBERTa type, with a head or without."""

    def prune_heads(self, heads_to_prune: Mapping[int, Iterable[int]]) -> None:
        """Take heads out of layers' self-attention, in place: {layer: heads, in the numbering of the whole model}.

        The rest computes what it did with those heads masked. Heads that are out already are passed over. The
        configuration is that of the model without a head, too, and tells a saved model's reader what is left.

        Raises:
            ValueError: layers or heads that do not exist, a layer that would have no head left, or a projection that
                is no plain linear map.
        """
        prune(self.base_model.encoder, self.config, heads_to_prune)


def prune(encoder: Encoder, config: XLMRobertaConfig, heads: Mapping[int, Iterable[int]]) -> None:
    """Prunes the layers and the configuration in place."""
    wanted = {layer: {*some, *config.pruned_heads.get(layer, ())} for layer, some in heads.items()}
    merged = {**config.pruned_heads, **{layer: tuple(some) for layer, some in wanted.items()}}
    after = dataclasses.replace(config, pruned_heads=merged)
    for layer in wanted:
        if not after.kept_heads(layer):
            raise ValueError(f"heads: expected at least one head left in layer {layer}, got none")
    for layer in wanted:
        check_layer(layer, encoder.layer[layer])
    for layer in wanted:
        prune_layer(encoder.layer[layer], config.kept_heads(layer), after.kept_heads(layer))
    config.pruned_heads = after.pruned_heads


def check_layer(number: int, layer: nn.Module) -> None:
    """Raise ValueError unless the weights that are cut are all that the projections compute with."""
    for name in ("self.query", "self.key", "self.value", "output.dense"):
        part = layer.get_submodule(f"attention.{name}")
        if not is_plain(part):
            raise ValueError(
                f"heads_to_prune: expected plain linear maps in layer {number}, got {type(part).__name__} for {name}, "
                "or one with hooks"
            )


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
