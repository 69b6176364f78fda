"""The process of one contender at one shape: `python -m trueband.bench.worker`.

It reads one JSON line, {"contender", "shape", "memory_limit", "threads"}, prepares, and answers with the memory that
a call took; then it answers each further line with the time of one round, in seconds.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from trueband.bench import memory
from trueband.bench.contenders import contender
from trueband.bench.shape import Shape

ROUND = 0.1  # seconds: a call that is shorter is repeated within a round


class Clock:
    """Seconds of calls on a device, which are over when the device is idle."""

    def __init__(self, device: str) -> None:
        self.device = device

    def wait(self) -> None:
        if self.device != "cpu":
            import torch

            torch.accelerator.synchronize()

    def read(self, call: Callable[[], Any]) -> tuple[float, float]:
        """Seconds of the wall, and of the processors: those of all threads, which say more on a busy machine."""
        self.wait()
        start, started = time.perf_counter(), time.process_time()
        call()
        self.wait()
        return time.perf_counter() - start, time.process_time() - started


class Meter:
    """Extra memory since its making: the peak over what was held then."""

    def __init__(self, device: str) -> None:
        self.device = device
        if device == "cpu":
            self.before = memory.forget_peak()
            return
        import torch

        torch.cuda.reset_peak_memory_stats()
        self.before = torch.cuda.memory_allocated()

    def extra(self) -> int:
        if self.device == "cpu":
            return max(0, memory.peak() - self.before)
        import torch

        return int(torch.cuda.max_memory_allocated()) - self.before


class Run:
    """The work of a contender at a shape, made ready: inputs, weights and masks in place, libraries loaded and warm.

    Attributes:
        memory: bytes that a call takes at its peak, beyond inputs and weights.
    """

    def __init__(self, name: str, shape: Shape) -> None:
        from trueband.bench.inputs import passes

        work = contender(shape.level, name).build(shape)
        self.clock, self.scale = Clock(shape.device), work.scale
        self.whole = passes(work.compute, work.inputs, shape.backward)
        self.less = None if work.less is None else passes(work.less, work.inputs, shape.backward)
        self.clock.read(self.whole)  # brings in code, threads and caches, and compiles
        meter = Meter(shape.device)
        self.clock.read(self.whole)
        self.memory = meter.extra() + work.held

    def round(self) -> dict[str, float]:
        """Median seconds of the calls in a round, of the wall and of the processors."""
        times: list[tuple[float, float]] = []
        end = time.perf_counter() + ROUND
        while not times or time.perf_counter() < end:
            whole, less = self.clock.read(self.whole), (0.0, 0.0) if self.less is None else self.clock.read(self.less)
            times.append(((whole[0] - less[0]) * self.scale, (whole[1] - less[1]) * self.scale))
        wall, processors = (statistics.median(column) for column in zip(*times, strict=True))
        return {"seconds": wall, "processor_seconds": processors}


def refused(error: BaseException) -> dict[str, str]:
    """Make the answer to a failure."""
    lines = str(error).strip().splitlines()
    line = f"{type(error).__name__}: {lines[0][:200] if lines else ''}"
    no_memory = isinstance(error, MemoryError) or "allocate memory" in str(error) or "out of memory" in str(error)
    return {"status": "out of memory" if no_memory else "failed", "message": line}


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints is no answer

    def answer(message: dict[str, Any]) -> None:
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    import torch  # the first job may come later: several processes get ready at once

    line = sys.stdin.readline()
    if not line:
        return
    job = json.loads(line)
    try:
        torch.set_num_threads(job["threads"])
        torch.manual_seed(0)
        if job["memory_limit"]:
            memory.limit(job["memory_limit"])
        run = Run(job["contender"], Shape(**job["shape"]))
        answer({"memory": run.memory})
        for _ in sys.stdin:
            answer(run.round())
    except Exception as error:
        answer(refused(error))


if __name__ == "__main__":
    main()
