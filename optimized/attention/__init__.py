"""Attention operators. `band_attention` is the public one."""

from trueband.optimized.attention.api import band_attention

__all__ = ["band_attention"]
