"""Kernels for the device that is not there: a right one, and some that end as kernels on devices do."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any

import stand_in  # beside this file
import torch

import trueband

stand_in.install()
FEATURES = frozenset({"deterministic", "deterministic_gradients", "backward"})


def attend(query: Any, key: Any, value: Any, window: int) -> Any:
    """(b, h, n, d), in float64, with gradients."""
    place = torch.arange(query.shape[2])
    seen = (place[:, None] - place).abs() <= window
    scores = query.double() @ key.double().mT / query.shape[-1] ** 0.5
    weights = scores.masked_fill(~seen, -torch.inf).softmax(-1)
    return (weights @ value.double()).to(query.dtype)


def right(query: Any, key: Any, value: Any, *, window: int) -> Any:
    """Its work is done later, as on a device, where no gradients are asked for."""
    if query.requires_grad or key.requires_grad or value.requires_grad:
        return attend(query, key, value, window)
    output = torch.empty((*query.shape[:3], value.shape[3]), dtype=query.dtype)
    stand_in.launch(lambda: output.copy_(attend(query, key, value, window)))
    return output


def illegal_address(query: Any, key: Any, value: Any, *, window: int) -> Any:
    """Every third token too many is read."""
    if query.shape[2] % 3 == 0:
        stand_in.launch(stand_in.die)
    return right(query, key, value, window=window)


def backward_dies(query: Any, key: Any, value: Any, *, window: int) -> Any:
    output = attend(query, key, value, window)
    if output.requires_grad:
        output.register_hook(lambda _: stand_in.launch(stand_in.die))
    return output


def launch_fails(query: Any, key: Any, value: Any, *, window: int) -> Any:
    """An error that the device gets over: it is told once."""

    def fail() -> None:
        raise RuntimeError("CUDA error: invalid configuration argument\nand more")

    if query.shape[2] == 3:
        stand_in.launch(fail)
    return right(query, key, value, window=window)


def dies(query: Any, key: Any, value: Any, *, window: int) -> Any:
    """As a process ends in which a destructor meets a device that is lost."""
    if query.shape[2] == 3:
        print("terminate called after throwing an instance of 'c10::AcceleratorError'", file=sys.stderr)
        print(f"  what():  {stand_in.ILLEGAL}", file=sys.stderr, flush=True)
        os.abort()
    return right(query, key, value, window=window)


def target(function: Any, **declared: Any) -> trueband.Target:
    return trueband.Target(function, **{"features": FEATURES, "library": "torch", **declared})


right_target = target(right)
illegal_target = target(illegal_address)
backward_target = target(backward_dies)
launch_target = target(launch_fails)
dies_target = target(dies)


def crowded(query: Any, key: Any, value: Any, *, window: int) -> Any:
    """Has room once what torch keeps for later is given back."""
    if not stand_in.device.emptied:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
    return right(query, key, value, window=window)


def dense(query: Any, key: Any, value: Any, *, window: int) -> Any:
    """Has no room for the scores of 2,000 tokens."""
    if query.shape[0] * query.shape[1] * query.shape[2] ** 2 > 2000**2:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
    return right(query, key, value, window=window)


def changes_its_input(query: Any, key: Any, value: Any, *, window: int) -> Any:
    output = right(query, key, value, window=window)
    stand_in.launch(lambda: query.detach().mul_(2))
    return output


def writes_beside(query: Any, key: Any, value: Any, *, window: int) -> Any:
    """One row too many is written."""
    output = right(query, key, value, window=window)
    beyond = torch.empty(0, dtype=key.dtype).set_(key.untyped_storage(), key.storage_offset() + key.numel(), (1,), (1,))
    stand_in.launch(lambda: beyond.fill_(0))
    return output


def leaves_a_row(query: Any, key: Any, value: Any, *, window: int) -> Any:
    """The last token of an odd number is not written: what lay there before is returned."""
    output = torch.empty((*query.shape[:3], value.shape[3]), dtype=query.dtype)
    rows = query.shape[2] - query.shape[2] % 2
    stand_in.launch(lambda: output[:, :, :rows].copy_(attend(query, key, value, window)[:, :, :rows]))
    return output


kept: list[Any] = []


def returns_the_last(query: Any, key: Any, value: Any, *, window: int) -> Any:
    """The memory of every output of one size is the same."""
    output = next((each for each in kept if each.shape == query.shape and each.dtype == query.dtype), None)
    if output is None:
        output = torch.empty_like(query)
        kept.append(output)
    stand_in.launch(lambda: output.copy_(attend(query, key, value, window)))
    return output


def returns_its_input(query: Any, key: Any, value: Any, *, window: int) -> Any:
    stand_in.launch(lambda: query.copy_(attend(query, key, value, window)))
    return query


NO_GRADIENTS = FEATURES - {"backward", "deterministic_gradients"}
for wrong in (
    crowded,
    dense,
    changes_its_input,
    writes_beside,
    leaves_a_row,
    returns_the_last,
    returns_its_input,
):
    globals()[f"{wrong.__name__}_target"] = target(wrong, features=NO_GRADIENTS)


def limited(query: Any, key: Any, value: Any, *, window: int) -> Any:
    """Has no room in the part of the device that it may take."""
    raise torch.OutOfMemoryError(f"took {stand_in.device.fraction} of the device")


limited_target = target(limited, features=NO_GRADIENTS)


def own_stream(query: Any, key: Any, value: Any, *, window: int) -> Any:
    """Works on a stream of its own, which waits for the caller's, and which the caller's waits for."""
    output = torch.empty((*query.shape[:3], value.shape[3]), dtype=query.dtype)
    own, callers = torch.cuda.Stream(), torch.cuda.current_stream()
    own.wait_stream(callers)
    with torch.cuda.stream(own):
        stand_in.launch(lambda: output.copy_(attend(query, key, value, window)))
    callers.wait_stream(own)
    return output


def default_stream(query: Any, key: Any, value: Any, *, window: int) -> Any:
    """Works on the default stream, whatever the caller's is: it may read what is still to be written."""
    with torch.cuda.stream(torch.cuda.default_stream()):
        return right(query, key, value, window=window)


