"""`trueband targets`: the targets that have a name."""

from __future__ import annotations

import argparse
import json
from typing import Any

from trueband.adapters import Named, named_targets
from trueband.commands import exit_codes
from trueband.commands.arguments import Command, Commands, add_command
from trueband.properties.candidate.target import TargetError, load_target
from trueband.properties.gpu.triton_version import refusal
from trueband.properties.models.target import load_model_target
from trueband.properties.models.training import TRAINING
from trueband.reference.config import POSITION_EMBEDDING_TYPES
from trueband.reports.console import print_line

DESCRIPTION = """\
List the targets that have a name, for `trueband check NAME`: the shipped ones, and the entry points that other packages
declare in the group trueband.targets, NAME = "module:attribute" of a callable or a trueband.Target."""


def add_parser(commands: Commands[Command]) -> None:
    """Register the command."""
    command = add_command(commands, "targets", "list the targets that have a name", DESCRIPTION, run_command)
    command.add_argument("--json", action="store_true", help="print a JSON list")


def run_command(options: argparse.Namespace) -> int:
    """Print the list."""
    rows = [describe(named) for named in named_targets()]
    if options.json:
        print_line(json.dumps(rows, indent=1))
        return exit_codes.PASSED
    for row in rows:
        state = "installed" if row["installed"] else f"not installed: {row['problem']}"
        print_line(f"{row['name']}  ({row['origin']}; {row['versions'] or row['spec']}; {state})")
        if row["summary"]:
            print_line(f"    {row['summary']}")
        for name in ("features", "dtypes", "declared", "architectures"):
            if row.get(name):
                print_line(f"    {name}: {', '.join(row[name])}")
    return exit_codes.PASSED


def describe(named: Named) -> dict[str, Any]:
    """Describe a target as plain data. A target that cannot be loaded has a `problem`; nothing is raised."""
    description: dict[str, Any] = {
        "name": named.name,
        "origin": named.origin,
        "kind": named.kind,
        "spec": named.spec,
        "summary": named.summary,
        "installed": False,
        "versions": "",
        "problem": "",
    }
    if named.missing:
        return {**description, "problem": f"pip install {' '.join(named.missing)}"}
    unfit = named.triton and refusal(named.triton)
    if unfit:
        return {**description, "problem": unfit}
    try:
        declared = _models(named.spec) if named.kind == "models" else _operator(named.spec)
    except TargetError as error:
        return {**description, "problem": str(error)}
    return {**description, "installed": True, "versions": named.versions, **declared}


def _operator(spec: str) -> dict[str, Any]:
    target = load_target(spec).resolved()
    declared = [f"layout {target.layout}"] if target.layout != "bhnd" else []
    declared += target.limits.told()
    declared += [f"{dtype} accumulates in {accumulator}" for dtype, accumulator in target.accumulators.items()]
    declared += [f"devices {', '.join(target.devices)}"] if target.devices else []
    return {
        "library": target.library,
        "dtypes": list(target.dtypes),
        "features": sorted(target.features or ()),
        "declared": declared,
    }


def _models(spec: str) -> dict[str, Any]:
    target = load_model_target(spec)
    declared = [f"windows from {target.least_window} on"] if target.least_window > 1 else []
    declared += ["one window for all layers"] if target.one_window or target.whole_windows else []
    declared += ["lengths of whole windows"] if target.whole_windows else []
    declared += [f"positions {', '.join(target.positions)}"] if target.positions != POSITION_EMBEDDING_TYPES else []
    declared += [] if target.pruned else ["no pruned heads"]
    declared += [] if target.uneven_chunks else ["no chunks of the feed-forward"]
    declared += [] if target.deterministic else ["not deterministic"]
    if target.training != TRAINING:
        declared.append(f"in training {', '.join(target.training) or 'nothing'}")
    return {"architectures": list(target.architectures), "declared": declared}
