"""Gradients as training asks for them: what a candidate is handed, what comes back, and through which process."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from trueband.properties.candidate.errors import CandidateEnded
from trueband.properties.candidate.probe import Probe
from trueband.properties.candidate.remote import PastGradients, RemoteRunner
from trueband.properties.candidate.runner import Runner
from trueband.properties.candidate.target import Target, load_target
from trueband.properties.cases.backward import ONCE, Backward, already_there
from trueband.properties.cases.case import Case
from trueband.properties.cases.inputs import Inputs
from trueband.properties.checks import CHECKS
from trueband.properties.faults import Specimen, target_of
from trueband.properties.faults.specimens.differentiated import Differentiated
from trueband.properties.running.engine import reproduce, run
from trueband.properties.running.plan import make_plan
from trueband.properties.running.production import production_case
from trueband.properties.running.search import try_case
from trueband.properties.running.second_process import Memory, second_process

TOOLS = Path(__file__).resolve().parents[3] / "tools"
SHAPE = (2, 3, 4, 2)
CASE = Case(tokens=4, window=1, head_dim=2, batch=2, heads=3, head_mask=True, family="normal")
NAMES = ["query", "key", "value"]


def plain() -> Inputs:
    return CASE.replace(head_mask=False).inputs()


class Seen:
    """A torch kernel that keeps what it was given: the sum of its inputs, each times another factor."""

    def __init__(self) -> None:
        self.given: dict[str, torch.Tensor] = {}
        self.grad_output = torch.zeros(0)

    def __call__(self, query: Any, key: Any, value: Any, *, window: int) -> Any:
        self.given = {"query": query, "key": key, "value": value}
        output = query + 2 * key + 4 * value
        if output.requires_grad:
            output.register_hook(self.keep)
        return output

    def keep(self, grad_output: torch.Tensor) -> None:
        self.grad_output = grad_output


def asked(how: Backward = ONCE, names: list[str] | None = None, layout: str = "bhnd") -> tuple[Seen, Any]:
    seen = Seen()
    runner = Runner(Target(seen, library="torch", layout=layout))
    inputs = plain().map_arrays(lambda each: np.repeat(each[:1], 2, axis=0)) if how.layout == "expanded" else plain()
    grad_output = np.ones(SHAPE) if how.grad_layout == "expanded" else CASE.grad_output()
    return seen, runner.gradients(inputs.arrays, inputs.options, "float32", grad_output, names or NAMES, how)


@pytest.mark.parametrize("name", NAMES)
def test_one_input_may_lie_otherwise_than_the_others(name: str) -> None:
    seen, _ = asked(Backward("transposed", (name,)))
    assert [each for each, tensor in seen.given.items() if not tensor.is_contiguous()] == [name]
    assert seen.given[name].transpose(1, 2).is_contiguous()
    seen, _ = asked(Backward("expanded", (name,)))
    assert [each for each, tensor in seen.given.items() if tensor.stride(0) == 0] == [name]
    seen, _ = asked(Backward("offset", (name,)))
    storage = seen.given[name].untyped_storage()
    assert len(storage) > seen.given[name].numel() * 4
    around = torch.as_strided(seen.given[name].detach(), (1,), (1,), 0)
    assert around.isnan().all()


@pytest.mark.parametrize(
    ("layout", "strides"),
    [("contiguous", (24, 8, 2, 1)), ("transposed", (24, 2, 6, 1)), ("expanded", (0, 0, 0, 0))],
)
def test_the_gradient_of_the_output_lies_as_asked(layout: str, strides: tuple[int, ...]) -> None:
    seen, found = asked(Backward(grad_layout=layout))
    assert seen.grad_output.stride() == strides
    assert (found["value"] == 4 * seen.grad_output.numpy()).all()


def test_a_gradient_of_the_output_may_be_of_equal_rows_only() -> None:
    seen = Seen()
    rows = np.repeat(CASE.grad_output()[:, :, :1], 4, axis=2)
    inputs = plain()
    Runner(Target(seen, library="torch")).gradients(
        inputs.arrays, inputs.options, "float32", rows, NAMES, Backward(grad_layout="expanded")
    )
    assert seen.grad_output.stride() == (6, 2, 0, 1)


def test_no_other_argument_requires_gradients() -> None:
    for names in (["key"], ["query", "value"]):
        seen, found = asked(names=names)
        assert [name for name, tensor in seen.given.items() if tensor.requires_grad] == names
        assert list(found) == names


def test_the_output_comes_with_the_gradients_and_is_held_to_its_rules() -> None:
    inputs = plain()
    _, found = asked()
    runner = Runner(Target(Seen(), library="torch"))
    assert np.array_equal(found.output, runner.call(inputs.arrays, inputs.options, "float32"))

    def double(query: Any, key: Any, value: Any, *, window: int) -> Any:
        return (query + key + value).double() if query.requires_grad else query + key + value

    with pytest.raises(CandidateEnded, match="output: expected dtype float32, got float64"):
        Runner(Target(double)).gradients(inputs.arrays, inputs.options, "float32", CASE.grad_output(), NAMES)


@pytest.mark.parametrize("way", ["once", "twice", "added", "after another"])
def test_every_way_gives_the_gradients(way: str) -> None:
    _, found = asked(Backward(way=way))
    assert np.array_equal(found["query"], CASE.grad_output()) or way == "added"
    rounded = (already_there(SHAPE) + CASE.grad_output()).astype(np.float32) - already_there(SHAPE)
    assert np.array_equal(found["query"], rounded) or way != "added"


def test_another_forward_pass_comes_between_with_the_opposite_numbers() -> None:
    seen, _ = asked(Backward(way="after another"))
    assert np.array_equal(seen.given["query"].detach().numpy(), -plain().arrays["query"].astype(np.float32))


def test_a_gradient_may_be_of_an_argument_that_the_output_does_not_depend_on() -> None:
    def kernel(query: Any, key: Any, value: Any, *, window: int) -> Any:
        return query + value

    inputs = plain()
    found = Runner(Target(kernel, library="torch")).gradients(
        inputs.arrays, inputs.options, "float32", CASE.grad_output(), ["key"]
    )
    assert (found["key"] == 0).all()
    assert found.output is not None


def test_a_target_with_gradients_of_its_own_gives_them_alone_and_once() -> None:
    runner, inputs = Runner(target_of(Specimen(), "specimen")), plain()
    ask = (inputs.arrays, inputs.options, "float32", CASE.grad_output(), NAMES)
    assert runner.gradients(*ask).output is None
    with pytest.raises(ValueError, match="way: expected 'once'"):
        runner.gradients(*ask, Backward(way="twice"))


@pytest.mark.parametrize(("field", "value"), [("layout", "diagonal"), ("grad_layout", "reused"), ("way", "thrice")])
def test_what_there_is_not_is_refused(field: str, value: str) -> None:
    wrong: dict[str, Any] = {field: value}
    with pytest.raises(ValueError, match=f"{field}: expected one of .*, got '{value}'"):
        Backward(**wrong)


def test_the_library_decides_what_is_asked() -> None:
    def features(library: str, **more: Any) -> frozenset[str]:
        found = Target(print, features=frozenset({"autograd"}), library=library, **more).resolved().features
        assert found is not None
        return found - {"any_window"}

    assert features("torch") == {"strided", "autograd", "accumulates"}
    assert features("jax") == {"autograd"}
    assert features("numpy") == features("torch", gradients=print) == {"strided"}


def test_another_process_gives_the_same() -> None:
    past: list[Any] = []
    inputs = CASE.inputs()
    ask = (inputs.arrays, inputs.options, "float32", CASE.grad_output(), [*NAMES, "head_mask"])
    how = Backward("transposed", ("key",), "offset", "twice")
    with RemoteRunner(f"{TOOLS}/dense_softmax.py:kernel") as remote:
        remote.on_call = past.append
        found = remote.gradients(*ask, how)
    here = Runner(target_in("dense_softmax.py", "kernel")).gradients(*ask, how)
    assert {name: each.shape for name, each in found.items()} == {name: each.shape for name, each in here.items()}
    assert found.output is not None
    assert isinstance(past[0], PastGradients)
    assert past[0].how == how


def target_in(file: str, name: str) -> Target:
    return load_target(f"{TOOLS}/{file}:{name}")


def test_calls_for_gradients_are_remembered_and_asked_again() -> None:
    remote = RemoteRunner(f"{TOOLS}/dense_softmax.py:kernel")
    plan = make_plan("kernel", remote, cases=6, dtypes=["float32"], pattern="value_gradient_mass", gate=True)
    with remote:
        records = list(run(plan, remote))
    assert [(each.check, each.status) for each in records] == [
        ("value_gradient_mass", "passed"),
        ("second_process", "passed"),
    ]
    assert records[1].cases > 0


def test_a_second_process_always_has_something_to_be_asked() -> None:
    remote = RemoteRunner("trueband.adapters.chunked:target")
    plan = make_plan("chunked", remote, cases=6, dtypes=["float32"], pattern="rejects_bad_input", gate=True)
    with remote:
        second = list(run(plan, remote))[-1]
    assert (second.check, second.status, second.cases) == ("second_process", "passed", 1)


def test_gradients_that_another_process_gives_otherwise_are_seen() -> None:
    inputs, grad_output = plain(), CASE.grad_output()
    honest = Runner(target_in("dense_softmax.py", "kernel"))
    ask = (inputs.arrays, inputs.options, "float32", grad_output, NAMES)
    found = honest.gradients(*ask)
    past = Memory()
    found["key"] = found["key"] + 1
    past.add(PastGradients(*ask, Backward(), found))
    asked: Any = second_process(past.of("float32")).function
    verdicts = list(asked(honest))
    assert [verdict.passed for verdict in verdicts] == [False, True, True]
    assert verdicts[0].what == "gradient of key in a second process"


def test_the_gradient_of_the_head_mask_is_asked_of_those_that_declare_it() -> None:
    def constant(query: Any, key: Any, value: Any, *, window: int, head_mask: Any = None) -> Any:
        from_tools = target_in("dense_softmax.py", "kernel").function
        return from_tools(query, key, value, window=window, head_mask=None if head_mask is None else head_mask.detach())

    line = {"check": "head_mask_gradient", "case": CASE.to_dict()}
    declared = Target(constant, library="torch", features=frozenset({"head_mask", "backward", "head_mask_gradient"}))
    assert "gradient of head_mask" in reproduce(line, "constant", Runner(declared)).message
    undeclared = replace(declared, features=frozenset({"head_mask", "backward"}))
    with pytest.raises(ValueError, match="needs head_mask_gradient"):
        reproduce(line, "constant", Runner(undeclared))


@pytest.mark.evidence
@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("what", ["query", "key"])
def test_a_gradient_kept_in_the_dtype_from_block_to_block_is_seen(what: str, dtype: str) -> None:
    """float16 alone: in float32 the same kernel is right."""

    class InBlocks(Differentiated):
        def grad_query(self, call: Any, grad_s: Any, key: Any) -> Any:
            return in_blocks(Specimen.grad_query, self, call, grad_s, key, what == "query", rows=False)

        def grad_key(self, call: Any, grad_s: Any, query: Any) -> Any:
            return in_blocks(Specimen.grad_key, self, call, grad_s, query, what == "key", rows=True)

    candidate = Runner(target_of(InBlocks(), "in blocks"))
    check = CHECKS["gradient_sums_are_wide_at_size"]
    case = production_case(check, dtype, candidate.features, candidate.limits, (), 0, 0, "quick")
    failure = try_case(check, candidate, case, Probe).failure
    assert (failure is None) == (dtype == "float32"), failure


def in_blocks(step: Any, self: Any, call: Any, grad_s: Any, factor: Any, narrow: bool, rows: bool) -> Any:
    if not narrow:
        return step(self, call, grad_s, factor)
    total: Any = 0
    for start in range(0, grad_s.shape[-1], 64):
        part = slice(start, start + 64)
        grads = grad_s[..., part, :] if rows else grad_s[..., part]
        total = (total + step(self, call, grads, factor[..., part, :])).astype(call.local[0].dtype)
    return total.astype(call.wide)
