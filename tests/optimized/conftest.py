"""Cases for the optimized operator and models: drawn once in NumPy, given to both witnesses."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from trueband.properties.bounds import Bound, Precision, round_to
from trueband.properties.bounds.losses import (
    binary_cross_entropy_bound,
    cross_entropy_bound,
    mean_squared_error_bound,
)
from trueband.properties.bounds.variance import Moments, sigma_bound
from trueband.properties.results.verdict import judge
from trueband.reference.arguments import Arguments, check_arguments

Array = NDArray[Any]
GLOBALS = ("query_global", "key_global", "value_global")


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    """Every test starts from the same random state, on one thread (tests run side by side), and leaves no trace."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(20)
        yield
    torch.set_num_threads(threads)


@dataclass
class Case:
    """One call of the operator, in float64 arrays that hold values of the grid of `dtype`."""

    dtype: str
    inputs: dict[str, Array]
    options: dict[str, Any]
    grad_output: Array
    leaves: dict[str, Tensor] = field(default_factory=dict)

    def torch_call(self) -> tuple[tuple[Tensor, Tensor, Tensor], dict[str, Any]]:
        """Positional and keyword arguments for the optimized operator; `leaves` holds what has a gradient."""
        dtype = getattr(torch, self.dtype)
        self.leaves = {name: torch.tensor(array, dtype=dtype) for name, array in self.inputs.items()}
        options = dict(self.options)
        for name in ("attention_mask", "global_attention_mask"):
            if name in options:
                options[name] = torch.tensor(options[name])
        if "head_mask" in options:
            self.leaves["head_mask"] = torch.tensor(options.pop("head_mask"), dtype=dtype)
        for leaf in self.leaves.values():
            leaf.requires_grad_()
        rest = {name: leaf for name, leaf in self.leaves.items() if name not in ("query", "key", "value")}
        return (self.leaves["query"], self.leaves["key"], self.leaves["value"]), {**options, **rest}

    @property
    def keywords(self) -> dict[str, Any]:
        """Keyword arguments for the reference."""
        return {**{name: self.inputs[name] for name in GLOBALS if name in self.inputs}, **self.options}

    @property
    def positional(self) -> tuple[Array, Array, Array]:
        return self.inputs["query"], self.inputs["key"], self.inputs["value"]

    def checked(self) -> Arguments:
        return check_arguments(*self.positional, **self.keywords)


LENGTHS = (1, 2, 3, 17, 64, 129, 150, 257)
WINDOWS = (0, 1, 2, 5, 40, 127, 300)


@pytest.fixture(scope="session")
def draw_case() -> Callable[[int, str], Case]:
    """A case of the whole space of arguments, decided by an integer seed and a dtype."""

    def draw(seed: int, dtype: str) -> Case:
        rng = np.random.default_rng([seed, *dtype.encode()])
        heads, tokens = int(rng.integers(1, 5)), int(rng.choice(LENGTHS))
        shape = (int(rng.integers(1, 4)), heads, tokens, int(rng.choice([1, 3, 8])))

        def normal(*size: int) -> Array:
            return round_to(rng.normal(size=size), dtype)

        inputs = {name: normal(*shape) for name in ("query", "key", "value")}
        options: dict[str, Any] = {"window": int(rng.choice(WINDOWS))}
        per_head = [int(each) for each in rng.integers(1, 5, heads)]
        options["dilation"] = [1, 1, int(rng.integers(1, 6)), per_head][rng.integers(4)]
        if rng.random() < 0.6:
            options["attention_mask"] = rng.random((shape[0], tokens)) < rng.choice([0.1, 0.5, 0.9])
        if rng.random() < 0.6:
            options["global_attention_mask"] = rng.random((shape[0], tokens)) < rng.choice([0.02, 0.3, 1.0])
            inputs.update({name: normal(*shape) for name in GLOBALS if rng.random() < 0.6})
        else:
            options["causal"] = bool(rng.random() < 0.5)
        if rng.random() < 0.4:
            options["head_mask"] = normal(heads)
        if rng.random() < 0.3:
            options["scale"] = 0.75
        return Case(dtype, inputs, options, normal(*shape))

    return draw


SMALL = {
    "vocab_size": 40,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 32,
    "max_position_embeddings": 60,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-5,
}


@pytest.fixture(scope="session")
def small() -> dict[str, Any]:
    """Sizes of a small model, for this project's configurations and for the peer's."""
    return dict(SMALL)


@pytest.fixture(scope="session")
def randomize() -> Callable[[torch.nn.Module], Any]:
    """Weights large enough that attention is far from uniform and nothing is 0 or 1 by default."""

    def fill(model: torch.nn.Module) -> torch.nn.Module:
        generator = torch.Generator().manual_seed(7)
        with torch.no_grad():
            for name, weight in model.named_parameters():
                noise = torch.randn(weight.shape, generator=generator, dtype=torch.float64).to(weight.dtype)
                if "LayerNorm.weight" in name or "layer_norm.weight" in name:
                    weight.copy_(1 + 0.2 * noise)
                else:
                    weight.copy_((0.5 if weight.ndim == 2 else 0.1) * noise)
        return model.eval()

    return fill


@pytest.fixture(scope="session")
def state_of() -> Callable[[torch.nn.Module], dict[str, Array]]:
    """The state dict for the reference."""
    return lambda model: {name: tensor.double().numpy() for name, tensor in model.state_dict().items()}


@dataclass
class Batch:
    """ids, labels (b, n) int64; masks (b, n) int64: padding on the right, on the left, and in the middle."""

    ids: Tensor
    mask: Tensor
    global_mask: Tensor
    labels: Tensor


