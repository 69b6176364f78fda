"""A kernel on the machines of a cluster, as a campaign sees it."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from trueband.adapters import resolve
from trueband.cluster import task
from trueband.cluster.driver import Driver
from trueband.cluster.files import gather
from trueband.cluster.scheduler import RayScheduler, Resources
from trueband.properties.candidate.errors import CandidateEnded
from trueband.properties.cases.case import Case
from trueband.properties.running.campaign import Block, Shard, beyond, first_alarms, left
from trueband.properties.running.plan import Plan, select, steps
from trueband.session.import_string import import_string
from trueband.session.kernel import demanded_shapes
from trueband.session.request import Request
from trueband.session.suite import OnCase
from trueband.starting.threads import single


class ClusterKernel:
    """See `CampaignKernel`. No kernel is loaded in this process or beside it.

    Attributes:
        candidate: what the kernel says of itself where it was loaded.
        on_wait: called several times a second while blocks run.
    """

    def __init__(self, request: Request, seed: int, address: str, resources: Resources) -> None:
        """Connect, send the files along, and load the kernel on one machine.

        Raises:
            ValueError: as of `KernelSuite` and `RayScheduler`.
            CandidateEnded: the target cheats while it is loaded.
        """
        named, shapes = resolve(import_string(request.target)), demanded_shapes(request)
        self.on_wait: Callable[[], None] = lambda: None
        with ExitStack() as stack:
            files = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="trueband-")))
            spec = gather(named.spec, files)
            self._request = dataclasses.replace(request, target=spec, shapes=tuple(shapes), expected_failures=None)
            self._seed = seed
            self._scheduler = stack.enter_context(RayScheduler(address, resources, files, single()))
            hello = _loaded(self._scheduler.call(task.introduce, self._request, seed))
            self._stack = stack.pop_all()
        self.name, self.candidate = named.name, hello
        self.plan: Plan = dataclasses.replace(hello.plan, target=named.name)
        self.steps, self.check_names = steps(self.plan), select(None, hello.features)
        self._driver: Driver[task.Key] = Driver(self._scheduler)

    def blocks(
        self, shard: Shard, done: Collection[Block], on_case: OnCase, known: Mapping[tuple[str, str], Case]
    ) -> Iterator[Block]:
        """The blocks that are left, as they end, on whichever machine; `on_case` is not called."""
        alarms = first_alarms(done)
        self._scheduler.bind(task.block, self._request, self._seed, self.plan, shard, dict(known))
        keys = left(self.plan, done)
        for _, block in self._driver.run(keys, lambda key: beyond(key, alarms), lambda: self.on_wait()):
            ran: Block = _loaded(block)
            if beyond(ran.key, alarms):
                continue
            if ran.status != "passed":
                alarms[ran.key[:2]] = ran.number
            yield ran

    @property
    def nodes(self) -> int:
        """How many machines there are."""
        return self._scheduler.nodes()

    @property
    def again(self) -> int:
        """How many blocks were lost with their machine, and run again."""
        return self._driver.again

    @property
    def abandoned(self) -> str:
        """Which blocks were given up, in a line; "" where none were."""
        lost = self._driver.abandoned
        if not lost:
            return ""
        (check, dtype, number), why = lost[0]
        return f"{len(lost)} blocks were lost again and again, the first block {number} of {check} [{dtype}]: {why}"

    def close(self) -> None:
        """Leave the cluster."""
        self._stack.close()


def _loaded(told: Any) -> Any:
    """What a task gave, unless the kernel could not be loaded there."""
    if isinstance(told, task.Ended):
        if told.status:
            raise CandidateEnded(told.message, told.status)
        raise ValueError(told.message)
    return told
