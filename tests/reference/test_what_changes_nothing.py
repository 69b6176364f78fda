"""What the contract says changes nothing: what masked tokens hold, the other rows of the batch, the memory layout."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from trueband.reference import band_attention, band_attention_vjp

Array = NDArray[Any]
POISON = {"nan": np.nan, "inf": np.inf, "-inf": -np.inf, "the largest number": np.finfo(np.float64).max}
PER_HEAD = ("head_mask", "sinks", "slopes")
OF_SEQUENCES = ("attention_mask", "global_attention_mask", "offset", "segments")
PADDED = (
    "padding",
    "a global flag on a masked token",
    "a fully masked sequence",
    "everything at once",
    "segments",
    "sinks",
    "lse",
)


def everything(example: Any, grad_output: Array | None = None) -> dict[str, Array]:
    """Output, probabilities and gradients of an example."""
    query, key, value = example.positional
    shape = *query.shape[:3], value.shape[3]
    grad_output = np.ones(shape) if grad_output is None else grad_output
    grad_lse = grad_output[..., 0] if example.options.get("return_lse") else None
    gradients = band_attention_vjp(query, key, value, grad_output, grad_lse=grad_lse, **example.keywords)
    found = {**band_attention(*example.positional, **example.keywords)._asdict(), **gradients._asdict()}
    return {name: array for name, array in found.items() if array is not None}


def same(found: dict[str, Array], expected: dict[str, Array]) -> bool:
    """Bit for bit; a NaN is equal to nothing."""
    return found.keys() == expected.keys() and all(np.array_equal(found[name], expected[name]) for name in found)


def with_stored(example: Any, poison: float) -> tuple[Any, Array]:
    """The example, and a gradient of the output, with a number stored in every masked token."""
    masked = ~example.options["attention_mask"][:, None, :, None]  # of examples with as many queries as keys
    inputs = {name: np.where(masked, poison, array) for name, array in example.inputs.items()}
    return dataclasses.replace(example, inputs=inputs), np.where(masked, poison, np.ones(example.inputs["query"].shape))


@pytest.mark.parametrize("poison", POISON)
@pytest.mark.parametrize("name", PADDED)
def test_what_masked_tokens_hold(name: str, poison: str, examples: dict[str, Any]) -> None:
    poisoned, grad_output = with_stored(examples[name], POISON[poison])
    assert same(everything(poisoned, grad_output), everything(examples[name]))


@pytest.mark.parametrize("name", PADDED)
def test_masked_tokens_are_exactly_zero(name: str, examples: dict[str, Any]) -> None:
    found = everything(examples[name])
    masked = ~examples[name].options["attention_mask"]
    columns = found["probabilities"].swapaxes(-1, -2)
    rows = [array for key, array in found.items() if key not in PER_HEAD and key != "lse"]
    assert (
        found.get("lse", np.full((*masked.shape[:1], 1, masked.shape[1]), -np.inf)).swapaxes(1, 2)[masked] == -np.inf
    ).all()
    for array in (*rows, columns):
        assert (array.swapaxes(1, 2)[masked] == 0).all()


def multiplied_by_the_mask(example: Any, grad_output: Array) -> dict[str, Array]:
    """Wrong: padding is removed by multiplication, and 0 * NaN is NaN."""
    real = example.options["attention_mask"][:, None, :, None]
    with np.errstate(invalid="ignore"):
        inputs = {name: array * real for name, array in example.inputs.items()}
        return everything(dataclasses.replace(example, inputs=inputs, options={"window": 2}), grad_output * real)


@pytest.mark.parametrize("poison", ["nan", "inf", "-inf"])
def test_multiplying_by_the_mask_is_rejected(poison: str, examples: dict[str, Any]) -> None:
    poisoned, grad_output = with_stored(examples["padding"], POISON[poison])
    with np.errstate(invalid="ignore"):
        assert not same(multiplied_by_the_mask(poisoned, grad_output), everything(examples["padding"]))


def test_each_row_of_the_batch_stands_alone(example: Any) -> None:
    whole = everything(example)
    for b in range(example.inputs["query"].shape[0]):
        inputs = {name: array[b : b + 1] for name, array in example.inputs.items()}
        options = {
            name: option[b : b + 1] if name in OF_SEQUENCES and isinstance(option, np.ndarray) else option
            for name, option in example.options.items()
        }
        alone = everything(dataclasses.replace(example, inputs=inputs, options=options))
        alone = {name: array for name, array in alone.items() if name not in PER_HEAD}  # these sum over the batch
        assert same(alone, {name: whole[name][b : b + 1] for name in alone})  # NumPy multiplies matrix by matrix


def reversed_in_memory(array: Array) -> Array:
    """The same numbers with negative strides."""
    return np.ascontiguousarray(array[..., ::-1])[..., ::-1]


def in_other_order(array: Array) -> Array:
    """The same numbers with the axes of tokens and heads exchanged in memory, as projections give them."""
    return np.ascontiguousarray(array.swapaxes(1, 2)).swapaxes(1, 2)


def part_of_larger(array: Array) -> Array:
    """The same numbers inside a larger array, at an offset."""
    larger = np.full([size + 3 for size in array.shape], np.nan)
    place = tuple(slice(2, 2 + size) for size in array.shape)
    larger[place] = array
    return larger[place]


@pytest.mark.parametrize("view", [reversed_in_memory, in_other_order, np.asfortranarray, part_of_larger])
def test_memory_layout(example: Any, view: Any) -> None:
    inputs = {name: view(array) for name, array in example.inputs.items()}
    assert same(everything(dataclasses.replace(example, inputs=inputs)), everything(example))


def test_expanded_inputs(examples: dict[str, Any]) -> None:
    example = examples["window"]
    first = {name: array[:, :1] for name, array in example.inputs.items()}
    shape = example.inputs["query"].shape
    views = {name: np.broadcast_to(array, shape) for name, array in first.items()}
    copies = {name: np.repeat(array, shape[1], axis=1) for name, array in first.items()}
    assert same(
        everything(dataclasses.replace(example, inputs=views)), everything(dataclasses.replace(example, inputs=copies))
    )


def test_arguments_are_not_modified(example: Any) -> None:
    arrays = {**example.inputs, **{k: v for k, v in example.options.items() if isinstance(v, np.ndarray)}}
    before = {name: array.copy() for name, array in arrays.items()}
    found = everything(example)
    for array in found.values():
        array[...] = 7  # what is returned shares no memory with what was given
    assert same(arrays, before)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.longdouble])
def test_the_dtype_of_the_inputs_only_says_which_numbers_they_are(dtype: Any, examples: dict[str, Any]) -> None:
    example = examples["globals"]
    inputs = {name: array.astype(np.float16).astype(dtype) for name, array in example.inputs.items()}
    grad_output = np.ones(example.inputs["query"].shape)
    narrow = everything(dataclasses.replace(example, inputs=inputs), grad_output.astype(dtype))
    wide = {name: array.astype(np.float64) for name, array in inputs.items()}
    assert same(narrow, everything(dataclasses.replace(example, inputs=wide)))
    assert {array.dtype for array in narrow.values()} == {np.dtype(np.float64)}
