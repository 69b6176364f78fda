"""`trueband new-target`: a file to start a target from."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from trueband.commands import exit_codes
from trueband.commands.arguments import Command, Commands, add_command
from trueband.reports.console import table_text
from trueband.templates import FOR_WHOM, text_of

DESCRIPTION = f"""\
Write a file to start a target from. It runs as it stands: its kernel is a stand-in, to be replaced by yours.

{table_text(("", ""), tuple((f"  {name}", whom) for name, whom in FOR_WHOM.items()))}

  $ trueband new-target flash > my_target.py
  $ trueband check my_target.py:target --cases 60"""


def add_parser(commands: Commands[Command]) -> None:
    """Register the command."""
    command = add_command(commands, "new-target", "write a file to start a target from", DESCRIPTION, run_command)
    command.add_argument("template", choices=tuple(FOR_WHOM), metavar="TEMPLATE", help=f"one of {', '.join(FOR_WHOM)}")
    command.add_argument("-o", "--output", type=Path, metavar="FILE", help="write it there, not to stdout; FILE is new")


def run_command(options: argparse.Namespace) -> int:
    """Write the template."""
    text = text_of(options.template)
    if options.output is None:
        sys.stdout.write(text)
        return exit_codes.PASSED
    try:
        with options.output.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ValueError(f"--output: expected a new file, got {options.output}, which exists") from None
    return exit_codes.PASSED
