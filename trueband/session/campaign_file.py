"""The file of a campaign: a head that says what is run, then one line for each finished block of cases."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

import hypothesis

from trueband.properties.candidate.remote import RemoteRunner
from trueband.properties.running.campaign import BLOCK, Block, Shard
from trueband.properties.running.expected_failures import ExpectedFailures
from trueband.properties.running.plan import Plan
from trueband.reports.json_lines import JsonLines, first_line
from trueband.reports.machines import apart, machines_of

# What must be the same in files that belong together. The shard is compared separately. Machines are only reported.
SAME = (
    "trueband",
    "target",
    "features",
    "dtypes",
    "device",
    "cases",
    "small_world_dtypes",
    "checks",
    "seed",
    "block",
    "expected_failures",
)


def head_of(plan: Plan, candidate: RemoteRunner, shard: Shard, expected: ExpectedFailures) -> dict[str, Any]:
    """The first line of the file."""
    return first_line(
        "campaign",
        candidate.machine,
        target=plan.target,
        name=candidate.name,
        library=candidate.library,
        features=sorted(candidate.features),
        dtypes=list(plan.dtypes),
        device=plan.device,
        cases=plan.cases,
        small_world_dtypes=list(plan.small_world_dtypes),
        checks=list(plan.checks),
        seed=plan.seed,
        block=BLOCK,
        expected_failures=expected.values,
        shard=str(shard),
        hypothesis=hypothesis.__version__,
    )


def plan_of(head: Mapping[str, Any]) -> Plan:
    """The plan of a head."""
    return Plan(
        target=head["target"],
        dtypes=tuple(head["dtypes"]),
        cases=head["cases"],
        small_world_dtypes=tuple(head["small_world_dtypes"]),
        checks=tuple(head["checks"]),
        device=head["device"],
        seed=head["seed"],
    )


def difference(head: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """Describe where two heads disagree, "expected ..., got ..."; "" where they belong together."""
    for key in SAME:
        if head[key] != other[key]:
            if isinstance(head[key], dict):
                names = sorted(
                    name for name in {*head[key], *other[key]} if head[key].get(name) != other[key].get(name)
                )
                return f"expected the same {key}, got others for {', '.join(names)}"
            return f"expected {key} {_short(head[key])}, got {_short(other[key])}"
    return ""


def read_campaign(path: Path) -> tuple[dict[str, Any], list[Block]]:
    """The head and the blocks of a file. A last line that was being written when the run was killed is left out.

    A run that was continued elsewhere has in its head "machines", all of them, beside the first one's "machine".

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not the file of a campaign.
    """
    head: dict[str, Any] | None = None
    blocks: list[Block] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n")[:-1], start=1):
        try:
            values = json.loads(line)
            kind = values.pop("record")
            if kind == "campaign" and head is None:
                Shard.parse(values["shard"])
                ExpectedFailures(values.setdefault("expected_failures", {}))
                head = {"record": kind, **values, **{key: values[key] for key in SAME}}
            elif kind == "block" and head is not None:
                blocks.append(Block.from_dict(values))
            elif kind == "machine" and head is not None:
                head["machines"] = [*machines_of(head), values["machine"]]
            else:
                raise ValueError(f"got a line of the kind {kind!r}")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path}:{number}: expected a line of a campaign's file ({error!r})") from error
    if head is None:
        raise ValueError(f"{path}: expected the file of a campaign (trueband check --tier nightly --json), got none")
    return head, blocks


class CampaignFile:
    """Written as blocks finish; without a path, nothing is. Only one process writes it.

    Attributes:
        done: the blocks that were there.
        head: the first line; of a run that was continued elsewhere with all of its "machines".
        moved: what this machine differs in from the last one that wrote the file; "" where it is the same.
    """

    def __init__(self, path: Path | None, head: dict[str, Any], resume: bool) -> None:
        """Open it.

        Raises:
            ValueError: it is there and is not to be continued, is of another run, or another process writes it.
        """
        self.done: list[Block] = []
        self.head, self.moved = head, ""
        self._file: TextIO | None = None
        self._lines = JsonLines(None)
        if path is None:
            return
        self._file = path.open("a", encoding="utf-8")
        self._lines = JsonLines(None, self._file)
        try:
            self._begin(path, head, resume)
        except BaseException:
            self._file.close()
            raise

    def _begin(self, path: Path, head: dict[str, Any], resume: bool) -> None:
        assert self._file is not None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ValueError(f"{path} is being written by another process") from error
        kept = path.read_bytes().rpartition(b"\n")[0]
        if not kept:
            os.truncate(path, 0)
            self._lines.start(head)
            return
        if not resume:
            raise ValueError(f"{path} is there already: --resume goes on with it, and another name begins a new file")
        os.truncate(path, len(kept) + 1)
        there, self.done = read_campaign(path)
        problem = difference(there, head)
        if not problem and there["shard"] != head["shard"]:
            problem = f"expected shard {there['shard']}, got {head['shard']}"
        if problem:
            raise ValueError(f"{path} is of another run: {problem}")
        before = machines_of(there)
        self.moved = apart(before[-1], head["machine"]) if before else ""
        if self.moved:
            self._lines.write("machine", {"machine": head["machine"]})
            before.append(head["machine"])
        self.head = {**head, "machines": before} if len(before) > 1 else head

    def write(self, block: Block) -> None:
        """Write one more finished block."""
        self._lines.write("block", block.to_dict())

    def __enter__(self) -> CampaignFile:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()


def _short(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
