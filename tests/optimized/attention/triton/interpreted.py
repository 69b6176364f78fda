"""Programs that run kernels in Triton's interpreter: `TRITON_INTERPRET=1 python interpreted.py NAME [ARGUMENT ...]`.

The tiles are 16 and 32 rows, and a part of a global row is 64 tokens; beyond 100 tokens they are 64 and 128, and 256:
lengths and windows lie around those edges.
"""

from __future__ import annotations

import importlib
import itertools
import json
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from trueband.gpu.interpreter import mend
from trueband.gpu.triton import target, use
from trueband.optimized import band_attention
from trueband.optimized.attention.operators.band_op import band_op
from trueband.optimized.attention.triton import launch
from trueband.optimized.attention.triton.kernels import tiles
from trueband.optimized.attention.triton.operator import forward_op, triton_band
from trueband.optimized.attention.triton.requirements import refusal
from trueband.optimized.layers import band_attention as band_self_attention
from trueband.properties.bounds import Bound
from trueband.properties.candidate.runner import Runner
from trueband.properties.cases.case import Case
from trueband.properties.cases.inputs import Inputs
from trueband.properties.gpu.scalars import replaced_for_numbers
from trueband.properties.models.checks import MODEL_CHECKS
from trueband.properties.results.verdict import Verdict, judge
from trueband.properties.running.engine import walk_small_world
from trueband.properties.running.models import run_model_check
from trueband.witnesses.models import OptimizedModels

warnings.simplefilter("ignore", RuntimeWarning)  # numpy's, of the infinities that a kernel masks
FAR = (0, 15, 16, 31, 32, 63, 64)  # positions of global tokens, around the edges


def edges(dtype: str) -> Iterator[Case]:
    """One sequence, with a head for each dilation: around every edge of the tiles and of the parts."""
    plain: dict[str, Any] = {"heads": 2, "dilation": (1, 2), "head_dim": 8, "family": "normal", "dtype": dtype}
    yield from (Case(tokens, window, **plain, seed=tokens) for tokens, window in ((17, 0), (33, 16), (48, 15)))
    yield from (Case(tokens, 17, **plain, seed=tokens, causal=True) for tokens in (31, 65))
    for tokens, window in ((16, 31), (33, 1), (64, 32), (65, 17)):
        flagged = tuple(position for position in FAR if position < tokens)
        masked = tuple(range(3, tokens, 7))
        common = {**plain, "global_": (flagged,), "masked": (masked,), "head_mask": True}
        yield Case(tokens, window, **common, seed=1)  # seed 1: head weights 0 and 1
        yield Case(tokens, window, **common, seed=2, separate_globals=True)
    everywhere = tuple(range(40))
    yield Case(40, 3, head_dim=20, global_=(everywhere,), masked=((0, 39),), family="normal", dtype=dtype)
    yield Case(70, 40, head_dim=3, batch=2, global_=((69,), ()), masked=((), tuple(range(70))), scale=0.3, dtype=dtype)
    yield Case(20, 5, head_dim=4, masked=(tuple(range(16)),), dtype=dtype)  # a tile of keys without any
    # Rows of the batch with different numbers of globals, none and more than a tile among them, and heads of their own.
    ragged = ((0, 5), (), (*range(0, 34, 2), 34))
    yield Case(35, 4, batch=3, global_=ragged, separate_globals=True, head_mask=True, **plain, seed=4)
    yield Case(65, 3, global_=((0,),), **plain, seed=7)  # a local row alone in the last tile and part
    yield Case(130, 64, global_=((0, 63, 64, 127, 128),), masked=((64, 129),), **plain, seed=5)
    yield Case(193, 63, causal=True, **plain, seed=6)
    yield Case(257, 129, global_=((0, 255, 256),), separate_globals=True, head_dim=3, family="normal", dtype=dtype)


def tensors(inputs: Inputs) -> dict[str, Any]:
    """The arrays as torch tensors; those that are differentiated require it."""
    given = {name: torch.tensor(array) for name, array in inputs.arrays.items()}
    for name in inputs.floating:
        given[name] = given[name].to(getattr(torch, inputs.dtype)).requires_grad_()
    return given


def verdicts(case: Case, gradients: bool = True) -> Iterator[Verdict]:
    """Output and gradients against the reference."""
    inputs, grad_output = case.inputs(), case.grad_output()
    given = tensors(inputs)
    output = band_attention(**given, **inputs.options, impl="triton")
    yield judge(output.detach().double().numpy(), inputs.output, inputs.bound)
    if not gradients:
        return
    leaves = [given[name] for name in inputs.floating]
    found = torch.autograd.grad(output, leaves, torch.tensor(grad_output).to(output.dtype))
    expected, bounds = inputs.gradients(grad_output), inputs.gradient_bounds(grad_output)
    for name, gradient in zip(inputs.floating, found, strict=True):
        yield judge(gradient.double().numpy(), getattr(expected, name), bounds[name], f"gradient of {name}")


