"""Keeps what Hypothesis draws free of the modules that happen to be loaded.

Newer versions draw some integers from the constants in the source of every loaded module outside site-packages: the
same seed would try other cases in an editable installation, beside a user's package or after other imports. Hypothesis
has no option for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hypothesis.internal import conjecture

NAMES = ("_get_local_constants", "CONSTANTS_CACHE")  # the cache holds what every test of the process may draw


@contextmanager
def no_constants_of_modules() -> Iterator[None]:
    """Within it Hypothesis draws as if no module were loaded; versions without such constants always do."""
    providers: Any = getattr(conjecture, "providers", None)
    if not all(hasattr(providers, name) for name in NAMES):
        yield
        return
    from hypothesis.internal.constants_ast import Constants

    before = [getattr(providers, name) for name in NAMES]
    providers._get_local_constants, providers.CONSTANTS_CACHE = Constants, {}
    try:
        yield
    finally:
        for name, value in zip(NAMES, before, strict=True):
            setattr(providers, name, value)
