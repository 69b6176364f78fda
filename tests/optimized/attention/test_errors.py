"""Every wrong argument is named, with what was expected and what was given, before any work is done."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from trueband.optimized import band_attention

Q = torch.zeros(2, 3, 5, 4)
MASK = torch.ones(2, 5, dtype=torch.bool)

WRONG: list[tuple[str, type[Exception], dict[str, Any], str]] = [
    ("rank of query", ValueError, {"query": Q[0]}, r"query: expected shape .*, got \(3, 5, 4\)"),
    ("query of five dimensions", ValueError, {"query": Q[None]}, r"query: expected .*, got \(1, 2, 3, 5, 4\)"),
    ("no token", ValueError, {"query": Q[:, :, :0]}, r"query: expected .* at least 1, got \(2, 3, 0, 4\)"),
    ("integer query", TypeError, {"query": Q.long()}, r"query: expected dtype float32, .*, got torch.int64"),
    ("not a tensor", TypeError, {"query": [1.0]}, "query: expected a torch tensor, got list"),
    ("shape of key", ValueError, {"key": Q[:, :, :4]}, r"key: expected the shape of query, .*got \(2, 3, 4, 4\)"),
    ("longer value", ValueError, {"value": torch.zeros(2, 3, 6, 4)}, r"value: expected .*got \(2, 3, 6, 4\)"),
    ("dtype of value", TypeError, {"value": Q.double()}, "value: expected the dtype of query, .*got torch.float64"),
    ("device of key", ValueError, {"key": Q.to("meta")}, "key: expected the device of query, cpu, got meta"),
    ("query_global", ValueError, {"query_global": Q[:1]}, r"query_global: expected .*, got \(1, 3, 5, 4\)"),
    ("key_global", TypeError, {"key_global": Q.half()}, "key_global: expected .*, got torch.float16"),
    ("value_global", TypeError, {"value_global": 1}, "value_global: expected a torch tensor, got int"),
    ("negative window", ValueError, {"window": -1}, "window: expected an int >= 0, got -1"),
    ("float window", TypeError, {"window": 2.0}, "window: expected an int >= 0, got float"),
    ("bool window", TypeError, {"window": True}, "window: expected an int >= 0, got bool"),
    ("mask (b, 1)", ValueError, {"attention_mask": MASK[:, :1]}, r"attention_mask: expected .*\(2, 5\), got \(2, 1\)"),
    ("mask (1, n)", ValueError, {"attention_mask": MASK[:1]}, r"attention_mask: expected .*\(2, 5\), got \(1, 5\)"),
    ("mask (b, n + 1)", ValueError, {"attention_mask": MASK.new_ones(2, 6)}, r"attention_mask: .*got \(2, 6\)"),
    ("int mask", TypeError, {"attention_mask": MASK.int()}, "attention_mask: expected dtype bool, got torch.int32"),
    (
        "device of the mask",
        ValueError,
        {"attention_mask": MASK.to("meta")},
        "attention_mask: expected the device of query, cpu, got meta",
    ),
    (
        "float global mask",
        TypeError,
        {"global_attention_mask": MASK.float()},
        "global_attention_mask: expected dtype bool, got torch.float32",
    ),
    (
        "global mask (1, n)",
        ValueError,
        {"global_attention_mask": MASK[:1]},
        r"global_attention_mask: expected shape \(batch, tokens\) = \(2, 5\), got \(1, 5\)",
    ),
    ("dilation 0", ValueError, {"dilation": 0}, "dilation: expected an int >= 1, got 0"),
    ("a dilation 0", ValueError, {"dilation": [1, 0, 1]}, "dilation: expected an int >= 1, got 0"),
    ("dilations", ValueError, {"dilation": [1, 2]}, "dilation: expected one int or one for each of 3 heads, got 2"),
    ("more dilations", ValueError, {"dilation": [1] * 4}, "dilation: expected .* of 3 heads, got 4"),
    ("float dilation", TypeError, {"dilation": 1.5}, "dilation: expected an int >= 1, got float"),
    ("causal", TypeError, {"causal": 1}, "causal: expected a bool, got int"),
    (
        "causal with global tokens",
        ValueError,
        {"causal": True, "global_attention_mask": MASK},
        r"causal: expected False with global tokens \(not defined\), got True",
    ),
    ("shape of head_mask", ValueError, {"head_mask": torch.ones(2)}, r"head_mask: expected .*\(3,\), got \(2,\)"),
    ("longer head_mask", ValueError, {"head_mask": torch.ones(4)}, r"head_mask: expected .*\(3,\), got \(4,\)"),
    ("bool head_mask", TypeError, {"head_mask": torch.ones(3).bool()}, "head_mask: expected a floating .*torch.bool"),
    ("infinite scale", ValueError, {"scale": float("inf")}, "scale: expected a finite float or None, got inf"),
    ("NaN scale", ValueError, {"scale": float("nan")}, "scale: expected a finite float or None, got nan"),
    ("scale", TypeError, {"scale": "1"}, "scale: expected a finite float or None, got str"),
    ("dropout_p 1", ValueError, {"dropout_p": 1.0}, r"dropout_p: expected a float in \[0, 1\), got 1.0"),
    ("dropout_p > 1", ValueError, {"dropout_p": 1.5}, r"dropout_p: expected a float in \[0, 1\), got 1.5"),
    ("dropout_p < 0", ValueError, {"dropout_p": -0.1}, r"dropout_p: expected a float in \[0, 1\), got -0.1"),
    ("dropout_p", TypeError, {"dropout_p": None}, r"dropout_p: expected a float in \[0, 1\), got NoneType"),
    ("impl", ValueError, {"impl": "fast"}, r"impl: expected one of \('auto', 'chunked', 'triton'\), got 'fast'"),
]


@pytest.mark.parametrize(
    ("error", "changed", "message"), [row[1:] for row in WRONG], ids=[row[0].replace(" ", "-") for row in WRONG]
)
def test_wrong_argument(error: type[Exception], changed: dict[str, Any], message: str) -> None:
    arguments = {"query": Q, "key": Q, "value": Q, "window": 1, **changed}
    positional = [arguments.pop(name) for name in ("query", "key", "value")]
    with pytest.raises(error, match=message):
        band_attention(*positional, **arguments)


def test_arguments_that_look_wrong_but_are_not() -> None:
    one = torch.ones(1, 1, dtype=torch.bool)
    x = torch.ones(1, 1, 1, 1)
    assert band_attention(x, x, x, window=99, attention_mask=one, scale=0, dropout_p=0).item() == 1
    assert band_attention(x, x, x, window=0, causal=True, global_attention_mask=~one).item() == 1
    assert band_attention(x, x, x, window=0, head_mask=torch.ones(1, dtype=torch.float64)).item() == 1
    many = torch.ones(1, 257, 1, 1)
    assert band_attention(many, many, many, window=0, dilation=[1] * 257).sum().item() == 257
