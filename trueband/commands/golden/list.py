"""`trueband golden list`."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from typing import Any

from trueband.commands import exit_codes
from trueband.commands.arguments import Command, Commands, add_command
from trueband.golden.runners import obstacle
from trueband.golden.store import KINDS, open_store
from trueband.properties.running.plan import matches
from trueband.reports.console import print_line, print_table
from trueband.session.golden_choice import NAMED_CHECKS

DESCRIPTION = """\
List the goldens of the store and the named checks: id, kind, whether `trueband golden verify` can compute it here, and
what passing says. Kinds: published (printed by others); derived (printed by others, for weights that must give the
same); superseded (printed and known to be wrong: a correct implementation misses it); peer (recorded from another
library); taps (recorded from the reference); check (claims without a stored number)."""
ALL_KINDS = (*(kind for kind in KINDS if kind != "recording"), "check")


def add_list(actions: Commands[Command]) -> None:
    """Register the action."""
    command = add_command(actions, "list", "list the goldens", DESCRIPTION, run_list)
    add_choice(command)
    command.add_argument("--json", action="store_true", help="print a JSON array, one object for each")


def add_choice(command: argparse.ArgumentParser) -> None:
    """The options that choose goldens."""
    command.add_argument(
        "--kind", action="append", default=[], choices=ALL_KINDS, help="only of this kind; may be given more than once"
    )
    command.add_argument(
        "-k", dest="pattern", metavar="EXPR", help="only those whose id has EXPR in it; 'a or b', 'not a'"
    )


def run_list(options: argparse.Namespace) -> int:
    """Print the list."""
    rows = [row for row in all_rows() if matches(options.pattern, row["id"])]
    rows = [row for row in rows if not options.kind or row["kind"] in options.kind]
    if options.json:
        print(json.dumps(rows, indent=1))
    else:
        print_rows(rows)
    return exit_codes.PASSED if rows else exit_codes.NOTHING_RAN


def all_rows() -> list[dict[str, Any]]:
    """List each golden and check as plain data."""
    store = open_store()
    store.check()
    rows = []
    for name in store:
        golden = store.golden(name)
        metadata = golden.metadata
        rows.append(
            {
                "id": name,
                "kind": metadata.kind,
                "checkpoint": metadata.checkpoint,
                "claim": metadata.claim,
                "runs_here": obstacle(golden) is None,
                "why_not": obstacle(golden),
                "file": store.index[name]["file"],
                "sha256": store.index[name]["sha256"],
            }
        )
    for check in NAMED_CHECKS.values():
        row = {"id": check.name, "kind": "check", "checkpoint": None, "claim": check.claim, "runs_here": True}
        rows.append(row | {"why_not": None, "file": None, "sha256": None})
    return rows


def print_rows(rows: list[dict[str, Any]]) -> None:
    """Print for a reader."""
    print_table(("",) * 4, ((row["id"], row["kind"], _where(row), row["claim"]) for row in rows))
    counts = Counter(row["kind"] for row in rows)
    here_count = sum(row["runs_here"] for row in rows)
    kinds = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    print_line(f"\n{len(rows)} goldens and checks ({kinds}); {here_count} can be verified here")


def _where(row: dict[str, Any]) -> str:
    if row["runs_here"]:
        return "here"
    return "needs its checkpoint" if (row["why_not"] or "").startswith("needs the") else "cannot run"
