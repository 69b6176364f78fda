"""What a target declares: it is checked, it reaches the kernel, and precision changes the bound and nothing else."""

from __future__ import annotations

import itertools
import sys
import types
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from trueband.properties.bounds import Precision, attention_bound
from trueband.properties.bounds.precision import ACCUMULATORS, DTYPES
from trueband.properties.candidate.errors import CandidateEnded
from trueband.properties.candidate.probe import Probe
from trueband.properties.candidate.runner import Runner
from trueband.properties.candidate.target import Target, TargetError
from trueband.properties.candidate.tiny_calls import find_gradients
from trueband.properties.cases.case import Case
from trueband.properties.cases.limits import Sizes
from trueband.properties.checks import CHECKS
from trueband.properties.faults import Specimen
from trueband.properties.running.engine import run_check, run_small_world
from trueband.properties.running.plan import Plan, select

PLAN = Plan("target", ("float32",), 1, ("float32",), ())
CASE = Case(tokens=5, window=1, head_dim=3, batch=2, heads=2, masked=((0,), ()), family="normal")


def band(query: Any, key: Any, value: Any, *, window: int, attention_mask: Any = None) -> Any:
    return Specimen()(query, key, value, window=window, attention_mask=attention_mask)


def band_bnhd(query: Any, key: Any, value: Any, *, window: int, attention_mask: Any = None) -> Any:
    turned = (array.swapaxes(1, 2) for array in (query, key, value))
    return band(*turned, window=window, attention_mask=attention_mask).swapaxes(1, 2)


def torch_band(query: Any, key: Any, value: Any, *, window: int) -> Any:
    tokens = torch.arange(query.shape[2])
    seen = (tokens[:, None] - tokens).abs() <= window
    scores = (query @ key.mT / query.shape[-1] ** 0.5).masked_fill(~seen, -torch.inf)
    return scores.softmax(-1) @ value


def torch_band_bnhd(query: Any, key: Any, value: Any, *, window: int) -> Any:
    return torch_band(*(tensor.transpose(1, 2) for tensor in (query, key, value)), window=window).transpose(1, 2)


def passes(check: str, target: Target, cases: int = 25) -> bool:
    return run_check(PLAN, CHECKS[check], Runner(target), target.dtypes[0], cases).status == "passed"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"dtypes": "float32"}, "dtypes: expected a collection of names, got 'float32'"),
        ({"dtypes": ()}, "dtypes: expected some of .*, got none"),
        ({"features": {"speed"}}, "features: expected some of padding, .*, got speed"),
        ({"features": 3}, "features: expected a collection of names, got 3"),
        ({"library": "tensorflow"}, "library: expected some of torch, numpy, jax, got tensorflow"),
        ({"layout": "nhd"}, "layout: expected some of bhnd, bnhd, packed, got nhd"),
        ({"devices": "cpu"}, "devices: expected a collection of names, got 'cpu'"),
        ({"devices": ("cpu", 0)}, "devices: expected names, got 0"),
        ({"gradients": 1}, "gradients: expected a callable, got int"),
        ({"accumulators": ("float32",)}, "accumulators: expected {dtype: format}, got tuple"),
        ({"accumulators": {"bfloat16": "float32"}}, "accumulators: expected some of float32, got bfloat16"),
        ({"accumulators": {"float32": "tf16"}}, "accumulators: expected some of .*tf32, got tf16"),
        ({"sizes": {"tokens": 64}}, "sizes: expected a Sizes for tokens, got 64"),
        ({"sizes": {"rows": Sizes()}}, "sizes: expected some of batch, heads, tokens, .*, got 'rows'"),
        ({"sizes": {"heads": Sizes(most=0)}}, "sizes: expected one of at least 1 for heads, got up to 0"),
        ({"padding": "left"}, "padding: expected one of any, right, got 'left'"),
    ],
)
def test_a_declaration_that_makes_no_sense_is_one_line(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(TargetError, match=message) as caught:
        Target(band, **wrong)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("function", "library", "gradients"),
    [(band_bnhd, "numpy", False), (torch_band_bnhd, "torch", True)],
    ids=["numpy", "torch"],
)
def test_a_target_of_the_other_layout_is_judged_alike(function: Any, library: str, gradients: bool) -> None:
    target = Target(function, library=library, layout="bnhd")
    checks = ["matches_reference", "transposed_inputs", "offset_inputs", "mask_decoding"]
    assert all(passes(check, target) for check in [*checks, *(["gradients_match_reference"] if gradients else [])])
    assert not passes("matches_reference", Target(function, library=library))  # the wrong declaration


def test_devices_that_are_declared_are_the_only_ones() -> None:
    assert Runner(Target(torch_band, devices=("cpu",))).name == "torch_band"
    with pytest.raises(ValueError, match="device: expected one of the target's, cuda, got 'cpu'"):
        Runner(Target(torch_band, devices=("cuda",)))


