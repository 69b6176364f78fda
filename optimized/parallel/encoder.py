"""Encoders of LED and Longformer with the tokens of a batch over ranks: each computes its own, and its layers meet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from trueband.optimized.layers.band_attention import BandSelfAttention
from trueband.optimized.layers.blocks import Attended
from trueband.optimized.layers.embeddings import Embeddings
from trueband.optimized.models.led_decoder import LEDDecoder
from trueband.optimized.models.led_encoder import LEDEncoder
from trueband.optimized.parallel.agreement import group_of
from trueband.optimized.parallel.band import band_attention
from trueband.optimized.parallel.shards import shards_of

Maybe = Tensor | None


@contextmanager
def over_ranks(model: nn.Module, group: Any = None) -> Iterator[nn.Module]:
    """While the block runs, every rank of the group calls the model with its shard of the tokens, one after another.

    Ids, embeddings and masks are (b, m), the m tokens of this rank, at least one; so are hidden states and logits.
    The attention reaches over the shards, and positions go on from rank to rank. Everything else is computed for each
    token by itself. A rank's gradient of a weight is what its own tokens give: sum over the ranks, and weigh a loss
    that is a mean by the share of its tokens. The backward pass runs inside the block, on all ranks.

    Args:
        model: with the layers of a Longformer or of LED's encoder (`model.get_encoder()`).
        group: a process group of torch.distributed, a `DeviceMesh` of one dimension, or None: the default group.

    Raises:
        ValueError: a model that has a decoder, or no band attention.
    """
    modules = list(model.modules())
    if any(isinstance(module, LEDDecoder) for module in modules):
        raise ValueError(
            f"model: expected an encoder, got {type(model).__name__}, which has a decoder; use get_encoder()"
        )
    attentions = [module for module in modules if isinstance(module, BandSelfAttention)]
    if not attentions:
        raise ValueError(f"model: expected layers of a Longformer or of LED's encoder, got {type(model).__name__}")
    group = group_of(group)
    with ExitStack() as stack:
        for attention in attentions:
            stack.enter_context(_in_place_of(attention, "forward", partial(_attend, attention, group)))
        for module in modules:
            if isinstance(module, Embeddings):
                stack.enter_context(_in_place_of(module, "positions", partial(_positions, module, group)))
            if isinstance(module, LEDEncoder):
                stack.enter_context(_in_place_of(module, "embed", partial(_embed, module, group)))
        yield model


@contextmanager
def _in_place_of(module: nn.Module, name: str, function: Callable[..., Any]) -> Iterator[None]:
    """The function in place of a method of the class, for this one module."""
    if name in vars(module):
        raise ValueError(f"model: expected one that is not over ranks already, or changed, got a {name} of its own")
    vars(module)[name] = function
    try:
        yield
    finally:
        del vars(module)[name]


def _attend(
    module: BandSelfAttention,
    group: Any,
    hidden_states: Tensor,
    attention_mask: Maybe,
    global_attention_mask: Maybe,
    head_mask: Maybe,
    output_attentions: bool,
) -> Attended:
    """`BandSelfAttention.forward` with the same arguments, those of the tokens of this rank."""
    if output_attentions:
        raise ValueError("output_attentions: expected False for a model over ranks, got True")
    if module.current_dropout():
        raise ValueError(
            f"attention dropout: expected 0 for a model over ranks, got {module.dropout_p}; "
            "set it to 0 in the configuration, or call eval()"
        )
    query, value = (module.split(part(hidden_states)) for part in (module.query, module.value))
    far: tuple[Maybe, Maybe, Maybe] = (None, None, None)
    if global_attention_mask is not None:
        far = module.called_projections(hidden_states, query)
    context = band_attention(
        query,
        module.keys(hidden_states),
        value,
        window=module.window,
        group=group,
        attention_mask=attention_mask,
        global_attention_mask=global_attention_mask,
        query_global=far[0],
        key_global=far[1],
        value_global=far[2],
        head_mask=head_mask,
        scale=module.scale,
    )
    assert isinstance(context, Tensor)
    return Attended(context.transpose(1, 2).flatten(2))


def _positions(
    module: Embeddings,
    group: Any,
    input_ids: Maybe,
    position_ids: Maybe,
    shape: tuple[int, int],
    past: int,
    counts: Maybe,
    device: torch.device | None = None,
) -> Maybe:
    """`Embeddings.positions`: those that earlier ranks have given out count."""
    if position_ids is None:
        device = module.word_embeddings.weight.device if device is None else device
        own = torch.full((shape[0],), shape[1], device=device)
        if input_ids is not None:
            own = (input_ids != module.config.pad_token_id).sum(dim=1)
        told = [torch.zeros_like(own) for _ in range(dist.get_world_size(group))]
        dist.all_gather(told, own, group=group)
        earlier = torch.stack(told)[: dist.get_rank(group)].sum(dim=0)
        counts = earlier if counts is None else counts + earlier
    return Embeddings.positions(module, input_ids, position_ids, shape, past, counts, device)


def _embed(module: LEDEncoder, group: Any, input_ids: Maybe, inputs_embeds: Maybe, past: int = 0) -> Tensor:
    """`LEDEncoder.embed`: positions begin behind the tokens of earlier ranks."""
    given = input_ids if input_ids is not None else inputs_embeds
    tokens = given.shape[1] if isinstance(given, Tensor) and given.ndim > 1 else 0
    device = module.embed_positions.weight.device
    before = shards_of(tokens, group, None, None, device).own[0]
    return LEDEncoder.embed(module, input_ids, inputs_embeds, past + before)
