"""Ways to call a target that only a device has: on another stream, and recorded in a CUDA graph.

The inputs are written after the call could have begun: who does not wait, or looked at them before, has other numbers.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from trueband.properties.candidate.accelerator import Accelerator
from trueband.properties.candidate.desk import Desk
from trueband.properties.cases.backward import REPLAY, STREAM


@contextlib.contextmanager
def late(accelerator: Accelerator, desk: Desk, stream: Any) -> Iterator[None]:
    """Use a stream in this block, on which the inputs are still to be written when it begins."""
    desk.spoil()
    accelerator.wait()
    with accelerator.busy(stream):
        desk.write()
        yield


def on_stream(accelerator: Accelerator, desk: Desk, call: Callable[[], Any]) -> Any:
    """Return a copy of the results of a call on a stream on which its inputs are still to be written.

    The copy is made on the same stream: what the call has left to another one is not there yet.
    """
    with late(accelerator, desk, accelerator.new_stream()):
        return copied(call())


def replayed(accelerator: Accelerator, desk: Desk, call: Callable[[], Any]) -> Any:
    """Return a copy of the results of a call that was recorded with other numbers, replayed with its own.

    Raises:
        Exception: what the call raises while it is recorded, such as where it looks at a number.
    """
    desk.disturb()
    accelerator.wait()
    with accelerator.busy(accelerator.new_stream()):
        call()  # what is compiled or allocated once
    graph, results = accelerator.record(call)
    desk.write()
    graph.replay()
    accelerator.wait()
    return copied(results)


def way_of(layout: str) -> Callable[[Accelerator, Desk, Callable[[], Any]], Any] | None:
    """Return the way to call for a layout of inputs; None where it is none of a device."""
    return {STREAM: on_stream, REPLAY: replayed}.get(layout)


def copied(results: Any) -> Any:
    """Return results, some of which may be None, with copies of the tensors among them."""
    if isinstance(results, tuple):
        return tuple(map(copied, results))
    return results.clone() if hasattr(results, "untyped_storage") else results
