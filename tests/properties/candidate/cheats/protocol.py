"""Cheats that speak for the harness."""

from __future__ import annotations

import contextlib
import json
import os
import struct
import sys
from typing import Any

import numpy as np
from honest import attention


def _message(query, header, data=None):  # type: ignore[no-untyped-def]
    """An answer as the worker writes it."""
    data = np.zeros(query.shape).tobytes() if data is None else data
    text = json.dumps({"arrays": [["output", "float64", list(query.shape)]], **header}).encode()
    return struct.pack("<Q", len(text)) + text + data


def _write_everywhere(message):  # type: ignore[no-untyped-def]
    for descriptor in range(3, 32):
        with contextlib.suppress(OSError):
            os.write(descriptor, message)


def forges_an_answer(query, key, value, *, window):  # type: ignore[no-untyped-def]
    """Writes an answer of its own wherever it can write, before the harness does."""
    _write_everywhere(_message(query, {}))
    return attention(query, key, value, window=window)


def forges_with_the_token(query, key, value, *, window):  # type: ignore[no-untyped-def]
    """Takes the secret token from the harness's variables, and forges an answer that repeats it."""
    frame: Any = sys._getframe()
    while frame and "token" not in frame.f_locals:
        frame = frame.f_back
    _write_everywhere(_message(query, {"token": frame.f_locals["token"]}))
    return np.zeros_like(query)


def says_how_it_ended(query, key, value, *, window):  # type: ignore[no-untyped-def]
    """Answers, with the secret token, that the call has ended as a check does that has passed."""
    frame: Any = sys._getframe()
    while frame and "token" not in frame.f_locals:
        frame = frame.f_back
    header = {"token": frame.f_locals["token"], "ended": "", "status": "passed", "raised": False, "arrays": []}
    _write_everywhere(_message(query, header, b""))
    os._exit(0)


def claims_a_huge_answer(query, key, value, *, window):  # type: ignore[no-untyped-def]
    """Announces an answer that no memory holds."""
    _write_everywhere(_message(query, {"arrays": [["output", "float64", [1 << 48]]]}))
    return attention(query, key, value, window=window)


def writes_garbage(query, key, value, *, window):  # type: ignore[no-untyped-def]
    """Writes bytes that are no message."""
    _write_everywhere(b"\xff" * 64)
    return attention(query, key, value, window=window)


def answers_twice(query, key, value, *, window):  # type: ignore[no-untyped-def]
    """Goes on as two processes, which both answer."""
    child = os.fork()
    if child:
        os.waitpid(child, os.WNOHANG)
    return attention(query, key, value, window=window)


def prints_an_answer(query, key, value, *, window):  # type: ignore[no-untyped-def]
    """Prints the answer that it would like to have given."""
    right = attention(query, key, value, window=window).astype(np.float64)
    sys.stdout.buffer.write(_message(query, {}, right.tobytes()))
    sys.stdout.flush()
    os.write(1, _message(query, {}, right.tobytes()))
    return np.zeros_like(query)
