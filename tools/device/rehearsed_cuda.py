"""Stands for torch.cuda where there is no device: what `device.cuda.Device` asks, answered by the CPU.

Its names and their arguments are those of torch.cuda; a test compares them. A graph that is replayed does nothing.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from trueband.bench import memory

NAME = "rehearsal on CPU"
MEMORY = 8 << 30
_before: list[int] = []


class Event:
    """A moment."""

    def __init__(self, enable_timing: bool = False, blocking: bool = False, interprocess: bool = False) -> None:
        self.at = 0.0

    def record(self, stream: Any = None) -> None:
        self.at = time.perf_counter()

    def elapsed_time(self, end_event: Event) -> float:
        """Milliseconds."""
        return 1000 * (end_event.at - self.at)


class Stream:
    """Everything is over before it returns."""

    def wait_stream(self, stream: Any) -> None:
        """Do nothing."""


class CUDAGraph:
    """What is captured has been computed then, once."""

    def replay(self) -> None:
        """Do nothing."""


@contextlib.contextmanager
def graph(cuda_graph: CUDAGraph, pool: Any = None, stream: Any = None) -> Iterator[None]:
    yield


@contextlib.contextmanager
def stream(stream: Stream) -> Iterator[None]:
    yield


def current_stream(device: Any = None) -> Stream:
    return Stream()


def synchronize(device: Any = None) -> None:
    """Do nothing."""


def device_count() -> int:
    return 1


def get_device_properties(device: Any = None) -> Any:
    return SimpleNamespace(name=NAME, major=8, minor=0, total_memory=MEMORY, multi_processor_count=1, warp_size=32)


def get_device_capability(device: Any = None) -> tuple[int, int]:
    return 8, 0


def mem_get_info(device: Any = None) -> tuple[int, int]:
    return memory.available() or MEMORY, MEMORY


def empty_cache() -> None:
    """Do nothing."""


def reset_peak_memory_stats(device: Any = None) -> None:
    _before[:] = [memory.forget_peak()]


def memory_allocated(device: Any = None) -> int:
    return _before[0] if _before else memory.forget_peak()


def max_memory_allocated(device: Any = None) -> int:
    return max(memory.peak(), *_before)
