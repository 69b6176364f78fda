"""Ranks as threads of this process, for small studies of an algorithm: no process, no network, the same dealing.

A target of the process group "threads" is given a `ThreadGroup` as `group`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from trueband.properties.candidate.errors import CandidateEnded
from trueband.properties.candidate.rank import Backward, Forward, Rank

if TYPE_CHECKING:
    from torch import Tensor

PATIENCE = 10.0  # seconds that a rank waits for the others


class _Meeting:
    """Where the ranks of a world meet."""

    def __init__(self, size: int) -> None:
        self.size, self.slots = size, [None] * size
        self.barrier = threading.Barrier(size, timeout=PATIENCE)


class ThreadGroup:
    """The collectives of one rank among threads. Tensors that are received are copies.

    Attributes:
        rank, size: of this one, and how many there are.
    """

    def __init__(self, rank: int, meeting: Any) -> None:
        self.rank, self.size, self._meeting = rank, meeting.size, meeting

    def all_gather(self, tensor: Tensor) -> list[Tensor]:
        """Return the tensors of all ranks; they may be of different shapes."""
        return [sent[0] for sent in self._met([tensor])]

    def all_to_all(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Send a tensor to each rank; return what each has sent to this one."""
        return [sent[self.rank] for sent in self._met(tensors)]

    def all_reduce(self, tensor: Tensor) -> Tensor:
        """Return the sum of the tensors of all ranks, in the order of the ranks."""
        gathered = self.all_gather(tensor)
        total = gathered[0]
        for other in gathered[1:]:
            total = total + other
        return total

    def _met(self, tensors: Sequence[Tensor]) -> list[list[Tensor]]:
        meeting = self._meeting
        meeting.slots[self.rank] = [tensor.detach().clone() for tensor in tensors]
        meeting.barrier.wait()
        found = list(meeting.slots)
        meeting.barrier.wait()
        return found


class ThreadWorld:
    """So many ranks, each a thread during a call."""

    def __init__(self, function: Callable[..., Any], size: int, device: str) -> None:
        self._meeting = _Meeting(size)
        self._ranks = [
            Rank(function, ThreadGroup(rank, self._meeting), device, f"rank {rank} of {size}") for rank in range(size)
        ]

    def ask(self, requests: Sequence[Forward | Backward]) -> list[dict[str, Tensor]]:
        """Return the answers of all ranks. Raises CandidateEnded."""
        answers: list[Any] = [None] * len(requests)

        def work(rank: int) -> None:
            try:
                answers[rank] = self._ranks[rank].serve(requests[rank])
            except CandidateEnded as error:
                answers[rank] = error
                self._meeting.barrier.abort()  # the others do not wait for it

        others = [threading.Thread(target=work, args=(rank,)) for rank in range(1, len(requests))]
        for thread in others:
            thread.start()
        work(0)
        for thread in others:
            thread.join()
        errors = [answer for answer in answers if isinstance(answer, CandidateEnded)]
        if errors:
            self._meeting.barrier.reset()
            raise next((error for error in errors if "BrokenBarrierError" not in str(error)), errors[0])
        return answers

    def end(self) -> None:
        """Nothing is left behind."""
