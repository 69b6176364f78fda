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
    ("head_dim of key", ValueError, {"key": Q[..., :3]}, r"key: expected shape \(2, .*, 4\), got \(2, 3, 5, 3\)"),
    ("batch of key", ValueError, {"key": Q[:1]}, r"key: expected shape \(2, .*, 4\), got \(1, 3, 5, 4\)"),
    ("no key", ValueError, {"key": Q[:, :, :0], "value": Q[:, :, :0]}, r"key: expected shape .*got \(2, 3, 0, 4\)"),
    ("keys and values", ValueError, {"key": Q[:, :, :4]}, r"value: expected .* of key \(2, 3, 4, .*got \(2, 3, 5, 4\)"),
    ("heads of value", ValueError, {"value": Q[:, :1]}, r"value: expected .* of key \(2, 3, 5, .*got \(2, 1, 5, 4\)"),
    ("no channel of value", ValueError, {"value": Q[..., :0]}, r"value: expected .*got \(2, 3, 5, 0\)"),
    (
        "key heads",
        ValueError,
        {"key": Q[:, :2], "value": Q[:, :2]},
        "key: expected a number of heads that divides the 3 of query, got 2",
    ),
    ("longer value", ValueError, {"value": torch.zeros(2, 3, 6, 4)}, r"value: expected .*got \(2, 3, 6, 4\)"),
    ("dtype of value", TypeError, {"value": Q.double()}, "value: expected the dtype of query, .*got torch.float64"),
    ("device of key", ValueError, {"key": Q.to("meta")}, "key: expected the device of query, cpu, got meta"),
    ("query_global", ValueError, {"query_global": Q[:1]}, r"query_global: expected .*, got \(1, 3, 5, 4\)"),
    ("key_global", TypeError, {"key_global": Q.half()}, "key_global: expected .*, got torch.float16"),
    ("value_global", TypeError, {"value_global": 1}, "value_global: expected a torch tensor, got int"),
    ("negative window", ValueError, {"window": -1}, "window: expected an int >= 0, got -1"),
    ("float window", TypeError, {"window": 2.0}, "window: expected an int >= 0, got float"),
    ("bool window", TypeError, {"window": True}, "window: expected an int >= 0, got bool"),
    ("three limits", ValueError, {"window": (1, 2, 3)}, r"window: expected .* pair \(left, right\), got 3 limits"),
    ("negative limit", ValueError, {"window": (0, -1)}, "window: expected an int >= 0, got -1"),
    ("bool limit", TypeError, {"window": (True, None)}, "window: expected an int >= 0, got bool"),
    ("float limit", TypeError, {"window": [None, 1.0]}, "window: expected an int >= 0, got float"),
    ("no window", TypeError, {"window": None}, "window: expected an int >= 0, got NoneType"),
    ("float offset", TypeError, {"offset": 1.0}, r"offset: expected an int or a tensor .* \(2,\) .*, got float"),
    ("bool offset", TypeError, {"offset": True}, "offset: expected an int .*, got bool"),
    ("int32 offset", TypeError, {"offset": torch.zeros(2).int()}, "offset: expected .* int64, got dtype torch.int32"),
    ("shape of offset", ValueError, {"offset": torch.zeros(1).long()}, r"offset: expected .*, got shape \(1,\)"),
    (
        "device of offset",
        ValueError,
        {"offset": torch.zeros(2).long().to("meta")},
        "offset: .* device .*meta",
    ),
    (
        "far offset",
        ValueError,
        {"offset": 2**62 + 1},
        r"offset: expected at most 2\^62 in size, got 4611686018427387905",
    ),
    (
        "far offsets",
        ValueError,
        {"offset": torch.tensor([0, -(2**62) - 1])},
        r"offset: expected at most 2\^62 in size, got \[0, -4611686018427387905\]",
    ),
    ("float segments", TypeError, {"segments": MASK.float()}, "segments: expected an integer dtype, got torch.float32"),
    ("bool segments", TypeError, {"segments": MASK}, "segments: expected an integer dtype, got torch.bool"),
    ("segments (1, n)", ValueError, {"segments": MASK[:1].int()}, r"segments: expected .*\(2, 5\), got \(1, 5\)"),
    ("device of segments", ValueError, {"segments": MASK.int().to("meta")}, "segments: expected the device .* meta"),
    ("softcap 0", ValueError, {"softcap": 0.0}, "softcap: expected a finite float > 0 or None, got 0.0"),
    ("softcap < 0", ValueError, {"softcap": -1}, "softcap: expected a finite float > 0 or None, got -1"),
    ("NaN softcap", ValueError, {"softcap": float("nan")}, "softcap: expected a finite float > 0 or None, got nan"),
    ("infinite softcap", ValueError, {"softcap": float("inf")}, "softcap: expected a finite float .*, got inf"),
    ("bool softcap", TypeError, {"softcap": True}, "softcap: expected a finite float > 0 or None, got bool"),
    ("shape of sinks", ValueError, {"sinks": torch.ones(2)}, r"sinks: expected shape .*\(3,\), got \(2,\)"),
    ("integer sinks", TypeError, {"sinks": torch.ones(3).int()}, "sinks: expected a floating dtype, got torch.int32"),
    ("list of sinks", TypeError, {"sinks": [0.0] * 3}, "sinks: expected a torch tensor, got list"),
    ("shape of slopes", ValueError, {"slopes": torch.ones(3, 1)}, r"slopes: expected shape .*\(3,\), got \(3, 1\)"),
    (
        "integer slopes",
        TypeError,
        {"slopes": torch.ones(3).int()},
        "slopes: expected a floating dtype, got torch.int32",
    ),
    ("return_lse", TypeError, {"return_lse": 1}, "return_lse: expected a bool, got int"),
    (
        "slopes and a dilation",
        ValueError,
        {"slopes": torch.ones(3), "dilation": (1, 2, 1)},
        r"slopes: expected None with a dilation above 1 \(not defined\), got slopes and \[1, 2, 1\]",
    ),
    (
        "segments before the first token",
        ValueError,
        {"segments": MASK.int(), "offset": torch.tensor([0, -1])},
        r"offset: expected queries at tokens 0..4 with segments \(not defined beyond them\), got -1..4",
    ),
    (
        "segments behind the last token",
        ValueError,
        {"segments": MASK.int(), "offset": 1},
        r"offset: expected queries at tokens 0..4 with segments \(not defined beyond them\), got 1..5",
    ),
    *(
        (
            f"globals and {name}",
            ValueError,
            {"global_attention_mask": MASK, name: value},
            rf"{name}: expected .* with global tokens in global_attention_mask \(not defined\), got {got}",
        )
        for name, value, got in (
            ("offset", 1, r"\[1, 1\]"),
            ("offset", torch.tensor([0, 2]), r"\[0, 2\]"),
            ("segments", MASK.int(), "a tensor"),
            ("sinks", torch.ones(3), "a tensor"),
            ("slopes", torch.ones(3), "a tensor"),
            ("query", Q[:, :, :4], "4"),
        )
    ),
    (
        "globals, causal, two sides",
        ValueError,
        {"global_attention_mask": MASK, "causal": True, "window": (2, None)},
        r"causal: expected False with global tokens in global_attention_mask \(not defined\), got True",
    ),
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
    dropped: dict[str, Any] = {
        "attention_mask": ~one,
        "global_attention_mask": one,
        "sinks": torch.zeros(1),
        "offset": 3,
    }
    assert band_attention(x, x, x, window=(None, 5), **dropped).item() == 0  # a flag on a masked token is no global one
    assert band_attention(x, x, x, window=(0, 2**70), softcap=1, slopes=torch.ones(1), return_lse=True)[0].item() == 1
    many = torch.ones(1, 257, 1, 1)
    assert band_attention(many, many, many, window=0, dilation=[1] * 257).sum().item() == 257
