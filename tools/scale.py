"""What a campaign on a cluster costs its driver: python tools/scale.py slots|tasks|overhead, one line of JSON each.

slots: as many slots as asked for, whose blocks only sleep, by a clock of their own: the driver's loop, its file and its
memory, without Ray. tasks: the same loop with real tasks of Ray that do nothing, with twice as many in flight as slots
are asked for. overhead: one campaign, plain, in one process; and on Ray with one slot, and with two.
"""

from __future__ import annotations

import argparse
import heapq
import json
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from trueband.cluster.driver import Driver, Scheduler
from trueband.cluster.files import gather_package
from trueband.cluster.kernel import ClusterKernel
from trueband.cluster.scheduler import RayScheduler, Resources
from trueband.properties.results.histogram import BINS
from trueband.properties.running.campaign import BLOCK, Block, Shard
from trueband.reports.json_lines import JsonLines
from trueband.session.campaign import Campaign
from trueband.session.kernel import KernelSuite
from trueband.session.request import Request
from trueband.starting.threads import single, use_one

CHECKS = "mask_decoding or associative_recall"


class Sleeping:
    """Slots whose tasks sleep by a clock of their own; see `Scheduler`.

    Attributes:
        now: seconds of that clock.
    """

    def __init__(self, slots: int, seconds: float) -> None:
        self._slots, self._seconds, self.now = slots, seconds, 0.0
        self._running: list[tuple[float, int]] = []
        self._queue: list[int] = []
        self._jobs: list[Any] = []
        self._random = random.Random(0)

    def slots(self) -> int:
        return self._slots

    def submit(self, job: Any) -> int:
        self._jobs.append(job)
        self._queue.append(len(self._jobs) - 1)
        self._start()
        return len(self._jobs) - 1

    def _start(self) -> None:
        while self._queue and len(self._running) < self._slots:
            ends = self.now + self._seconds * self._random.uniform(0.5, 1.5)
            heapq.heappush(self._running, (ends, self._queue.pop(0)))

    def wait(self, handles: list[int], seconds: float) -> list[int]:
        self.now, handle = heapq.heappop(self._running)
        self._start()
        return [handle]

    def result(self, handle: int) -> Block:
        job, self._jobs[handle] = self._jobs[handle], None
        return finished(job)

    def cancel(self, handle: int) -> None:
        raise AssertionError("nothing is canceled here")


def finished(job: int) -> Block:
    """A block as large as one of a kernel in half precision."""
    case = {"tokens": 40, "window": 7, "global_": [[3], [1, 5]], "batch": 2, "seed": job, "padding": "right"}
    return Block("matches_reference", "float32", job, BLOCK, "0" * 16, BLOCK, 0, 4.0, 0.3, case, (7,) * BINS)


def nothing(job: int) -> Block:
    """A task that takes no time."""
    return finished(job)


def driven(scheduler: Scheduler, blocks: int) -> dict[str, float]:
    """Run so many jobs, and write their blocks to a file."""
    start, cpu = time.monotonic(), time.process_time()
    with tempfile.TemporaryDirectory() as folder, JsonLines(Path(folder, "blocks.jsonl")) as lines:
        for _, block in Driver[int](scheduler).run(range(blocks)):
            lines.write("block", block.to_dict())
    wall, used = time.monotonic() - start, time.process_time() - cpu
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "blocks": blocks,
        "wall_s": wall,
        "blocks_per_s": blocks / wall,
        "driver_cpu_ms_per_block": used / blocks * 1000,
        "peak_MiB": memory,
    }


def slots(count: int, blocks: int, seconds: float) -> dict[str, float]:
    """The driver with slots that sleep."""
    sleeping = Sleeping(count, seconds)
    told = driven(sleeping, blocks)
    return {"slots": count, **told, "needed_blocks_per_s": blocks / sleeping.now, "cluster_s": sleeping.now}


class Many(RayScheduler):
    """A small cluster that says it were a large one: the driver keeps as many tasks in flight."""

    count = 1

    def slots(self) -> int:
        return self.count


def tasks(count: int, blocks: int) -> dict[str, float]:
    """The driver with tasks of Ray that do nothing."""
    with tempfile.TemporaryDirectory() as folder:
        gather_package(Path(folder))
        Path(folder, "scale.py").write_text(Path(__file__).read_text(encoding="utf-8"), encoding="utf-8")
        with Many("auto", Resources(), Path(folder), single()) as scheduler:
            scheduler.bind(nothing)
            scheduler.count = 2
            driven(scheduler, 50)  # starts the workers
            scheduler.count = count
            return {"slots": count, **driven(scheduler, blocks)}


def overhead(target: str, cases: int, cores: int) -> dict[str, float]:
    """One campaign, plain and on Ray: seconds of the same blocks, the start of the kernel and of Ray left out."""
    request = Request(target, tier="nightly", cases=cases, dtypes="float32", select=CHECKS)
    plain, sums = timed(request, KernelSuite)
    told = {"cases": float(cases), "plain_s": plain, "plain_cases_per_s": sums / plain}
    for each in range(1, cores + 1):
        # With one slot, one task after the other; what the machine does beside it is the same for both.
        seconds, _ = timed(request, on_ray(1.0 if each > 1 else float(cores)))
        print(json.dumps(told), file=sys.stderr, flush=True)
        told |= {f"ray_{each}_s": seconds, f"ray_{each}_speed": plain / seconds}
    return told


def on_ray(cpus: float) -> Callable[[Request, int], Any]:
    """Opens a kernel on a cluster of this machine, whose blocks take so many CPUs."""
    return lambda request, seed: ClusterKernel(request, seed, "auto", Resources(cpus))


def timed(request: Request, opened: Callable[[Request, int], Any]) -> tuple[float, int]:
    """Seconds of all blocks from the first block's end on, scaled to all of them, and the cases."""
    with Campaign(request, None, Shard(), False, opened) as campaign:
        records: Iterator[Any] = campaign.records(lambda *_: None)
        start = time.monotonic()
        cases = sum(record.cases for record in records)
        return time.monotonic() - start, cases


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("slots", "tasks", "overhead"))
    parser.add_argument("--slots", type=int, default=1000)
    parser.add_argument("--blocks", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=5.0, help="of one sleeping block")
    parser.add_argument("--target", default="chunked", help="for overhead")
    parser.add_argument("--cases", type=int, default=6000, help="for overhead")
    parser.add_argument("--cores", type=int, default=2, help="for overhead")
    options = parser.parse_args()
    use_one()
    if options.what == "slots":
        told = slots(options.slots, options.blocks, options.seconds)
    elif options.what == "tasks":
        told = tasks(options.slots, options.blocks)
    else:
        told = overhead(options.target, options.cases, options.cores)
    print(json.dumps({name: round(value, 4) for name, value in told.items()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
