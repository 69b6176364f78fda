"""Large memory that holds one number everywhere, and takes none before something else is written.

A tensor of 2.6 G elements is 10 GB, of which a launch that is tried in an interpreter touches little. What torch.empty
gives is only promised by the system until it is written. `fill` keeps it so: its pages become copies, made on the first
write, of a few pages that hold the number. torch.zeros, torch.ones and torch.full are given the same memory.
"""

from __future__ import annotations

import ctypes
import functools
import math
import mmap
import os
from collections.abc import Callable, Sequence
from typing import Any

LARGE = 1 << 26  # bytes; what is smaller is filled
CHUNK = 1 << 24  # bytes of a number in a row

_FIXED = 0x10
Function = Callable[..., Any]


def fill(address: int, size: int, number: bytes) -> bool:
    """Make `size` bytes at an address hold a number over and over. False: it cannot be done here, nothing is changed.

    Args:
        address: the address of an element; whole pages from there to the end are mapped anew, whoever allocated them.
        number: its bytes; as many as divide a page.
    """
    page = mmap.PAGESIZE
    first, last = -(-address // page) * page, (address + size) // page * page
    if size < LARGE or page % len(number) or address % len(number) or not hasattr(os, "memfd_create"):
        return False
    for start in range(first, last, CHUNK):
        if not _map(start, min(CHUNK, last - start), _chunk(number)):
            return False if start == first else _write(start, address + size - start, number)
    _write(address, first - address, number)
    return _write(last, address + size - last, number)


def lazily_filled(torch: Any) -> dict[tuple[Any, str], Function]:
    """{(owner, name): what stands in place} of the functions of torch that give one number everywhere."""
    tensor = torch.Tensor
    replaced: dict[tuple[Any, str], Function] = {}
    for value, name in ((0, "zeros"), (1, "ones"), (None, "full")):
        for owner, full_name, empty in (
            (torch, name, torch.empty),
            (torch, f"{name}_like", torch.empty_like),
            (tensor, f"new_{name}", tensor.new_empty),
        ):
            replaced[owner, full_name] = _lazily(torch, getattr(owner, full_name), empty, value)
    return replaced


def _lazily(torch: Any, function: Function, empty: Function, value: int | None) -> Function:
    """The function, but that what it gives is filled lazily if it is large."""
    of_torch = empty is torch.empty

    @functools.wraps(function)
    def allocate(*args: Any, **kwargs: Any) -> Any:
        arguments = list(args)
        number = value
        # full(size, number), full_like(tensor, number), new_full(size, number)
        if number is None and len(arguments) > 1:
            number = arguments.pop(1 if of_torch or len(arguments) == 2 else 2)
        if kwargs.get("out") is not None or number is None or _count(arguments) * 16 < LARGE:
            return function(*args, **kwargs)
        kind = kwargs.get("dtype")
        if kind is None and value is None and of_torch:
            kwargs = {**kwargs, "dtype": torch.tensor(number).dtype}
        made = empty(*arguments, **kwargs)
        if type(made) is torch.Tensor and made.device.type == "cpu" and made.layout is torch.strided:
            storage = made.untyped_storage()
            element = torch.tensor([number], dtype=made.dtype).view(torch.uint8).numpy().tobytes()
            if fill(storage.data_ptr(), storage.nbytes(), element):
                return made
        return function(*args, **kwargs)

    return allocate


def _count(arguments: Sequence[Any]) -> int:
    """Elements of a tensor of the size or the tensor that a function is given; a tensor may come before the size."""
    if arguments and hasattr(arguments[0], "numel"):
        tensor, *arguments = arguments
        if not arguments:
            return int(tensor.numel())
    sizes = arguments[0] if len(arguments) == 1 and isinstance(arguments[0], Sequence) else arguments
    return math.prod(int(size) for size in sizes)


@functools.cache
def _libc() -> Any:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    return libc


def _map(address: int, length: int, descriptor: int) -> bool:
    protection, flags = mmap.PROT_READ | mmap.PROT_WRITE, _FIXED | mmap.MAP_PRIVATE
    mapped = _libc().mmap(address, length, protection, flags, descriptor, 0)
    return bool(mapped == address)


@functools.cache
def _chunk(number: bytes) -> int:
    """A file in memory that holds a number over and over."""
    descriptor = os.memfd_create("trueband")
    os.write(descriptor, number * (CHUNK // len(number)))
    return descriptor


def _write(address: int, size: int, number: bytes) -> bool:
    whole = number * (size // len(number) + 1)
    ctypes.memmove(address, whole, size)
    return True
