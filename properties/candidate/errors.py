"""What a candidate's call can end with, other than a result."""

from __future__ import annotations

_TEST_FRAMEWORKS = ("_pytest", "pytest", "unittest", "hypothesis")


FAILED = "failed"  # it raised, or broke a rule that every call must keep
CHEATING = "cheating"  # it broke a rule that an honest kernel has no reason to break
CRASHED = "crashed"  # its process died
TIMEOUT = "timeout"  # it did not answer within the time limit; its process was killed
OUT_OF_MEMORY = "out of memory"  # by its own limit, or the system killed it: that says nothing about its numbers

ENDS = (FAILED, CHEATING, CRASHED, TIMEOUT, OUT_OF_MEMORY)


class CandidateEnded(Exception):
    """A candidate's call ended without a result to be judged. The message says what was expected and got.

    Attributes:
        status: of the record that it becomes, one of those above.
    """

    def __init__(self, message: str, status: str = FAILED) -> None:
        super().__init__(message)
        self.status = status


class Raised(CandidateEnded):
    """The target raised: it refuses the call, or fails in it."""


def cheating(message: str) -> CandidateEnded:
    """A candidate that does what no honest kernel has a reason to do."""
    return CandidateEnded(message, CHEATING)


def judged(error: BaseException, expected: str) -> CandidateEnded:
    """What an error that a target raised stands for.

    Args:
        expected: instead of the error, "a result" or "gradients".
    """
    kind = type(error)
    told = f"expected {expected}, got {kind.__name__}: {error}"
    if any(base.__module__.split(".")[0] in _TEST_FRAMEWORKS for base in kind.__mro__):
        return cheating(f"{told} (of a test framework, to skip what judges it)")
    if isinstance(error, MemoryError) or kind.__name__ == "OutOfMemoryError" or _is_of_torch_allocator(error):
        return CandidateEnded(told, OUT_OF_MEMORY)
    return Raised(told)


def _is_of_torch_allocator(error: BaseException) -> bool:
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)
