"""What a candidate's call can end with, other than a result."""

from __future__ import annotations

_TEST_FRAMEWORKS = ("_pytest", "pytest", "unittest", "hypothesis")


class CandidateError(Exception):
    """The target raised, or broke a rule that every call must keep. The message says what was expected and got."""


class Raised(CandidateError):
    """The target raised."""


class Cheating(CandidateError):
    """The target broke a rule that an honest kernel has no reason to break."""


class Exhausted(CandidateError):
    """The target ran out of memory."""


def judged(error: BaseException, expected: str) -> CandidateError:
    """What an error that a target raised stands for.

    Args:
        expected: instead of the error, "a result" or "gradients".
    """
    kind = type(error)
    told = f"expected {expected}, got {kind.__name__}: {error}"
    if any(base.__module__.split(".")[0] in _TEST_FRAMEWORKS for base in kind.__mro__):
        return Cheating(f"{told} (of a test framework, to skip what judges it)")
    if isinstance(error, MemoryError) or kind.__name__ == "OutOfMemoryError" or _is_of_torch_allocator(error):
        return Exhausted(told)
    return Raised(told)


def _is_of_torch_allocator(error: BaseException) -> bool:
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)
