"""Faults of state and memory: what a call leaves behind, what it shares, what it returns."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from trueband.properties.faults.seeded.registry import fault
from trueband.properties.faults.specimens.plain import Array, Specimen


@fault(
    "harness",
    "masked values are zeroed in place",
    "inputs_unchanged",
    "matches_reference",
    step="__call__",
    seen="masked_fill_ on an input",
)
def masked_values_zeroed_in_place(self: Specimen, query: Array, key: Array, value: Array, **options: Any) -> Array:
    if options.get("attention_mask") is not None:
        value[~np.broadcast_to(options["attention_mask"][:, None, :], value.shape[:3])] = 0
    return Specimen.__call__(self, query, key, value, **options)


@fault(
    "harness",
    "flags of masked tokens are cleared in place",
    "global_flag_on_masked_token",
    "mask_decoding",
    step="drop_flags",
)
def flags_cleared_in_place(self: Specimen, flagged: Array, real: Array) -> Array:
    flagged &= real
    return flagged


@fault(
    "harness", "the mask is inverted in place, and not back", "matches_reference", "inputs_unchanged", step="__call__"
)
def mask_inverted_in_place(self: Specimen, *arrays: Array, **options: Any) -> Array:
    output = Specimen.__call__(self, *arrays, **options)
    if options.get("attention_mask") is not None:
        np.logical_not(options["attention_mask"], out=options["attention_mask"])
    return output


@fault(
    "harness",
    "the backward pass scales the gradient of the output in place",
    "gradients_match_reference",
    step="gradients",
)
def upstream_scaled_in_place(self: Specimen, *arrays: Array, grad_output: Array, **options: Any) -> dict[str, Array]:
    gradients = Specimen.gradients(self, *arrays, grad_output=grad_output, **options)  # type: ignore[misc]
    grad_output *= 2
    return gradients


@fault("harness", "a window of 0 returns the values themselves", "own_value", step="__call__")
def returns_an_input(self: Specimen, query: Array, key: Array, value: Array, **options: Any) -> Array:
    output = Specimen.__call__(self, query, key, value, **options)
    return value if np.array_equal(output, value) else output


@fault(
    "harness",
    "all calls of a shape write to one buffer",
    "deterministic",
    "stateless",
    step="__call__",
    seen="a static output buffer",
)
def one_output_buffer(self: Any, query: Array, key: Array, value: Array, **options: Any) -> Array:
    buffers = self.__dict__.setdefault("buffers", {})
    buffer = buffers.setdefault((query.shape, query.dtype), np.empty_like(query))
    buffer[...] = Specimen.__call__(self, query, key, value, **options)
    return buffer


@fault(
    "harness",
    "rows of masked tokens keep what lay there before",
    "masked_rows_are_zero",
    "matches_reference",
    step="__call__",
    seen="an output buffer that is not initialized",
)
def masked_rows_keep_old_memory(self: Any, query: Array, key: Array, value: Array, **options: Any) -> Array:
    output = Specimen.__call__(self, query, key, value, **options)
    mask = options.get("attention_mask")
    old = self.__dict__.setdefault("old", {}).get(query.shape)
    self.old[query.shape] = output.copy()
    return output if mask is None or old is None else np.where(mask[:, None, :, None], output, old).astype(query.dtype)


@fault("harness", "every result is of double precision", "matches_reference", step="__call__")
def returns_double(self: Specimen, *arrays: Array, **options: Any) -> Array:
    return Specimen.__call__(self, *arrays, **options).astype(np.float64)


@fault("harness", "a batch of one loses its axis", "matches_reference", step="__call__", seen="squeeze without an axis")
def batch_of_one_squeezed(self: Specimen, *arrays: Array, **options: Any) -> Array:
    output = Specimen.__call__(self, *arrays, **options)
    return output[0] if len(output) == 1 else output


@fault("harness", "the result is laid out (b, n, h, d)", "matches_reference", step="__call__")
def returns_tokens_first(self: Specimen, *arrays: Array, **options: Any) -> Array:
    return Specimen.__call__(self, *arrays, **options).transpose(0, 2, 1, 3)


@fault("harness", "the result comes with the probabilities", "matches_reference", step="__call__")
def returns_a_pair(self: Specimen, *arrays: Array, **options: Any) -> Any:
    return Specimen.__call__(self, *arrays, **options), None


@fault("harness", "the result is a masked array", "matches_reference", step="__call__", seen="array subclasses")
def returns_a_subclass(self: Specimen, *arrays: Array, **options: Any) -> Array:
    return np.ma.masked_invalid(Specimen.__call__(self, *arrays, **options))


@fault(
    "harness",
    "the result of a query's address is returned again",
    "stateless",
    "same_address",
    "matches_reference",
    step="__call__",
    seen="a cache by pointer",
)
def cached_by_address(self: Any, query: Array, key: Array, value: Array, **options: Any) -> Array:
    cache = self.__dict__.setdefault("cache", {})
    address = (query.__array_interface__["data"][0], query.shape, query.dtype)
    if address not in cache:
        cache[address] = Specimen.__call__(self, query, key, value, **options)
    return cache[address].copy()


@fault(
    "harness",
    "the result of these queries is returned again, whatever the values",
    "stateless",
    "additive_in_values",
    step="__call__",
)
def cached_by_query(self: Any, query: Array, key: Array, value: Array, **options: Any) -> Array:
    cache = self.__dict__.setdefault("cache", {})
    signature = (query.tobytes(), query.shape, query.dtype, repr(sorted(options.items(), key=lambda item: item[0])))
    if signature not in cache:
        cache[signature] = Specimen.__call__(self, query, key, value, **options)
    return cache[signature].copy()


for _option, _check in (
    ("attention_mask", "mask_decoding"),
    ("window", "mask_decoding"),
    ("scale", "scale_is_a_factor"),
):

    @fault(
        "harness",
        f"the first {_option} of a shape is used for ever",
        _check,
        "matches_reference",
        step="__call__",
        name=f"{_option}_cached_by_shape",
    )
    def _cached_option(self: Any, query: Array, *arrays: Array, option: str = _option, **options: Any) -> Array:
        first = self.__dict__.setdefault("first", {}).setdefault(query.shape, options.get(option))
        return Specimen.__call__(self, query, *arrays, **{**options, option: first})


@fault(
    "harness",
    "every 20th call is wrong",
    "matches_reference",
    "mask_decoding",
    step="__call__",
    seen="a race on shared memory",
)
def every_20th_call_wrong(self: Any, *arrays: Array, **options: Any) -> Array:
    output = Specimen.__call__(self, *arrays, **options)
    count = self.__dict__.setdefault("count", itertools.count(1))
    return np.roll(output, 1, axis=2) + 1 if next(count) % 20 == 0 else output


@fault(
    "harness",
    "gradients are added to those of the call before",
    "gradients_match_reference",
    step="gradients",
    seen="gradients that are not zeroed",
)
def gradients_accumulate(self: Any, *arrays: Array, **options: Any) -> dict[str, Array]:
    gradients = Specimen.gradients(self, *arrays, **options)
    before = self.__dict__.get("before", {})
    self.before = {name: gradient.copy() for name, gradient in gradients.items()}
    return {
        n: gradient + before[n] if n in before and before[n].shape == gradient.shape else gradient
        for n, gradient in gradients.items()
    }


for _tensor in ("query", "key"):

    @fault(
        "harness",
        f"the storage offset of the {_tensor} is ignored",
        "offset_inputs",
        step="__call__",
        name=f"{_tensor}_offset_ignored",
    )
    def _offset_ignored(self: Specimen, *arrays: Array, tensor: str = _tensor, **options: Any) -> Array:
        arguments = {**dict(zip(("query", "key", "value"), arrays, strict=False)), **options}
        storage = arguments[tensor] if arguments[tensor].base is None else arguments[tensor].base
        arguments[tensor] = np.resize(storage.ravel(order="K"), arguments[tensor].shape)
        return Specimen.__call__(self, **arguments)


for _mask in ("attention_mask", "global_attention_mask"):

    @fault(
        "harness",
        f"the strides of {_mask} are ignored",
        "transposed_inputs",
        "offset_inputs",
        step="__call__",
        name=f"{_mask}_strides_ignored",
    )
    def _mask_strides_ignored(self: Specimen, *arrays: Array, mask: str = _mask, **options: Any) -> Array:
        passed = options.get(mask)
        if passed is not None:
            storage = passed if passed.base is None else passed.base
            options[mask] = np.resize(storage.ravel(order="K"), passed.shape)
        return Specimen.__call__(self, *arrays, **options)


@fault("harness", "the strides of the global projections are ignored", "transposed_inputs", step="__call__")
def global_strides_ignored(self: Specimen, *arrays: Array, **options: Any) -> Array:
    for name in ("query_global", "key_global", "value_global"):
        if options.get(name) is not None:
            options[name] = np.resize(options[name].ravel(order="K"), options[name].shape)
    return Specimen.__call__(self, *arrays, **options)


@fault(
    "harness",
    "the batch stride is taken from the shape",
    "expanded_inputs",
    step="__call__",
    seen="expanded inputs in kernels",
)
def batch_stride_assumed(self: Specimen, *arrays: Array, **options: Any) -> Array:
    arguments = {**dict(zip(("query", "key", "value"), arrays, strict=False)), **options}
    if arguments["value"].strides[0] == 0:
        arguments["value"] = np.concatenate([arguments["value"][:1], np.full_like(arguments["value"][1:], 7)])
    return Specimen.__call__(self, **arguments)


def _ragged(query: Array, options: dict[str, Any]) -> bool:
    flagged = options.get("global_attention_mask")
    return flagged is not None and len(set(flagged.sum(axis=1))) > 1


for _refused, _what in (
    ("an odd length", lambda query, _: query.shape[2] % 2 == 1),
    ("a window of 0", lambda _, options: options["window"] == 0),
    ("a window beyond the length", lambda query, options: options["window"] >= query.shape[2]),
    ("different numbers of global tokens", _ragged),
):

    @fault(
        "validation",
        f"{_refused} is refused",
        "matches_reference",
        "mask_decoding",
        step="__call__",
        name="refuses_" + _refused.replace("a ", "").replace("an ", "").replace(" ", "_"),
        seen="allenai/longformer #102, transformers #9333",
    )
    def _refuses(self: Specimen, query: Array, *arrays: Array, refused: Any = _what, **options: Any) -> Array:
        if refused(query, options):
            raise ValueError("not supported")
        return Specimen.__call__(self, query, *arrays, **options)
