"""Faults of a kernel that works in chunks: corners, neighbors, ends."""

from __future__ import annotations

import numpy as np

from trueband.properties.faults.seeded.registry import fault
from trueband.properties.faults.specimens.chunked import Chunked
from trueband.properties.faults.specimens.plain import Array, Call


@fault(
    "tiles",
    "the corner of keys too far back is not masked",
    "mask_decoding",
    "locality",
    step="before",
    of=Chunked,
    seen="chunked products without their triangle",
)
def corner_before_unmasked(self: Chunked, call: Call, ahead: Array, dilation: int) -> Array:
    return ahead % dilation == 0


@fault("tiles", "the corner of keys too far ahead is not masked", "mask_decoding", "locality", step="after", of=Chunked)
def corner_after_unmasked(self: Chunked, call: Call, ahead: Array, dilation: int) -> Array:
    return Chunked.after(self, call, ahead, dilation) if call.causal else np.ones_like(ahead, bool)


@fault("tiles", "the last chunk is not written where it is not full", "mask_decoding", step="join", of=Chunked)
def last_chunk_unwritten(self: Chunked, chunks: list[Array], tokens: int) -> Array:
    full = tokens // chunks[0].shape[1]
    return Chunked.join(self, [chunk * (i < full) for i, chunk in enumerate(chunks)], tokens)


@fault(
    "tiles",
    "the rows of a last chunk that is not full are moved to its end",
    "mask_decoding",
    step="join",
    of=Chunked,
    seen="huggingface/transformers PR 15537 (un-padding)",
)
def last_chunk_shifted(self: Chunked, chunks: list[Array], tokens: int) -> Array:
    missing = chunks[0].shape[1] * len(chunks) - tokens
    return np.concatenate([*chunks[:-1], np.roll(chunks[-1], missing, axis=1)], axis=1)[:, :tokens]


@fault(
    "tiles", "the chunk before the first is the last one", "mask_decoding", "locality", step="attendable", of=Chunked
)
def first_chunk_wraps(self: Chunked, call: Call, b: int, near: Array) -> Array:
    at = near % call.real.shape[1]
    inside = Chunked.attendable(self, call, b, near)
    return inside | ((near < 0) & call.real[b][at] & ~call.flagged[b][at])


@fault(
    "tiles",
    "what fills the last chunk is attended",
    "mask_decoding",
    "right_padding_invariance",
    step="attendable",
    of=Chunked,
    seen="huggingface/transformers PR 5219 (the model's own padding)",
)
def filling_attended(self: Chunked, call: Call, b: int, near: Array) -> Array:
    return Chunked.attendable(self, call, b, near) | (near >= call.real.shape[1])


for _name, _chunk in (("previous", 0), ("next", 2)):

    @fault(
        "tiles",
        f"the {_name} chunk is not gathered",
        "mask_decoding",
        "reachability",
        step="window_part",
        of=Chunked,
        name=f"{_name}_chunk_lost",
    )
    def _chunk_lost(self: Chunked, call: Call, rows: Array, near: Array, chunk: int = _chunk) -> Array:
        seen = Chunked.window_part(self, call, rows, near)
        seen[..., chunk * len(rows) : (chunk + 1) * len(rows)] = False
        return seen


@fault(
    "tiles", "the mask is gathered one token late", "mask_decoding", "masking_is_removal", step="attendable", of=Chunked
)
def chunk_mask_late(self: Chunked, call: Call, b: int, near: Array) -> Array:
    tokens = call.real.shape[1]
    real = call.real[b][np.clip(near - 1, 0, tokens - 1)]
    return (near >= 0) & (near < tokens) & real & ~call.flagged[b][np.clip(near, 0, tokens - 1)]


@fault(
    "tiles",
    "the mask of the first chunk is used for every chunk",
    "mask_decoding",
    "masking_is_removal",
    step="attendable",
    of=Chunked,
)
def mask_of_first_chunk(self: Chunked, call: Call, b: int, near: Array) -> Array:
    tokens = call.real.shape[1]
    first = near - near[0] - len(near) // 3
    real = call.real[b][np.clip(first, 0, tokens - 1)]
    return (near >= 0) & (near < tokens) & real & ~call.flagged[b][np.clip(near, 0, tokens - 1)]


@fault("tiles", "keys on the border of two chunks are gathered with both", "mask_decoding", step="gathered", of=Chunked)
def border_gathered_twice(self: Chunked, first: int, size: int, tokens: int) -> Array:
    near = Chunked.gathered(self, first, size, tokens)
    near[0] = first  # in place of the key that lies furthest back
    return near


@fault(
    "tiles",
    "a global key stays in the window of its chunk",
    "global_key_counts_once",
    "mask_decoding",
    step="attendable",
    of=Chunked,
)
def global_stays_in_window(self: Chunked, call: Call, b: int, near: Array) -> Array:
    tokens = call.real.shape[1]
    return (near >= 0) & (near < tokens) & call.real[b][np.clip(near, 0, tokens - 1)]


@fault(
    "tiles",
    "global columns are those of the first row of the batch",
    "row_alone",
    "mask_decoding",
    step="global_columns",
    of=Chunked,
    seen="huggingface/transformers #5646",
)
def global_columns_of_row_0(self: Chunked, call: Call, b: int) -> Array:
    return Chunked.global_columns(self, call, 0)


@fault(
    "tiles",
    "rows with fewer global tokens than others attend empty columns",
    "row_alone",
    "mask_decoding",
    step="global_columns",
    of=Chunked,
    seen="huggingface/transformers #5646",
)
def filler_columns_attended(self: Chunked, call: Call, b: int) -> Array:
    own, most = np.flatnonzero(call.flagged[b]), int(call.flagged.sum(axis=1).max())
    return np.concatenate([own, np.zeros(most - len(own), int)])


@fault(
    "tiles",
    "a chunk is as long as the window, whatever the dilation",
    "dilation_is_a_window_on_residues",
    "mask_decoding",
    step="local_rows",
    of=Chunked,
)
def chunks_ignore_dilation(self: Chunked, call: Call, b: int) -> Array:
    tokens, size = call.real.shape[1], max(call.window, 1)
    return self.join([self.chunk(call, b, first, size) for first in range(0, tokens, size)], tokens)