@pytest.fixture
def batch() -> Batch:
    ids = torch.randint(3, 40, (4, 13), generator=torch.Generator().manual_seed(3))
    ids[0, 9:], ids[1, :4] = 1, 1
    mask = (ids != 1).long()
    mask[2, 5] = 0
    global_mask = torch.zeros_like(ids)
    global_mask[0, 0] = global_mask[1, 6] = global_mask[1, 12] = global_mask[2, 0] = 1
    global_mask[0, 11] = global_mask[1, 0] = 1  # on masked tokens: dropped
    labels = ids.clone()
    labels[:, ::3] = -100
    return Batch(ids, mask, global_mask, labels)


LED_SIZES: dict[str, Any] = {
    "vocab_size": 40,
    "d_model": 16,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 24,
    "max_encoder_position_embeddings": 64,
    "max_decoder_position_embeddings": 48,
}


@pytest.fixture(scope="session")
def small_led() -> dict[str, Any]:
    """Sizes of a small LED, for this project's configuration and for the peer's."""
    return dict(LED_SIZES)


Run = Callable[[torch.nn.Module], dict[str, Tensor]]


def bounds_on_gradients(model: torch.nn.Module, run: Run, dtype: str) -> dict[str, Bound]:
    """Bounds on the difference of gradients of two implementations; no moments are carried backwards.

    Instead, an argument: a computed sum of k terms is the exact one of terms that are moved by k u relative at most
    (backward error analysis; k: the longest sum, of 52 tokens). In sums of products with a weight the weight is moved;
    in those over tokens that the gradients of weights are, the gradient of a layer's output, number by number: what a
    sum may be off by goes with its terms, not with what they cancel to. The exact gradients of a float64 model in which
    all are moved by that much, up or down at random, differ from its own by sigma in the root mean square of eight
    draws. 8 sigma is the bound, with 8 roundings of the result itself.
    u: unit roundoff of `dtype`.
    """
    unit, draws, longest = float(torch.finfo(getattr(torch, dtype)).eps) / 2, 8, 52
    base = run(model)
    squares = {name: torch.zeros_like(value) for name, value in base.items()}
    generator = torch.Generator().manual_seed(11)

    def factor(like: Tensor) -> Tensor:
        return 1 + longest * unit * (torch.randint(0, 2, like.shape, generator=generator).double() * 2 - 1)

    def move_gradient(_: torch.nn.Module, __: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.requires_grad:
            output.register_hook(lambda gradient: gradient * factor(gradient))

    for _ in range(draws):
        other = copy.deepcopy(model)
        for layer in other.modules():
            if any(True for _ in layer.parameters(recurse=False)):
                layer.register_forward_hook(move_gradient)
        with torch.no_grad():
            for weight in other.parameters():
                weight.mul_(factor(weight))
        for name, value in run(other).items():
            squares[name] += (value - base[name]) ** 2
    return {
        name: Bound(
            {
                "8 sigma of moved terms": 8 * (total / draws).sqrt().detach().numpy(),
                "its rounding": 8 * unit * base[name].detach().abs().numpy(),
            }
        )
        for name, total in squares.items()
    }


@pytest.fixture(scope="session")
def gradient_bounds() -> Callable[[torch.nn.Module, Run, str], dict[str, Bound]]:
    return bounds_on_gradients


@pytest.fixture(scope="session")
def sigmas() -> Callable[..., dict[str, Bound]]:
    """8 sigma of every result of one implementation; of two: of their difference. `Moments` by name."""

    def bounds(first: dict[str, Moments], *others: dict[str, Moments]) -> dict[str, Bound]:
        return {name: sigma_bound(own, *(each[name] for each in others)) for name, own in first.items()}

    return bounds


@pytest.fixture(scope="session")
def classification_bound() -> Callable[[Array, Array, Precision, Bound], Bound]:
    """Bound on the loss of a sequence classification, whose kind follows from the labels: logits (b, C)."""

    def bound(logits: Array, labels: Array, precision: Precision, error: Bound) -> Bound:
        if labels.dtype == np.int64:
            return cross_entropy_bound(logits, len(labels), precision, error)
        if set(labels.flat) <= {0.0, 1.0}:
            return binary_cross_entropy_bound(logits, precision, error)
        return mean_squared_error_bound(logits, labels.reshape(logits.shape), precision, error)

    return bound


@pytest.fixture(scope="session")
def same() -> Callable[[dict[str, Tensor], dict[str, Any], dict[str, Bound]], None]:
    """Every result is there on both sides, in one shape, within its bound."""

    def check(ours: dict[str, Tensor], theirs: dict[str, Any], bounds: dict[str, Bound]) -> None:
        assert ours.keys() == theirs.keys()
        assert not ours.keys() - bounds.keys()
        for name, value in ours.items():
            expected = theirs[name].detach().double().numpy() if isinstance(theirs[name], Tensor) else theirs[name]
            verdict = judge(value.detach().double().numpy(), expected, bounds[name], name)
            assert verdict.passed, str(verdict)

    return check


@pytest.fixture(scope="session")
def flat() -> Callable[..., dict[str, Tensor]]:
    """The tensors of a model's output by name, "attentions.0" for one; without caches."""

    def collect(output: Any, *left_out: str) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        fields = dict(output.items()) if hasattr(output, "items") else vars(output)
        for name, value in fields.items():
            if isinstance(value, Tensor) and name not in left_out:
                found[name] = value
            elif isinstance(value, tuple) and name not in left_out:
                found |= {f"{name}.{i}": each for i, each in enumerate(value)}
        return found

    return collect
