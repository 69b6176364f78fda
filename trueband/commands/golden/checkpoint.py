"""`trueband golden verify --checkpoint DIR`: options, progress, and the choice of goldens."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from trueband.golden.records import GoldenRecord
from trueband.golden.store import Golden
from trueband.properties.running.plan import matches

FOLDER = (
    "a folder with a checkpoint of the Hub (config.json, weights; tokenizer.json where goldens give texts): recognized "
    "by the sha256 of its weights, its name or its shape; all its goldens run, with the optimized models, or with "
    "--witness reference, which is slow"
)


def add_checkpoint(command: argparse.ArgumentParser) -> None:
    """The options of `verify` that concern a folder."""
    command.add_argument("--checkpoint", type=Path, metavar="DIR", help=FOLDER)
    command.add_argument(
        "--as", dest="checkpoint_id", metavar="HUB_ID", help="the checkpoint in DIR, where several have its shape"
    )


def watch_checkpoint(options: argparse.Namespace, on_record: Callable[[GoldenRecord], None]) -> None:
    """Run the goldens of a folder. Progress goes to stderr.

    Raises:
        ValueError: see `verify_checkpoint`; options that do not go with a folder.
    """
    from trueband.hub.verify_checkpoint import verify_checkpoint

    if options.dtype is not None:
        raise ValueError(
            f"--dtype: expected none with --checkpoint (float32, the reference float64), got {options.dtype}"
        )
    for witness in options.witness or ["optimized"]:
        verify_checkpoint(
            options.checkpoint,
            options.ids,
            chosen=options.checkpoint_id,
            witness=witness,
            progress=lambda line: print(line, file=sys.stderr, flush=True),
            on_record=on_record,
            keep=lambda golden: _chosen(golden, options),
        )


def _chosen(golden: Golden, options: argparse.Namespace) -> bool:
    kind = golden.metadata.kind
    return matches(options.pattern, golden.id) and (not options.kind or kind in options.kind)
