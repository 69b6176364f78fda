"""`trueband merge FILE...`: the parts of a campaign as one."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trueband.commands import exit_codes
from trueband.commands.arguments import Command, Commands, add_command
from trueband.properties.running.campaign import Block, Shard, beyond, block_keys, counted, first_alarms, sum_blocks
from trueband.properties.running.expected_failures import ExpectedFailures
from trueband.reports.campaign import print_campaign
from trueband.reports.files import add_options, end_files
from trueband.reports.json_lines import json_lines
from trueband.reports.machines import together
from trueband.reports.whole_file import write_whole
from trueband.session.campaign_file import difference, plan_of, read_campaign

DESCRIPTION = """\
Sum the files of a campaign's shards (trueband check TARGET --tier nightly --shard i/N --json FILE): cases, alarms, and
the spread of error/bound for each dtype. The files must be of one run (target, seed, cases, version), and every block
of every shard must be there; --partial sums what there is, for example while the campaign runs."""


def add_parser(commands: Commands[Command]) -> None:
    """Register the command."""
    command = add_command(commands, "merge", "sum the files of a campaign", DESCRIPTION, run_command)
    command.add_argument("files", nargs="+", type=Path, metavar="FILE", help="written by trueband check --tier nightly")
    command.add_argument("--partial", action="store_true", help="do not require that all shards exist and are complete")
    command.add_argument(
        "--json",
        type=Path,
        metavar="OUT",
        help="write the sum as JSON lines: the run, one record for each check and dtype",
    )
    add_options(command, "a page without pictures, which need the target")


def run_command(options: argparse.Namespace) -> int:
    """Merge, print the report, and return the exit code."""
    head, parts = merge([(path, *read_campaign(path)) for path in options.files])
    lacking = missing(head, parts)
    if lacking and not options.partial:
        raise ValueError(
            f"merge: expected all of the campaign, got files without {'; '.join(lacking)}: give the other files, go on "
            "with the unfinished ones (trueband check ... --resume), or sum up what there is (--partial)"
        )
    blocks = [block for part in parts.values() for block in part]
    if not blocks:
        return exit_codes.NOTHING_RAN
    expected = ExpectedFailures(head["expected_failures"])
    records = list(
        expected.settle(sum_blocks(blocks, head["target"], head["device"], head["seed"]), complete=not lacking)
    )
    title = (
        f"{head['target']}: campaign, seed {head['seed']}, {len(parts)} of {Shard.parse(head['shard']).count} shards"
    )
    print_campaign(title, blocks, records)
    for line in lacking:
        print(f"missing: {line}", file=sys.stderr)
    run = {**head, "record": "run", "shard": "", "complete": not lacking}
    end_files(options, records, run, candidate=None, interrupted=bool(lacking))
    if options.json:
        write_whole(options.json, json_lines(run, *(("check", record.to_dict()) for record in records)))
    return exit_codes.of_records(records)


def merge(
    files: Sequence[tuple[Path, Mapping[str, Any], Sequence[Block]]],
) -> tuple[Mapping[str, Any], dict[Shard, list[Block]]]:
    """The head, with the machines of all files, and the blocks of each shard. A block that is in two files counts once.

    Raises:
        ValueError: the files are not of one run, or disagree about a block.
    """
    first_path, head, _ = files[0]
    parts: dict[Shard, dict[tuple[str, str, int], Block]] = {}
    drawn: dict[tuple[str, str, int], tuple[str, int]] = {}
    for path, other, blocks in files:
        problem = difference(head, other)
        shard = Shard.parse(other["shard"])
        if not problem and shard.count != Shard.parse(head["shard"]).count:
            problem = f"expected a shard of {Shard.parse(head['shard']).count}, got {shard}"
        if problem:
            raise ValueError(f"{path}: not of the same campaign as {first_path}: {problem}")
        part = parts.setdefault(shard, {})
        for block in blocks:
            there = part.setdefault(block.key, block)
            if there.outcome != block.outcome:
                raise ValueError(
                    f"{path}: expected what another file of shard {shard} says of {_name(block)}, got something else"
                )
            if drawn.setdefault(block.key, (block.digest, block.total)) != (block.digest, block.total):
                raise ValueError(f"{path}: expected the cases of {first_path} in {_name(block)}, got others")
    machines = together(other for _, other, _ in files)
    head = {**{name: value for name, value in head.items() if name != "machine"}, "machines": machines}
    plan = plan_of(head)
    return head, {
        shard: counted(plan, part.values()) for shard, part in sorted(parts.items(), key=lambda item: item[0].index)
    }


def missing(head: Mapping[str, Any], parts: Mapping[Shard, Sequence[Block]]) -> list[str]:
    """List what is missing: shards, blocks of a shard, cases of a block. Nothing is missing after an alarm."""
    total = block_keys(plan_of(head))
    count = Shard.parse(head["shard"]).count
    lacking = [f"shard {index}/{count}" for index in range(1, count + 1) if Shard(index, count) not in parts]
    for shard, blocks in parts.items():
        alarms, done = first_alarms(blocks), {block.key for block in blocks}
        left = [key for key in total if key not in done and not beyond(key, alarms)]
        if left:
            lacking.append(f"{len(left)} of {len(total)} blocks of shard {shard}")
    if not lacking:
        lacking = _miscounted(parts)
    return lacking


def _miscounted(parts: Mapping[Shard, Sequence[Block]]) -> list[str]:
    """Blocks of which the shards together did not run every case once, though none of them failed."""
    ran: dict[tuple[str, str, int], int] = {}
    every = [block for blocks in parts.values() for block in blocks]
    broken = {(block.check, block.dtype) for block in every if block.status != "passed"}
    for block in every:
        ran[block.key] = ran.get(block.key, 0) + block.cases
    wrong = {_name(block) for block in every if block.key[:2] not in broken and ran[block.key] != block.total}
    return [f"cases of {name}" for name in sorted(wrong)]


def _name(block: Block) -> str:
    return f"block {block.number} of {block.check} [{block.dtype}]"
