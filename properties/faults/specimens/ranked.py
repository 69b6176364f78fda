"""A correct kernel with its tokens over ranks, in steps that a fault can replace.

Each rank has a shard. It gets the keys that its window reaches (a halo), knows all masks, and where there are global
tokens all ranks gather their projections. Ranks are threads, which meet in `ThreadGroup`. Shapes: h heads, m own rows,
n tokens of the sequence, t tokens with the halo.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

Tensor = Any  # of torch, which is imported on the first call


@dataclass
class RankCall:
    """What a rank knows of a call.

    Attributes:
        group: the collectives.
        first: its first token.
        rows: how many it has.
        tokens: n.
        left, right: limits of the window; None: none.
        dilation, scale: as in the contract.
        real, flags: (b, n) bool, of all ranks.
        segments: (b, n) or None.
    """

    group: Any
    first: int
    rows: int
    tokens: int
    left: int | None
    right: int | None
    dilation: int
    scale: float
    real: Tensor
    flags: Tensor
    segments: Tensor | None


class Ranked:
    """The operator of the contract on ranks."""

    library = "torch"
    extensions = frozenset({"asymmetric", "segments"})
    ranks = (1, 2, 4)
    process_group = "threads"
    features = frozenset(
        {
            *("padding", "globals", "separate_globals", "causal", "dilation", "scale", "backward", "nan_padding"),
            *("asymmetric", "segments", "empty_shards"),
        }
    )

    def __call__(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        *,
        window: Any,
        offset: int,
        tokens: int,
        group: Any,
        attention_mask: Tensor | None = None,
        global_attention_mask: Tensor | None = None,
        query_global: Tensor | None = None,
        key_global: Tensor | None = None,
        value_global: Tensor | None = None,
        dilation: int = 1,
        causal: bool = False,
        scale: float | None = None,
        segments: Tensor | None = None,
    ) -> Tensor:
        import torch

        wide = torch.float64 if query.dtype == torch.float64 else torch.float32
        left, right = window if isinstance(window, tuple) else (window, window)
        shape = (len(query), query.shape[2])
        real = torch.ones(shape, dtype=torch.bool) if attention_mask is None else attention_mask
        flags = torch.zeros(shape, dtype=torch.bool) if global_attention_mask is None else global_attention_mask
        call = RankCall(
            group,
            self.first_token(offset, tokens, group),
            query.shape[2],
            tokens,
            left,
            0 if causal else right,
            dilation,
            query.shape[3] ** -0.5 if scale is None else scale,
            self.everywhere(group, real),
            self.everywhere(group, flags & real),
            None if segments is None else self.everywhere(group, segments),
        )
        clean = [torch.where(real[:, None, :, None], tensor, 0).to(wide) for tensor in (query, key, value)]
        far = [
            own if other is None else torch.where(real[:, None, :, None], other, 0).to(wide)
            for own, other in zip(clean, (query_global, key_global, value_global), strict=True)
        ]
        output = self.rows(call, clean, far)
        return torch.where(real[:, None, :, None], output, 0).to(query.dtype)

    def rows(self, call: RankCall, near: list[Tensor], far: list[Tensor]) -> Tensor:
        """Return (b, h, m, d), the output of the own rows before masked ones are cleared."""
        query, key, value = near
        import torch

        halo_key, halo_value, *gathered = _exchange()(self, call, key, value, far[0])
        output, lse = self.attend(call, query, halo_key, halo_value, self.band(call))
        if not call.flags.any():
            return output
        all_keys, all_values, all_queries = gathered
        all_queries = torch.where(call.flags[:, None, :, None], all_queries, 0)
        other, of_other = self.attend(call, query, all_keys, all_values, self.global_keys(call))
        output, lse = self.merge(output, lse, other, of_other)
        part, of_part = self.attend(call, all_queries, far[1], far[2], self.own_keys(call))
        all_rows = self.combine(call, part, of_part)
        first, last = self.span(call, call.group.rank)
        own = call.flags[:, None, first:last, None]
        met = all_rows[:, :, :0].sum()  # also where there is no row, for the backward passes of all ranks to meet
        return torch.where(own, all_rows[:, :, first:last], output) + met

    # --- who has what

    def first_token(self, offset: int, tokens: int, group: Any) -> int:
        return offset

    def size(self, call: RankCall) -> int:
        """Return how many tokens a shard has; the last ones have fewer."""
        return -(-call.tokens // call.group.size)

    def span(self, call: RankCall, rank: int) -> tuple[int, int]:
        """Return the tokens of a rank."""
        size = -(-call.tokens // call.group.size)
        return min(rank * size, call.tokens), min((rank + 1) * size, call.tokens)

    def reach(self, call: RankCall, rank: int) -> tuple[int, int]:
        """Return the tokens whose keys a rank needs."""
        first, last = self.span(call, rank)
        low = 0 if call.left is None else first - call.left * call.dilation
        high = call.tokens if call.right is None else last + call.right * call.dilation
        return max(low, 0), min(high, call.tokens)

    def everywhere(self, group: Any, tensor: Tensor) -> Tensor:
        """Return (b, n) of all ranks, of (b, m)."""
        import torch

        return torch.cat(group.all_gather(tensor), dim=1)

    # --- which keys a row attends: (b, m or n, keys)

    def halo_real(self, call: RankCall) -> Tensor:
        """Return (b, t): which keys with the halo are local ones of real tokens."""
        first, last = self.reach(call, call.group.rank)
        return (call.real & ~call.flags)[:, first:last]

    def band(self, call: RankCall) -> Tensor:
        import torch

        first, last = self.reach(call, call.group.rank)
        ahead = torch.arange(first, last)[None, :] - (call.first + torch.arange(call.rows))[:, None]
        seen = ahead % call.dilation == 0
        seen = seen if call.left is None else seen & (ahead >= -call.left * call.dilation)
        seen = seen if call.right is None else seen & (ahead <= call.right * call.dilation)
        seen = seen[None] & self.halo_real(call)[:, None, :]
        return seen if call.segments is None else seen & self.same_segment(call, first, last)

    def same_segment(self, call: RankCall, first: int, last: int) -> Tensor:
        assert call.segments is not None
        own = call.segments[:, call.first : call.first + call.rows]
        return own[:, :, None] == call.segments[:, None, first:last]

    def global_keys(self, call: RankCall) -> Tensor:
        return call.flags[:, None, :].expand(-1, call.rows, -1)

    def own_keys(self, call: RankCall) -> Tensor:
        """Return (b, n, m): which of the own keys rows of global tokens attend."""
        first, last = self.span(call, call.group.rank)
        return call.real[:, None, first:last].expand(-1, call.tokens, -1)

    # --- what a row computes

    def attend(self, call: RankCall, query: Tensor, key: Tensor, value: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Return output (b, h, rows, d) and lse (b, h, rows, 1) over some keys."""
        import torch

        scores = (query @ key.transpose(2, 3) * call.scale).masked_fill(~seen[:, None], -torch.inf)
        none = scores.new_full((*scores.shape[:3], 1), -torch.inf)
        top = torch.cat([scores, none], dim=3).amax(dim=3, keepdim=True).detach()
        weights = torch.exp(scores - self.shift(top))
        total = weights.sum(dim=3, keepdim=True)
        some = total > 0
        safe = torch.where(some, total, 1)
        return weights @ value / safe, torch.where(some, top + torch.log(safe), -torch.inf)

    def shift(self, top: Tensor) -> Tensor:
        """Return what is taken off scores of which the largest is `top`; 0 where there are none."""
        import torch

        return torch.where(torch.isfinite(top), top, 0)

    def merge(self, one: Tensor, of_one: Tensor, other: Tensor, of_other: Tensor) -> tuple[Tensor, Tensor]:
        """Return output and lse over two sets of keys."""
        import torch

        top = self.shift(torch.maximum(of_one, of_other).detach())
        first, second = torch.exp(of_one - top), torch.exp(of_other - top)
        total = first + second
        safe = torch.where(total > 0, total, 1)
        return (one * first + other * second) / safe, torch.where(total > 0, top + torch.log(safe), -torch.inf)

    def combine(self, call: RankCall, part: Tensor, lse: Tensor) -> Tensor:
        """Return (b, h, n, d): the rows of global tokens over the keys of all ranks."""
        import torch

        weight = torch.exp(lse - self.highest(call, lse))
        summed = _sum()(self, call, torch.cat([part * weight, weight], dim=3))
        total = summed[..., -1:]
        return summed[..., :-1] / torch.where(total > 0, total, 1)

    def highest(self, call: RankCall, lse: Tensor) -> Tensor:
        import torch

        return self.shift(torch.stack(call.group.all_gather(lse.detach())).amax(dim=0))

    def sum(self, call: RankCall, tensor: Tensor) -> Tensor:
        """Return the sum over all ranks."""
        return call.group.all_reduce(tensor)

    def sum_backward(self, call: RankCall, gradient: Tensor) -> Tensor:
        return call.group.all_reduce(gradient)

    # --- keys that move

    def swap(self, call: RankCall, sent: list[Tensor]) -> list[Tensor]:
        """Send a tensor to each rank; return what each has sent here."""
        return call.group.all_to_all(sent)

    def shared(self, call: RankCall, source: int, target: int) -> tuple[int, int]:
        """Return the tokens of one rank that another needs."""
        (first, last), (low, high) = self.span(call, source), self.reach(call, target)
        return max(first, low), max(min(last, high), max(first, low))

    def halo(self, call: RankCall, own: Tensor) -> Tensor:
        """Return (b, h, t, d) of (b, h, m, d)."""
        import torch

        rank = call.group.rank
        spans = [self.shared(call, rank, other) for other in range(call.group.size)]
        start = self.span(call, rank)[0]
        return torch.cat(self.swap(call, [own[:, :, first - start : last - start] for first, last in spans]), dim=2)

    def halo_backward(self, call: RankCall, gradient: Tensor, rows: int) -> Tensor:
        """Return (b, h, m, d): the gradients of the own keys, of (b, h, t, d) of all ranks."""
        rank = call.group.rank
        low, start = self.reach(call, rank)[0], self.span(call, rank)[0]
        spans = [self.shared(call, other, rank) for other in range(call.group.size)]
        received = self.swap(call, [gradient[:, :, first - low : last - low] for first, last in spans])
        total = gradient.new_zeros(*gradient.shape[:2], rows, gradient.shape[3])
        for other, part in enumerate(received):
            first, last = self.shared(call, rank, other)
            total[:, :, first - start : last - start] += self.sent_back(call, other, part)
        return total

    def sent_back(self, call: RankCall, other: int, part: Tensor) -> Tensor:
        """Return what counts of a gradient that another rank has sent back."""
        return part

    def gathered(self, call: RankCall, own: Tensor) -> Tensor:
        """Return (b, h, n, d) of all ranks."""
        import torch

        return torch.cat(call.group.all_gather(own), dim=2)

    def gathered_backward(self, call: RankCall, gradient: Tensor) -> Tensor:
        """Return the gradients of the own tokens, of those of all, of which each rank has a part."""
        first, last = self.span(call, call.group.rank)
        return call.group.all_reduce(gradient)[:, :, first:last]


