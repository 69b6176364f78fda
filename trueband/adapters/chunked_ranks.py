"""`chunked-ranks`: the package's own attention with the tokens over ranks."""

from __future__ import annotations

from typing import Any

from trueband.optimized import parallel  # here: what is imported before the ranks start is in all of them
from trueband.properties.bounds.precision import DTYPES
from trueband.properties.candidate.target import SECOND_EDITION, UNRANKED, Target


def band_attention(query: Any, key: Any, value: Any, *, offset: int, tokens: int, **options: Any) -> Any:
    """`trueband.optimized.parallel.band_attention`, which counts the tokens itself."""
    return parallel.band_attention(query, key, value, impl="chunked", **options)


target = Target(
    band_attention,
    dtypes=DTYPES,
    features=SECOND_EDITION - UNRANKED - {"nan_local", "batch_invariant"} | {"empty_shards"},
    library="torch",
    name="trueband.optimized.parallel.band_attention[chunked]",
    ranks=(1, 2, 4),
)
