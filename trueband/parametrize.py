"""`trueband.parametrize_with_checks`: a mark, which the plugin of pytest acts on.

It imports nothing of the checks: a kernel may stand in the file of its tests, and its process imports that file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from trueband.properties.target import Target

if TYPE_CHECKING:
    from trueband.properties.models.target import ModelTarget


def parametrize_with_checks(
    targets: Sequence[str | Target | ModelTarget | Callable[..., Any]],
    *,
    tier: str = "quick",
    cases: int | None = None,
    dtypes: Sequence[str] | None = None,
    device: str = "cpu",
    seed: int = 0,
    select: str | None = None,
    expected_failures: Mapping[str, Any] | str | Path | None = None,
    time_limit: float = 60.0,
) -> pytest.MarkDecorator:
    """Call a test function once for each check and dtype that applies to the targets, as its argument `check`.

        @trueband.parametrize_with_checks([my_kernel])
        def test_my_kernel(check):
            check()

    The arguments are those of `trueband.check`; expected failures are those of every target.

    Raises:
        TypeError: targets is no list.
    """
    if isinstance(targets, str) or not isinstance(targets, Sequence):
        raise TypeError(f"targets: expected a list of targets, got {targets!r}")
    return pytest.mark.trueband(
        targets=tuple(targets), tier=tier, cases=cases, dtypes=dtypes, device=device, seed=seed, select=select,
        expected_failures=expected_failures, time_limit=time_limit,
    )  # fmt: skip