@cache
def _exchange() -> Any:
    import torch

    class Exchange(torch.autograd.Function):
        """Halos of key and value, and where there are global tokens key, value and far queries of all ranks."""

        @staticmethod
        def forward(ctx: Any, kernel: Ranked, call: RankCall, key: Any, value: Any, query: Any) -> tuple[Any, ...]:
            ctx.kernel, ctx.call = kernel, call
            result = [kernel.halo(call, key), kernel.halo(call, value)]
            if call.flags.any():
                result += [kernel.gathered(call, tensor) for tensor in (key, value, query)]
            ctx.shape = query.shape
            return tuple(result)

        @staticmethod
        def backward(ctx: Any, *gradients: Any) -> tuple[Any, ...]:
            kernel, call = ctx.kernel, ctx.call
            found = [kernel.halo_backward(call, gradient, call.rows) for gradient in gradients[:2]]
            found.append(gradients[0].new_zeros(ctx.shape))
            for place, gradient in enumerate(gradients[2:]):
                found[place] = found[place] + kernel.gathered_backward(call, gradient)
            return None, None, *found

    return Exchange.apply


@cache
def _sum() -> Any:
    import torch

    class Sum(torch.autograd.Function):
        """The sum over all ranks, of which each uses a part."""

        @staticmethod
        def forward(ctx: Any, kernel: Ranked, call: RankCall, tensor: Any) -> Any:
            ctx.kernel, ctx.call = kernel, call
            return kernel.sum(call, tensor)

        @staticmethod
        def backward(ctx: Any, gradient: Any) -> tuple[None, None, Any]:
            return None, None, ctx.kernel.sum_backward(ctx.call, gradient)

    return Sum.apply
