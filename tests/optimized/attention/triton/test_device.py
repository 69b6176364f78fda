"""What is chosen on a CUDA device, by tensors that say that they are on one and hold nothing. No kernel runs here."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from trueband.optimized import LongformerForMaskedLM, band_attention
from trueband.optimized.attention.triton import places
from trueband.reference import LongformerConfig

CHUNKED, TRITON = "band_attention", "band_attention_triton"


class Called(TorchDispatchMode):
    """Names of the package's attention operators that were called."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, operator: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = operator._schema.name.removeprefix("trueband::")
        if name in (CHUNKED, TRITON):
            self.names.append(name)
        return operator(*args, **(kwargs or {}))


@pytest.fixture
def called() -> Iterator[Called]:
    # A build of torch without CUDA has no gradients of such tensors.
    with torch.no_grad(), FakeTensorMode(), Called() as found:
        yield found


def device(monkeypatch: pytest.MonkeyPatch, major: int, minor: int = 0) -> None:
    """There is a device of this compute capability."""
    found = SimpleNamespace(major=major, minor=minor)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: found)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (major, minor))


def amd_device(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """There is a device of AMD, of this name."""
    monkeypatch.setattr(torch.version, "hip", "6.4")
    found = SimpleNamespace(gcnArchName=name, major=9, minor=4)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: found)


def on_device(*shape: int, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    return torch.empty(*shape, device="cuda:0", dtype=dtype)


def test_auto_takes_the_kernels_where_they_can_serve(monkeypatch: pytest.MonkeyPatch, called: Called) -> None:
    device(monkeypatch, 8)
    x, wide = on_device(1, 2, 8, 4), on_device(1, 2, 8, 129)
    assert band_attention(x, x, x, window=1).device == torch.device("cuda:0")
    band_attention(x, x, x, window=1, dropout_p=0.5)
    band_attention(wide, wide, wide, window=1)
    band_attention(x.double(), x.double(), x.double(), window=1)
    band_attention(x, x, x, window=1, impl="chunked")
    assert called.names == [TRITON, *[CHUNKED] * 4]


def test_an_old_device_has_the_chunked_attention(monkeypatch: pytest.MonkeyPatch, called: Called) -> None:
    device(monkeypatch, 7, 5)
    x = on_device(1, 2, 8, 4)
    band_attention(x, x, x, window=1)
    assert called.names == [CHUNKED]
    with pytest.raises(ValueError, match=r"query: expected a device of compute capability 8.0 or newer .* got 7.5"):
        band_attention(x, x, x, window=1, impl="triton")


@pytest.mark.needs_torch("2.7")  # before, an embedding of ids that are not there asks for a device all the same
@pytest.mark.parametrize(("major", "train", "chosen"), [(9, False, TRITON), (9, True, CHUNKED), (7, False, CHUNKED)])
def test_models_choose_the_same(
    monkeypatch: pytest.MonkeyPatch, called: Called, major: int, train: bool, chosen: str
) -> None:
    """Each layer of a model on a device, in training with dropout."""
    device(monkeypatch, major)
    config = LongformerConfig(
        vocab_size=40,
        hidden_size=8,
        num_attention_heads=2,
        num_hidden_layers=2,
        intermediate_size=8,
        max_position_embeddings=40,
        attention_window=(4, 6),
        attention_probs_dropout_prob=0.1,
    )
    with torch.device("meta"):
        model = LongformerForMaskedLM(config).train(train)
    named = [*model.named_parameters(), *model.named_buffers()]
    weights = {name: on_device(*tensor.shape, dtype=tensor.dtype) for name, tensor in named}
    ids = on_device(2, 9, dtype=torch.int64)
    given = {"input_ids": ids, "attention_mask": ids, "global_attention_mask": ids}
    output = torch.func.functional_call(model, weights, kwargs=given)
    assert output.logits.device == torch.device("cuda:0")
    assert called.names == [chosen] * 2


def test_the_architecture_of_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = torch.device("cuda:0")
    for major, minor, name in ((8, 0, "sm_80"), (8, 9, "sm_89"), (9, 0, "sm_90"), (12, 0, "sm_120")):
        device(monkeypatch, major, minor)
        assert places.place_of(cuda).architecture == name
    amd_device(monkeypatch, "gfx942:sramecc+:xnack-")
    assert places.place_of(cuda).architecture == "gfx942"


def test_tf32_is_taken_where_torch_allows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    device(monkeypatch, 8)
    asked = {"highest": False, "high": True, "medium": True}
    for precision, allowed in asked.items():
        monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda precision=precision: precision)
        assert places.place_of(torch.device("cuda:0")).tf32 is allowed


@pytest.mark.parametrize(("name", "has_tf32"), [("gfx942", True), ("gfx90a", False), ("gfx950", False)])
def test_tf32_is_taken_where_triton_compiles_it(monkeypatch: pytest.MonkeyPatch, name: str, has_tf32: bool) -> None:
    """On other devices of AMD a float32 call would end in an error of the compiler."""
    amd_device(monkeypatch, name)
    monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda: "high")
    assert places.place_of(torch.device("cuda:0")).tf32 is has_tf32
