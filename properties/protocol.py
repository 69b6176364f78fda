"""Messages between the process that judges and the process of the candidate: one JSON header, then raw arrays.

Nothing that a candidate's process sends is ever unpickled.
"""

from __future__ import annotations

import json
import math
import struct
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
_DTYPES = ("bool", "float16", "float32", "float64", "int64")


def send(stream: BinaryIO, header: dict[str, Any], arrays: dict[str, Array] | None = None) -> None:
    """Write one message."""
    arrays = {name: np.ascontiguousarray(array) for name, array in (arrays or {}).items()}
    shapes = [[name, array.dtype.name, list(array.shape)] for name, array in arrays.items()]
    text = json.dumps({**header, "arrays": shapes}).encode()
    stream.write(struct.pack("<Q", len(text)) + text + b"".join(array.tobytes() for array in arrays.values()))
    stream.flush()


def receive(stream: BinaryIO) -> tuple[dict[str, Any], dict[str, Array]]:
    """Read one message. EOFError when the other side is gone, ValueError when it does not speak this protocol."""
    (length,) = struct.unpack("<Q", _read(stream, 8))
    if length > 1 << 28:
        raise ValueError(f"message: expected a header of at most {1 << 28} bytes, got {length}")
    header = json.loads(_read(stream, length))
    arrays = {}
    for name, dtype, shape in header.pop("arrays"):
        if dtype not in _DTYPES:
            raise ValueError(f"message: expected arrays of {', '.join(_DTYPES)}, got {dtype!r}")
        raw = _read(stream, math.prod(shape) * np.dtype(dtype).itemsize)
        arrays[name] = np.frombuffer(raw, dtype=dtype).reshape(shape)
    return header, arrays


def _read(stream: BinaryIO, size: int) -> bytes:
    parts = []
    while size:
        part = stream.read(size)
        if not part:
            raise EOFError("message: expected more, got the end of the stream")
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
