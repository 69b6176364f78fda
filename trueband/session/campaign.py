"""A campaign: a kernel, in blocks of cases that a file keeps as they finish, so that it can go on where it stopped."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol, Self

from trueband.properties.cases.case import Case
from trueband.properties.results.record import Record
from trueband.properties.running.campaign import Block, Shard, block_keys, counted, sum_blocks
from trueband.properties.running.plan import Plan, Step
from trueband.session.campaign_file import CampaignFile, head_of
from trueband.session.expectations import expected_failures, known_cases
from trueband.session.kernel import KernelSuite
from trueband.session.request import Request
from trueband.session.request_error import RequestError
from trueband.session.run import check_words, named
from trueband.session.suite import OnCase


class CampaignKernel(Protocol):
    """A kernel that a campaign asks; `KernelSuite` is one.

    Attributes:
        name, plan, steps, check_names: as of `KernelSuite`.
        candidate: has at least what a file's first line tells of it.
    """

    @property
    def name(self) -> str: ...

    @property
    def plan(self) -> Plan: ...

    @property
    def candidate(self) -> Any: ...

    @property
    def steps(self) -> Sequence[Step]: ...

    @property
    def check_names(self) -> Collection[str]: ...

    def blocks(
        self, shard: Shard, done: Collection[Block], on_case: OnCase, known: Mapping[tuple[str, str], Case]
    ) -> Iterator[Block]:
        """The blocks that are left, as they are done; see `run_campaign`."""
        ...

    def close(self) -> None:
        """End what was started."""
        ...


class Campaign:
    """A `Run` of one kernel whose cases come in blocks. Close it, or use it in a `with` statement.

    Attributes:
        kernel: its suite.
        file: the file of the blocks.
        blocks: the blocks that are done, those of an earlier run included.
        total: how many blocks there are.
    """

    def __init__(
        self,
        request: Request,
        path: Path | None,
        shard: Shard,
        resume: bool,
        opened: Callable[[Request, int], CampaignKernel] = KernelSuite,
    ) -> None:
        """Open it.

        Args:
            path: the path of the file; None: nothing is kept.
            shard: which part of the cases.
            resume: go on with the file.
            opened: opens the kernel of a request with a seed, here or elsewhere.

        Raises:
            ValueError: as of `Run`, or the file is there and must not be written.
            CandidateEnded: the target cheats while it is loaded.
        """
        check_words(request)
        self._shard, self._expected = shard, expected_failures(request.expected_failures, named(request))
        with ExitStack() as stack:
            self.kernel: CampaignKernel = opened(request, request.draw_seed())
            stack.callback(self.kernel.close)
            plan = self.kernel.plan
            if not plan.checks:
                raise RequestError("{select}: expected a part of a check's name, got {value!r}", value=request.select)
            self._expected.check_names(self.kernel.check_names)
            self._known = known_cases(self._expected, self.kernel.steps, self.kernel.candidate.features)
            head = head_of(plan, self.kernel.candidate, shard, self._expected)
            self.file = stack.enter_context(CampaignFile(path, head, resume))
            self.blocks, self.total = list(self.file.done), len(block_keys(plan))
            self._stack = stack.pop_all()

    def records(
        self, on_case: OnCase, through: Callable[[Iterator[Block]], Iterator[Block]] = iter
    ) -> Iterator[Record]:
        """A record of every block that is left; arguments as of `Run.records`."""
        kernel = self.kernel
        for block in through(kernel.blocks(self._shard, self.file.done, on_case, self._known)):
            self.blocks.append(block)
            self.file.write(block)
            yield from self._expected.settle(self._sums([block]), False)

    def results(self, complete: bool) -> list[Record]:
        """The sums of all blocks that are done; `complete`: nothing was left out of the run, and it has one shard."""
        return list(self._expected.settle(self._sums(self.counted), complete and self._shard.count == 1))

    @property
    def counted(self) -> list[Block]:
        """The blocks that count, in their order, in whichever they were run."""
        return counted(self.kernel.plan, self.blocks)

    def _sums(self, blocks: Sequence[Block]) -> list[Record]:
        plan = self.kernel.plan
        return sum_blocks(blocks, plan.target, plan.device, plan.seed)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
