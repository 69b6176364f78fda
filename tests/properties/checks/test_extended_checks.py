"""The checks of the second edition: a right kernel of another making passes them all, and each rejects a wrong one."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from trueband.properties.candidate.runner import Runner
from trueband.properties.candidate.target import EXTENSIONS, SECOND_EDITION, Target
from trueband.properties.checks import CHECKS
from trueband.properties.results.record import Record
from trueband.properties.running.engine import run
from trueband.properties.running.plan import make_plan

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "tools"))
from dense_extended import kernel, target

NEW = sorted(name for name, check in CHECKS.items() if check.needs & EXTENSIONS)


def records(function: Any, pattern: str, cases: int = 60, **changes: Any) -> list[Record]:
    runner = Runner(replace(target, function=function, **changes))
    plan = make_plan("extended", runner, cases=cases, dtypes=["float32"], pattern=pattern)
    return list(run(plan, runner))


def failed(found: list[Record]) -> list[tuple[str, str]]:
    return [(each.check, each.message) for each in found if not each.passed]


def test_every_new_check_passes_for_a_right_kernel() -> None:
    found = records(kernel, " or ".join(NEW))
    assert failed(found) == []
    assert {each.check for each in found} >= set(NEW) - {"cache_that_grows"}


def test_checks_of_before_pass_with_everything_new() -> None:
    assert (
        failed(records(kernel, "matches_reference or gradients_match or locality or row_alone or masked or layouts"))
        == []
    )


def bottom_right(query: Any, key: Any, value: Any, *, window: Any, **options: Any) -> Any:
    """Queries are the last tokens, as in FlashAttention."""
    return kernel(query, key, value, window=window, offset=key.shape[2] - query.shape[2], **options)


def test_queries_at_the_bottom_right_are_taken_without_an_offset() -> None:
    features = SECOND_EDITION - {"offset", "offset_per_row", "validation", "batch_invariant", "nan_local", "globals"}
    features = (features - {"separate_globals"}) | {"bottom_right"}
    pattern = "cache or matches_reference or mask_decoding or row_alone or offset_inputs"
    assert failed(records(bottom_right, pattern, features=features)) == []
    top_left = records(kernel, pattern, features=features)
    assert {"cache_that_grows", "mask_decoding"} <= {each.check for each in top_left if not each.passed}
    assert max(each.case["tokens"] for each in top_left if each.case and not each.passed) <= 8


def wrong(**changes: Callable[..., Any]) -> Callable[..., Any]:
    """The kernel with some arguments changed; each change takes all arguments by name."""

    def changed(query: Any, key: Any, value: Any, **options: Any) -> Any:
        given = {"query": query, "key": key, "value": value, **options}
        return kernel(**{**given, **{name: change(**given) for name, change in changes.items()}})

    return changed


def by_modulo(query: Any, key: Any, **_: Any) -> Any:
    """Key heads as a kernel reads them that takes x % k for x // r."""
    heads, key_heads = query.shape[1], key.shape[1]
    return key.repeat_interleave(heads // key_heads, 1)[
        :, torch.arange(heads) * 0 + (torch.arange(heads) % key_heads) * (heads // key_heads)
    ]


def value_by_modulo(query: Any, value: Any, **_: Any) -> Any:
    return by_modulo(query, value)


def pair(window: Any) -> tuple[Any, Any]:
    return window if isinstance(window, tuple) else (window, window)


WRONG: dict[str, tuple[Callable[..., Any], str]] = {
    "key head x % k": (wrong(key=by_modulo, value=value_by_modulo), "key_heads_serve_groups"),
    "the right limit is that of the left": (
        wrong(window=lambda window, **_: pair(window)[0] if pair(window)[0] is not None else window),
        "sides_mirrored",
    ),
    "the window counts the token itself": (
        wrong(window=lambda window, **_: (max((pair(window)[0] or 1) - 1, 0), pair(window)[1])),
        "mask_decoding",
    ),
    "no limit is one of 2": (
        wrong(window=lambda window, **_: tuple(2 if each is None else each for each in pair(window))),
        "no_limit_is_a_far_one",
    ),
    "the offset is ignored": (wrong(offset=lambda **_: 0), "queries_in_parts"),
    "the offset is one short": (
        wrong(offset=lambda offset=0, **_: offset - 1 if isinstance(offset, int) and offset > 0 else offset),
        "cache_with_offset",
    ),
    "the offset of row 0 is used for all": (
        wrong(offset=lambda offset=0, **_: offset if isinstance(offset, int) else offset[:1].expand(len(offset))),
        "offset_of_each_row",
    ),
    "segments are ignored": (wrong(segments=lambda **_: None), "segments_are_sequences"),
    "segments leak across one edge": (
        wrong(segments=lambda segments=None, **_: None if segments is None else segments // 2),
        "segments_of_one_token",
    ),
    "sinks are ignored": (wrong(sinks=lambda **_: None), "sinks_take_weight"),
    "sinks are scaled": (
        wrong(sinks=lambda query, sinks=None, **_: None if sinks is None else sinks * query.shape[-1] ** -0.5),
        "matches_reference",
    ),
    "the softcap is twice as large": (
        wrong(softcap=lambda softcap=None, **_: softcap and 2 * softcap),
        "softcap_of_large_scores",
    ),
    "slopes are halved": (
        wrong(slopes=lambda slopes=None, **_: None if slopes is None else slopes / 2),
        "slopes_gradient",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_kernel_is_rejected(name: str) -> None:
    function, check = WRONG[name]
    record = next(each for each in records(function, check) if each.check == check)
    assert not record.passed
    assert record.case is not None
    assert record.case["tokens"] <= 8


def lost(attention_mask: Any, key: Any, where: Any) -> Any:
    """The attention mask without some keys."""
    real = torch.ones(key.shape[0], key.shape[2], dtype=torch.bool) if attention_mask is None else attention_mask
    return real & ~where[None]


def tail_lost(query: Any, key: Any, attention_mask: Any = None, **_: Any) -> Any:
    """The last tile of keys is dropped past 512 tokens, where there are fewer queries than keys."""
    tokens = key.shape[2]
    dropped = (torch.arange(tokens) >= tokens // 64 * 64) & (query.shape[2] < tokens) & (tokens > 512)
    return lost(attention_mask, key, dropped)


AT_SIZE = {
    "a tail of keys with a cache": wrong(attention_mask=tail_lost),
    "key heads of more than 16 query heads": wrong(
        key=lambda query, key, **_: key if query.shape[1] <= 16 else key.flip(1),
        value=lambda query, value, **_: value if query.shape[1] <= 16 else value.flip(1),
    ),
    "segments in blocks of 128 tokens": wrong(
        segments=lambda segments=None, **_: (
            None
            if segments is None or segments.shape[1] <= 256
            else segments[:, torch.arange(segments.shape[1]) // 128 * 128]
        )
    ),
    "a sink counted twice past two tiles of 128": wrong(
        sinks=lambda key, sinks=None, **_: (
            None if sinks is None else sinks + (0.6931471805599453 if key.shape[2] > 256 else 0.0)
        )
    ),
}


@pytest.mark.parametrize("name", AT_SIZE)
def test_a_kernel_that_is_wrong_at_size_is_rejected(name: str) -> None:
    (record,) = records(AT_SIZE[name], "extended_rows", cases=1500)
    assert not record.passed


def with_lse(change: Callable[[Any], Any]) -> Callable[..., Any]:
    def changed(query: Any, key: Any, value: Any, **options: Any) -> Any:
        result = kernel(query, key, value, **options)
        return (result[0], change(result[1])) if isinstance(result, tuple) else result

    return changed


@pytest.mark.parametrize(
    ("change", "check"),
    [
        (lambda lse: lse / 0.6931471805599453, "lse_matches_reference"),  # in base 2
        (lambda lse: lse.nan_to_num(neginf=0.0), "lse_matches_reference"),  # rows without keys
        (lambda lse: lse.detach(), "lse_gradients"),
        (lambda lse: lse + 0.01, "lse_matches_reference"),
    ],
)
def test_a_wrong_lse_is_rejected(change: Callable[[Any], Any], check: str) -> None:
    (record,) = records(with_lse(change), check)
    assert not record.passed


def test_what_is_returned_with_lse_is_checked() -> None:
    only = lambda *tensors, return_lse=False, **options: kernel(*tensors, **options)  # noqa: E731
    (record,) = records(only, "lse_matches_reference")
    assert "expected (output, lse) with return_lse, got Tensor" in record.message
    narrow = with_lse(lambda lse: lse.half())
    (record,) = records(narrow, "lse_matches_reference")
    assert "lse: expected dtype float32, got float16" in record.message


def test_arguments_are_features_and_other_keywords_are_none() -> None:
    def attention(query: Any, key: Any, value: Any, *, window: Any, offset: Any = 0, **options: Any) -> Any:
        return kernel(query, key, value, window=window, offset=offset, **options)

    resolved = Target(attention, library="torch").resolved().features
    assert resolved is not None
    assert {"offset", "offset_per_row"} <= resolved
    assert not resolved & {"padding", "globals", "causal", "sinks"}
