"""A CUDA device that is not there: `install()` has torch compute on the CPU what is asked of "cuda".

It keeps what matters of a device: kernels that are launched run later, in the order of their stream, and raise then; an
illegal address ends the context; blocks of memory have a largest size; a graph is recorded without the numbers, which
must not be looked at meanwhile. Every tensor says that it lies on the device.

`launch` is how a kernel of a test starts work. Operations of torch on the tensors of a stream wait for what the stream
has to do. They run at once, but behind a delay (`torch.cuda._sleep`), where copies wait.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

CUDA = torch.device("cuda", 0)
ILLEGAL = (
    "CUDA error: an illegal memory access was encountered\n"
    "CUDA kernel errors might be asynchronously reported at some other API call.\n"
    "For debugging consider passing CUDA_LAUNCH_BLOCKING=1"
)
OF_ALLOCATOR = 2  # uses of the storage of a block by its own tensor, and by who counts them
# What is answered without looking at numbers: no stream is waited for.
SHAPES = ("__get__", "size", "stride", "dim", "numel", "element_size", "data_ptr", "untyped_storage", "storage_offset")
LOOKS = ("item", "tolist", "numpy", "__bool__", "__int__", "__float__", "__index__", "nonzero", "equal", "cpu")


class Stream:
    """What is to be done, in order."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self.work: list[Callable[[], None]] = []
        self.busy = self.running = False

    def synchronize(self) -> None:
        device.check()
        self.busy = False
        if not self.running:  # work that is being done waits for none behind it
            self.running = True
            try:
                while self.work:
                    with torch.no_grad():  # no kernel knows of autograd
                        self.work.pop(0)()
            finally:
                self.running = False

    def wait_stream(self, other: Stream) -> None:
        other.synchronize()


class Graph:
    """Calls that were recorded, each with its result, which is overwritten when they are made again."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self.calls: list[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any], Any]] = []

    def replay(self) -> None:
        for function, arguments, options, result in self.calls:
            again = function(*arguments, **options)
            if isinstance(result, torch.Tensor) and again is not result:
                result.copy_(again)


class Device:
    """The state of the device: its streams, its memory in elements, and whether its context is dead."""

    def __init__(self) -> None:
        self.default = self.current = Stream()
        self.streams = [self.default]
        self.dead = False
        self.room, self.emptied = 0, 0  # elements of the largest block, 0: no limit; calls of empty_cache
        self.graph: Graph | None = None
        self.fraction = 1.0  # of the memory that may be taken
        self.blocks: list[torch.Tensor] = []

    def allocate(self, size: Any, dtype: torch.dtype | None) -> torch.Tensor:
        """A tensor in the last block of its size that was set free, as it was left there, or else in a new one."""
        kind = dtype or torch.get_default_dtype()
        count = torch.Size(size).numel()
        if self.room and count > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate a block.")
        free = (block for block in reversed(self.blocks) if len(block) == count * kind.itemsize and is_free(block))
        block = next(free, None)
        if block is None:
            block = torch.zeros(count * kind.itemsize, dtype=torch.uint8)
            self.blocks.append(block)
        return block.view(kind).view(size).detach()

    def check(self) -> None:
        if self.dead:
            raise RuntimeError(ILLEGAL)

    def synchronize(self, *_: Any) -> None:
        for stream in self.streams:
            stream.synchronize()
        self.check()

    def new_stream(self, *_: Any, **__: Any) -> Stream:
        self.streams.append(Stream())
        return self.streams[-1]

    def empty_cache(self) -> None:
        self.emptied += 1

    @contextlib.contextmanager
    def stream(self, stream: Stream) -> Iterator[None]:
        before, self.current = self.current, stream
        try:
            yield
        finally:
            self.current = before

    @contextlib.contextmanager
    def capture(self, graph: Graph, *_: Any, **__: Any) -> Iterator[None]:
        self.graph = graph
        try:
            yield
        finally:
            self.graph = None

    def sleep(self, _: int) -> None:
        self.current.busy = True


def is_free(block: torch.Tensor) -> bool:
    """Whether nobody but the allocator has a tensor in a block."""
    return bool(torch._C._storage_Use_Count(block.untyped_storage()._cdata) <= OF_ALLOCATOR)


device = Device()


def launch(kernel: Callable[[], None]) -> None:
    """Start a kernel on the stream that torch is told to use."""
    device.check()
    if device.graph is not None:
        device.graph.calls.append((kernel, (), {}, None))
    else:
        device.current.work.append(kernel)


def die() -> None:
    """A kernel that reads an illegal address."""
    device.dead = True
    raise RuntimeError(ILLEGAL)


class _Served(TorchFunctionMode):
    """Serves "cuda" from the CPU, behind the work of the stream."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func == torch.Tensor.device.__get__:
            return CUDA
        if func is torch.device:
            return func(*args, **kwargs)
        word = getattr(func, "__name__", "")
        if word in SHAPES or (word == "grad" and device.current.busy):
            return func(*args, **kwargs)
        args = tuple(_on_cpu(value) for value in args)
        kwargs = {name: _on_cpu(value) for name, value in kwargs.items()}
        if device.graph is not None:
            if word in LOOKS:
                raise RuntimeError("CUDA error: operation not permitted when stream is capturing")
            result = func(*args, **kwargs)
            device.graph.calls.append((func, args, kwargs, result))
            return result
        if device.current.busy and word == "copy_":
            device.current.work.append(lambda: func(*args, **kwargs))
            return args[0]
        if device.current.work:
            device.current.synchronize()
        device.check()
        if word in ("full", "empty") and isinstance(args[0], tuple | int):
            made = device.allocate(args[0] if isinstance(args[0], tuple) else (args[0],), kwargs.get("dtype"))
            return made.fill_(args[1]) if word == "full" else made
        return func(*args, **kwargs)


def _on_cpu(value: Any) -> Any:
    if isinstance(value, torch.device) and value.type == "cuda":
        return torch.device("cpu")
    return "cpu" if isinstance(value, str) and value.partition(":")[0] == "cuda" else value


def install(**state: Any) -> Device:
    """Serve torch's "cuda" from now on, in this thread. `state` sets attributes of the device."""
    device.__init__()  # type: ignore[misc]
    for name, value in state.items():
        setattr(device, name, value)
    instead = {
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "device": lambda *_: contextlib.nullcontext(),
        "get_device_name": lambda *_: "stand-in",
        "synchronize": device.synchronize,
        "empty_cache": device.empty_cache,
        "mem_get_info": lambda *_: (2**30, 2**31),
        "memory_reserved": lambda *_: 0,
        "set_per_process_memory_fraction": lambda fraction, *_: setattr(device, "fraction", fraction),
        "Stream": device.new_stream,
        "stream": device.stream,
        "current_stream": lambda *_: device.current,
        "default_stream": lambda *_: device.default,
        "CUDAGraph": Graph,
        "graph": device.capture,
        "_sleep": device.sleep,
        "is_current_stream_capturing": lambda: device.graph is not None,
    }
    for name, value in instead.items():
        setattr(torch.cuda, name, value)
    if not _serving:
        _serving.append(_Served())
        _serving[0].__enter__()
    return device


def uninstall(before: dict[str, Any]) -> None:
    """Leave torch as it was: `before` are the names of torch.cuda."""
    while _serving:
        _serving.pop().__exit__(None, None, None)
    for name, value in before.items():
        setattr(torch.cuda, name, value)
    device.__init__()  # type: ignore[misc]


_serving: list[_Served] = []
