"""A small case of production size that shows each fault that size alone shows, and one beside it that does not."""

from __future__ import annotations

from typing import Any

from trueband.properties.cases.case import Case

LONG = Case(
    tokens=610,
    window=40,
    head_dim=16,
    heads=2,
    family="normal",
    seed=5,
    masked=((5, 6, *range(560, 600)),),
    global_=((0, 300),),
)
SHORTER = {"tokens": 500, "masked": ((5, 6, *range(460, 500)),)}
BATCH = Case(tokens=600, window=20, head_dim=8, batch=2, masked=((), (7, 599)), family="normal", seed=5)
SHORTER_BATCH = {"tokens": 500, "masked": ((), (7, 499))}
HEADS = Case(tokens=150, window=20, head_dim=8, heads=12, family="normal", seed=5)
WIDE = Case(tokens=700, window=250, head_dim=16, masked=((5, 6),), family="normal")
NARROWER = {"window": 100}
MODEL = Case(tokens=600, window=20, head_dim=128, heads=12, family="normal")
GLOBALS = Case(tokens=600, window=20, head_dim=8, heads=2, family="normal", global_=(tuple(range(9)),))
DENSE = Case(tokens=2048, window=2048, head_dim=16, family="normal", dtype="float16")
FEWER = {"tokens": 32, "window": 32}  # one tile
NARROW = Case(tokens=90, window=9, head_dim=8, heads=2, family="normal")
ELEMENTS = Case(tokens=700, window=20, head_dim=32, heads=4, family="normal")
STEP = Case(tokens=540, window=(100, 0), head_dim=16, heads=2, family="normal", queries=5, offset=535, sinks=True)
GROUPED = Case(tokens=70, window=9, head_dim=8, heads=20, key_heads=2, family="normal")
PACKED = Case(tokens=700, window=700, head_dim=8, family="normal", segments=(tuple(i // 2 for i in range(700)),))
SCORED = Case(tokens=300, window=290, head_dim=8, heads=4, family="normal", sinks=True, slopes=True, softcap=1.0)

# fault: (case, what of it is changed to come to one where the kernel is right)
SHOWN: dict[str, tuple[Case, dict[str, Any]]] = {
    "last_tile_of_keys_dropped": (LONG, SHORTER),
    "last_rows_unwritten_at_size": (LONG, {"tokens": 576, "masked": ((5, 6),)}),
    "window_at_most_256": (WIDE.replace(window=300), {"window": 256}),
    "wide_window_cut_to_tiles": (WIDE.replace(tokens=900, window=420), {"window": 448}),
    "global_rows_see_512_keys": (LONG, SHORTER),
    "late_global_keys_are_local": (LONG.replace(global_=((0, 540),)), {"global_": ((0, 500),)}),
    "masked_values_times_0": (LONG, SHORTER),
    "padding_of_the_first_sequence": (BATCH, SHORTER_BATCH),
    "mask_of_512_tokens": (LONG, SHORTER),
    "tile_behind_padding_skipped": (
        LONG.replace(masked=(tuple(range(400)),), global_=None),
        {"masked": (tuple(range(300)),)},
    ),
    "total_in_half": (WIDE, NARROWER),
    "additive_mask_at_size": (BATCH, SHORTER_BATCH),
    "splits_averaged": (WIDE, NARROWER),
    "splits_not_rescaled": (WIDE, NARROWER),
    "long_rows_scaled_for_dropout": (WIDE, NARROWER),
    "scores_of_long_rows_dropped": (WIDE, NARROWER),
    "workspace_of_the_first_call": (LONG, SHORTER),
    "scratch_of_the_last_block": (WIDE, NARROWER),
    "strides_ignored_at_size": (LONG, SHORTER),
    "value_batch_stride_of_whole_tiles": (BATCH, SHORTER_BATCH),
    "last_head_is_the_first": (HEADS, {"heads": 7}),
    "head_offset_mixed": (HEADS, {"heads": 8}),
    "grid_of_16_heads": (HEADS.replace(heads=18), {"heads": 16}),
    "sequence_index_of_3_bits": (NARROW.replace(batch=10), {"batch": 8}),
    "zeros_for_head_dim_80": (NARROW.replace(head_dim=80), {"head_dim": 64}),
    "zeros_for_head_dim_96": (NARROW.replace(head_dim=96), {"head_dim": 64}),
    "zeros_for_head_dim_128": (NARROW.replace(head_dim=128), {"head_dim": 64}),
    "offsets_wrap": (ELEMENTS, {"heads": 2}),
    "query_offsets_of_16_bits": (ELEMENTS.replace(head_dim=64), {"head_dim": 32}),
    "score_tail_of_vectors_lost": (NARROW.replace(head_dim=20), {"head_dim": 16}),
    "last_odd_channel_unwritten": (NARROW.replace(head_dim=33), {"head_dim": 32}),
    "scale_of_at_most_128_channels": (NARROW.replace(head_dim=200), {"head_dim": 128}),
    "query_gradient_padded": (NARROW.replace(head_dim=72), {"head_dim": 64}),
    "late_tile_of_value_gradient_lost": (LONG, SHORTER),
    "late_key_gradient_overwrites": (LONG, SHORTER),
    "late_query_gradient_lost": (LONG, SHORTER),
    "query_gradient_of_last_split": (WIDE, NARROWER),
    "key_gradient_offsets_wrap": (ELEMENTS, {"heads": 2}),
    "statistics_of_long_rows_in_half": (WIDE, NARROWER),
    "row_sums_of_long_rows_in_half": (WIDE.replace(dtype="float64"), NARROWER),
    "value_gradient_of_groups": (HEADS, {"heads": 8}),
    "late_sequence_without_query_gradient": (NARROW.replace(batch=6), {"batch": 4}),
    "gradients_of_later_sequences_lost_long": (BATCH, {"tokens": 300, "masked": ((), (7, 299))}),
    "gradients_of_later_sequences_lost_many_heads": (NARROW.replace(batch=2, heads=4), {"heads": 3}),
    "gradients_of_later_sequences_lost_wide_heads": (NARROW.replace(batch=2, head_dim=80), {"head_dim": 64}),
    "later_globals_are_local": (GLOBALS, {"global_": (tuple(range(6)),)}),
    "gradients_beside_frozen_doubled": (NARROW.replace(tokens=400), {"tokens": 300}),
    "channels_of_keys_adjacent": (NARROW, {"head_dim": 1}),
    "channels_of_grad_output_adjacent": (NARROW, {"head_dim": 1}),
    "packed_keys_are_queries": (NARROW, {"heads": 1, "tokens": 1, "window": 0}),
    "constant_grad_output_lost": (NARROW.replace(tokens=400), {"tokens": 300}),
    "grid_of_64_sequences_times_heads": (NARROW.replace(batch=8, heads=12), {"batch": 5}),
    "values_of_large_models_flipped": (MODEL, {"head_dim": 80}),
    "whole_window_halved": (WIDE.replace(tokens=1400, window=1400), {"window": 1399}),
    "window_of_15_bits": (NARROW.replace(window=2**15 + 1), {"window": 2**15 - 1}),
    "huge_window_lost": (NARROW.replace(window=10_000), {"window": 9_999}),
    "no_window_is_one_at_size": (NARROW.replace(tokens=400, window=0), {"tokens": 300}),
    "globals_of_padded_batch_lost": (
        BATCH.replace(global_=((0, 300), (1,))),
        {**SHORTER_BATCH, "global_": ((0, 300), (1,))},
    ),
    "transposed_queries_of_a_batch_mixed": (BATCH.replace(heads=2), SHORTER_BATCH),
    "cache_tail_lost": (STEP, {"tokens": 500, "offset": 495}),
    "cache_of_4096_keys": (STEP.replace(tokens=4100, offset=4095), {"tokens": 4000, "offset": 3995}),
    "sink_lost_in_splits": (STEP, {"tokens": 250, "offset": 245}),
    "key_heads_of_many_query_heads": (GROUPED, {"heads": 16}),
    "gradient_of_8_query_heads": (GROUPED, {"heads": 16}),
    "wide_values_lost": (GROUPED.replace(value_dim=96), {"value_dim": 64}),
    "segments_of_whole_tiles": (PACKED, {"tokens": 256, "segments": (tuple(range(256)),)}),
    "segments_in_a_byte": (PACKED, {"segments": (tuple(i // 3 for i in range(700)),)}),
    "distances_in_bfloat16": (SCORED.replace(dtype="float64"), {"tokens": 250}),
    "sink_gradient_of_first_rows": (SCORED, {"tokens": 60}),
    "slope_gradient_of_first_rows": (SCORED, {"tokens": 60}),
    "lse_of_whole_tiles": (SCORED, {"tokens": 250}),
    "output_sum_in_half": (DENSE, FEWER),
    "query_gradient_tiles_in_half": (DENSE, FEWER),
    "key_gradient_tiles_in_half": (DENSE, FEWER),
    "value_gradient_tiles_in_half": (DENSE, FEWER),
}
