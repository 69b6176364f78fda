"""The package's own kernels as targets of the gate."""

from __future__ import annotations

import functools

from trueband.optimized import band_attention
from trueband.properties.bounds.precision import DTYPES
from trueband.properties.target import FEATURES, Target

chunked = Target(
    functools.partial(band_attention, impl="chunked"),
    dtypes=DTYPES,
    features=frozenset(FEATURES) - {"nan_local"},
    library="torch",
    name="trueband.optimized.band_attention[chunked]",
)
