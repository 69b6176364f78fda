"""Programs in Triton's interpreter, for kernels of spans: `TRITON_INTERPRET=1 python spans_interpreted.py NAME ...`.

The cases are those of the chunked attention of spans, without what the kernels do not take.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import json
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trueband.adapters import SHIPPED
from trueband.gpu.triton import use
from trueband.optimized import band_attention
from trueband.optimized.attention.triton import span_launch
from trueband.optimized.attention.triton.kernels import tiles
from trueband.optimized.attention.triton.span_operator import span_triton
from trueband.properties.candidate.runner import Runner
from trueband.properties.candidate.target import load_target
from trueband.properties.checks import CHECKS
from trueband.properties.running.engine import run_check
from trueband.properties.running.plan import Plan

warnings.simplefilter("ignore", RuntimeWarning)  # numpy's, of the infinities that a kernel masks
fused = functools.partial(band_attention, impl="triton")


def neighbor(name: str) -> Any:
    """A module of the tests of the chunked attention."""
    path = Path(__file__).parents[1] / "span" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"span_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


conftest, judged = neighbor("conftest"), neighbor("test_span_against_reference")


def edges(dtype: str) -> Iterator[Any]:
    """Limits and offsets around the edges of tiles, which have 16 and 32 rows here."""
    for left, right, offset in (
        (0, 33, 0),
        (33, 0, 0),
        (None, 1, 0),
        (1, None, 15),
        (16, 17, -16),
        (17, 16, 16),
        (0, 0, 1),
        (15, 0, 31),
    ):
        yield conftest.plain_case((1, 2, 40, 8), (1, 1, 48, 8), {"window": (left, right), "offset": offset}, dtype)


def cases(dtype: str, count: int) -> Iterator[Any]:
    yield from edges(dtype)
    for seed in range(count):
        case = conftest.draw(seed, dtype)
        if "global_attention_mask" not in case.options:
            case.options["dilation"] = 1
            yield case


def check_cases(dtype: str, count: str) -> None:
    """Prints how many cases were judged; fails at the first that is not within its bounds."""
    seen = 0
    for case in cases(dtype, int(count)):
        judged.compare(case, fused)
        seen += 1
    print(seen)


def leaf(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape))).requires_grad_()


REAL = torch.tensor([[True, True, True, False], [True, False, True, True]])
SEGMENTS, OFFSETS = torch.tensor([[1, 1, 1, 2], [5, 5, 5, 5]]), torch.tensor([0, 1])


def check_operator() -> None:
    """torch's own checks of a registered operator, and the second order of a call."""
    query, key, value = leaf(2, 2, 3, 2), leaf(2, 1, 4, 2), leaf(2, 1, 4, 3)
    given = (None, None, None, leaf(2), leaf(2), leaf(2), REAL, None, SEGMENTS, OFFSETS, None)
    everything = (query, key, value, *given, None, 1, [1, 1], False, 0.5, 2.0, 0, 0.0)
    nothing = (query, key, value, *[None] * 11, 1, None, [1, 1], True, 0.5, None, -1, 0.0)
    operator: Any = span_triton
    for arguments in (everything, nothing):
        checks = torch.library.opcheck(operator, arguments)
        assert set(checks.values()) == {"SUCCESS"}, checks
    seconds = []
    for impl in ("triton", "chunked"):
        leaves = [tensor.detach().requires_grad_() for tensor in (query, key, value)]
        results = band_attention(*leaves, window=(None, 0), offset=1, return_lse=True, impl=impl)
        first = torch.autograd.grad(results, leaves, [torch.ones_like(each) for each in results], create_graph=True)
        seconds.append(torch.autograd.grad(first, leaves, [leaf.detach() for leaf in leaves]))
    assert all(torch.equal(a, b) for a, b in zip(*seconds, strict=True))  # one composite, of the same inputs
    assert any(second.any() for second in seconds[0])


def check_nothing_else_is_read() -> None:
    """NaN in masked tokens, and in keys that no window reaches, changes no bit."""
    query, key, value = (torch.randn(1, heads, tokens, 8) for heads, tokens in ((4, 3), (2, 90), (2, 90)))
    real = torch.ones(1, 90, dtype=torch.bool)
    real[:, 80:84] = False
    results = []
    for poison in (0.0, float("nan")):
        k, v = key.clone(), value.clone()
        for tensor in (k, v):
            tensor[:, :, 80:84] = poison
            tensor[:, :, :32] = poison  # whole tiles before the window
        leaves = [query.clone().requires_grad_(), k.requires_grad_(), v.requires_grad_()]
        output, lse = fused(*leaves, window=(20, 0), offset=87, attention_mask=real, return_lse=True)
        results.append([output, lse, *torch.autograd.grad(output.sum() + lse.sum(), leaves)])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
    assert not results[0][3][:, :, 80:84].any()


@contextlib.contextmanager
def changed(module: str, old: str, new: str, folder: Path) -> Iterator[None]:
    """The kernels with a change in their source, within the block."""
    own = Path(tiles.__file__).parent
    source = (own / f"{module}.py").read_text()
    assert source.count(old) >= 1, f"{module}: {old} is not there"
    package = folder.name
    folder.mkdir()
    for path in own.glob("*.py"):
        text = path.read_text().replace(old, new) if path.stem == module else path.read_text()
        (folder / path.name).write_text(text.replace("trueband.optimized.attention.triton.kernels", package))
    before = {name: kernel for name, kernel in vars(span_launch).items() if name.startswith("span_")}
    try:
        for name in before:
            instead = importlib.import_module(f"{package}.{name}")
            setattr(span_launch, name, getattr(instead, name))
        yield
    finally:
        vars(span_launch).update(before)


def dead(fault: tuple[str, str, str], folder: Path) -> str | None:
    """The case that tells a fault in the source of a kernel, or None."""
    with changed(*fault, folder):
        for case in cases("float32", 40):
            try:
                judged.compare(case, fused)
            except AssertionError as error:
                return str(error)
    return None


def refused(fault: tuple[str, str, str], checks: list[str], folder: Path) -> dict[str, str]:
    """{check: status} of the target `triton-spans` with a fault."""
    with changed(*fault, folder):
        candidate = Runner(load_target(SHIPPED["triton-spans"].spec))
        plan = Plan("triton-spans", ("float32",), 1, (), tuple(checks))
        return {name: run_check(plan, CHECKS[name], candidate, "float32", 6).status for name in checks}


def faults(text: str) -> None:
    """Prints {name: what tells it, or null} for faults {name: [module, old, new]}."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        sys.path.insert(0, folder)
        for index, (name, fault) in enumerate(json.loads(text).items()):
            found[name] = dead(fault, Path(folder, f"faulty_spans_{index}"))
    print(json.dumps(found))


def gate(text: str) -> None:
    """Prints {name: {check: status}} for faults {name: [[module, old, new], checks]}."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        sys.path.insert(0, folder)
        for index, (name, (fault, checks)) in enumerate(json.loads(text).items()):
            found[name] = refused(fault, checks, Path(folder, f"refused_spans_{index}"))
    print(json.dumps(found))


if __name__ == "__main__":
    torch.set_num_threads(1)
    use()
    globals()[sys.argv[1]](*sys.argv[2:])
