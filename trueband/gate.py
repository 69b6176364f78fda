"""The gate: a seed that nobody can know before the run, and the line that runs the same again."""

from __future__ import annotations

import argparse
import os
import shlex

from trueband.properties.record import Record

SECRET_BYTES = 6


def settle_seed(seed: int | None, gate: bool) -> int:
    """The seed of a run: the one asked for, 0, or, for a gate, a secret one."""
    if not gate:
        return 0 if seed is None else seed
    if seed is not None:
        raise ValueError(f"--seed: expected none with --gate, which draws its own, got {seed}")
    return int.from_bytes(os.urandom(SECRET_BYTES))


def again(options: argparse.Namespace) -> str:
    """The shell line of a run with the same cases, now that the seed may be known."""
    words = ["trueband", "check", options.target, "--seed", str(options.seed), "--tier", options.tier]
    for name, value in (
        ("--suite", options.suite), ("--cases", options.cases), ("-k", options.pattern),
        ("--memory-limit", options.memory_limit), *(("--dtype", each) for each in options.dtype or []),
        ("--device", None if options.device == "cpu" else options.device),
    ):  # fmt: skip
        words += [] if value is None else [name, str(value)]
    return shlex.join(words)


def cheating_record(target: str, device: str, message: str) -> Record:
    """Of a target that was seen to cheat before any check was asked."""
    return Record(
        suite="operator", check="loading", claim="a target is loaded without the package's own answers", target=target,
        dtype="any", device=device, status="cheating", cases=0, seconds=0.0, message=message,
    )  # fmt: skip
