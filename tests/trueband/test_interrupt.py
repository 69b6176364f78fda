"""An interrupt is one, whatever the library makes of it that it hits."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from trueband.session.interrupt import Interrupt


def swallowing(asked: bool) -> Iterator[int]:
    """As a callback of the collector of garbage does: it swallows the interrupt, and leaves something half done."""
    yield 1
    if asked:
        try:
            os.kill(os.getpid(), signal.SIGINT)
        except KeyboardInterrupt:
            yield 2
    raise AssertionError("half done")


def test_what_is_raised_after_an_interrupt_is_the_interrupt() -> None:
    """Told as it comes, it was a traceback and exit code 1."""
    seen: list[int] = []
    with Interrupt() as interrupt, pytest.raises(KeyboardInterrupt):
        seen.extend(interrupt.through(swallowing(asked=True)))
    with Interrupt() as interrupt, pytest.raises(AssertionError, match="half done"):
        seen.extend(interrupt.through(swallowing(asked=False)))


def test_without_an_interrupt_records_come_through() -> None:
    with Interrupt() as interrupt:
        assert list(interrupt.through([1, 2])) == [1, 2]