def test_a_least_window_keeps_smaller_ones_away_and_is_told() -> None:
    def from_two_on(query: Any, key: Any, value: Any, *, window: int) -> Any:
        if window < 2:
            raise RuntimeError("no such window")
        return torch_band(query, key, value, window=window)

    silent = Target(from_two_on, library="torch")
    declared = replace(silent, sizes={"window": Sizes(least=2)})
    assert "any_window" in Runner(silent).features
    features = Runner(declared).features
    assert "any_window" not in features
    names = [name for name in select(None, features) if name in CHECKS]
    assert "own_value" not in names
    records = [run_check(PLAN, CHECKS[name], Runner(declared), "float32", 6) for name in names]
    assert [record for record in records if not record.passed] == []
    assert run_small_world(PLAN, Runner(declared), "float32").passed
    assert not run_small_world(PLAN, Runner(silent), "float32").passed
    assert not passes("matches_reference", silent)


def test_a_backward_pass_that_fails_is_claimed_and_one_that_is_missing_is_not() -> None:
    class Broken(torch.autograd.Function):
        @staticmethod
        def forward(context: Any, value: Any) -> Any:
            return value.clone()

        @staticmethod
        def backward(context: Any, upstream: Any) -> Any:
            raise RuntimeError("not written")

    def broken(query: Any, key: Any, value: Any, *, window: int) -> Any:
        return Broken.apply(torch_band(query, key, value, window=window))

    def forward_only(query: Any, key: Any, value: Any, *, window: int) -> Any:
        return torch_band(query, key, value, window=window).detach()

    assert find_gradients(Runner(Target(torch_band)))
    assert find_gradients(Runner(Target(broken, library="torch")))
    assert not find_gradients(Runner(Target(forward_only, library="torch")))
    assert not passes("gradients_match_reference", Target(broken, library="torch"))


# Precision: the declared format of the sums is what the bound is computed from.


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("accumulator", ACCUMULATORS)
def test_precision_of_any_accumulator(dtype: str, accumulator: str) -> None:
    precision = Precision.of(dtype, accumulator)
    units = {
        "float64": 2.0**-52,
        "float32": 2.0**-24 + 2.0**-53,
        "tf32": 2.0**-24 + 2.0**-53,
        "bfloat16": 2.0**-8 + 2.0**-53,
        "float16": 2.0**-11 + 2.0**-53,
    }
    assert precision.accumulator == units[accumulator]
    assert (precision.product > 0) == (accumulator == "tf32")


def test_the_contracts_precision_is_the_default_and_unknown_ones_are_errors() -> None:
    assert Precision.of("bfloat16") == Precision.of("bfloat16", "float32")
    assert Precision.of("float64") == Precision.of("float64", "float64")
    with pytest.raises(ValueError, match=r"accumulator: expected one of .*, got 'int8'"):
        Precision.of("float32", "int8")


def low_band(name: str) -> Any:
    """A kernel whose sums, or whose factors ("tf32"), are rounded to a narrower format."""

    def cut(tensor: torch.Tensor) -> torch.Tensor:
        bits = tensor.view(torch.int32) & -(1 << 13)  # truncated to 11 bits
        return bits.view(torch.float32)

    def kernel(query: Any, key: Any, value: Any, *, window: int) -> Any:
        if name != "tf32":
            wide = (tensor.to(getattr(torch, name)) for tensor in (query, key, value))
            return torch_band(*wide, window=window).to(query.dtype)
        tokens = torch.arange(query.shape[2])
        seen = (tokens[:, None] - tokens).abs() <= window
        scores = (cut(query) @ cut(key).mT / query.shape[-1] ** 0.5).masked_fill(~seen, -torch.inf)
        return cut(scores.softmax(-1)) @ cut(value)

    return kernel


@pytest.mark.parametrize(("dtype", "name"), [("float32", "tf32"), ("float64", "float32"), ("bfloat16", "bfloat16")])
def test_a_kernel_with_narrow_sums_passes_where_it_says_so_and_fails_where_it_does_not(dtype: str, name: str) -> None:
    honest = Target(low_band(name), (dtype,), library="torch", accumulators={dtype: name})
    checks = ("matches_reference", "mask_decoding", "constant_values", "stateless", "key_shift", "associative_recall")
    for check in checks:
        record = run_check(PLAN, CHECKS[check], Runner(honest), dtype, 20)
        assert record.passed, record
    assert not passes("matches_reference", Target(low_band(name), (dtype,), library="torch"), 100)


def test_a_declared_accumulator_does_not_excuse_a_wrong_mask() -> None:
    shifted = lambda *given, window: torch_band(*given, window=max(window - 1, 0))  # noqa: E731
    for dtype, name in (("float32", "tf32"), ("bfloat16", "bfloat16"), ("float32", "bfloat16")):
        target = Target(shifted, (dtype,), library="torch", accumulators={dtype: name})
        assert not passes("mask_decoding", target)
        assert not passes("locality", target) or not passes("support_of_a_value", target)


