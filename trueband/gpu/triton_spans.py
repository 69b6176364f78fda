"""`triton-spans`: the package's fused kernels of the second edition, also for calls that the first ones would serve.

They run where those of `triton` do: on a device, or in Triton's interpreter.
"""

from __future__ import annotations

from typing import Any

from trueband.gpu.triton import fused
from trueband.gpu.triton import target as bands
from trueband.optimized.attention.triton.blocks import WIDEST
from trueband.properties.candidate.target import SECOND_EDITION, Target
from trueband.properties.cases.limits import Sizes

NOT_TAKEN = frozenset({"globals", "separate_globals", "dilation", "dilation_per_head", "nan_local"})


def spans(query: Any, key: Any, value: Any, *, window: Any, **options: Any) -> Any:
    """`band_attention(..., impl="triton")` with a pair of limits for every window: those are served by spans."""
    both = (window, window) if isinstance(window, int) and not isinstance(window, bool) else window
    return fused(query, key, value, window=both, **options)


target = Target(
    spans,
    dtypes=bands.dtypes,
    features=SECOND_EDITION - NOT_TAKEN,
    library="torch",
    sizes={"head_dim": Sizes(most=WIDEST)},
    name="trueband.optimized.band_attention[triton, spans]",
)
