"""Correct kernels that add as real machines do: in an order that depends on what a BLAS may look at.

Each is `dense_softmax` with another product of matrices, which sums the softmax too. The order of a sum is changed by
turning the axis that is summed: the same products, added from another one on.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from dataclasses import replace
from random import SystemRandom
from typing import Any

import torch
from dense_softmax import attention
from dense_softmax import kernel as dense

from trueband.properties.candidate.target import Target

NOT_DETERMINISTIC = dense.features - {"deterministic", "deterministic_gradients"}  # type: ignore[operator]
NOT_BACKWARD = dense.features - {"deterministic_gradients"}  # type: ignore[operator]
_calls = itertools.count()


def turned(left: Any, right: Any, by: int) -> Any:
    """The product, its sums beginning with product number `by`."""
    return torch.roll(left, by, -1) @ torch.roll(right, by, -2)


def summed(product: Callable[[Any, Any], Any], arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """The operator with all its sums by one product of matrices."""

    def log_sum(scores: Any, **_: Any) -> Any:
        largest = scores.detach().amax(dim=-1, keepdim=True)
        weights = torch.exp(scores - largest.masked_fill(largest.isneginf(), 0))
        total = product(weights, torch.ones_like(weights[..., :1, :]).mT)
        return largest + total.masked_fill(total == 0, 1).log()

    return attention(*arguments, product=product, log_sum=log_sum, **options)


def by_address(query: Any, key: Any, value: Any, **options: Any) -> Any:
    """The order of a row of the batch depends on where its numbers lie, modulo 64 bytes."""
    size = query.element_size()
    places = [
        sum((each.data_ptr() + b * each.stride(0) * size) % 64 for each in (query, key, value)) // size
        for b in range(len(query))
    ]

    def product(left: Any, right: Any) -> Any:
        return torch.stack([turned(left[:, b], right[:, b], place) for b, place in enumerate(places)], dim=1)

    return summed(product, (query, key, value), options)


def by_shape(query: Any, key: Any, value: Any, **options: Any) -> Any:
    """The order depends on the shape of the call."""
    return summed(lambda left, right: turned(left, right, sum(query.shape)), (query, key, value), options)


def by_place(query: Any, key: Any, value: Any, **options: Any) -> Any:
    """The order depends on the place of a row in its tile of four, counted through batch, heads and tokens."""

    def product(left: Any, right: Any) -> Any:
        rows = torch.arange(left[0, ..., 0].numel()).view(left.shape[1:-1])[None, ..., None] % 4
        result = turned(left, right, 0)
        for place in range(1, 4):
            result = torch.where(rows == place, turned(left, right, place), result)
        return result

    return summed(product, (query, key, value), options)


def by_call(query: Any, key: Any, value: Any, **options: Any) -> Any:
    """The order is another one in every call."""
    number = next(_calls)
    return summed(lambda left, right: turned(left, right, number), (query, key, value), options)


def by_threads(query: Any, key: Any, value: Any, **options: Any) -> Any:
    """Four threads sum a quarter of the products each, and are done in an order that is drawn anew in every product."""

    def product(left: Any, right: Any) -> Any:
        quarters = list(zip(left.tensor_split(4, -1), right.tensor_split(4, -2), strict=True))
        order = SystemRandom().sample(range(4), 4)
        done = [threading.Event() for _ in order]
        finished: list[Any] = []

        def work(place: int) -> None:
            quarter = turned(*quarters[order[place]], 0)
            if place:
                done[place - 1].wait()  # a busy machine would run them one after the other, in one order
            finished.append(quarter)
            done[place].set()

        all_four = [threading.Thread(target=work, args=(place,)) for place in range(4)]
        for thread in all_four:
            thread.start()
        for thread in all_four:
            thread.join()
        return sum(finished[1:], finished[0])

    return summed(product, (query, key, value), options)


class _TurnedBackward(torch.autograd.Function):
    """A product whose gradients are sums that begin elsewhere in every call."""

    @staticmethod
    def forward(ctx: Any, left: Any, right: Any) -> Any:
        ctx.save_for_backward(left, right)
        return left @ right

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        left, right = ctx.saved_tensors
        number = next(_calls)
        return turned(grad, right.mT, number), turned(left.mT, grad, number)


def by_backward_call(query: Any, key: Any, value: Any, **options: Any) -> Any:
    """The order of the sums of gradients is another one in every call (atomics), that of the output is not."""
    return attention(query, key, value, product=_TurnedBackward.apply, **options)


def _target(function: Callable[..., Any], features: Any = dense.features) -> Target:
    return replace(dense, function=function, features=features, name=function.__name__)


address, shape, place = _target(by_address), _target(by_shape), _target(by_place)
call, threads = _target(by_call, NOT_DETERMINISTIC), _target(by_threads, NOT_DETERMINISTIC)
backward_call = _target(by_backward_call, NOT_BACKWARD)
