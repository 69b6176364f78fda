"""The command line: one module for each command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from trueband import __version__
from trueband.session.request import flags
from trueband.session.request_error import RequestError
from trueband.starting.floor import too_old
from trueband.starting.threads import use_one

DESCRIPTION = """\
Verified attention for long documents. `trueband check` cross-checks the three witnesses of the package, published
trained weights included; `trueband check TARGET` gates a kernel of yours and shows the smallest case that breaks it."""


def parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    from trueband.commands import bench as bench_command
    from trueband.commands import check as check_command
    from trueband.commands import compile as compile_command
    from trueband.commands import convert as convert_command
    from trueband.commands import exit_codes
    from trueband.commands import faults as faults_command
    from trueband.commands import merge as merge_command
    from trueband.commands import new_target as new_target_command
    from trueband.commands import repro as repro_command
    from trueband.commands import sanitize as sanitize_command
    from trueband.commands import summarize as summarize_command
    from trueband.commands import targets as targets_command
    from trueband.commands.golden import command as golden_command

    codes = "\n".join(f"  {code:3d}  {meaning}" for code, meaning in exit_codes.MEANINGS.items())
    main_parser = argparse.ArgumentParser(
        prog="trueband",
        description=DESCRIPTION,
        epilog=f"exit codes:\n{codes}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    main_parser.add_argument("--version", action="store_true", help="print the version, and exit")
    main_parser.add_argument(
        "--verbose",
        action="store_true",
        help="with --version: also print the machine, as the first "
        "line of every results file records it: processor, libraries, threads, variables",
    )
    commands = main_parser.add_subparsers(dest="command", metavar="COMMAND")
    every = (
        check_command,
        repro_command,
        golden_command,
        faults_command,
        merge_command,
        convert_command,
        summarize_command,
        targets_command,
        new_target_command,
        sanitize_command,
        compile_command,
        bench_command,
    )
    for command in every:
        command.add_parser(commands)
    return main_parser


def print_version(options: argparse.Namespace) -> int:
    """Print the version, with --verbose also the machine.

    Raises:
        ValueError: --verbose without --version, or a command with either.
    """
    from trueband.commands.exit_codes import PASSED
    from trueband.properties.results.machine import machine
    from trueband.reports.console import print_fields
    from trueband.reports.machines import rows

    if not options.version:
        raise ValueError(f"--verbose: expected --version with it, got {options.command or 'nothing'}")
    if options.command:
        raise ValueError(f"--version: expected no command with it, got {options.command}")
    print(f"trueband {__version__}")
    if options.verbose:
        print_fields(rows(machine(load=True)))
    return PASSED


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code. A user's error is one line on stderr."""
    use_one()  # before the commands import numpy
    from trueband.commands.exit_codes import INTERRUPTED, USAGE

    problem = too_old()  # before the commands import what may be too old for them
    if problem is not None:
        print(f"trueband: error: {problem}", file=sys.stderr)
        return USAGE
    main_parser = parser()
    options = main_parser.parse_args(arguments)
    if not (options.version or options.verbose or options.command):
        main_parser.error("the following arguments are required: COMMAND")
    try:
        if options.version or options.verbose:
            return print_version(options)
        code: int = options.run(options)
    except RequestError as error:
        print(
            f"trueband: error: {error.named(flags(select='-k', suites='--suite', models='--model-target'))}",
            file=sys.stderr,
        )
        return USAGE
    except OSError as error:
        problem = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        print(f"trueband: error: {problem}", file=sys.stderr)
        return USAGE
    except ValueError as error:
        print(f"trueband: error: {error}", file=sys.stderr)
        return USAGE
    except KeyboardInterrupt:
        print("trueband: interrupted", file=sys.stderr)
        return INTERRUPTED
    return code
