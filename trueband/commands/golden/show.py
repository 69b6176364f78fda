"""`trueband golden show ID`."""

from __future__ import annotations

import argparse
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trueband.commands import exit_codes
from trueband.commands.arguments import Command, Commands, add_command
from trueband.golden.runners import obstacle
from trueband.golden.store import Golden, open_store
from trueband.reports.console import print_line
from trueband.session.golden_choice import choose

DESCRIPTION = """\
Show all that is told of a golden: what it claims, who published it and where, its license, its inputs, what was
printed and with which tolerance, and how to verify it. With --json the numbers are complete."""
SHOWN = 8  # numbers of an array


def add_show(actions: Commands[Command]) -> None:
    """Register the action."""
    command = add_command(actions, "show", "show one golden", DESCRIPTION, run_show)
    command.add_argument("id", metavar="ID", help="of a golden, see `trueband golden list`")
    command.add_argument("--json", action="store_true", help="print a JSON object: metadata, and all arrays in full")


def run_show(options: argparse.Namespace) -> int:
    """Print it."""
    (item,) = choose([options.id]).items
    if not isinstance(item, Golden):
        told = {"id": item.name, "kind": "check", "claim": item.claim, "verify": f"trueband golden verify {item.name}"}
        if options.json:
            print(json.dumps(told, indent=1))
        else:
            for line in (item.name, *(f"  {name:12}{value}" for name, value in told.items() if name != "id")):
                print_line(line)
        return exit_codes.PASSED
    if options.json:
        print(json.dumps(as_json(item), indent=1))
    else:
        for line in lines_of(item):
            print_line(line)
    return exit_codes.PASSED


def as_json(golden: Golden) -> dict[str, Any]:
    """Metadata and arrays as plain data."""
    arrays = {
        name: {"dtype": array.dtype.name, "shape": list(array.shape), "values": array.tolist()}
        for name, array in golden.arrays.items()
    }
    return golden.metadata.to_dict() | {"arrays": arrays, "file": open_store().index[golden.id]["file"]}


def lines_of(golden: Golden) -> list[str]:
    """For a reader."""
    told, reason = golden.metadata, obstacle(golden)
    source = told.source
    place = " ".join(filter(None, (source.repository, source.path, source.commit and f"@ {source.commit}")))
    tolerance = "none: it must agree exactly"
    if told.tolerance is not None:
        relative = f" + {told.tolerance.relative:g} x |expected|" if told.tolerance.relative else ""
        tolerance = f"{told.tolerance.absolute:g}{relative} ({told.tolerance.why})"
    elif "tolerance" in golden.arrays:
        tolerance = f"for each number: {_numbers(golden.arrays['tolerance'])}"
    shown: list[tuple[str, Any]] = [
        ("claim", told.claim),
        ("kind", told.kind),
        ("published by", source.publisher),
        ("at", place),
        ("also in", json.dumps(told.also_in) if told.also_in else ""),
        ("license", told.license),
        ("checkpoint", told.checkpoint or "none"),
        ("revision", told.revision),
        ("weights", ", ".join(f"{name} sha256 {sha256}" for name, sha256 in told.weights_sha256.items())),
        ("class", told.model_class),
        ("converted", json.dumps(told.conversion) if told.conversion else ""),
        ("inputs", json.dumps(told.inputs)),
        ("output", f"{told.output} {told.slice or ''}".rstrip()),
        ("dtype", told.dtype),
        ("tolerance", tolerance),
        ("expected", ", ".join(map(repr, told.expected)) if told.expected is not None else ""),
        *((name, _array(golden.arrays[name])) for name in sorted(golden.arrays)),
        ("note", told.note),
        ("replaced", "; ".join(told.why)),
        ("written by", told.generator),
        ("verify", f"trueband golden verify {golden.id}" if reason is None else f"cannot run here: {reason}"),
    ]
    width = max(len(name) for name, _ in shown)
    return [golden.id, *(f"  {name:{width}}  {value}" for name, value in shown if value)]


def _array(array: NDArray[Any]) -> str:
    return f"{array.dtype.name} {list(array.shape)}: {_numbers(array)}"


def _numbers(array: NDArray[Any]) -> str:
    values = [str(value) for value in np.ravel(array)[:SHOWN]]
    return ", ".join(values) + (f", ... ({array.size} numbers)" if array.size > SHOWN else "")
