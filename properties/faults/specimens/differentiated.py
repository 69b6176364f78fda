"""The specimen behind torch's autograd, in small steps, as a `torch.autograd.Function`."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any

from trueband.properties.faults.specimens.plain import Array, Specimen


@dataclass
class Saved:
    """What a forward pass saves for its backward pass.

    Attributes:
        arrays: the floating arguments by name, in order.
        options: the other arguments.
        wanted: the names of the arguments that require gradients.
        tensors: the tensors of `arrays`.
        output: the output of the forward pass.
        passes: how many backward passes have run.
    """

    arrays: dict[str, Array]
    options: dict[str, Any]
    wanted: tuple[str, ...]
    tensors: dict[str, Any]
    output: Any = None
    passes: int = 0
    kept: dict[str, Any] = field(default_factory=dict)


class Differentiated(Specimen):
    """The operator of the contract for torch tensors."""

    library = "torch"

    def __call__(self, query: Any, key: Any, value: Any, **options: Any) -> Any:
        import torch

        arguments = {"query": query, "key": key, "value": value, **options}
        tensors = {name: argument for name, argument in arguments.items() if isinstance(argument, torch.Tensor)}
        floating = {name: argument for name, argument in tensors.items() if argument.is_floating_point()}
        others = {
            name: argument.numpy() if name in tensors else argument
            for name, argument in arguments.items()
            if name not in floating
        }
        return _function().apply(self, others, tuple(floating), *floating.values())

    def forward(self, saved: Saved) -> Array:
        output: Array = Specimen.__call__(self, **saved.arrays, **saved.options)
        return output

    def backward(self, saved: Saved, grad_output: Array) -> dict[str, Array]:
        return Specimen.gradients(self, **saved.arrays, grad_output=grad_output, **saved.options)

    def hand_back(self, saved: Saved, gradients: dict[str, Array]) -> list[Array | None]:
        """Return the gradients by place, None for an argument that requires none."""
        return [gradients[name] if name in saved.wanted else None for name in saved.arrays]


@cache
def _function() -> Any:
    import torch

    class Function(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, kernel: Differentiated, options: dict[str, Any], names: Any, *tensors: Any) -> Any:
            arrays = {name: array.detach().numpy() for name, array in zip(names, tensors, strict=True)}
            wanted = tuple(name for name, needed in zip(names, ctx.needs_input_grad[3:], strict=True) if needed)
            ctx.kernel = kernel
            ctx.saved = Saved(arrays, options, wanted, dict(zip(names, tensors, strict=True)))
            ctx.saved.output = torch.from_numpy(kernel.forward(ctx.saved))
            return ctx.saved.output

        @staticmethod
        def backward(ctx: Any, grad_output: Any) -> Any:
            gradients = ctx.kernel.backward(ctx.saved, grad_output.numpy())
            handed = ctx.kernel.hand_back(ctx.saved, gradients)
            ctx.saved.passes += 1
            return None, None, None, *(None if array is None else torch.from_numpy(array) for array in handed)

    return Function
