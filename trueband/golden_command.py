"""`trueband golden fetch`: the published weights that the golden checks run on."""

from __future__ import annotations

import argparse
from pathlib import Path

from trueband import exit_codes
from trueband.console import print_line
from trueband.golden.fetch import REQUIREMENT, fetch_sapiens

DESCRIPTION = f"""\
Fetch the published trained weights that the golden checks run on: the wheel {REQUIREMENT} (MIT), with pip. Its files
are checked against their sha256 and kept in the cache folder (TRUEBAND_CACHE, or the platform's); the wheel is neither
installed nor imported. `trueband check` fetches by itself when needed."""


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
    for path in fetch_sapiens(options.wheel):
        print_line(f"{path}: sha256 as published")
    return exit_codes.PASSED
