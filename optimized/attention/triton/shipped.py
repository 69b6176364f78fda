"""Every kernel that is shipped, as it is launched: what a compiler needs to build it without a device.

Nothing is listed by hand: the launchers run on small calls, and what they launch is written down.
Importing this module imports triton.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from trueband.optimized.attention.chunked.span.arguments import SpanArguments
from trueband.optimized.attention.triton import launch, span_launch
from trueband.optimized.attention.triton.places import Place, has_tf32

TARGETS = ("sm_80", "sm_90", "gfx942")
HEAD_DIMS = (16, 32, 64, 80, 128)  # every width of a tile, and one that is wider than the head
# Format of the inputs, and whether products of float32 may be cut to tf32.
FORMATS = (("float32", False), ("float32", True), ("float16", False), ("bfloat16", False))
POINTERS = {
    torch.float32: "*fp32",
    torch.float16: "*fp16",
    torch.bfloat16: "*bf16",
    torch.int64: "*i64",
    torch.int32: "*i32",
    torch.int8: "*i8",
}
# Constants that a name tells.
KINDS = ("CAUSAL", "WEIGHTED", "HAS_LEFT", "HAS_RIGHT", "MASKED", "SEGMENTS", "CAPPED", "SINKS", "SLOPES")
HEADS, TOKENS = 12, 256
KEY_HEADS = 4
# Calls of spans: a decoder with and without a limit, one of each kind of score, and all at once.
SPANS: tuple[dict[str, Any], ...] = (
    {"left": 64, "right": 0},
    {"left": None, "right": 0, "sinks": True},
    {"left": 64, "right": 0, "softcap": 50.0},
    {"left": None, "right": 0, "slopes": True, "segments": True},
    {"left": 64, "right": 64, "masked": True, "softcap": 50.0, "sinks": True, "slopes": True, "segments": True},
)


@dataclass(frozen=True)
class Configuration:
    """A kernel as it is shipped for a target.

    Attributes:
        kernel: its name. function: the function of `triton.jit`.
        target: one of TARGETS.
        dtype: the dtype of query, key and value. tf32: whether products are cut to it. head_dim: of the heads.
        aligned: tensors start at, and their strides are, multiples of 16, as in a model; if not, of nothing.
        signature: {argument: type}, in order, in triton's words; "constexpr" for those of `constants`.
        constants: {argument: value}: those of the source, and arguments that are 1, which Triton builds in.
        divisible: arguments that are multiples of 16, which Triton makes use of.
        warps, stages: `num_warps`, `num_stages`.
        products: whether it multiplies matrices.
    """

    kernel: str
    function: Any
    target: str
    dtype: str
    tf32: bool
    head_dim: int
    aligned: bool
    signature: Mapping[str, str]
    constants: Mapping[str, Any]
    divisible: tuple[str, ...]
    warps: int
    stages: int
    products: bool

    @property
    def name(self) -> str:
        """Tells it from all others."""
        kinds = [name.lower().removeprefix("has_") for name in KINDS if self.constants.get(name)]
        words = [self.target, self.kernel, self.dtype, *(["tf32"] if self.tf32 else []), f"d{self.head_dim}", *kinds]
        return "-".join([*words, *([] if self.aligned else ["unaligned"])])

    @property
    def attributes(self) -> dict[tuple[int], list[list[Any]]]:
        """`attrs` of triton's ASTSource."""
        return {(list(self.signature).index(name),): [["tt.divisibility", 16]] for name in self.divisible}


def configurations(
    targets: Sequence[str] = TARGETS,
    formats: Sequence[tuple[str, bool]] = FORMATS,
    head_dims: Sequence[int] = HEAD_DIMS,
    aligned: Sequence[bool] = (True,),
) -> Iterator[Configuration]:
    """Yield all kernels of forward and backward passes: of bands, causal and not, with globals and a head mask and
    without; and of spans.
    """
    for target, (dtype, tf32), head_dim, even in itertools.product(targets, formats, head_dims, aligned):
        if tf32 and not has_tf32(target):
            continue
        seen = set()
        of_bands = (launches(target, dtype, tf32, head_dim, even, causal) for causal in (False, True))
        of_spans = (span_launches(target, dtype, tf32, head_dim, even, **span) for span in SPANS)
        for kernel, arguments, constants, warps, stages in itertools.chain(*of_bands, *of_spans):
            types = specialized(kernel, arguments, constants)
            configuration = Configuration(
                kernel.__name__,
                kernel,
                target,
                dtype,
                tf32,
                head_dim,
                even,
                *types,
                warps,
                stages,
                "PRECISION" in constants,
            )
            if configuration.name not in seen:
                seen.add(configuration.name)
                yield configuration


