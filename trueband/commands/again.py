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
    given = [
        ("--suite", options.suite, None),
        ("--model-target", options.model_target, None),
        *(
            (named[each.name], getattr(options, each.name), each.default)
            for each in fields(Request)
            if each.name in named and each.name not in ("seed", "gate")
        ),
    ]
    for flag, value, default in given:
        for one in value if isinstance(value, list) else [value] if value != default else []:
            words += [flag, str(one)]
    return shlex.join(words)