def test_the_bound_of_tf32_is_between_those_of_float32_and_bfloat16() -> None:
    case = CASE.replace(tokens=9, head_dim=64)
    arguments = case.inputs().arguments
    totals = [
        attention_bound(arguments, Precision.of("float32", name)).total for name in ("float32", "tf32", "bfloat16")
    ]
    real = case.inputs().real
    for low, high in itertools.pairwise(totals):
        assert (low <= high).all()
        assert (low < high)[np.broadcast_to(real[:, None, :, None], low.shape)].all()


def test_a_probe_hands_the_declaration_to_every_case() -> None:
    probe = Probe(Runner(Target(band, library="numpy", accumulators={"float32": "tf32"})), CASE)
    assert probe.inputs.precision == Precision.of("float32", "tf32")
    assert probe.inputs.with_options(window=0).with_arrays().map_arrays(np.copy).precision.product > 0
    assert probe.inputs_of(CASE.replace(seed=1)).precision.product > 0


# jax: what the bridge asks of it, on an array class that is no numpy array and cannot be written to.


class FakeArray:
    """An immutable array with the parts of jax.Array that kernels and the bridge use."""

    def __init__(self, numbers: np.ndarray) -> None:
        self.numbers = np.array(numbers)
        self.numbers.flags.writeable = False

    shape = property(lambda self: self.numbers.shape)
    ndim = property(lambda self: self.numbers.ndim)
    dtype = property(lambda self: self.numbers.dtype)

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return self.numbers.astype(dtype or self.numbers.dtype)

    def astype(self, dtype: Any) -> FakeArray:
        return FakeArray(self.numbers.astype(dtype))

    def transpose(self, axes: Any) -> FakeArray:
        return FakeArray(self.numbers.transpose(axes))

    def __getitem__(self, index: Any) -> FakeArray:
        return FakeArray(self.numbers[index])


@pytest.fixture
def fake_jax(monkeypatch: pytest.MonkeyPatch) -> types.SimpleNamespace:
    def devices(platform: str) -> list[str]:
        if platform != "cpu":
            raise RuntimeError(f"no platform {platform}")
        return ["cpu:0"]

    asked: dict[str, Any] = {}
    fake = types.SimpleNamespace(
        config=types.SimpleNamespace(update=asked.__setitem__),
        core=types.SimpleNamespace(Tracer=type("Tracer", (), {})),
        numpy=types.SimpleNamespace(
            bool_=np.bool_,
            float32=np.float32,
            float64=np.float64,
            broadcast_to=lambda array, shape: FakeArray(np.broadcast_to(array.numbers, shape)),
        ),
        Array=FakeArray,
        devices=devices,
        device_put=lambda array, device: FakeArray(array),
        asked=asked,
        vjp=lambda function, inputs: (
            function(inputs),
            lambda upstream: ({n: FakeArray(np.full(a.shape, 7.0, a.dtype)) for n, a in inputs.items()},),
        ),
    )
    monkeypatch.setitem(sys.modules, "jax", fake)
    return fake


def jax_band(query: Any, key: Any, value: Any, *, window: int, attention_mask: Any = None) -> Any:
    mask = None if attention_mask is None else np.asarray(attention_mask)
    return FakeArray(band(*map(np.asarray, (query, key, value)), window=window, attention_mask=mask))


def test_a_jax_kernel_is_run_on_arrays_of_jax(fake_jax: types.SimpleNamespace) -> None:
    target = Target(jax_band, ("float32", "float64"), library="jax")
    assert fake_jax.asked == {}
    runner = Runner(target)
    assert fake_jax.asked == {"jax_enable_x64": True}
    assert find_gradients(runner)
    for check in ("matches_reference", "offset_inputs", "transposed_inputs", "expanded_inputs"):
        assert passes(check, target, 30)
    inputs = CASE.inputs()
    gradients = runner.gradients(inputs.arrays, inputs.options, "float32", CASE.grad_output(), ["key"])
    assert (gradients["key"] == 7).all()
    with pytest.raises(ValueError, match="device: expected one that jax can use, got 'cuda'"):
        Runner(target, "cuda")


def test_a_jax_kernel_that_answers_in_numpy_or_cannot_be_traced_is_told(fake_jax: types.SimpleNamespace) -> None:
    inputs = CASE.inputs()
    with pytest.raises(CandidateEnded, match="expected a plain jax array, got ndarray"):
        Runner(Target(lambda *a, **k: np.asarray(jax_band(*a, **k)), library="jax", features=frozenset())).call(
            inputs.arrays, inputs.options, "float32"
        )

    def untraceable(*_: Any) -> Any:
        raise TypeError("no tracer")

    fake_jax.vjp = untraceable
    assert not find_gradients(Runner(Target(jax_band, library="jax")))


def test_jax_that_is_not_installed_is_told_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jax", None)
    with pytest.raises(ValueError, match=r"library: expected jax, got .*: pip install jax"):
        Runner(Target(jax_band, library="jax"))
