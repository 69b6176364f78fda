"""A CUDA device as a target's process uses it: all that is asked of `torch.cuda` is asked here.

Work on a device goes on behind the call that began it. It is awaited after every call, so that an error is told of the
call that made it. Some errors, such as an illegal address, end the device's context: every later call fails alike.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

DELAY = 30_000_000  # cycles: some hundredths of a second, longer than it takes to launch a kernel


class Accelerator:
    """One CUDA device.

    Attributes:
        lost: the first line of the error that ended the context of the device; "" while it answers.
    """

    def __init__(self, torch: Any, device: Any) -> None:
        index = torch.cuda.current_device() if device.index is None else device.index
        self._torch, self._device = torch, torch.device("cuda", index)
        self.lost = ""

    def wait(self) -> None:
        """Wait for all work on the device, on every stream. Raises what that work has raised."""
        self._torch.cuda.synchronize(self._device)

    def ended_by(self, error: BaseException) -> bool:
        """Return whether the device answers no more after an error of a call, and keep what was said then."""
        if not self.lost and self._fails() and self._fails():  # what was still going on may fail once
            self.lost = f"{type(error).__name__}: {first_line(error)}"
        return bool(self.lost)

    def new_stream(self) -> Any:
        """Return another stream than the default one."""
        return self._torch.cuda.Stream(self._device)

    @contextlib.contextmanager
    def busy(self, stream: Any) -> Iterator[None]:
        """Use a stream in this block, which has something to do first, and wait for it at the end."""
        with self._torch.cuda.stream(stream):
            self._torch.cuda._sleep(DELAY)
            yield
            stream.synchronize()

    def record(self, call: Callable[[], Any]) -> tuple[Any, Any]:
        """Record a call in a CUDA graph; return the graph, and the results that its replay writes."""
        graph, first = self._torch.cuda.CUDAGraph(), None
        try:
            with self._torch.cuda.device(self._device), self._torch.cuda.graph(graph):
                try:
                    results = call()
                except Exception as error:
                    first = error
                    raise
        except Exception as error:  # the end of a recording that has failed raises, too, and says less
            raise first or error from None
        return graph, results

    def empty(self) -> None:
        """Give unused memory back to the device."""
        self._torch.cuda.empty_cache()

    def limit_memory(self, mebibytes: int) -> None:
        """Let this process take so much memory of the device beyond what it has."""
        total = self._torch.cuda.mem_get_info(self._device)[1]
        most = self._torch.cuda.memory_reserved(self._device) + mebibytes * 2**20
        self._torch.cuda.set_per_process_memory_fraction(min(most / total, 1.0), self._device)

    def _fails(self) -> bool:
        try:
            self.wait()
        except Exception:
            return True
        return False


def first_line(error: BaseException) -> str:
    """What an error says, without the advice of CUDA on how to find out more."""
    return next(iter(str(error).strip().splitlines()), "")


def accelerator(torch: Any, device: Any) -> Accelerator | None:
    """The device of a torch target; None where it is the CPU, or of another kind.

    Raises:
        ValueError: there is no such device.
    """
    if device.type != "cuda":
        return None
    if not torch.cuda.is_available():
        raise ValueError(
            f"device: expected one that torch can use, got {str(device)!r}, and torch finds no CUDA device"
        )
    count = torch.cuda.device_count()
    if device.index is not None and device.index >= count:
        known = ", ".join(f"cuda:{index}" for index in range(count))
        raise ValueError(f"device: expected one of {known}, got {str(device)!r}")
    return Accelerator(torch, device)
