"""`onnxruntime-gqa`: ONNX Runtime's operator GroupQueryAttention on the CPU, in a model of this node alone.

local_window_size counts the token itself: window + 1. Fewer queries than keys are a call with a past.

Added here: the model; a call for each row of the batch where there is a past and several queries, which the operator
takes for one row alone, without the queries that are padding; rows of masked tokens set to 0.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from trueband.properties.candidate.target import Target
from trueband.properties.cases.limits import Sizes

INPUTS = ("query", "key", "value", "past_key", "past_value", "seqlens_k", "total_sequence_length")


def attention(
    query: Any,
    key: Any,
    value: Any,
    *,
    window: int,
    attention_mask: Any = None,
    scale: float | None = None,
    softcap: float | None = None,
    sinks: Any = None,
) -> Any:
    """The contract's causal attention, (b, m, h, d) and (b, n, k, d) arrays in, (b, m, h, d) out."""
    heads, key_heads, head_dim = query.shape[2], key.shape[2], query.shape[3]
    past, dtype = key.shape[1] - query.shape[1], query.dtype
    real = np.ones(key.shape[:2], dtype=bool) if attention_mask is None else attention_mask
    if (~real[:, :-1] & real[:, 1:]).any():
        raise ValueError("attention_mask: expected padding on the right only")
    lengths, scale = real.sum(axis=1), head_dim**-0.5 if scale is None else scale
    run = _session(heads, key_heads, window + 1, scale, softcap or 0.0, sinks is not None, dtype.name)
    more = {} if sinks is None else {"head_sink": sinks.astype(dtype)}
    if not past:
        return np.where(real[:, :, None, None], _asked(run, query, key, value, 0, np.maximum(lengths, 1), more), 0)
    output = np.zeros_like(query)
    for row, length in enumerate(lengths):
        queries, at = max(int(length) - past, 0), slice(row, row + 1)
        if queries:
            arrays = query[at, :queries], key[at, :length], value[at, :length]
            output[at, :queries] = _asked(run, *arrays, past, lengths[at], more)
    return output


def _asked(run: Any, query: Any, key: Any, value: Any, past: int, lengths: Any, more: dict[str, Any]) -> Any:
    """The output of a call whose first `past` keys are given as past."""
    flat = [np.ascontiguousarray(x).reshape(*x.shape[:2], -1) for x in (query, key[:, past:], value[:, past:])]
    before = [np.ascontiguousarray(x[:, :past].swapaxes(1, 2)) for x in (key, value)]
    counts = [(lengths - 1).astype(np.int32), np.array([key.shape[1]], dtype=np.int32)]
    return run(["output"], dict(zip(INPUTS, [*flat, *before, *counts], strict=True)) | more)[0].reshape(query.shape)


@lru_cache(maxsize=256)
def _session(heads: int, key_heads: int, window: int, scale: float, softcap: float, sinks: bool, dtype: str) -> Any:
    """What runs a model of one node."""
    import onnxruntime
    from onnx import TensorProto, helper

    kind = {"float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16}[dtype]
    types = dict.fromkeys(INPUTS, kind) | dict.fromkeys(INPUTS[-2:], TensorProto.INT32)
    types |= {"head_sink": kind} if sinks else {}
    node = helper.make_node(
        "GroupQueryAttention",
        [*INPUTS, *(("", "", "", "", "head_sink") if sinks else ())],
        ["output", "present_key", "present_value"],
        domain="com.microsoft",
        num_heads=heads,
        kv_num_heads=key_heads,
        local_window_size=window,
        scale=scale,
        softcap=softcap,
    )
    inputs = [helper.make_tensor_value_info(name, each, None) for name, each in types.items()]
    outputs = [helper.make_tensor_value_info(name, kind, None) for name in node.output]
    operators = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(
        helper.make_graph([node], "attention", inputs, outputs), opset_imports=operators, ir_version=10
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"]).run


target = Target(
    attention,
    dtypes=("float32", "float16"),
    features=frozenset({"causal_only", "padding", "scale", "gqa", "softcap", "sinks", "bottom_right", "deterministic"}),
    library="numpy",
    layout="bnhd",
    sizes={"head_dim": Sizes(multiple=8)},
    padding="right",
    name="onnxruntime GroupQueryAttention",
)
