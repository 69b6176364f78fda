"""Registration of an attention operator with torch: forward, backward, and the backward of the backward.

An operator is a function of differentiable tensors, then other tensors, then plain values. Its forward and backward
passes are opaque to torch: everything that depends on the contents of a mask happens inside, so tracing, fake tensors
and `torch.compile(fullgraph=True)` see shapes only. Second and higher orders differentiate a slower composite of
torch operations, recomputed from the saved inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from trueband.optimized.attention.operators.dense import in_onnx

NAMESPACE = "trueband"


class Definition(NamedTuple):
    """An operator.

    Attributes:
        name: within the namespace.
        differentiable: (name, may be None) of the leading tensor arguments, which have gradients.
        tensors: names of the optional tensor arguments that follow and have none (masks, seeds).
        values: the plain arguments that follow, in the schema's words.
        forward: (*arguments) -> output.
        backward: (grad_output, *arguments) -> a gradient for each differentiable argument, empty where it is None.
        composite: (*arguments) -> output, from differentiable torch operations.
        new_output: (*arguments) -> an output of the right shape, dtype, device and strides; its contents do not matter.
        new_gradient: (argument) -> the same for the gradient of an argument.
        dense: (*arguments) -> output, from plain operations without a branch, for ONNX; None: it cannot go there.
    """

    name: str
    differentiable: Sequence[tuple[str, bool]]
    tensors: Sequence[str]
    values: str
    forward: Callable[..., Any]
    backward: Callable[..., Sequence[Tensor]]
    composite: Callable[..., Any]
    new_output: Callable[..., Any]
    new_gradient: Callable[[Tensor], Tensor]
    dense: Callable[..., Tensor] | None = None

    @property
    def tensor_count(self) -> int:
        return len(self.differentiable) + len(self.tensors)

    @property
    def arguments(self) -> str:
        tensors = [f"Tensor{'?' if optional else ''} {name}" for name, optional in self.differentiable]
        return ", ".join([*tensors, *(f"Tensor? {name}" for name in self.tensors), self.values])


def register(definition: Definition) -> Callable[..., Tensor]:
    """The registered operator, called with positional arguments."""
    forward_op = torch.library.custom_op(
        f"{NAMESPACE}::{definition.name}",
        full_precision(definition.forward),
        mutates_args=(),
        schema=f"({definition.arguments}) -> Tensor",
    )
    results = ", ".join(["Tensor"] * len(definition.differentiable))
    backward_op = torch.library.custom_op(
        f"{NAMESPACE}::{definition.name}_backward",
        full_precision(lambda *arguments: tuple(definition.backward(*arguments))),
        mutates_args=(),
        schema=f"(Tensor grad_output, {definition.arguments}) -> ({results})",
    )
    forward_op.register_fake(definition.new_output)
    backward_op.register_fake(lambda grad_output, *arguments: fake_gradients(definition, *arguments))

    def backward(context: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        saved = context.saved_tensors  # asked for once: gradient checkpointing hands them out once
        grads = backward_op(grad_output, *saved, *context.plain)
        return gradients_of_present(grads, saved, context.count)

    def double_backward(context: Any, *cotangents: Tensor) -> tuple[Tensor | None, ...]:
        second = second_order(definition, context.saved_tensors, context.plain, cotangents)
        return (*second, *[None] * (context.count - len(second)))

    forward_op.register_autograd(backward, setup_context=keeper(definition.tensor_count))
    backward_op.register_autograd(double_backward, setup_context=keeper(1 + definition.tensor_count))
    return forward_op if definition.dense is None else in_onnx(forward_op, definition.dense)


def full_precision(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function outside of any autocast region: it chooses its own dtypes."""

    def run(*arguments: Any) -> Any:
        with torch.autocast(arguments[0].device.type, enabled=False):
            return function(*arguments)

    return run


def keeper(tensor_count: int) -> Callable[..., None]:
    """Saves the leading tensors and remembers the plain values that follow."""

    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.save_for_backward(*inputs[:tensor_count])
        ctx.plain, ctx.count = inputs[tensor_count:], len(inputs)

    return setup_context


def fake_gradients(definition: Definition, *arguments: Any) -> tuple[Tensor, ...]:
    first: Tensor = arguments[0]
    tensors = arguments[: len(definition.differentiable)]
    return tuple(first.new_empty(0) if tensor is None else definition.new_gradient(tensor) for tensor in tensors)


def gradients_of_present(
    grads: Sequence[Tensor], tensors: Sequence[Tensor | None], count: int
) -> tuple[Tensor | None, ...]:
    """`count` gradients: None for what was not given or has none."""
    kept = [None if tensor is None else grad for grad, tensor in zip(grads, tensors, strict=False)]
    return (*kept, *[None] * (count - len(kept)))


def second_order(
    definition: Definition,
    saved: Sequence[Tensor | None],
    plain: Sequence[Any],
    cotangents: Sequence[Tensor],
    outputs: int = 1,
) -> list[Tensor | None]:
    """Gradients of sum(gradient * cotangent) by grad_output and the differentiable arguments, in this order.

    With more `outputs`, the composite has so many, and there are so many grad_outputs.
    """
    higher = torch.is_grad_enabled()
    count = outputs + len(definition.differentiable)
    with torch.enable_grad(), torch.autocast(cotangents[0].device.type, enabled=False):
        inputs = [None if tensor is None else separate(tensor, higher) for tensor in saved[:count]]
        found: Any = definition.composite(*inputs[outputs:], *saved[count:], *plain)
        found = [found] if outputs == 1 else found
        known: list[tuple[Tensor, Any]] = [
            pair for pair in zip(found, inputs[:outputs], strict=True) if pair[0].requires_grad
        ]
        if not known:  # no real token: a constant
            return [None] * count
        leaves = [(tensor, c) for tensor, c in zip(inputs[outputs:], cotangents, strict=True) if tensor is not None]
        first = torch.autograd.grad(
            [output for output, _ in known],
            [tensor for tensor, _ in leaves],
            [grad for _, grad in known],
            create_graph=True,
            allow_unused=True,
        )
        pairs = [
            (grad, c) for grad, (_, c) in zip(first, leaves, strict=True) if grad is not None and grad.requires_grad
        ]
        if not pairs:
            return [None] * count
        grads = torch.autograd.grad(
            [grad for grad, _ in pairs],
            [tensor for tensor in inputs if tensor is not None],
            [cotangent for _, cotangent in pairs],
            create_graph=higher,
            allow_unused=True,
        )
    remaining = iter(grads)
    return [None if tensor is None else next(remaining) for tensor in inputs]


def separate(tensor: Tensor, keep_graph: bool) -> Tensor:
    """A tensor of the same values that is a variable of its own, even when one tensor was passed twice."""
    return tensor.view_as(tensor) if keep_graph and tensor.requires_grad else tensor.detach().requires_grad_()
