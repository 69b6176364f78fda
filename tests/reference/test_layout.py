"""The compact layout of probabilities: a hand example, round trips, and wrong layouts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from trueband.reference import CompactProbabilities, band_attention, compact_to_dense, dense_to_compact
from trueband.reference.arguments import check_arguments

Array = NDArray[Any]

# Dense probabilities of one head, window 1, token 1 global: ten times the row plus the column, where attended.
DENSE = np.array(
    [
        [0, 1, 99, 99, 99],  # row 0 sees 0 and 1; 99: not attended, must appear nowhere
        [10, 11, 12, 13, 14],  # the row of the global token
        [99, 21, 22, 23, 99],
        [99, 31, 32, 33, 34],
        [99, 41, 99, 43, 44],
    ],
    dtype=np.float64,
)
GLOBAL = np.array([[False, True, False, False, False]])
# One column for the global token, then offsets -1, 0, +1. The global key inside the window stands in its column only.
LOCAL_BY_HAND = [
    [1, 0, 0, 0],  # row 0: offset -1 is outside, offset +1 is the global token
    [0, 0, 0, 0],  # the row of the global token stands apart
    [21, 0, 22, 23],  # offset -1 is the global token
    [31, 32, 33, 34],
    [41, 43, 44, 0],  # offset +1 is outside
]
GLOBAL_BY_HAND = [[10], [11], [12], [13], [14]]  # its row over all tokens, as a column


def compact(example: Any) -> tuple[CompactProbabilities, Array, Any]:
    arguments = check_arguments(*example.positional, **example.keywords)
    dense = band_attention(*example.positional, **example.keywords).probabilities
    assert isinstance(arguments.window, int)
    return dense_to_compact(dense, arguments.is_global, arguments.window, arguments.dilations), dense, arguments


def test_hand_example() -> None:
    local, global_ = dense_to_compact(DENSE[None, None], GLOBAL, window=1, dilations=(1,))
    assert local[0, 0].tolist() == LOCAL_BY_HAND
    assert global_[0, 0].tolist() == GLOBAL_BY_HAND
    dense = compact_to_dense(CompactProbabilities(local, global_), GLOBAL, window=1, dilations=(1,))
    assert np.array_equal(dense[0, 0], np.where(DENSE == 99, 0, DENSE))


def test_columns_outside_of_the_sequence_are_not_read() -> None:
    """Three tokens that attend themselves alone, window 2: what stands at offsets before 0 and after 2 is nobody's."""
    local = np.full((1, 1, 3, 5), 99.0)
    for i, j in np.ndindex(3, 3):
        local[0, 0, i, j - i + 2] = float(i == j)
    dense = compact_to_dense(CompactProbabilities(local, np.zeros((1, 1, 3, 0))), np.zeros((1, 3), bool), 2, (1,))
    assert dense[0, 0].tolist() == np.eye(3).tolist()
    one_short = compact_to_dense(
        CompactProbabilities(local[..., 1:4], np.zeros((1, 1, 3, 0))), np.zeros((1, 3), bool), 1, (1,)
    )
    assert one_short[0, 0].tolist() == np.eye(3).tolist()


def test_hand_example_of_a_dilated_window() -> None:
    """Offsets count in steps of the dilation: -2, 0, +2."""
    dense = np.array([[1, 0, 3, 0], [0, 11, 0, 13], [21, 0, 23, 0], [0, 31, 0, 33]], dtype=np.float64)
    local, global_ = dense_to_compact(dense[None, None], np.zeros((1, 4), dtype=bool), window=1, dilations=(2,))
    assert local[0, 0].tolist() == [[0, 1, 3], [0, 11, 13], [21, 23, 0], [31, 33, 0]]
    assert global_.shape == (1, 1, 4, 0)


def test_rows_of_the_batch_with_fewer_globals_leave_columns_empty() -> None:
    is_global = np.array([[True, False, True], [False, True, False]])
    dense = np.arange(1.0, 19.0).reshape(2, 1, 3, 3)
    local, global_ = dense_to_compact(dense, is_global, window=0, dilations=(1,))
    assert local[0, 0].tolist() == [[0, 0, 0], [4, 6, 5], [0, 0, 0]]
    assert local[1, 0].tolist() == [[11, 0, 10], [0, 0, 0], [17, 0, 18]]
    assert global_[0, 0].tolist() == [[1, 7], [2, 8], [3, 9]]
    assert global_[1, 0].tolist() == [[13, 0], [14, 0], [15, 0]]


def test_shapes(one_sided: Any) -> None:
    (local, global_), _, arguments = compact(one_sided)
    batch, heads, tokens, _ = arguments.shape
    columns = arguments.is_global.sum(axis=1).max()
    assert local.shape == (batch, heads, tokens, columns + 2 * arguments.window + 1)
    assert global_.shape == (batch, heads, tokens, columns)


def test_round_trip(one_sided: Any) -> None:
    found, dense, arguments = compact(one_sided)
    assert np.array_equal(compact_to_dense(found, arguments.is_global, arguments.window, arguments.dilations), dense)


def test_nothing_is_lost_or_doubled(one_sided: Any) -> None:
    """Every attended pair stands in exactly one place: both layouts hold the same non-zero numbers."""
    found, dense, _ = compact(one_sided)
    held = np.concatenate([found.local[found.local != 0], found.global_[found.global_ != 0]])
    assert np.array_equal(np.sort(held), np.sort(dense[dense != 0]))


def window_first(local: Array, columns: int) -> Array:
    return np.concatenate([local[..., columns:], local[..., :columns]], axis=-1)


def window_backwards(local: Array, columns: int) -> Array:
    return np.concatenate([local[..., :columns], local[..., columns:][..., ::-1]], axis=-1)


def global_key_left_in_the_window(local: Array, columns: int) -> Array:
    wrong = local.copy()
    wrong[0, 0, 0, columns + 2] = local[0, 0, 0, 0]
    return wrong


def global_row_left_among_the_locals(local: Array, columns: int) -> Array:
    wrong = local.copy()
    wrong[0, 0, 1, columns : columns + 3] = DENSE[1, :3]
    return wrong


@pytest.mark.parametrize(
    "wrong",
    [window_first, window_backwards, global_key_left_in_the_window, global_row_left_among_the_locals],
)
def test_a_wrong_layout_is_rejected(wrong: Callable[[Array, int], Array]) -> None:
    local, _ = dense_to_compact(DENSE[None, None], GLOBAL, window=1, dilations=(1,))
    assert local[0, 0].tolist() == LOCAL_BY_HAND
    assert wrong(local, 1)[0, 0].tolist() != LOCAL_BY_HAND