def not_joined(query: Any, key: Any, value: Any, *, window: int) -> Any:
    """Works on a stream of its own, which the caller's does not wait for."""
    output = torch.empty((*query.shape[:3], value.shape[3]), dtype=query.dtype)
    own = torch.cuda.Stream()
    own.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(own):
        stand_in.launch(lambda: output.copy_(attend(query, key, value, window)))
    return output


def looks(query: Any, key: Any, value: Any, *, window: int) -> Any:
    """Looks at a number before it launches."""
    if query.sum().item() == float("inf"):
        raise ValueError("query: expected finite numbers, got infinity")
    return right(query, key, value, window=window)


class Launched(torch.autograd.Function):
    """Launches both passes. `on_default` is whether the backward pass works on the default stream."""

    @staticmethod
    def forward(ctx: Any, query: Any, key: Any, value: Any, window: int, on_default: bool) -> Any:
        ctx.save_for_backward(query, key, value)
        ctx.window, ctx.on_default = window, on_default
        return right(query.detach(), key.detach(), value.detach(), window=window)

    @staticmethod
    def backward(ctx: Any, grad_output: Any) -> Any:
        default = torch.cuda.stream(torch.cuda.default_stream())
        inputs, window = ctx.saved_tensors, ctx.window
        with default if ctx.on_default else contextlib.nullcontext():
            found = [torch.empty(tuple(each.shape), dtype=each.dtype) for each in inputs]
            stand_in.launch(lambda: differentiate(inputs, window, grad_output, found))
        return (*found, None, None)


def differentiate(inputs: Any, window: int, grad_output: Any, found: Any) -> None:
    leaves = [each.detach().clone().requires_grad_() for each in inputs]
    with torch.enable_grad():
        output = attend(leaves[0], leaves[1], leaves[2], window)
    for gradient, written in zip(torch.autograd.grad(output, leaves, grad_output), found, strict=True):
        written.copy_(gradient)


def launched(query: Any, key: Any, value: Any, *, window: int) -> Any:
    return Launched.apply(query, key, value, window, False)


def backward_on_default(query: Any, key: Any, value: Any, *, window: int) -> Any:
    return Launched.apply(query, key, value, window, True)


launched_target = target(launched)
backward_on_default_target = target(backward_on_default)
transposed: dict[int, Any] = {}


def stale(query: Any, key: Any, value: Any, *, window: int) -> Any:
    """Keeps its own copy of the keys when a graph is recorded, as that of the call before."""
    if not torch.cuda.is_current_stream_capturing():
        transposed[key.data_ptr()] = key.clone()
    return right(query, transposed[key.data_ptr()], value, window=window)


GRAPHS = NO_GRADIENTS | {"capturable"}
right_graph = target(right, features=GRAPHS)
looks_graph = target(looks, features=GRAPHS)
stale_graph = target(stale, features=GRAPHS)
for wrong in (own_stream, default_stream, not_joined, looks):
    globals()[f"{wrong.__name__}_target"] = target(wrong, features=NO_GRADIENTS)
