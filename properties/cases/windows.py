"""Windows: one limit for both sides, or a pair (left, right) in which None is no limit (docs/contract.md)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Window = int | tuple[int | None, int | None]
HUGE = 2**16 + 1  # a limit that 16 bits do not hold


def check_window(window: Any) -> None:
    """ValueError for what is no window."""
    sides = window if isinstance(window, tuple) else (window,)
    one = "an int >= 0 or a pair of these and null"
    fits = len(sides) == 2 or window is sides[0]
    if not fits or any(each is not None and (type(each) is not int or each < 0) for each in sides) or window is None:
        raise ValueError(f"window: expected {one}, got {window!r}")


def sides(window: Window) -> tuple[int | None, int | None]:
    """The limits to the left and to the right; None: no limit."""
    return window if isinstance(window, tuple) else (window, window)


def in_words(window: Window) -> str:
    """A window for messages: "3", or "(3, no limit)"."""
    written = ("no limit" if each is None else str(each) for each in sides(window))
    return f"({', '.join(written)})" if isinstance(window, tuple) else str(window)


def limited(window: Window) -> tuple[int, ...]:
    """The limits that there are."""
    return tuple(dict.fromkeys(each for each in sides(window) if each is not None))


def widest(window: Window, tokens: int) -> int:
    """The larger limit; a side without one reaches over all tokens."""
    return max(tokens if each is None else each for each in sides(window))


def covers(window: Window, tokens: int) -> bool:
    """Whether every token lies in the window of every other."""
    return all(each is None or each >= tokens - 1 for each in sides(window))


def mapped(window: Window, change: Callable[[int], int]) -> Window:
    """The window with its limits changed."""
    if not isinstance(window, tuple):
        return change(window)
    left, right = (None if each is None else change(each) for each in window)
    return left, right
