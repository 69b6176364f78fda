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
from trueband.reports.console import print_fields, print_line
from trueband.session.golden_choice import choose

DESCRIPTION = """\
Show a golden: what it claims, who published it and where, its license, its inputs, what was printed and with which
tolerance, and how to verify it. With --json the numbers are complete."""
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
        fields = {
            "id": item.name,
            "kind": "check",
            "claim": item.claim,
            "verify": f"trueband golden verify {item.name}",
        }
        if options.json:
            print(json.dumps(fields, indent=1))
        else:
            _print(item.name, [(name, value) for name, value in fields.items() if name != "id"])
        return exit_codes.PASSED
    if options.json:
        print(json.dumps(as_json(item), indent=1))
    else:
        _print(item.id, fields_of(item))
    return exit_codes.PASSED


def as_json(golden: Golden) -> dict[str, Any]:
    """Metadata and arrays as plain data."""
    arrays = {
        name: {"dtype": array.dtype.name, "shape": list(array.shape), "values": array.tolist()}
        for name, array in golden.arrays.items()
    }
    return golden.metadata.to_dict() | {"arrays": arrays, "file": open_store().index[golden.id]["file"]}


def fields_of(golden: Golden) -> list[tuple[str, str | None]]:
    """Names and values, as a person reads them. A value is empty or None where the golden has none."""
    metadata, reason = golden.metadata, obstacle(golden)
    source = metadata.source
    place = " ".join(filter(None, (source.repository, source.path, source.commit and f"@ {source.commit}")))
    tolerance = "none: it must agree exactly"
    if metadata.tolerance is not None:
        relative = f" + {metadata.tolerance.relative:g} x |expected|" if metadata.tolerance.relative else ""
        tolerance = f"{metadata.tolerance.absolute:g}{relative} ({metadata.tolerance.why})"
    elif "tolerance" in golden.arrays:
        tolerance = f"for each number: {_numbers(golden.arrays['tolerance'])}"
    return [
        ("claim", metadata.claim),
        ("kind", metadata.kind),
        ("published by", source.publisher),
        ("at", place),
        ("also in", json.dumps(metadata.also_in) if metadata.also_in else ""),
        ("license", metadata.license),
        ("checkpoint", metadata.checkpoint or "none"),
        ("revision", metadata.revision),
        ("weights", ", ".join(f"{name} sha256 {sha256}" for name, sha256 in metadata.weights_sha256.items())),
        ("class", metadata.model_class),
        ("converted", json.dumps(metadata.conversion) if metadata.conversion else ""),
        ("inputs", json.dumps(metadata.inputs)),
        ("output", f"{metadata.output} {metadata.slice or ''}".rstrip()),
        ("dtype", metadata.dtype),
        ("tolerance", tolerance),
        ("expected", ", ".join(map(repr, metadata.expected)) if metadata.expected is not None else ""),
        *((name, _array(golden.arrays[name])) for name in sorted(golden.arrays)),
        ("note", metadata.note),
        ("replaced", "; ".join(metadata.why)),
        ("written by", metadata.generator),
        ("verify", f"trueband golden verify {golden.id}" if reason is None else f"cannot run here: {reason}"),
    ]


def _print(golden_id: str, fields: list[tuple[str, str | None]]) -> None:
    print_line(golden_id)
    print_fields(fields, indent="  ")


def _array(array: NDArray[Any]) -> str:
    return f"{array.dtype.name} {list(array.shape)}: {_numbers(array)}"


def _numbers(array: NDArray[Any]) -> str:
    values = [str(value) for value in np.ravel(array)[:SHOWN]]
    return ", ".join(values) + (f", ... ({array.size} numbers)" if array.size > SHOWN else "")
