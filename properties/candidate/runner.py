"""Runs a target on plain arrays, in this process, and holds it to the contract's rules about memory and types."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from trueband.properties.candidate.accelerator import Accelerator
from trueband.properties.candidate.arrays import NotDifferentiable, library
from trueband.properties.candidate.covered import Covered
from trueband.properties.candidate.desk import Desk
from trueband.properties.candidate.device_calls import copied, late, way_of
from trueband.properties.candidate.errors import (
    CRASHED,
    OUT_OF_MEMORY,
    CandidateEnded,
    is_lack_of_memory,
    judged,
)
from trueband.properties.candidate.guard import resident
from trueband.properties.candidate.layout import Layout
from trueband.properties.candidate.packing import Packing
from trueband.properties.candidate.target import Target
from trueband.properties.cases.backward import LAYOUTS, ONCE, STREAM, Backward, Gradients, already_there
from trueband.properties.cases.limits import Limits

Array = NDArray[Any]
Result = TypeVar("Result")

__all__ = ["LAYOUTS", "Runner"]


class Runner:
    """One target on one device.

    Attributes:
        features, accumulators, stored_scores, limits, shapes: what the target declares.
        undeclared, refusal: the limits that it has without declaring them, and the error; set by `RemoteRunner` only.
        covered: the calls that gave a result.
        slowest: seconds of the slowest call since it was last set to 0.
        may_have_gradients: whether only a trial shows if it has "backward"; see `find_gradients`.
        accelerator: the CUDA device, awaited after every call; None where there is none.
    """

    def __init__(self, target: Target, device: str = "cpu") -> None:
        self.target = target.resolved()
        assert self.target.library is not None
        assert self.target.features is not None
        assert self.target.name is not None
        # Ranks have tensors of their own on the device; what they are given comes from here.
        at = "cpu" if self.target.ranks else device
        self.library = library(self.target.library, at)
        self.name = self.target.name
        if self.target.devices is not None and device.partition(":")[0] not in self.target.devices:
            raise ValueError(f"device: expected one of the target's, {', '.join(self.target.devices)}, got {device!r}")
        self.dtypes = self.target.dtypes
        self.features = self.target.features
        self.accumulators: Mapping[str, str] = self.target.accumulators
        self.stored_scores = self.target.stored_scores
        self.limits = self.target.limits
        self.shapes, self.ranks = self.target.shapes, self.target.ranks
        self.undeclared, self.refusal = Limits(), ""
        self.covered, self.slowest = Covered(), 0.0
        self.may_have_gradients = target.features is None and self.target.library != "numpy"
        self.desk = Desk(self.library, self.target.library, at)
        self.layout = Layout(self.desk, self.library, self.target.layout == "bnhd")
        self.function = self._function(device)
        self.accelerator = self.library.accelerator
        if self.accelerator is not None:
            self.features = self.features | {"streams"}

    def call(
        self,
        arrays: dict[str, Array],
        options: dict[str, Any],
        dtype: str,
        layout: str = "contiguous",
        of: tuple[str, ...] = (),
    ) -> Array:
        """Return the output of `results`, with the same arguments."""
        return self.results(arrays, options, dtype, layout, of)["output"]

    def results(
        self,
        arrays: dict[str, Array],
        options: dict[str, Any],
        dtype: str,
        layout: str = "contiguous",
        of: tuple[str, ...] = (),
    ) -> dict[str, Array]:
        """Call the target and return its output, and with return_lse its lse, as float64.

        Args:
            layout: how the floating inputs lie in memory: "contiguous"; "transposed", (b, n, h, d) memory; "offset", a
                slice of larger storage full of NaN; "columns", (b, h, d, n) memory; "packed", views of one storage,
                as one projection leaves them, (b, n, 3, h, d) for three inputs; "interleaved", the same with (b, n, h,
                3, d); "expanded", one row of the batch, or one head, repeated without copying; "reused", the memory
                of the call before, overwritten, where it has the same size; on a device `STREAM` and `REPLAY`, see
                `device_calls`. For a target of layout "bnhd", "contiguous" is (b, n, h, d) memory, and "transposed"
                (b, h, n, d). Of packed inputs only "transposed" and "offset" are other layouts.
            of: the names of the inputs that have this layout, the others are contiguous; (): all of them.

        Raises:
            CandidateEnded: the target raised, changed its inputs, or returned something other than its output.
        """
        return self._with_room(lambda: self._results(arrays, options, dtype, layout, of))

    def _results(
        self, arrays: dict[str, Array], options: dict[str, Any], dtype: str, layout: str, of: tuple[str, ...]
    ) -> dict[str, Array]:
        packing = self._packing(arrays, options)
        given = arrays if packing is None else packing.arrays(arrays)
        way = way_of(layout)
        if way is not None:
            self._device_for(layout)
        inputs = self.layout.inputs(given, dtype, Backward("contiguous" if way else layout, of))
        self.desk.poison(output_shape(given), dtype)
        function = self.function if way is None else functools.partial(self._on_device, way)
        result = self._run(function, inputs, {**options, **(packing.options if packing else {})})
        output, lse = self._checked(result, given, options, dtype)
        self.desk.check_inputs()
        self.covered.add(arrays, options)
        results = {} if lse is None else {"lse": np.array(self.library.back(lse))}
        results["output"] = self.layout.turn(self.desk.take(output))
        self.desk.burn({} if lse is None else {"lse": lse})
        if packing is not None:
            nothing = {"output": 0.0, "lse": -np.inf}
            results = {name: packing.unpacked(name, array, nothing[name]) for name, array in results.items()}
        return results

    def _with_room(self, call: Callable[[], Result]) -> Result:
        """Return what a call gives. On a device without room for it, it is made once more in what can be set free."""
        if self.accelerator is None:
            return call()
        try:
            return _lack_told(call)
        except CandidateEnded as error:
            if error.status != OUT_OF_MEMORY:
                raise
        self.desk.empty()  # behind the block: the error has held all that the call had made
        self.accelerator.empty()
        return _lack_told(call)

    def _function(self, device: str) -> Any:
        """Return what is called: the target, or the ranks that it runs on."""
        target = self.target
        if not target.ranks:
            return target.function
        from trueband.properties.candidate.sharded import Sharded, check_group  # imports torch

        check_group(target.process_group)
        assert target.features is not None
        empty = "empty_shards" in target.features
        return Sharded(
            target.function, target.ranks, target.process_group, target.sharding, target.layout, empty, device
        )

    def _packing(self, arrays: dict[str, Array], options: dict[str, Any]) -> Packing | None:
        """Return how the arrays of a call are packed, for a target that takes them so."""
        return Packing.of(arrays, options) if self.target.layout == "packed" else None

    def _checked(self, result: Any, arrays: dict[str, Array], options: dict[str, Any], dtype: str) -> tuple[Any, Any]:
        """Return output and lse, None where it was not asked for, after a check of their form."""
        output, lse = result, None
        if options.get("return_lse"):
            if not isinstance(result, tuple) or len(result) != 2:
                kind = f"{len(result)} results" if isinstance(result, tuple) else type(result).__name__
                raise CandidateEnded(f"output: expected (output, lse) with return_lse, got {kind}")
            output, lse = result
            self._check_result("lse", lse, output_shape(arrays)[:-1], "float64" if dtype == "float64" else "float32")
            self.desk.check_own_memory("lse", lse)
        self._check_result("output", output, output_shape(arrays), dtype)
        self.desk.check_own_memory("output", output)
        return output, lse

    def memory(self, begin: bool = False) -> float:
        """Return the memory of the target's process in mebibytes, see `resident`."""
        return resident(begin=begin)

    def gradients(
        self,
        arrays: dict[str, Array],
        options: dict[str, Any],
        dtype: str,
        grad_output: Array,
        names: list[str],
        how: Backward = ONCE,
        grad_lse: Array | None = None,
    ) -> Gradients:
        """Return the gradients of the named arguments as float64; one that the result does not depend on is 0.

        Args:
            grad_lse: the gradient of lse, with the option return_lse only.
            names: the arguments that require gradients; no other does.
            how: how the passes are run, and how the arrays lie in memory.

        Returns:
            The gradients with the output that they belong to, which is held to the rules of `call`.

        Raises:
            CandidateEnded: as in `call`.
        """
        asked = arrays, options, dtype, grad_output, names, how, grad_lse
        if (packing := self._packing(arrays, options)) is None:
            found = self._with_room(lambda: self._gradients(*asked))
        else:
            found = self._with_room(lambda: self._packed_gradients(packing, *asked))
        self.covered.add(arrays, options, with_gradients=True)
        return found

    def _packed_gradients(
        self,
        packing: Packing,
        arrays: dict[str, Array],
        options: dict[str, Any],
        dtype: str,
        grad_output: Array,
        names: list[str],
        how: Backward,
        grad_lse: Array | None,
    ) -> Gradients:
        """Return the gradients of a target that takes packed arrays; those of tokens that it is not given are 0."""
        upstream = packing.packed("grad_output", grad_output)
        of_lse = None if grad_lse is None else packing.packed("grad_lse", grad_lse)
        given, told = packing.arrays(arrays), {**options, **packing.options}
        found = self._gradients(given, told, dtype, upstream, names, how, of_lse)
        unpacked = {
            name: packing.unpacked(name, gradient) if gradient.ndim == 3 else gradient
            for name, gradient in found.items()
        }
        output = None if found.output is None else packing.unpacked("output", found.output)
        return Gradients(unpacked, output)

    def _gradients(
        self,
        arrays: dict[str, Array],
        options: dict[str, Any],
        dtype: str,
        grad_output: Array,
        names: list[str],
        how: Backward,
        grad_lse: Array | None,
    ) -> Gradients:
        stream = self._stream_of(how)
        inputs = self.layout.inputs(arrays, dtype, replace(how, layout="contiguous") if how.layout == STREAM else how)
        upstream = self.layout.put("grad_output", self.layout.turn(grad_output), dtype, how.grad_layout)
        upstreams = {"grad_output": upstream}
        if grad_lse is not None:
            upstreams["grad_lse"] = self.desk.put("grad_lse", grad_lse, "float64" if dtype == "float64" else "float32")
            upstream = upstream, upstreams["grad_lse"]
        self.desk.poison(output_shape(arrays), dtype)
        if self.target.gradients is not None:
            if how.way != "once":
                raise ValueError(f"way: expected 'once' for a target with gradients of its own, got {how.way!r}")
            returned = self._run(self.target.gradients, {**inputs, **upstreams}, options)
            gradients, raw = self._read_gradients(returned, arrays, names, dtype)
            self.desk.check_last()
            self.desk.forget_last()
            self.desk.burn(raw)
            return Gradients(gradients)
        function = functools.partial(self.function, **self._passed(options))
        before = None
        if how.way == "added":
            there = {name: self.layout.turn(already_there(arrays[name].shape)) for name in names}
            before = {name: self.library.to(array, dtype) for name, array in there.items()}
        with stream(), self._differentiating():
            result, backward = self.library.forward(function, inputs, names, before)
        output, _ = self._checked(result, arrays, options, dtype)
        plain = np.array(self.library.back(output))  # a copy also where the dtype is float64
        with stream(), self._differentiating():
            returned = self._backward(function, backward, inputs, names, upstream, how.way)
            if how.layout == STREAM:
                returned = {name: copied(gradient) for name, gradient in returned.items()}
        gradients, raw = self._read_gradients(returned, arrays, names, dtype)
        if before is not None:
            gradients = {name: gradient - already_there(gradient.shape) for name, gradient in gradients.items()}
        if not np.array_equal(self.library.back(output), plain, equal_nan=True):
            raise CandidateEnded(
                "output: expected a result that stays as it is, got one that its backward pass changed"
            )
        self.desk.take(output)
        self.desk.burn(raw)
        return Gradients(gradients, self.layout.turn(plain))

    def _backward(
        self, function: Any, backward: Any, inputs: dict[str, Any], names: list[str], upstream: Any, way: str
    ) -> dict[str, Any]:
        """Return the gradients as the library gives them."""
        if way == "after another":
            floating = {name for name, array in inputs.items() if "float" in self.library.describe(array)[2]}
            other = {
                name: self.library.negative(array) if name in floating else array for name, array in inputs.items()
            }
            kept = self.library.forward(function, other, names)  # what it saves is alive during the backward pass
            gradients: dict[str, Any] = backward(upstream)
            del kept
        else:
            if way == "twice":
                backward(upstream, again=True)
            gradients = backward(upstream)
        return gradients

    def _read_gradients(
        self, returned: dict[str, Any], arrays: dict[str, Array], names: list[str], dtype: str
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        """Return the gradients as float64, and as the target returned them."""
        result, raw = {}, {}
        for name in names:
            gradient = returned.get(name)
            if gradient is None:
                result[name] = np.zeros(arrays[name].shape)
                continue
            self._check_result(f"gradient of {name}", gradient, arrays[name].shape, dtype)
            result[name] = self.layout.turn(np.array(self.library.back(gradient)))
            raw[f"gradient of {name}"] = gradient
        self.desk.check_inputs()
        return result, raw

    def raises(self, arrays: dict[str, Any], options: dict[str, Any]) -> tuple[str, str]:
        """Return (type, message) of the error that the target raises for arrays as they are; ("", "") for none."""
        inputs = {
            name: self.library.as_is(array if name.endswith("mask") else self.layout.turn(array))
            if isinstance(array, np.ndarray)
            else array
            for name, array in arrays.items()
        }
        try:
            self.function(**inputs, **self._passed(options))
            self._wait()
        except Exception as error:
            self._check_device(error, "an answer")
            return type(error).__name__, str(error)
        finally:
            self.desk.forget_last()
        return "", ""

    def _run(self, function: Any, inputs: dict[str, Any], options: dict[str, Any]) -> Any:
        start = time.monotonic()
        try:
            result = function(**inputs, **self._passed(options))
            self._wait()
            return result
        except KeyboardInterrupt:
            raise
        except CandidateEnded as error:  # of a rank
            raise error if self.ranks else judged(error, "a result") from error
        except BaseException as error:  # sys.exit, or what a test framework raises to skip a test
            self._check_device(error, "a result")
            raise judged(error, "a result") from error
        finally:
            self.slowest = max(self.slowest, time.monotonic() - start)

    def _on_device(self, way: Callable[..., Any], **arguments: Any) -> Any:
        """Call the target in a way that only a device has."""
        return way(self.accelerator, self.desk, functools.partial(self.target.function, **arguments))

    def _stream_of(self, how: Backward) -> Callable[[], contextlib.AbstractContextManager[None]]:
        """Return what a forward and a backward pass are run in: one stream, late, where asked for."""
        if how.layout != STREAM:
            return contextlib.nullcontext
        device = self._device_for(STREAM)
        return functools.partial(late, device, self.desk, device.new_stream())

    def _device_for(self, layout: str) -> Accelerator:
        """Return the device. Raises ValueError where there is none, as a layout asks for."""
        if self.accelerator is None:
            raise ValueError(f"layout: expected one of {', '.join(LAYOUTS)} without a CUDA device, got {layout!r}")
        return self.accelerator

    def _wait(self) -> None:
        """Wait for the work that a call has left to its device: what goes wrong there is an error of this call."""
        if self.accelerator is not None:
            self.accelerator.wait()

    def _check_device(self, error: BaseException, expected: str) -> None:
        """Raise CandidateEnded if an error of a call has ended the context of its device."""
        if self.accelerator is not None and self.accelerator.ended_by(error):
            raise CandidateEnded(f"expected {expected}, got {self.accelerator.lost} (no call works after it)", CRASHED)

    @contextlib.contextmanager
    def _differentiating(self) -> Iterator[None]:
        """Report what the candidate raises inside the block as the lack of gradients."""
        try:
            yield
            self._wait()
        except NotDifferentiable as error:
            raise CandidateEnded(f"expected an output that has gradients, got {error}") from error
        except CandidateEnded as error:  # of a rank
            raise error if self.ranks else judged(error, "gradients") from error
        except Exception as error:
            self._check_device(error, "gradients")
            raise judged(error, "gradients") from error

    def _passed(self, options: dict[str, Any]) -> dict[str, Any]:
        """Return the options as the target takes them: it is not told what it always does."""
        untold = {"causal"} if "causal_only" in self.features else set()
        untold |= {"offset"} if "offset" not in self.features else set()  # at the bottom right
        return {name: value for name, value in options.items() if name not in untold}

    def _check_result(self, what: str, result: Any, shape: tuple[int, ...], dtype: str) -> None:
        if len(shape) == 4 and self.target.layout == "bnhd":
            shape = (shape[0], shape[2], shape[1], shape[3])
        kind, got_shape, got_dtype = self.library.describe(result)
        if not got_dtype:
            self.desk.check_kind(what, result)
            raise CandidateEnded(f"{what}: expected a plain {self.target.library} array, got {kind}")
        if got_shape != shape:
            raise CandidateEnded(f"{what}: expected shape {shape}, got {got_shape}")
        if got_dtype != dtype:
            raise CandidateEnded(f"{what}: expected dtype {dtype}, got {got_dtype}")
        self.desk.check_form(what, result)


def _lack_told(call: Callable[[], Result]) -> Result:
    """Return what a call gives; CandidateEnded where there is no room for its inputs or around its results either."""
    try:
        return call()
    except CandidateEnded:
        raise
    except Exception as error:
        if not is_lack_of_memory(error):
            raise
        raise CandidateEnded(f"expected a result, got {type(error).__name__}: {error}", OUT_OF_MEMORY) from None


def output_shape(arrays: dict[str, Array]) -> tuple[int, ...]:
    """(b, h, m, e) of the output of a call; (total, h, e) of packed arrays."""
    return (*arrays["query"].shape[:-1], arrays["value"].shape[-1])
