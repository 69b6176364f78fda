"""The operator `trueband::band_attention_triton`: forward, backward, and the backward of the backward.

Unlike the other operators it returns what its backward pass needs beside the output: the log-sums of the rows. Second
and higher orders differentiate the composite of `band_op`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from trueband.optimized.attention.chunked.arguments import BandArguments
from trueband.optimized.attention.chunked.tensors import new_like
from trueband.optimized.attention.operators.band_op import DEFINITION
from trueband.optimized.attention.operators.registration import (
    NAMESPACE,
    fake_gradients,
    full_precision,
    gradients_of_present,
    keeper,
    second_order,
)
from trueband.optimized.attention.triton.places import place_of
from trueband.optimized.attention.triton.requirements import refusal

NAME = f"{NAMESPACE}::band_attention_triton"
GIVEN = len(DEFINITION.differentiable)


def forward(*arguments: Any) -> tuple[Tensor, Tensor]:
    """Output (b, h, n, d) and log-sums (b, h, n) float32; arguments as those of `band_op`."""
    from trueband.optimized.attention.triton import launch

    call = BandArguments(*arguments)
    return launch.forward(read(launch, call), *call.inputs)


def backward(grad_output: Tensor, output: Tensor, log_sums: Tensor, *arguments: Any) -> tuple[Tensor, ...]:
    """A gradient for each differentiable argument, empty where it is None."""
    from trueband.optimized.attention.triton import launch

    call = BandArguments(*arguments)
    gradients = launch.backward(read(launch, call), *call.inputs, output, log_sums, grad_output)
    local, of_global_rows = list(gradients.local), gradients.of_global_rows
    separate = []
    for index, tensor in enumerate(call.separate):
        if tensor is None:
            separate.append(grad_output.new_empty(0))
            if of_global_rows is not None:
                local[index] = local[index] + of_global_rows[index]
        else:
            separate.append(new_like(tensor) if of_global_rows is None else of_global_rows[index])
    if call.head_mask is None or gradients.head_mask is None:
        return (*local, *separate, grad_output.new_empty(0))
    return (*local, *separate, gradients.head_mask.to(call.head_mask.dtype))


def read(launch: Any, call: BandArguments) -> Any:
    """Read what a launch needs of the arguments. Raises ValueError for what the kernels do not take."""
    reason = refusal(call.query, call.dropout_p)
    if reason is not None:
        raise ValueError(reason)
    masks = (call.head_mask, call.attention_mask, call.global_attention_mask)
    how = (call.window, call.dilations, call.causal, call.scale, call.global_rows)
    return launch.setting(call.query, *masks, *how, place_of(call.query.device))


def fake_forward(query: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    return new_like(query), query.new_empty(query.shape[:3], dtype=torch.float32)


def keep_forward(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    tensors = DEFINITION.tensor_count
    ctx.save_for_backward(*output, *inputs[:tensors])
    ctx.plain, ctx.count = inputs[tensors:], len(inputs)
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(False)


def differentiate(context: Any, grad_output: Tensor | None, _: Tensor | None) -> tuple[Tensor | None, ...]:
    output, log_sums, *saved = context.saved_tensors
    if grad_output is None:
        return (None,) * context.count
    grads = backward_op(grad_output, output, log_sums, *saved, *context.plain)
    return gradients_of_present(grads, saved, context.count)


def differentiate_twice(context: Any, *cotangents: Tensor) -> tuple[Tensor | None, ...]:
    grad_output, _, _, *saved = context.saved_tensors  # the output is a function of the inputs, as the composite knows
    first, *second = second_order(DEFINITION, [grad_output, *saved], context.plain, cotangents)
    return (first, None, None, *second, *[None] * (context.count - 3 - len(second)))


forward_op = torch.library.custom_op(
    NAME, full_precision(forward), mutates_args=(), schema=f"({DEFINITION.arguments}) -> (Tensor, Tensor)"
)
backward_op = torch.library.custom_op(
    f"{NAME}_backward",
    full_precision(backward),
    mutates_args=(),
    schema=f"(Tensor grad_output, Tensor output, Tensor log_sums, {DEFINITION.arguments}) -> "
    f"({', '.join(['Tensor'] * GIVEN)})",
)
forward_op.register_fake(fake_forward)
backward_op.register_fake(lambda grad_output, output, log_sums, *rest: fake_gradients(DEFINITION, *rest))
forward_op.register_autograd(differentiate, setup_context=keep_forward)
backward_op.register_autograd(differentiate_twice, setup_context=keeper(3 + DEFINITION.tensor_count))


def triton_band(*arguments: Any) -> Tensor:
    """The operator with the arguments and the result of `band_op`."""
    output: Tensor = forward_op(*arguments)[0]
    return output