def check_edges(dtype: str) -> None:
    """Prints the number of verdicts; fails at the first that is not passed."""
    count = 0
    for case in edges(dtype):
        for verdict in verdicts(case):
            assert verdict.passed, f"{case.to_json()}: {verdict}"
            count += 1
    print(count)


def leaf(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape))).requires_grad_()


REAL = torch.tensor([[True, True, True, False], [True, False, True, True]])
GLOBAL = torch.tensor([[True, False, False, True], [False, False, True, False]])


def check_operator() -> None:
    """torch's own checks of a registered operator."""
    everything = (*(leaf(2, 2, 4, 2) for _ in range(6)), leaf(2), REAL, GLOBAL, None, 1, [1, 2], False, 0.5, 0.0, True)
    nothing = (*(leaf(2, 2, 4, 2) for _ in range(3)), *[None] * 7, 1, [1, 1], True, 0.5, 0.0, True)
    for arguments in (everything, nothing):
        results = torch.library.opcheck(forward_op, arguments)
        assert set(results.values()) == {"SUCCESS"}, results
        assert len(results) == 4


def check_compiled() -> None:
    """A whole graph of dynamic shapes has the bits of eager, gradients too."""

    def call(x: Tensor, y: Tensor, real: Tensor, is_global: Tensor) -> Tensor:
        options: dict[str, Any] = {"attention_mask": real, "global_attention_mask": is_global, "key_global": y}
        return band_attention(x * 2, y, x + y, window=2, impl="triton", **options).tanh()

    compiled = torch.compile(call, fullgraph=True, dynamic=True, backend="aot_eager")
    for batch, tokens in ((3, 9), (2, 17)):
        masks = [torch.rand(batch, tokens, generator=torch.Generator().manual_seed(n)) > 0.3 for n in range(2)]
        inputs = [leaf(batch, 2, tokens, 4), leaf(batch, 2, tokens, 4)]
        outputs = [function(*inputs, *masks) for function in (compiled, call)]
        grads = [torch.autograd.grad(output.sum(), inputs) for output in outputs]
        assert torch.equal(*outputs)
        assert all(torch.equal(a, b) for a, b in zip(*grads, strict=True))


def check_second_order() -> None:
    """Second derivatives are those of the chunked operator: both differentiate the same composite."""
    found = []
    for impl in ("triton", "chunked"):
        given = [leaf(2, 2, 4, 2) for _ in range(4)]
        options: dict[str, Any] = {"attention_mask": REAL, "global_attention_mask": GLOBAL, "head_mask": leaf(2)}
        output = band_attention(*given[:3], query_global=given[3], window=1, impl=impl, **options)
        upstream = leaf(2, 2, 4, 2)
        first = torch.autograd.grad(output, given, upstream, create_graph=True)
        cotangents = [leaf(2, 2, 4, 2).detach() for _ in first]
        found.append(torch.autograd.grad(first, [*given, upstream], cotangents))
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def head_mask_fault() -> str | None:
    """What is wrong with the gradient of the head mask, which is what each head adds to sum(dO * o): to the same bits
    whatever the head mask is, 0 included. None: nothing.
    """
    case = Case(40, 3, head_dim=4, batch=2, heads=2, global_=((0, 20), ()), separate_globals=True, family="normal")
    inputs, grad_output = case.inputs(), case.grad_output()
    grads = []
    for weights in ([1.0, 1.0], [0.0, 4.0]):
        given, head_mask = tensors(inputs), torch.tensor(weights, requires_grad=True)
        output = band_attention(**given, **inputs.options, head_mask=head_mask, impl="triton")
        grads.append(torch.autograd.grad(output, head_mask, torch.tensor(grad_output).to(output.dtype))[0])
    if not torch.equal(*grads):
        return f"gradient of head_mask: expected the same for all weights, got {grads}"
    # Each term of the sum is off by |dO| times the forward bound; dO.v takes d roundings more, and all are added up.
    size, axes = np.abs(grad_output), (0, 2, 3)
    largest = max(np.abs(inputs.arrays[name]).max() for name in ("value", "value_global"))
    roundings = 2 * inputs.precision.accumulator * (grad_output[:, 0].size + case.tokens + case.head_dim)
    bound = Bound({"terms": (size * inputs.bound.total).sum(axes), "sum": roundings * largest * size.sum(axes)})
    verdict = judge(grads[0].double().numpy(), (grad_output * inputs.output).sum(axes), bound, "gradient of head_mask")
    return None if verdict.passed else str(verdict)


