"""What runs on a machine of the cluster: a kernel that is loaded once, and asked block after block."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trueband.properties.candidate.errors import CandidateEnded
from trueband.properties.cases.case import Case
from trueband.properties.running.campaign import Block, Shard, run_block
from trueband.session.kernel import KernelSuite
from trueband.session.request import Request

Key = tuple[str, str, int]


@dataclass(frozen=True)
class Hello:
    """What a kernel says of itself where it was loaded; the driver needs no kernel of its own.

    Attributes: see `RemoteRunner`; `plan` is that of `KernelSuite`.
    """

    plan: Any
    name: str
    library: str
    features: frozenset[str]
    machine: Any


@dataclass(frozen=True)
class Ended:
    """A kernel that could not be loaded (status ""), or was seen to cheat while it was loaded."""

    status: str
    message: str


_kernels: dict[tuple[Any, ...], KernelSuite] = {}  # of this process: at most one


def introduce(request: Request, seed: int) -> Hello | Ended:
    """Load the kernel, and plan what it is asked."""
    try:
        kernel = _kernel(request, seed)
    except CandidateEnded as error:
        return Ended(error.status, str(error))
    except (ValueError, OSError) as error:
        return Ended("", str(error))
    candidate = kernel.candidate
    return Hello(kernel.plan, candidate.name, candidate.library, candidate.features, candidate.machine)


def block(
    request: Request, seed: int, plan: Any, shard: Shard, known: Mapping[tuple[str, str], Case], key: Key
) -> Block | Ended:
    """Run one block of a plan, as every machine would."""
    try:
        kernel = _kernel(request, seed)
    except CandidateEnded as error:
        return Ended(error.status, str(error))
    except (ValueError, OSError) as error:
        return Ended("", str(error))
    try:
        return run_block(plan, kernel.candidate, key, shard, known=known)
    except BaseException:  # canceled in the middle of a question
        _close()
        raise


def _kernel(request: Request, seed: int) -> KernelSuite:
    """The kernel of a request in this process. Another request, or other devices, end the one before."""
    key = (repr(request), seed, os.environ.get("CUDA_VISIBLE_DEVICES"))
    if key not in _kernels:
        _close()
        _kernels[key] = KernelSuite(request, seed)
    return _kernels[key]


def _close() -> None:
    while _kernels:
        _kernels.popitem()[1].close()
