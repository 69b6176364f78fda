"""Kernels that misbehave as processes, and one that does not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from honest import attention, gradients

from trueband.properties.candidate.target import Target

good = Target(attention, gradients=gradients, library="numpy", name="good")
not_callable = 3


def plain(query, key, value, *, window):  # type: ignore[no-untyped-def]
    print("a candidate may print")
    return attention(query, key, value, window=window)


def aborts(query, key, value, *, window):  # type: ignore[no-untyped-def]
    if query.shape[2] > 2:
        print("about to abort", flush=True)
        os.abort()
    return attention(query, key, value, window=window)


def is_killed(query, key, value, *, window):  # type: ignore[no-untyped-def]
    if query.shape[2] > 2:
        os.kill(os.getpid(), signal.SIGKILL)  # as the system does where memory runs out
    return attention(query, key, value, window=window)


def hangs(query, key, value, *, window):  # type: ignore[no-untyped-def]
    if query.shape[2] > 2:
        time.sleep(600)
    return attention(query, key, value, window=window)


def raises(query, key, value, *, window):  # type: ignore[no-untyped-def]
    if window > 1:
        raise RuntimeError("no such window")
    return attention(query, key, value, window=window)


def wrong_shape(query, key, value, *, window):  # type: ignore[no-untyped-def]
    return attention(query, key, value, window=window)[..., :1]


def wrong_dtype(query, key, value, *, window):  # type: ignore[no-untyped-def]
    return attention(query, key, value, window=window).astype(np.float64)


def no_array(query, key, value, *, window):  # type: ignore[no-untyped-def]
    return attention(query, key, value, window=window).tolist()


declared = Target(plain, dtypes=("float64", "float32"), features=frozenset(), library="numpy", name="declared")


def exits(query, key, value, *, window):  # type: ignore[no-untyped-def]
    os._exit(0)


def recurses(query, key, value, *, window):  # type: ignore[no-untyped-def]
    return recurses(query, key, value, window=window)


def overflows_the_stack(query, key, value, *, window):  # type: ignore[no-untyped-def]
    os.kill(os.getpid(), signal.SIGSEGV)


def runs_out_of_memory(query, key, value, *, window):  # type: ignore[no-untyped-def]
    raise MemoryError("no room for the scores")


def takes_all_memory(query, key, value, *, window):  # type: ignore[no-untyped-def]
    kept = [np.empty(1 << 27) for _ in range(64)]  # 1 GiB each, of addresses
    return attention(query, key, value, window=window) + 0 * len(kept)


def prints_without_end(query, key, value, *, window):  # type: ignore[no-untyped-def]
    for _ in range(200):
        os.write(1, b"." * (1 << 16))
    return attention(query, key, value, window=window)


def leaves_a_process(query, key, value, *, window):  # type: ignore[no-untyped-def]
    left = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    Path(os.environ["NOTES"]).write_text(str(left.pid), encoding="ascii")
    return attention(query, key, value, window=window)


def closes_every_file(query, key, value, *, window):  # type: ignore[no-untyped-def]
    os.closerange(0, 64)
    return attention(query, key, value, window=window)
