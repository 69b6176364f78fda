"""`chunked`: the package's own sliding-chunk attention."""

from __future__ import annotations

from typing import Any

from trueband.properties.bounds.precision import DTYPES
from trueband.properties.candidate.target import SECOND_EDITION, Target


def band_attention(query: Any, key: Any, value: Any, **options: Any) -> Any:
    """`trueband.optimized.band_attention`; torch is imported on the first call."""
    from trueband import optimized

    return optimized.band_attention(query, key, value, impl="chunked", **options)


target = Target(
    band_attention,
    dtypes=DTYPES,
    features=SECOND_EDITION - {"nan_local"},
    library="torch",
    name="trueband.optimized.band_attention[chunked]",
)