def check_head_mask() -> None:
    assert head_mask_fault() is None, head_mask_fault()


def check_mended() -> None:
    """The mended interpreter gives the same bits. As it comes it cannot multiply bfloat16, and is not asked to."""
    case = Case(35, 4, batch=2, head_dim=4, global_=((0, 5), ()), masked=((), (3,)), family="normal", causal=False)
    found = []
    # Before triton 3.7 it cannot, as it comes, read the bound of a loop with a NumPy of today.
    for (owner, name), function in replaced_for_numbers().items():
        setattr(owner, name, function)
    for change in (lambda: None, mend):
        change()
        for dtype in ("float32", "float16"):
            inputs = case.replace(dtype=dtype).inputs()
            given = tensors(inputs)
            output = band_attention(**given, **inputs.options, impl="triton")
            leaves = [given[name] for name in inputs.floating]
            found.append([output, *torch.autograd.grad(output, leaves, torch.ones_like(output))])
    half = len(found) // 2
    for before, after in zip(found[:half], found[half:], strict=True):
        assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    x = torch.ones(1, 1, 2, 2, dtype=torch.bfloat16)
    with pytest.raises(ValueError, match="query: expected float32 or float16 in Triton's interpreter"):
        band_attention(x, x, x, window=1, impl="triton")


def check_small_world() -> None:
    """Every pattern of padded and global tokens up to 4 tokens, each window and dilation, decoded exactly."""
    found = walk_small_world(Runner(target), "float32", only=lambda world: world.tokens <= 4)
    assert found.failure is None, found.failure
    assert found.cases > 0


class OnTriton(OptimizedModels):
    """The package's models where their bands are what they choose on a CUDA device; nothing else is changed."""

    architectures = ("longformer", "led")

    def __init__(self) -> None:
        self.count = 0
        band_self_attention.find_implementation = self.find  # type: ignore[attr-defined]

    def find(self, impl: str, query: Tensor, dropout_p: float) -> Callable[..., Tensor]:
        assert impl == "auto"
        if refusal(query, dropout_p) is not None:
            return band_op
        self.count += 1
        return triton_band


def check_models() -> None:
    """Whole models, layers and what they attend, against the reference."""
    candidate, names = OnTriton(), ("attentions", "logits", "encoder_layers", "right_padding")
    checks = [MODEL_CHECKS[name] for name in names]
    for check, architecture in itertools.product(checks, candidate.architectures):
        before = candidate.count
        record = run_model_check("triton", candidate, check, architecture, "float32", 6)
        assert record.passed, record
        assert candidate.count > before, f"{check.name}: expected a band in the kernels, got none"


BACKWARD = ("backward_query", "backward_key", "global_rows_backward", "add_parts")


def dead(module: str, old: str, new: str, place: Path) -> str | None:
    """What tells kernels in which `old` is `new` in one module from right ones; None if nothing does."""
    name = place.name
    own = Path(tiles.__file__).parent
    place.mkdir()
    for path in own.glob("*.py"):
        source = path.read_text(encoding="utf-8")
        if path.stem == module:
            assert source.count(old) == 1, f"{module}: expected {old!r} once, got it {source.count(old)} times"
            source = source.replace(old, new)
        source = source.replace("trueband.optimized.attention.triton.kernels", name)
        (place / path.name).write_text(source, encoding="utf-8")
    before = dict(vars(launch))
    try:
        for path in own.glob("*.py"):
            changed = importlib.import_module(name if path.stem == "__init__" else f"{name}.{path.stem}")
            vars(launch).update({key: kernel for key, kernel in vars(changed).items() if key in before})
        # Gradients take most of the time: those of all cases come after the outputs of all, which tell most faults of
        # a forward kernel. Those of a backward kernel no output tells.
        for gradients in (True,) if module in BACKWARD else (False, True):
            for case in edges("float32"):
                for verdict in verdicts(case, gradients):
                    if not verdict.passed:
                        return f"{case.to_json()}: {verdict}"
        return head_mask_fault()
    finally:
        vars(launch).update(before)


def faults(text: str) -> None:
    """Prints {name: case that tells it, or null} for faults {name: [module, old, new]}, and for no fault at all."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        sys.path.insert(0, folder)
        for index, (name, (module, old, new)) in enumerate(json.loads(text).items()):
            found[name] = dead(module, old, new, Path(folder, f"faulty_kernels_{index}"))
    print(json.dumps(found))


if __name__ == "__main__":
    torch.set_num_threads(1)
    if sys.argv[1] != "check_mended":
        use()
    globals()[sys.argv[1]](*sys.argv[2:])
