"""The device, as the stages see it: one class, over torch.cuda or over what stands for it in a rehearsal."""

from __future__ import annotations

import gc
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Call = Callable[[], Any]
ROUND = 0.02  # seconds: shorter calls are repeated within a round
MOST_CALLS = 200  # of a round


@dataclass(frozen=True)
class Device:
    """A device that computes.

    Attributes:
        cuda: torch.cuda, or `device.rehearsed_cuda`.
        name: of torch, for tensors.
        rehearsed: whether the CPU stands for it.
    """

    cuda: Any
    name: str
    rehearsed: bool

    @property
    def architecture(self) -> str:
        """Such as "sm_90"."""
        major, minor = self.cuda.get_device_capability()
        return f"sm_{major}{minor}"

    def facts(self) -> dict[str, Any]:
        """The device in figures; bytes, MHz."""
        properties = self.cuda.get_device_properties(0)
        free, total = self.cuda.mem_get_info()
        names = ("multi_processor_count", "warp_size", "L2_cache_size", "clock_rate", "memory_clock_rate")
        known = {name.lower(): getattr(properties, name, None) for name in names}
        return {
            "card": properties.name,
            "architecture": self.architecture,
            "devices": self.cuda.device_count(),
            "memory": total,
            "free": free,
            **known,
        }

    def wait(self) -> None:
        """Wait until the device is idle. An error of an earlier call is raised here at the latest."""
        self.cuda.synchronize()

    def seconds(self, call: Call, rounds: int = 7) -> list[float]:
        """Seconds of one call, by the device's own clock: one number for each round, after two calls to warm up."""
        call()
        call()
        self.wait()
        calls = max(1, min(MOST_CALLS, int(ROUND / max(self._round(call, 1), 1e-6))))
        return [self._round(call, calls) for _ in range(rounds)]

    def _round(self, call: Call, calls: int) -> float:
        start, end = self.cuda.Event(enable_timing=True), self.cuda.Event(enable_timing=True)
        start.record()
        for _ in range(calls):
            call()
        end.record()
        self.wait()
        return float(start.elapsed_time(end)) / 1000 / calls

    def median(self, call: Call, rounds: int = 7) -> float:
        return statistics.median(self.seconds(call, rounds))

    def peak(self, call: Call) -> int:
        """Bytes that a call takes at its peak, beyond what was held before. What it returns is held to its end."""
        gc.collect()
        self.cuda.empty_cache()
        self.wait()
        self.cuda.reset_peak_memory_stats()
        before = self.cuda.memory_allocated()
        call()
        self.wait()
        return int(self.cuda.max_memory_allocated()) - int(before)

    def captured(self, call: Call) -> Call:
        """A call that replays what one call launched, as one graph. What is captured writes to the same memory."""
        stream = self.cuda.Stream()
        stream.wait_stream(self.cuda.current_stream())
        with self.cuda.stream(stream):
            call()
            call()
        self.cuda.current_stream().wait_stream(stream)
        graph = self.cuda.CUDAGraph()
        with self.cuda.graph(graph):
            call()
        replay: Call = graph.replay
        return replay


def open_device(rehearsed: bool) -> Device:
    """The device of this process.

    Raises:
        RuntimeError: there is none.
    """
    if rehearsed:
        from device import rehearsed_cuda

        return Device(rehearsed_cuda, "cpu", True)
    import torch

    if not torch.cuda.is_available():
        raise RuntimeError("device: expected one that torch.cuda finds, got none (--rehearse runs the kit on the CPU)")
    return Device(torch.cuda, "cuda", False)
