"""Faults of kernels whose tokens are dealt to ranks."""

from __future__ import annotations

import functools
import time
from typing import Any

from trueband.properties.faults.seeded.registry import fault
from trueband.properties.faults.specimens.ranked import RankCall, Ranked, Tensor

of_ranks = functools.partial(fault, "ranks", of=Ranked)


@of_ranks("the halo to the left is one key short", "window_over_shards", "ranks_agree", step="reach")
def halo_one_short(self: Ranked, call: RankCall, rank: int) -> tuple[int, int]:
    (low, high), (first, _) = Ranked.reach(self, call, rank), self.span(call, rank)
    return min(low + 1, first), high


@of_ranks("the halo is that of the other side", "window_over_shards", "ranks_agree", step="reach")
def halo_of_wrong_side(self: Ranked, call: RankCall, rank: int) -> tuple[int, int]:
    (low, high), (first, last) = Ranked.reach(self, call, rank), self.span(call, rank)
    return max(first - max(high - last, 0), 0) if call.right == 0 else first, min(last + first - low, call.tokens)


@of_ranks("the halo comes from the next rank to each side alone", "window_over_shards", "ranks_agree", step="reach")
def halo_of_one_neighbor(self: Ranked, call: RankCall, rank: int) -> tuple[int, int]:
    low, high = Ranked.reach(self, call, rank)
    return max(low, self.span(call, max(rank - 1, 0))[0]), min(high, self.span(call, rank + 1)[1])


@of_ranks("the halo is as wide as the window, whatever the dilation", "ranks_agree", step="reach")
def halo_undilated(self: Ranked, call: RankCall, rank: int) -> tuple[int, int]:
    dilation, call.dilation = call.dilation, 1
    reach = Ranked.reach(self, call, rank)
    call.dilation = dilation
    return reach


@of_ranks("there is a halo to the left only, as under a causal mask", "window_over_shards", "ranks_agree", step="reach")
def halo_to_the_left_only(self: Ranked, call: RankCall, rank: int) -> tuple[int, int]:
    return Ranked.reach(self, call, rank)[0], self.span(call, rank)[1]


@of_ranks("every rank takes itself for the first: its offset is 0", "ranks_agree", "uneven_shards", step="first_token")
def offset_of_first_rank(self: Ranked, offset: int, tokens: int, group: Any) -> int:
    return 0


