"""The line that runs the cases of a gate again, once its seed may be known."""

from __future__ import annotations

import argparse
import shlex
from dataclasses import fields

from trueband.session.request import Request, flags


def again(options: argparse.Namespace, seed: int) -> str:
    """The shell line of a run with the same cases."""
    words = ["trueband", "check", options.target, "--seed", str(seed)]
    named = flags(select="-k")
    options_used = [
        ("--suite", options.suite, None),
        ("--model-target", options.model_target, None),
        *(
            (named[field.name], getattr(options, field.name), field.default)
            for field in fields(Request)
            if field.name in named and field.name not in ("seed", "gate")
        ),
    ]
    for flag, value, default in options_used:
        for item in value if isinstance(value, list) else [value] if value != default else []:
            words += [flag, str(item)]
    return shlex.join(words)
