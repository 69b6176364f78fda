"""Band attention, and encoders, with the tokens of a sequence over ranks of torch.distributed."""

from trueband.optimized.parallel.band import band_attention
from trueband.optimized.parallel.encoder import over_ranks

__all__ = ["band_attention", "over_ranks"]
