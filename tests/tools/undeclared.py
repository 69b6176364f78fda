"""The package's own kernel that does not say whether it is deterministic: nobody may hold it to its bits."""

from __future__ import annotations

from dataclasses import replace

from trueband.adapters.chunked import target
from trueband.properties.target import FEATURES

chunked = replace(
    target, features=frozenset(FEATURES) - {"nan_local", "deterministic", "batch_invariant"}, name="chunked, undeclared"
)
