"""A target of several ranks as one function of whole tensors: it deals them, gathers results, and gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

from trueband.properties.candidate.rank import Backward, Forward
from trueband.properties.candidate.rank_processes import Server
from trueband.properties.candidate.rank_threads import ThreadWorld
from trueband.properties.candidate.sharding import Piece, offset_of, pieces_of, suited, token_axis

if TYPE_CHECKING:
    from torch import Size, Tensor


class SomeRanks(Protocol):
    """A world of ranks."""

    def ask(self, requests: Sequence[Forward | Backward]) -> list[dict[str, Tensor]]: ...


def check_group(process_group: str) -> None:
    """ValueError for "nccl" on a machine that has none, or no GPU."""
    import torch

    if process_group == "nccl" and not (torch.distributed.is_nccl_available() and torch.cuda.is_available()):
        raise ValueError("process_group: expected 'gloo' or 'threads' without NCCL and a GPU, got 'nccl'")


class Sharded:
    """The function that a judge calls in place of the target.

    Args:
        function: the target, of which each rank calls its own.
        ranks: how many there may be.
        process_group: "gloo", "nccl", or "threads".
        sharding: "contiguous" or "zigzag".
        layout: of the arrays, "bhnd" or "bnhd".
        empty: whether the target takes a shard of no tokens.
        device: of the tensors in the ranks. Those that come and go are on the CPU.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        ranks: tuple[int, ...],
        process_group: str,
        sharding: str,
        layout: str,
        empty: bool,
        device: str,
    ) -> None:
        self._function, self._ranks, self._process_group, self._device = function, ranks, process_group, device
        self.sharding, self.layout, self._empty = sharding, layout, empty
        self._server: Server | None = None
        self._worlds: dict[int, Any] = {}
        self._calls = 0

    def __call__(
        self, *, ranks: int | None = None, late: Sequence[float] = (), **given: Any
    ) -> Tensor | tuple[Tensor, ...]:
        """Return what the target gives for whole tensors.

        Args:
            ranks: how many; None: the most. Fewer, where a rank would have no token and the target takes no such shard.
            late: seconds that each rank waits before it is called, and before its backward pass.
        """
        import torch

        tensors = {name: value for name, value in given.items() if isinstance(value, torch.Tensor)}
        options = {name: value for name, value in given.items() if name not in tensors}
        tokens = tensors["key"].shape[token_axis("key", 4, self.layout) or 0]
        size = suited(ranks, self._ranks, tokens, self.sharding, self._empty)
        self._calls += 1
        call = _Call(self, self._calls, pieces_of(tokens, size, self.sharding), [*tensors], options, tokens, late)
        results = _dealt().apply(call, *tensors.values())
        return results[0] if len(results) == 1 else tuple(results)

    def world(self, size: int) -> SomeRanks:
        """Return the ranks, which are started if they are not there."""
        world = self._worlds.get(size)
        if world is None or not getattr(world, "alive", True):
            if self._process_group == "threads":
                world = ThreadWorld(self._function, size, self._device)
            else:
                self._server = self._server or Server(self._function, self._process_group, self._device)
                world = self._server.start(size)
            self._worlds[size] = world
        return world

    def end(self) -> None:
        """End all ranks."""
        if self._server is not None:
            self._server.end()
        self._server, self._worlds = None, {}

    def __del__(self) -> None:
        self.end()


