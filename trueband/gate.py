"""The line that runs the cases of a gate again, once its seed may be known."""

from __future__ import annotations

import argparse
import shlex


def again(options: argparse.Namespace, seed: int) -> str:
    """The shell line of a run with the same cases."""
    words = ["trueband", "check", options.target, "--seed", str(seed), "--tier", options.tier]
    for name, value in (
        ("--suite", options.suite), ("--cases", options.cases), ("-k", options.select),
        ("--memory-limit", options.memory_limit), *(("--dtype", each) for each in options.dtypes or []),
        ("--device", None if options.device == "cpu" else options.device), ("--shapes", options.shapes or None),
    ):  # fmt: skip
        words += [] if value is None else [name, str(value)]
    return shlex.join(words)
