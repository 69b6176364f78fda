"""`trueband.parametrize_with_checks`: a mark, which the plugin of pytest acts on.

It imports nothing of the checks: a kernel may stand in the file of its tests, and its process imports that file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Unpack

import pytest

from trueband.properties.candidate.target import Target
from trueband.session.request import Options, takes_options

if TYPE_CHECKING:
    from trueband.properties.models.target import ModelTarget


@takes_options
def parametrize_with_checks(
    targets: Sequence[str | Target | ModelTarget | Callable[..., Any]], **options: Unpack[Options]
) -> pytest.MarkDecorator:
    """Call a test function once for each check and dtype that applies to the targets, as its argument `check`::

        @trueband.parametrize_with_checks([my_kernel])
        def test_my_kernel(check):
            check()

    Args:
        targets: as of `trueband.check`; the options are those of every target.
        {options}

    Raises:
        TypeError: targets is no list, or there is no such argument.
    """
    if isinstance(targets, str) or not isinstance(targets, Sequence):
        raise TypeError(f"targets: expected a list of targets, got {targets!r}")
    return pytest.mark.trueband(targets=tuple(targets), options=options)
