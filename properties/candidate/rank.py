"""One rank: it is given its shards, calls the target, and holds it to the rules of a result."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trueband.properties.candidate.errors import CHANGED, CandidateEnded, judged

if TYPE_CHECKING:
    import torch
    from torch import Tensor

KEPT = 4  # calls whose graphs are alive


@dataclass(frozen=True)
class Forward:
    """A call.

    Attributes:
        number: of the call.
        tensors: the arguments that are tensors, of this rank.
        options: all others, `offset` and `tokens` among them.
        varying: names of those that require gradients.
        shapes: {"output": its shape, "lse": its shape where it is asked for}.
        late: seconds that the rank waits before it calls.
    """

    number: int
    tensors: dict[str, Tensor]
    options: dict[str, Any]
    varying: tuple[str, ...]
    shapes: dict[str, tuple[int, ...]]
    late: float = 0.0


@dataclass(frozen=True)
class Backward:
    """The backward pass of a call: gradients of its results, by their names. The graph stays."""

    number: int
    upstream: dict[str, Tensor]
    late: float = 0.0


class Rank:
    """One rank of some.

    Args:
        function: the target.
        group: what it is given as `group`.
        device: of its tensors.
        place: in words, such as "rank 1 of 4".
    """

    def __init__(self, function: Callable[..., Any], group: Any, device: str, place: str) -> None:
        self._function, self._group, self._device, self._place = function, group, device, place
        self._graphs: dict[int, tuple[dict[str, Tensor], dict[str, Tensor]]] = {}

    def serve(self, request: Forward | Backward) -> dict[str, Tensor]:
        """Return results of a call, or gradients. Raises CandidateEnded, with the rank in its message."""
        try:
            time.sleep(request.late)
            return self._forward(request) if isinstance(request, Forward) else self._backward(request)
        except CandidateEnded as error:
            raise self._placed(error) from error
        except BaseException as error:
            raise self._placed(judged(error, "a result" if isinstance(request, Forward) else "gradients")) from error

    def _placed(self, error: CandidateEnded) -> CandidateEnded:
        return type(error)(f"{self._place}: {error}", error.status, error.traceback)

    def _forward(self, request: Forward) -> dict[str, Tensor]:
        import torch

        given = {name: tensor.to(self._device) for name, tensor in request.tensors.items()}
        before = {name: tensor.clone() for name, tensor in given.items()}
        for name in request.varying:
            given[name].requires_grad_()
        self._poison(request.shapes["output"], given["query"].dtype)
        with torch.set_grad_enabled(bool(request.varying)):
            result = self._function(**given, **request.options, group=self._group)
        results = self._read(result, request.shapes, given)
        for name, tensor in given.items():
            if not _same(tensor.detach(), before[name]):
                raise CandidateEnded(f"{name}: expected an unchanged input, got one that the call has changed", CHANGED)
        if request.varying:
            self._graphs[request.number] = {name: given[name] for name in request.varying}, results
            for old in [number for number in self._graphs if number <= request.number - KEPT]:
                del self._graphs[old]
        return results

    def _read(self, result: Any, shapes: dict[str, tuple[int, ...]], given: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the results by name, after a check of their form."""
        import torch

        parts = result if isinstance(result, tuple) else (result,)
        if len(parts) != len(shapes):
            raise CandidateEnded(f"output: expected {' and '.join(shapes)}, got {len(parts)} results")
        results = dict(zip(shapes, parts, strict=True))
        dtype = given["query"].dtype
        wide = torch.float64 if dtype == torch.float64 else torch.float32
        for name, part in results.items():
            expected = wide if name == "lse" else dtype
            if type(part) is not torch.Tensor:
                raise CandidateEnded(f"{name}: expected a plain torch array, got {type(part).__name__}")
            if tuple(part.shape) != shapes[name]:
                raise CandidateEnded(f"{name}: expected shape {shapes[name]}, got {tuple(part.shape)}")
            if part.dtype != expected:
                raise CandidateEnded(f"{name}: expected dtype {expected}, got {part.dtype}".replace("torch.", ""))
        return results

    def _backward(self, request: Backward) -> dict[str, Tensor]:
        import torch

        varying, results = self._graphs[request.number]
        pairs = [
            (results[name], gradient.to(self._device))
            for name, gradient in request.upstream.items()
            if results[name].requires_grad
        ]
        if not pairs:
            return {}
        of, upstream = zip(*pairs, strict=True)
        gradients = torch.autograd.grad(of, [*varying.values()], upstream, retain_graph=True, allow_unused=True)
        found = {name: gradient for name, gradient in zip(varying, gradients, strict=True) if gradient is not None}
        for name, gradient in found.items():
            if gradient.shape != varying[name].shape:
                raise CandidateEnded(
                    f"gradient of {name}: expected shape {tuple(varying[name].shape)}, got {tuple(gradient.shape)}"
                )
        return found

    def _poison(self, shape: tuple[int, ...], dtype: torch.dtype) -> None:
        """Leave NaN where the target is likely to allocate what it receives and returns."""
        import torch

        left = [torch.full(shape, float("nan"), dtype=dtype, device=self._device) for _ in range(4)]
        del left


def _same(one: Tensor, other: Tensor) -> bool:
    import torch

    return torch.equal(one, other) or bool(((one == other) | ((one != one) & (other != other))).all())
