"""Registration of an operator that returns a pair, the output and the lse of its rows, and has gradients through both.

Its backward pass is given both, so that it need not compute them again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from trueband.optimized.attention.operators.registration import (
    NAMESPACE,
    Definition,
    fake_gradients,
    full_precision,
    gradients_of_present,
    keeper,
    second_order,
)

Pair = tuple[Tensor, Tensor]


def register_pair(definition: Definition) -> Callable[..., Pair]:
    """The registered operator, called with positional arguments.

    `definition`: forward, composite and new_output return (output, lse); backward takes (grad_output, grad_lse, output,
    lse, *arguments).
    """
    forward_op = torch.library.custom_op(
        f"{NAMESPACE}::{definition.name}",
        full_precision(definition.forward),
        mutates_args=(),
        schema=f"({definition.arguments}) -> (Tensor, Tensor)",
    )
    given = "Tensor grad_output, Tensor grad_lse, Tensor output, Tensor lse"
    backward_op = torch.library.custom_op(
        f"{NAMESPACE}::{definition.name}_backward",
        full_precision(lambda *arguments: tuple(definition.backward(*arguments))),
        mutates_args=(),
        schema=f"({given}, {definition.arguments}) -> ({', '.join(['Tensor'] * len(definition.differentiable))})",
    )
    forward_op.register_fake(definition.new_output)
    backward_op.register_fake(lambda grad_output, grad_lse, output, lse, *rest: fake_gradients(definition, *rest))
    tensors = definition.tensor_count

    def keep(ctx: Any, inputs: tuple[Any, ...], output: Pair) -> None:
        ctx.save_for_backward(*output, *inputs[:tensors])
        ctx.plain, ctx.count = inputs[tensors:], len(inputs)

    def backward(context: Any, grad_output: Tensor, grad_lse: Tensor) -> tuple[Tensor | None, ...]:
        output, lse, *saved = context.saved_tensors
        grads = backward_op(grad_output, grad_lse, output, lse, *saved, *context.plain)
        return gradients_of_present(grads, saved, context.count)

    def double_backward(context: Any, *cotangents: Tensor) -> tuple[Tensor | None, ...]:
        # The output and the lse are functions of the inputs, as the composite knows.
        grad_output, grad_lse, _, _, *saved = context.saved_tensors
        given: Sequence[Tensor | None] = [grad_output, grad_lse, *saved]
        second = second_order(definition, given, context.plain, cotangents, outputs=2)
        return (*second[:2], None, None, *second[2:], *[None] * (context.count - 2 - len(second)))

    forward_op.register_autograd(backward, setup_context=keep)
    backward_op.register_autograd(double_backward, setup_context=keeper(4 + tensors))
    return forward_op
