"""Band attention with the tokens of a sequence over ranks of torch.distributed."""

from trueband.optimized.parallel.band import band_attention

__all__ = ["band_attention"]