# (kernel, arguments, constants, warps, stages)
Launch = tuple[Callable[..., Any], Sequence[Any], Mapping[str, Any], int, int]


def launches(target: str, dtype: str, tf32: bool, head_dim: int, aligned: bool, causal: bool) -> list[Launch]:
    """What calls forward and backward launch, with a head mask and without."""
    calls: list[Launch] = []

    def note(kernel: Callable[..., Any], _: int, arguments: Sequence[Any], *rest: Any) -> None:
        calls.append((kernel, arguments, *rest))

    query, key, value, grad_output = (_tensor(dtype, head_dim, aligned) for _ in range(4))
    mask = torch.zeros(2, query.shape[2], dtype=torch.bool)
    mask[:, :2] = not causal
    for head_mask in (None, torch.ones(HEADS)):
        place = Place(target, tf32, note)
        work = launch.setting(query, head_mask, None, mask, 64, [1] * HEADS, causal, 0.125, True, place)
        output, log_sums = launch.forward(work, query, key, value, query, key, value)
        launch.backward(work, query, key, value, query, key, value, output, log_sums, grad_output)
    return calls


def span_launches(
    target: str,
    dtype: str,
    tf32: bool,
    head_dim: int,
    aligned: bool,
    left: int | None,
    right: int | None,
    masked: bool = False,
    softcap: float | None = None,
    sinks: bool = False,
    slopes: bool = False,
    segments: bool = False,
) -> list[Launch]:
    """The same for spans, with a head mask where there is padding."""
    calls: list[Launch] = []

    def note(kernel: Callable[..., Any], _: int, arguments: Sequence[Any], *rest: Any) -> None:
        calls.append((kernel, arguments, *rest))

    query, grad_output = (_tensor(dtype, head_dim, aligned) for _ in range(2))
    key, value = (_tensor(dtype, head_dim, aligned, KEY_HEADS) for _ in range(2))
    per_head, batch, tokens = torch.ones(HEADS), query.shape[0], query.shape[2]
    call = SpanArguments(
        query,
        key,
        value,
        None,
        None,
        None,
        per_head if masked else None,
        per_head if sinks else None,
        per_head if slopes else None,
        torch.ones(batch, tokens, dtype=torch.bool) if masked else None,
        None,
        torch.zeros(batch, tokens, dtype=torch.int64) if segments else None,
        None,
        None,
        left,
        right,
        [1] * HEADS,
        False,
        0.125,
        softcap,
        0,
        0.0,
    )
    work = span_launch.setting(call, Place(target, tf32, note))
    output, lse = span_launch.forward(work, query, key, value, sinks)
    span_launch.backward(work, query, key, value, output, lse, grad_output, lse)
    return calls


def _tensor(dtype: str, head_dim: int, aligned: bool, heads: int = HEADS) -> Tensor:
    """(b, h, n, d) stored as (b, n, h, d): a model's projections; not aligned: a slice of wider rows, odd lengths."""
    more = 0 if aligned else 1
    table = torch.zeros(2, TOKENS + more, heads, head_dim + more, dtype=getattr(torch, dtype))
    return table[..., more:].transpose(1, 2)


def specialized(
    kernel: Callable[..., Any], arguments: Sequence[Any], constants: Mapping[str, Any]
) -> tuple[dict[str, str], dict[str, Any], tuple[str, ...]]:
    """(signature, constants, divisible) as Triton specializes a kernel for its arguments."""
    names = list(inspect.signature(kernel.fn).parameters)  # type: ignore[attr-defined]
    signature, built_in, divisible = {}, dict(constants), []
    for name, value in zip(names, arguments, strict=False):
        if isinstance(value, Tensor):
            signature[name] = POINTERS[value.dtype]
            if value.data_ptr() % 16 == 0:
                divisible.append(name)
        elif isinstance(value, float):
            signature[name] = "fp32"
        elif value == 1:
            built_in[name] = value
        else:
            signature[name] = "i32" if abs(value) < 1 << 31 else "i64"
            if value % 16 == 0:
                divisible.append(name)
    return {name: signature.get(name, "constexpr") for name in names}, built_in, tuple(divisible)
