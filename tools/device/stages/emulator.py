"""emulator: what the device's triton compiled, executed by the device and by the emulator on the same inputs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from device.comparison import compared
from device.recorder import Recorder, on_device
from device.unit import Context, Unit

DTYPES = ("bfloat16", "float16", "float32")


def units(rehearsed: bool) -> list[Unit]:
    made = [
        Unit(f"{kind}-{dtype}", of_call, 100, (call, dtype))
        for kind, call in (("band", band), ("exact", exact), ("span", span))
        for dtype in DTYPES
    ]
    return made[:: len(DTYPES) + 1] if rehearsed else made


def of_call(context: Context, call: Callable[..., None], dtype: str) -> dict[str, Any]:
    """Record a call, forward and backward, and compare each of its launches."""
    import torch

    recorder = Recorder(stand_in() if context.rehearsed else on_device)
    generator = torch.Generator().manual_seed(0)

    def tensor(*sizes: int) -> Any:
        return torch.randn(*sizes, generator=generator).to(context.device.name, getattr(torch, dtype))

    with recording(recorder, context.rehearsed):
        call(tensor, context.rehearsed)
    context.device.wait()
    found = [compared(launch) for launch in recorder.launches]
    for number, each in enumerate(found):
        context.report(f"{number} {each['kernel']}", each)
    wrong = [each for each in found if not each["passed"]]
    same = sum(each.get("different") == {} for each in found)
    most = max((entry["most"] or 0 for each in found for entry in each.get("different", {}).values()), default=0)
    names = ", ".join(dict.fromkeys(each["kernel"] for each in wrong))
    findings = len([each for each in found if each["finding"]])
    return {
        "passed": not wrong and bool(found),
        "launches": len(found),
        "same": same,
        "most": most,
        "wrong": [each["kernel"] for each in wrong],
        "summary": f"{same} of {len(found)} launches the same bits, others at most {most} ulp apart"
        + (f"; {findings} findings of the emulator" if findings else "")
        + (f"; failed: {names}" if wrong else ""),
    }


def band(tensor: Callable[..., Any], rehearsed: bool) -> None:
    """A band with global tokens and padding."""
    run(*(tensor(1, 2, 33 if rehearsed else 200, 16 if rehearsed else 64) for _ in range(4)))


def exact(tensor: Callable[..., Any], rehearsed: bool) -> None:
    """The same with queries 0 and values that are small integers: every product and every sum is exact."""
    query, *others = (tensor(1, 2, 33 if rehearsed else 200, 16 if rehearsed else 64) for _ in range(4))
    run(query * 0, *(other.float().mul(2).round().to(other.dtype) for other in others))


def run(query: Any, key: Any, value: Any, above: Any) -> None:
    import torch

    from trueband.optimized import band_attention

    tokens = query.shape[2]
    real = torch.arange(tokens, device=query.device)[None] < tokens - 3
    flagged = torch.zeros_like(real)
    flagged[:, :2] = True
    leaves = [each.detach().requires_grad_() for each in (query, key, value)]
    masks = {"attention_mask": real, "global_attention_mask": flagged}
    output = band_attention(*leaves, window=tokens // 4, impl="triton", **masks)
    torch.autograd.grad(output, leaves, above)


def span(tensor: Callable[..., Any], rehearsed: bool) -> None:
    """Heads that share keys, a window to the left, softcap and sinks, with the lse."""
    import torch

    from trueband.optimized import band_attention

    tokens, width = (33, 16) if rehearsed else (200, 64)
    query, above = (tensor(1, 4, tokens, width) for _ in range(2))
    key, value = (tensor(1, 2, tokens, width) for _ in range(2))
    leaves = [each.detach().requires_grad_() for each in (query, key, value)]
    sinks = tensor(4).float()
    options: dict[str, Any] = {"window": (tokens // 4, 0), "softcap": 5.0, "sinks": sinks, "return_lse": True}
    output, lse = band_attention(*leaves, impl="triton", **options)
    torch.autograd.grad((output, lse), leaves, (above, torch.ones_like(lse)))


@contextlib.contextmanager
def recording(recorder: Recorder, rehearsed: bool) -> Iterator[None]:
    """Within it, kernels run through the recorder: where the tensors are on the CPU, those compiled for sm_80."""
    from trueband.optimized.attention.triton import places

    before = places.run
    if rehearsed:
        places.serve_cpu(places.Place("sm_80", False, recorder))
    places.run = recorder
    try:
        yield
    finally:
        places.run = before
        places.serve_cpu(None)


def stand_in() -> Callable[..., Any]:
    """A device that is the emulator itself."""
    from torch import Tensor

    from trueband.gpu.ptx import compiler, requested
    from trueband.gpu.unwritten import plain
    from trueband.properties.gpu.ptx.launch import Pointer, launch

    def run_kernel(
        kernel: Callable[..., Any],
        programs: int,
        arguments: Sequence[Any],
        constants: Mapping[str, Any],
        warps: int,
        stages: int,
    ) -> Any:
        request, values = requested(kernel, arguments, constants, 80, warps, stages)
        handed = [Pointer(plain(value)) if isinstance(value, Tensor) else value for value in values]
        launch(compiler().kernel(request), (programs, 1, 1), handed)
        build = compiler().compiled(request)
        return SimpleNamespace(asm={"ptx": build["ptx"]}, metadata=SimpleNamespace(shared=build["shared"]))

    return run_kernel
