"""The checks: each is a named claim about a kernel. Importing this package registers them all in `CHECKS`."""

from trueband.properties.checks import (
    batch,
    calls,
    combinations,
    declared,
    global_tokens,
    gradient_calls,
    gradient_layouts,
    gradient_sums,
    gradients,
    key_heads,
    log_sum_exp,
    memory,
    offsets,
    options,
    padding,
    production,
    production_gradients,
    score_options,
    scores,
    segments,
    sequence,
    sides,
    sums_at_size,
    validation,
    values,
    visibility,
)
from trueband.properties.checks.check import Check, check, claim, registered

# The most telling checks come first: a kernel with a wrong mask should learn about its mask.
_ORDER = (
    visibility,
    values,
    validation,
    key_heads,
    sides,
    offsets,
    segments,
    score_options,
    log_sum_exp,
    padding,
    global_tokens,
    gradients,
    gradient_sums,
    gradient_layouts,
    gradient_calls,
    scores,
    sequence,
    batch,
    options,
    memory,
    calls,
    production,
    production_gradients,
    combinations,
    sums_at_size,
    declared,
)
CHECKS: dict[str, Check] = {name: one for module in _ORDER for name, one in registered(module.__name__).items()}

__all__ = ["CHECKS", "Check", "check", "claim"]
