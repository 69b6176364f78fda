"""Cheats with numbers: plausible ones, and right ones where somebody looks."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
from honest import attention


def all_zeros(query, key, value, *, window):  # type: ignore[no-untyped-def]
    """The mean of many values is almost 0."""
    return np.zeros_like(query)


def mean_of_values(query, key, value, *, window):  # type: ignore[no-untyped-def]
    """Does not look at queries and keys."""
    return np.repeat(value.mean(axis=2, keepdims=True), value.shape[2], axis=2).astype(query.dtype)


def all_nan(query, key, value, *, window):  # type: ignore[no-untyped-def]
    """NaN equals NaN in many a harness."""
    return np.full_like(query, np.nan)


def half_precision(query, key, value, *, window):  # type: ignore[no-untyped-def]
    """Computes in float16, and returns float32."""
    narrow = (array.astype(np.float16) for array in (query, key, value))
    return attention(*narrow, window=window).astype(query.dtype)


def contiguous_only(query, key, value, *, window):  # type: ignore[no-untyped-def]
    """Is right for arrays that lie as in the benchmark."""
    if query.flags.c_contiguous:
        return attention(query, key, value, window=window)
    return np.zeros_like(query)


def _fingerprint(query, key, value):  # type: ignore[no-untyped-def]
    return hashlib.sha256(query.tobytes() + key.tobytes() + value.tobytes()).hexdigest()


def takes_notes(query, key, value, *, window):  # type: ignore[no-untyped-def]
    """Is right, and notes down what it is asked."""
    with Path(os.environ["NOTES"]).open("a", encoding="ascii") as notes:
        notes.write(_fingerprint(query, key, value) + "\n")
    return attention(query, key, value, window=window)


def knows_the_questions(query, key, value, *, window, _notes=[]):  # type: ignore[no-untyped-def] # noqa: B006
    """Is right for what it has been asked in an earlier run, and for nothing else."""
    if not _notes:
        _notes.append(set(Path(os.environ["NOTES"]).read_text(encoding="ascii").split()))
    right = attention(query, key, value, window=window)
    return right if _fingerprint(query, key, value) in _notes[0] else np.zeros_like(right)


def right_in_its_first_process(query, key, value, *, window, _first=[]):  # type: ignore[no-untyped-def] # noqa: B006
    """Is right in the first process that is started, which leaves a note for the others."""
    notes = Path(os.environ["NOTES"])
    if not _first:
        _first.append(not notes.exists())
        notes.touch()
    right = attention(query, key, value, window=window)
    return right if _first[0] else np.zeros_like(right)
