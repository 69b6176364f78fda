"""Messages between the judging process and the candidate's process: one JSON header, then raw arrays.

Nothing that a candidate's process sends is unpickled, and no length that it declares is trusted.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
_DTYPES = ("bool", "float16", "float32", "float64", "int32", "int64")
MOST_BYTES = 1 << 40


def send(stream: BinaryIO, header: dict[str, Any], arrays: dict[str, Array] | None = None) -> None:
    """Write one message."""
    arrays = {name: np.ascontiguousarray(array) for name, array in (arrays or {}).items()}
    shapes = [[name, array.dtype.name, list(array.shape)] for name, array in arrays.items()]
    text = json.dumps({**header, "arrays": shapes}).encode()
    stream.write(struct.pack("<Q", len(text)) + text + b"".join(array.tobytes() for array in arrays.values()))
    stream.flush()


def receive(
    stream: BinaryIO, most_bytes: Callable[[], int] = lambda: MOST_BYTES
) -> tuple[dict[str, Any], dict[str, Array]]:
    """Read one message.

    Args:
        most_bytes: returns how many bytes the arrays of a message may hold together; called once it has come.

    Raises:
        EOFError: the other side is gone.
        ValueError: it does not speak this protocol.
    """
    (length,) = struct.unpack("<Q", _read(stream, 8))
    if length > 1 << 24:
        raise ValueError(f"message: expected a header of at most {1 << 24} bytes, got {length}")
    header = json.loads(_read(stream, length))
    if not isinstance(header, dict) or not isinstance(header.get("arrays"), list):
        raise ValueError("message: expected a header that lists its arrays, got another")
    shapes = [_array_header(entry) for entry in header.pop("arrays")]
    total = sum(math.prod(shape) * np.dtype(dtype).itemsize for _, dtype, shape in shapes)
    if total > most_bytes():
        raise ValueError(f"message: expected arrays of at most {most_bytes()} bytes, got {total}")
    arrays = {}
    for name, dtype, shape in shapes:
        raw = _read(stream, math.prod(shape) * np.dtype(dtype).itemsize)
        arrays[name] = np.frombuffer(raw, dtype=dtype).reshape(shape)
    return header, arrays


def _array_header(entry: Any) -> tuple[str, str, tuple[int, ...]]:
    """Return (name, dtype, shape) of an entry of a header."""
    try:
        name, dtype, shape = entry
        sizes = tuple(shape)
    except (TypeError, ValueError):
        raise ValueError(f"message: expected arrays as [name, dtype, shape], got {entry!r}") from None
    if not isinstance(name, str) or dtype not in _DTYPES or any(type(n) is not int or n < 0 for n in sizes):
        raise ValueError(f"message: expected arrays of {', '.join(_DTYPES)}, got {entry!r}")
    return name, dtype, sizes


def _read(stream: BinaryIO, size: int) -> bytes:
    parts = []
    while size:
        part = stream.read(size)
        if not part:
            raise EOFError("message: expected more, got the end of the stream")
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