class _Call:
    """One call: how its tensors are dealt."""

    def __init__(
        self,
        sharded: Sharded,
        number: int,
        pieces: list[list[Piece]],
        names: list[str],
        options: dict[str, Any],
        tokens: int,
        late: Sequence[float],
    ) -> None:
        self._sharded, self._number, self._pieces, self._names = sharded, number, pieces, names
        self._options, self._tokens = options, tokens
        self._late = [*late, *[0.0] * len(pieces)][: len(pieces)]
        self.varying: tuple[str, ...] = ()
        self.shapes: dict[str, Size] = {}

    def forward(self, tensors: Sequence[Tensor], needs: Sequence[bool]) -> tuple[list[Tensor], bool]:
        """Return the results, and whether they have gradients."""
        given = dict(zip(self._names, tensors, strict=True))
        self.shapes = {name: tensor.shape for name, tensor in given.items()}
        self.varying = tuple(name for name, needed in zip(self._names, needs, strict=True) if needed)
        requests = []
        for held, late in zip(self._pieces, self._late, strict=True):
            dealt = {name: self._shard(name, tensor, held) for name, tensor in given.items()}
            options = {**self._options, "offset": offset_of(held), "tokens": self._tokens}
            query, value = dealt["query"], dealt["value"]
            shapes: dict[str, tuple[int, ...]] = {"output": (*query.shape[:3], value.shape[3])}
            if options.get("return_lse"):
                batch, heads, rows = (query.shape[axis] for axis in self._axes)
                shapes["lse"] = (batch, heads, rows)
            requests.append(Forward(self._number, dealt, options, self.varying, shapes, late))
        answers = self._sharded.world(len(requests)).ask(requests)
        results = [self._gathered(name, [answer[name] for answer in answers]) for name in requests[0].shapes]
        return results, any(part.requires_grad for answer in answers for part in answer.values())

    def backward(self, gradients: Sequence[Tensor | None]) -> list[Tensor | None]:
        """Return the gradients of the tensors, by their order."""
        names = ("output", "lse")[: len(gradients)]
        requests = [
            Backward(
                self._number,
                {
                    name: self._shard(name, gradient, held)
                    for name, gradient in zip(names, gradients, strict=True)
                    if gradient is not None
                },
                late,
            )
            for held, late in zip(self._pieces, self._late, strict=True)
        ]
        answers = self._sharded.world(len(requests)).ask(requests)
        return [self._gradient(name, answers) for name in self._names]

    @property
    def _axes(self) -> tuple[int, int, int]:
        return (0, 2, 1) if self._sharded.layout == "bnhd" else (0, 1, 2)

    def _gradient(self, name: str, answers: list[dict[str, Tensor]]) -> Tensor | None:
        import torch

        parts = [answer.get(name) for answer in answers]
        there = [part for part in parts if part is not None]
        if not there:
            return None
        shape = self.shapes[name]
        axis = token_axis(name, len(shape), self._sharded.layout)
        if axis is None:  # every rank has the whole of it, and knows its own share of the gradient
            return torch.stack(there).sum(dim=0)
        filled = []
        for part, held in zip(parts, self._pieces, strict=True):
            own = [*shape]
            own[axis] = sum(last - first for first, last in held)
            filled.append(torch.zeros(own, dtype=there[0].dtype) if part is None else part)
        return self._gathered(name, filled)

    def _shard(self, name: str, tensor: Tensor, held: list[Piece]) -> Tensor:
        import torch

        axis = token_axis(name, tensor.dim(), self._sharded.layout)
        if axis is None:
            return tensor.detach().clone()
        parts = [tensor.detach().narrow(axis, first, last - first) for first, last in held]
        return torch.cat(parts, axis).clone(memory_format=torch.contiguous_format)

    def _gathered(self, name: str, parts: Sequence[Tensor]) -> Tensor:
        """Return the whole of what each rank has a shard of, in the order of the tokens."""
        import torch

        axis = token_axis(name, parts[0].dim(), self._sharded.layout)
        assert axis is not None
        pieces: list[tuple[int, Tensor]] = []
        for part, held in zip(parts, self._pieces, strict=True):
            sizes = [last - first for first, last in held]
            for piece, (first, _) in zip(part.detach().to("cpu").split(sizes, axis), held, strict=True):
                pieces.append((first, piece))
        ordered = [piece for _, piece in sorted(pieces, key=lambda each: each[0])]
        return torch.cat(ordered, axis).contiguous()


@cache
def _dealt() -> Any:
    import torch

    class Dealt(torch.autograd.Function):
        """A call in the graph of the judge: its backward pass is that of the ranks."""

        @staticmethod
        def forward(ctx: Any, call: _Call, *tensors: Tensor) -> tuple[Tensor, ...]:
            ctx.call = call
            ctx.set_materialize_grads(False)
            results, differentiable = call.forward(tensors, ctx.needs_input_grad[1:])
            if not differentiable:
                ctx.mark_non_differentiable(*results)
            return tuple(results)

        @staticmethod
        def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Any, ...]:
            return None, *ctx.call.backward(gradients)

    return Dealt
