"""The command line: one module for each command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from trueband import __version__
from trueband.floor import too_old
from trueband.threads import use_one

DESCRIPTION = """\
Verified attention for long documents. `trueband check` cross-checks the three witnesses of the package, published
trained weights included; `trueband check TARGET` gates a kernel of yours and shows the smallest case that breaks it."""


def parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    from trueband import (
        check_command,
        compile_command,
        convert_command,
        exit_codes,
        faults_command,
        golden_command,
        merge_command,
        repro_command,
        sanitize_command,
        summarize_command,
        targets_command,
    )
    from trueband.bench import command as bench_command

    codes = "\n".join(f"  {code:3d}  {meaning}" for code, meaning in exit_codes.MEANINGS.items())
    main_parser = argparse.ArgumentParser(
        prog="trueband",
        description=DESCRIPTION,
        epilog=f"exit codes:\n{codes}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    main_parser.add_argument("--version", action="version", version=f"trueband {__version__}")
    commands = main_parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    every = (
        check_command, repro_command, golden_command, faults_command, merge_command, convert_command, summarize_command,
        targets_command, sanitize_command, compile_command, bench_command,
    )  # fmt: skip
    for command in every:
        command.add_parser(commands)
    return main_parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code. A user's error is one line on stderr."""
    use_one()  # before the commands import numpy
    from trueband.exit_codes import INTERRUPTED, USAGE

    problem = too_old()  # before the commands import what may be too old for them
    if problem is not None:
        print(f"trueband: error: {problem}", file=sys.stderr)
        return USAGE
    options = parser().parse_args(arguments)
    try:
        code: int = options.run(options)
    except (ValueError, OSError) as error:
        print(f"trueband: error: {error}", file=sys.stderr)
        return USAGE
    except KeyboardInterrupt:
        print("trueband: interrupted", file=sys.stderr)
        return INTERRUPTED
    return code
