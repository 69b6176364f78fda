"""Faults of segments: packed documents that see each other, or too little of themselves."""

from __future__ import annotations

from typing import Any

import numpy as np

from trueband.properties.faults.seeded.registry import fault
from trueband.properties.faults.specimens.extended import Extended
from trueband.properties.faults.specimens.extended_call import Array, ExtendedCall
from trueband.properties.faults.specimens.extended_tiled import TILE, ExtendedTiled


@fault(
    "segments",
    "a row attends keys of earlier segments, too",
    "numbers_of_segments",
    "segments_of_one_token",
    "segments_are_sequences",
    step="same_segment",
    of=Extended,
)
def segments_by_order(self: Extended, call: ExtendedCall, b: int, segments: Array) -> Array:
    own = segments[np.clip(call.at[b], 0, call.tokens - 1)]
    return own[:, None] >= segments[None, :]


@fault(
    "segments",
    "query i has the segment of token i, whatever the offset",
    "gradients_match_reference",
    step="same_segment",
    of=Extended,
)
def segment_without_offset(self: Extended, call: ExtendedCall, b: int, segments: Array) -> Array:
    own = segments[np.minimum(np.arange(call.at.shape[1]), call.tokens - 1)]
    return own[:, None] == segments[None, :]


@fault(
    "segments",
    "all rows of the batch have the segments of the first",
    "segments_are_sequences",
    "gradients_match_reference",
    "extended_rows",
    step="same_segment",
    of=Extended,
)
def segments_of_row_0(self: Extended, call: ExtendedCall, b: int, segments: Array) -> Array:
    assert call.segments is not None
    return Extended.same_segment(self, call, b, call.segments[0])


@fault(
    "segments",
    "every segment but the first begins one token late",
    "segments_are_sequences",
    "segments_of_one_token",
    "matches_reference",
    step="same_segment",
    of=Extended,
    seen="cu_seqlens that is off by one",
)
def segments_begin_late(self: Extended, call: ExtendedCall, b: int, segments: Array) -> Array:
    return Extended.same_segment(self, call, b, np.concatenate([segments[:1], segments[:-1]]))


@fault(
    "segments",
    "keys are looked up in the segment that begins one token late",
    "segments_of_one_token",
    "segments_are_sequences",
    "mask_decoding",
    step="same_segment",
    of=Extended,
)
def key_segments_late(self: Extended, call: ExtendedCall, b: int, segments: Array) -> Array:
    own = segments[np.clip(call.at[b], 0, call.tokens - 1)]
    return own[:, None] == np.concatenate([segments[:1], segments[:-1]])[None, :]


@fault(
    "segments",
    "a segment has a beginning and no end",
    "segments_of_one_token",
    "segments_are_sequences",
    "matches_reference",
    step="same_segment",
    of=Extended,
)
def segment_without_end(self: Extended, call: ExtendedCall, b: int, segments: Array) -> Array:
    first = np.array([np.argmax(segments == own) for own in segments])[np.clip(call.at[b], 0, call.tokens - 1)]
    return np.arange(call.tokens)[None, :] >= first[:, None]


@fault(
    "segments",
    "a segment that comes again has all that lies between",
    "segments_that_come_again",
    "matches_reference",
    step="same_segment",
    of=Extended,
)
def segment_from_first_to_last(self: Extended, call: ExtendedCall, b: int, segments: Array) -> Array:
    same, place = Extended.same_segment(self, call, b, segments), np.arange(call.tokens)
    first, last = same.argmax(axis=1), call.tokens - 1 - same[:, ::-1].argmax(axis=1)
    return (place >= first[:, None]) & (place <= last[:, None])


@fault(
    "segments",
    "a segment that comes again is another one",
    "segments_that_come_again",
    "mask_decoding",
    step="same_segment",
    of=Extended,
)
def segment_again_is_another(self: Extended, call: ExtendedCall, b: int, segments: Array) -> Array:
    starts = np.concatenate([[0], segments[1:] != segments[:-1]])
    return Extended.same_segment(self, call, b, np.cumsum(starts))