@of_ranks(
    "the first token of a rank is counted in shards that are rounded down",
    "uneven_shards",
    "empty_shards",
    step="first_token",
    seen="tokens // world_size, where the last rank has the rest",
)
def offset_of_even_shards(self: Ranked, offset: int, tokens: int, group: Any) -> int:
    return group.rank * (tokens // group.size)


@of_ranks("padding of other shards is attended", "shard_of_padding", "ranks_agree", step="halo_real")
def mask_of_own_shard(self: Ranked, call: RankCall) -> Tensor:
    first, last = self.reach(call, call.group.rank)
    real = call.real.clone()
    real[:, : call.first] = True
    real[:, call.first + call.rows :] = True
    return (real & ~call.flags)[:, first:last]


@of_ranks("a key of another shard is of the row's segment", "ranks_agree", "uneven_shards", step="same_segment")
def segments_of_own_shard(self: Ranked, call: RankCall, first: int, last: int) -> Tensor:
    same = Ranked.same_segment(self, call, first, last).clone()
    same[:, :, : max(call.first - first, 0)] = True
    same[:, :, call.first + call.rows - first :] = True
    return same


@of_ranks("a global key within the window is counted twice", "globals_on_other_ranks", "ranks_agree", step="halo_real")
def global_key_in_halo_twice(self: Ranked, call: RankCall) -> Tensor:
    first, last = self.reach(call, call.group.rank)
    return call.real[:, first:last]


@of_ranks("rows see the global keys of their own rank alone", "globals_on_other_ranks", step="global_keys")
def global_keys_of_own_rank(self: Ranked, call: RankCall) -> Tensor:
    kept = call.flags.clone()
    kept[:, : call.first] = False
    kept[:, call.first + call.rows :] = False
    return kept[:, None, :].expand(-1, call.rows, -1)


@of_ranks("global tokens are taken to be on the first rank", "globals_on_other_ranks", step="global_keys")
def global_keys_of_first_rank(self: Ranked, call: RankCall) -> Tensor:
    kept = call.flags.clone()
    kept[:, self.span(call, 0)[1] :] = False
    return kept[:, None, :].expand(-1, call.rows, -1)


@of_ranks("rows of global tokens attend keys of their own rank alone", "globals_on_other_ranks", step="combine")
def global_rows_of_own_keys(self: Ranked, call: RankCall, part: Tensor, lse: Tensor) -> Tensor:
    return part + Ranked.combine(self, call, part, lse) * 0


@of_ranks("rows of global tokens attend padding of every shard", "globals_on_other_ranks", step="own_keys")
def global_rows_attend_padding_of_shards(self: Ranked, call: RankCall) -> Tensor:
    return (Ranked.own_keys(self, call) | True).clone()


@of_ranks(
    "two parts are merged without taking off the maximum",
    "globals_on_other_ranks",
    step="merge",
    seen="exp(lse) overflows in a merge of partial results",
)
def merge_without_maximum(
    self: Ranked, one: Tensor, of_one: Tensor, other: Tensor, of_other: Tensor
) -> tuple[Tensor, Tensor]:
    first, second = of_one.exp(), of_other.exp()
    total = first + second
    safe = total + (total == 0)
    return (one * first + other * second) / safe, total.log()


@of_ranks("two parts are merged by their mean", "globals_on_other_ranks", "ranks_agree", step="merge")
def merge_by_mean(self: Ranked, one: Tensor, of_one: Tensor, other: Tensor, of_other: Tensor) -> tuple[Tensor, Tensor]:
    return (one + other) / 2, Ranked.merge(self, one, of_one, other, of_other)[1]


@of_ranks("each rank takes off its own maximum", "globals_on_other_ranks", "ranks_agree", step="highest")
def maximum_of_own_rank(self: Ranked, call: RankCall, lse: Tensor) -> Tensor:
    Ranked.highest(self, call, lse)
    return self.shift(lse.detach())


@of_ranks("the parts of a global row are averaged, and not their weights", "globals_on_other_ranks", step="sum")
def mean_in_place_of_sum(self: Ranked, call: RankCall, tensor: Tensor) -> Tensor:
    total = Ranked.sum(self, call, tensor)
    total[..., :-1] /= call.group.size
    return total


@of_ranks(
    "a shard of nothing but padding is attended by rows of global tokens",
    "shard_of_padding",
    step="own_keys",
    seen="a softmax over scores that are all the same large negative number",
)
def padded_shard_is_attended(self: Ranked, call: RankCall) -> Tensor:
    own = Ranked.own_keys(self, call)
    return own | ~own.any(dim=2, keepdim=True)


@of_ranks("gradients of keys of other shards are not sent back", "gradients_over_shards", step="sent_back")
def halo_gradient_lost(self: Ranked, call: RankCall, other: int, part: Tensor) -> Tensor:
    return part if other == call.group.rank else part * 0


@of_ranks("gradients of keys of other shards come twice", "gradients_over_shards", step="sent_back")
def halo_gradient_twice(self: Ranked, call: RankCall, other: int, part: Tensor) -> Tensor:
    return part if other == call.group.rank else part * 2


@of_ranks(
    "each rank keeps the gradients of global tokens to itself",
    "gradients_of_globals_on_ranks",
    step="gathered_backward",
)
def global_gradient_not_reduced(self: Ranked, call: RankCall, gradient: Tensor) -> Tensor:
    Ranked.gathered_backward(self, call, gradient)
    first, last = self.span(call, call.group.rank)
    return gradient[:, :, first:last]


@of_ranks("gradients of global rows are averaged over the ranks", "gradients_of_globals_on_ranks", step="sum_backward")
def global_row_gradient_averaged(self: Ranked, call: RankCall, gradient: Tensor) -> Tensor:
    return Ranked.sum_backward(self, call, gradient) / call.group.size


@of_ranks("gradients of global rows stay on the rank of the row", "gradients_of_ranks_agree", step="sum_backward")
def global_row_gradient_stays(self: Ranked, call: RankCall, gradient: Tensor) -> Tensor:
    Ranked.sum_backward(self, call, gradient)
    return gradient


@of_ranks(
    "what is late is read before it is there",
    "late_ranks",
    step="everywhere",
    seen="a receive whose handle is not waited for",
)
def read_too_early(self: Ranked, group: Any, tensor: Tensor) -> Tensor:
    import torch

    start = time.monotonic()
    parts = group.all_gather(tensor)
    early = time.monotonic() - start > 0.01
    stale = [torch.zeros_like(part) if early and rank != group.rank else part for rank, part in enumerate(parts)]
    return torch.cat(stale, dim=1)
