"""Ctrl-C: raised at once, and once more between cases in case a library has swallowed it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterable, Iterator
from types import FrameType
from typing import TypeVar

T = TypeVar("T")


class Interrupt:
    """Within it, SIGINT raises KeyboardInterrupt; `raise_if_interrupted` raises it again if it got lost."""

    def __init__(self) -> None:
        self._interrupted = False

    def __enter__(self) -> Interrupt:
        self._here = threading.current_thread() is threading.main_thread()
        if self._here:
            self._before = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        if self._here:
            signal.signal(signal.SIGINT, self._before)

    def _handle(self, _signal: int, _frame: FrameType | None) -> None:
        self._interrupted = True
        raise KeyboardInterrupt

    def through(self, records: Iterable[T]) -> Iterator[T]:
        """The same, but what is raised after an interrupt is the interrupt: a library that swallowed it, in the middle
        of its work, may stumble over that."""
        try:
            yield from records
        except Exception as error:
            if self._interrupted:
                raise KeyboardInterrupt from error
            raise

    def raise_if_interrupted(self) -> None:
        """Call it between cases."""
        if self._interrupted:
            raise KeyboardInterrupt