@fault(
    "segments",
    "tokens of segment 0 are taken for padding",
    "segments_of_one_token",
    "segments_are_sequences",
    "numbers_of_segments",
    step="same_segment",
    of=Extended,
    seen="segment ids that count from 1, 0 for padding",
)
def segment_0_is_padding(self: Extended, call: ExtendedCall, b: int, segments: Array) -> Array:
    return Extended.same_segment(self, call, b, segments) & (segments != 0)[None, :]


@fault(
    "segments",
    "segments that are not numbered from 0 on see nothing",
    "one_segment",
    step="same_segment",
    of=Extended,
    seen="segment ids as places of a list of lengths",
)
def segments_counted_from_0(self: Extended, call: ExtendedCall, b: int, segments: Array) -> Array:
    counted = segments < len(np.unique(segments))
    return Extended.same_segment(self, call, b, segments) & counted[None, :]


@fault(
    "segments",
    "all segments but 0 are one",
    "segments_of_one_token",
    "numbers_of_segments",
    "segments_are_sequences",
    step="same_segment",
    of=Extended,
    seen="segments made bool",
)
def segments_made_bool(self: Extended, call: ExtendedCall, b: int, segments: Array) -> Array:
    return Extended.same_segment(self, call, b, segments != 0)


@fault(
    "segments",
    "no segment reaches further than the first one is long",
    "mask_decoding",
    step="same_segment",
    of=Extended,
    seen="max_seqlen of the first sequence",
)
def length_of_first_segment(self: Extended, call: ExtendedCall, b: int, segments: Array) -> Array:
    near = abs(self.ahead(call, b)) < (segments == segments[0]).sum()
    return Extended.same_segment(self, call, b, segments) & near


@fault(
    "segments",
    "only the first segment is causal",
    "segments_are_sequences",
    step="local_keys",
    of=Extended,
    seen="causal flags of single sequences that are ignored",
)
def causal_in_first_segment_only(self: Extended, call: ExtendedCall, b: int) -> Array:
    keys = Extended.local_keys(self, call, b)
    if call.segments is None or not call.causal:
        return keys
    segments = call.segments[b]
    right, call.right = call.right, call.left
    wide = Extended.local_keys(self, call, b)
    call.right = right
    later = segments[np.clip(call.at[b], 0, call.tokens - 1)] != segments[0]
    return np.where(later[None, :, None], wide, keys)


@fault(
    "segments", "only as many heads as there are of keys see segments", "mask_decoding", step="local_keys", of=Extended
)
def segments_of_key_heads(self: Extended, call: ExtendedCall, b: int) -> Array:
    keys, segments = Extended.local_keys(self, call, b), call.segments
    call.segments = None
    without = Extended.local_keys(self, call, b)
    call.segments = segments
    return np.where(np.arange(call.heads)[:, None, None] < call.key_heads, keys, without)


@fault("segments", "the backward pass forgets segments", "gradients_match_reference", step="gradients", of=Extended)
def backward_forgets_segments(self: Extended, *arrays: Array, segments: Any = None, **options: Any) -> dict[str, Array]:
    return Extended.gradients(self, *arrays, **options)


@fault(
    "segments",
    "a tile of keys has the segment of its first key",
    "mask_decoding",
    step="same_segment",
    of=ExtendedTiled,
    seen="segments that leak at the edges of tiles",
)
def segment_of_tile(self: ExtendedTiled, call: ExtendedCall, b: int, segments: Array) -> Array:
    own = segments[np.clip(call.at[b], 0, call.tokens - 1)]
    return own[:, None] == segments[np.arange(call.tokens) // TILE * TILE][None, :]


@fault(
    "segments",
    "a block of rows has the segment of its first row",
    "mask_decoding",
    step="same_segment",
    of=ExtendedTiled,
)
def segment_of_block(self: ExtendedTiled, call: ExtendedCall, b: int, segments: Array) -> Array:
    first = np.arange(call.at.shape[1]) // TILE * TILE
    return Extended.same_segment(self, call, b, segments)[first]
