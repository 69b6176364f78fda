"""A target is a kernel under test and what it declares it can do. It never declares a tolerance."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from trueband.properties.bounds.precision import ACCUMULATORS, DTYPES
from trueband.properties.candidate.sharding import PROCESS_GROUPS, SHARDINGS
from trueband.properties.cases.limits import Limits, Sizes
from trueband.properties.cases.shapes import Shape, demanded, shapes_of

FEATURES = {
    "padding": "takes attention_mask",
    "globals": "takes global_attention_mask",
    "separate_globals": "takes query_global, key_global, value_global",
    "causal": "takes causal",
    "causal_only": "attends no later token, and is never given causal to say so",
    "dilation": "takes dilation",
    "dilation_per_head": "takes one dilation for each head",
    "head_mask": "takes head_mask",
    "scale": "takes scale",
    "backward": "has gradients",
    "head_mask_gradient": "has the gradient of head_mask, too",
    "deterministic": "the same call gives the same, bit for bit, with gradients and without: a row depends on nothing "
    "but the shapes, masks and options, where the arrays lie modulo 64 bytes, and the numbers that it attends",
    "deterministic_gradients": "the same call gives the same gradients, bit for bit: each depends on nothing but the "
    "shapes, masks and options, which gradients are asked for, where the arrays lie modulo 64 bytes, and the numbers "
    "that count for it",
    "batch_invariant": "a row gives the same, bit for bit, in every batch, at every place in it and wherever its "
    "numbers lie; deterministic, too",
    "nan_local": "a non-finite value reaches no row that does not attend it",
    "any_window": "takes a window of 0 (as every target that does not declare its windows in sizes)",
    "limits": "declares what it does not take, and refuses that (declared by sizes and padding)",
    "strided": "takes arrays of any strides (follows from its library: torch, numpy)",
    "autograd": "is differentiated by its library, from its output on (follows from it: torch, jax)",
    "packed": "takes sequences one after another, (total, heads, dim), with cu_seqlens (follows from its layout)",
    "accumulates": "adds gradients to those that are there (follows from its library: torch)",
    "streams": "is called on other streams than the default one (follows from its device: cuda, with torch)",
    "capturable": "can be recorded in a CUDA graph: what it launches depends on nothing but shapes and options",
    "validation": "rejects bad input with the contract's errors",
    "nan_padding": "takes NaN and infinity in masked tokens, which change nothing (every target takes finite numbers)",
    "gqa": "takes fewer heads of keys and values than of queries, of which each serves a group",
    "value_dim": "takes values of another head dim than that of queries and keys",
    "asymmetric": "takes a window of two limits, (left, right)",
    "unlimited_side": "takes a window of two limits in which None is no limit",
    "offset": "takes offset, an int: queries that stand elsewhere than at the first keys, more or fewer than these",
    "offset_per_row": "takes one offset for each row of the batch",
    "bottom_right": "takes fewer queries than keys: they are the last ones, and it is never given an offset to say so",
    "segments": "takes segments",
    "softcap": "takes softcap",
    "sinks": "takes sinks",
    "sinks_gradient": "has the gradient of sinks, too",
    "slopes": "takes slopes",
    "slopes_gradient": "has the gradient of slopes, too",
    "lse": "takes return_lse, and returns (output, lse) then",
    "lse_gradient": "has gradients through lse, too",
    "ranks": "runs on several ranks, each with its shard of the tokens (follows from its ranks)",
    "empty_shards": "takes a shard of no tokens",
}
# What a plain callable claims by taking an argument of the contract.
BY_ARGUMENT = {
    "attention_mask": ("padding",),
    "global_attention_mask": ("globals",),
    "query_global": ("separate_globals",),
    "causal": ("causal",),
    "dilation": ("dilation", "dilation_per_head"),
    "head_mask": ("head_mask", "head_mask_gradient"),
    "scale": ("scale",),
    "offset": ("offset", "offset_per_row"),
    "segments": ("segments",),
    "softcap": ("softcap",),
    "sinks": ("sinks", "sinks_gradient"),
    "slopes": ("slopes", "slopes_gradient"),
    "return_lse": ("lse", "lse_gradient"),
}
PACKED = "packed"
# What a device shows. The first follows from it; the second is no part of the contract, and is declared by who has it.
OF_DEVICES = frozenset({"streams", "capturable"})
RANKED = "ranks"
# What the second edition of the contract has added. A target may have any of it.
EXTENSIONS = frozenset(
    {
        *("gqa", "value_dim", "asymmetric", "unlimited_side", "offset", "offset_per_row", "bottom_right", "segments"),
        *("softcap", "sinks", "sinks_gradient", "slopes", "slopes_gradient", "lse", "lse_gradient"),
    }
)
# What follows from the library, declared or not.
_BY_LIBRARY = {
    "torch": frozenset({"strided", "autograd", "accumulates"}),
    "numpy": frozenset({"strided"}),
    "jax": frozenset({"autograd"}),
}
# The features of a kernel that implements the contract but for its extensions; one that is `causal_only` has less.
WHOLE_CONTRACT = frozenset(FEATURES) - EXTENSIONS - OF_DEVICES - {"causal_only", PACKED, RANKED, "empty_shards"}
# A kernel that implements all of it.
SECOND_EDITION = WHOLE_CONTRACT | EXTENSIONS - {"bottom_right"}
# Causal attention has no global tokens: a target that is always causal cannot have these features.
NOT_CAUSAL = ("globals", "separate_globals")
# Packed arrays have no place for these.
UNPACKED = frozenset({"globals", "separate_globals", "segments", "validation", "nan_padding"})
# Where ranks have shards, `offset` is the first token of a shard, and the judge deals copies of what it checks.
UNRANKED = frozenset({"offset", "offset_per_row", "bottom_right", "validation", "strided", "accumulates"})
LIBRARIES = tuple(_BY_LIBRARY)
LAYOUTS = ("bhnd", "bnhd", PACKED)


class TargetError(ValueError):
    """The target cannot be imported, or declares what does not exist."""


@dataclass(frozen=True)
class Target:
    """A kernel with the contract's signature, and its declarations.

    Attributes:
        function: `function(query, key, value, *, window, ...)` -> output, all (b, h, n, d), or (b, n, h, d) with
            layout "bnhd". With layout "packed" query and output are (total, h, d), key and value (total, k, d), lse is
            (total, h): the real tokens of all sequences, one after another. cu_seqlens_q and cu_seqlens_k, (b + 1,)
            int32, max_seqlen_q and max_seqlen_k are passed in place of attention_mask.
        dtypes: the dtypes that it accepts, of float64, float32, bfloat16, float16.
        features: the features that it has, of `FEATURES`; None: those that its signature shows, and deterministic,
            gradients included. A kernel that adds in another order in every call (atomics, split keys, threads) names
            its features without "deterministic", or without "deterministic_gradients" if only its backward pass does.
        library: the library of its arrays, "torch", "numpy" or "jax"; None: the one that the module of the function
            imports, torch if it imports none.
        gradients: for a numpy kernel, `gradients(query, key, value, grad_output, *, window, ...)` -> {name: array}.
            A torch kernel is differentiated by autograd, a jax kernel by `jax.vjp`.
        name: its name in reports; None: that of the function.
        layout: the layout of query, key, value, their global counterparts, the output and the gradients: "bhnd",
            "bnhd" or "packed".
        devices: the devices that it runs on, such as ("cpu", "cuda"); None: any.
        stored_scores: the format in which it stores its scores between the operations on them, such as "bfloat16" for
            an eager model; None: it does not. The bound is computed from it.
        accumulators: {dtype: format of its sums and its softmax}, one of float64, float32, tf32, bfloat16, float16,
            for the dtypes where it is not the contract's: float32, and float64 for float64. It says what is rounded;
            the bound is computed from it. "tf32": float32, with the factors of matrix products cut to tf32.
        sizes: {name: Sizes} for what it does not take in every size: batch, heads, tokens, head_dim, window,
            dilation, globals (flagged tokens of a sequence). `Sizes(multiple=64)`, `Sizes(only=(64, 128))`,
            `Sizes(least=1, most=512)`. It must raise for all others.
        shapes: sizes that must be checked, whatever they take, as `trueband.Shape(tokens, window, heads, head_dim,
            batch)`; others are checked as far as the time for a call reaches.
        padding: "any"; or "right": masked tokens only follow the real ones.
        ranks: numbers of ranks, such as (1, 2, 4): so many processes of torch.distributed on this machine, each with
            its shard of the tokens, which is called with `offset`, `tokens` and `group`, too (docs/ranks.md); (): it
            is called with whole arrays.
        process_group: "gloo"; "nccl", with a GPU for each rank; or "threads" of one process, for small studies.
        sharding: "contiguous", or "zigzag": rank r has pieces r and 2 ranks - 1 - r of twice as many.
    """

    function: Callable[..., Any]
    dtypes: tuple[str, ...] = ("float32",)
    features: frozenset[str] | None = None
    library: str | None = None
    gradients: Callable[..., Any] | None = None
    name: str | None = field(default=None)
    layout: str = "bhnd"
    devices: tuple[str, ...] | None = None
    accumulators: Mapping[str, str] = field(default_factory=dict, hash=False)
    sizes: Mapping[str, Sizes] = field(default_factory=dict, hash=False)
    padding: str = "any"
    shapes: tuple[Shape, ...] = ()
    stored_scores: str | None = None
    ranks: tuple[int, ...] = ()
    process_group: str = "gloo"
    sharding: str = "contiguous"

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise TargetError(f"target: expected a callable, got {type(self.function).__name__}")
        if self.gradients is not None and not callable(self.gradients):
            raise TargetError(f"gradients: expected a callable, got {type(self.gradients).__name__}")
        object.__setattr__(self, "dtypes", _names("dtypes", self.dtypes, DTYPES))
        if not self.dtypes:
            raise TargetError(f"dtypes: expected some of {', '.join(DTYPES)}, got none")
        if self.features is not None:
            object.__setattr__(self, "features", frozenset(_names("features", self.features, FEATURES)))
            if both := [name for name in NOT_CAUSAL if name in self.features and "causal_only" in self.features]:
                raise TargetError(f"features: expected causal_only without {both[0]} (not defined together), got both")
        if self.library is not None:
            _names("library", (self.library,), LIBRARIES)
        _names("layout", (self.layout,), LAYOUTS)
        if self.devices is not None:
            object.__setattr__(self, "devices", _names("devices", self.devices, None))
        if not isinstance(self.accumulators, Mapping):
            raise TargetError(f"accumulators: expected {{dtype: format}}, got {type(self.accumulators).__name__}")
        _names("accumulators", self.accumulators, self.dtypes)
        _names("accumulators", self.accumulators.values(), ACCUMULATORS)
        if self.stored_scores is not None:
            _names("stored_scores", (self.stored_scores,), DTYPES)
        self._check_ranks()
        try:
            object.__setattr__(self, "shapes", tuple(demanded(shapes_of(self.shapes or ()), self.limits)))
        except ValueError as error:
            raise TargetError(str(error)) from error

    def _check_ranks(self) -> None:
        """Refuse ranks that are none, and what does not go with ranks."""
        _names("process_group", (self.process_group,), PROCESS_GROUPS)
        _names("sharding", (self.sharding,), SHARDINGS)
        counts = tuple(self.ranks) if isinstance(self.ranks, tuple | list) else self.ranks
        if not isinstance(counts, tuple) or any(type(count) is not int or count < 1 for count in counts):
            raise TargetError(f"ranks: expected ints >= 1, such as (1, 2, 4), got {self.ranks!r}")
        if len(set(counts)) < len(counts):
            raise TargetError(f"ranks: expected each number once, got {counts}")
        object.__setattr__(self, "ranks", counts)
        if not counts and (self.process_group, self.sharding) != (PROCESS_GROUPS[0], SHARDINGS[0]):
            raise TargetError("ranks: expected some, such as (1, 2, 4), with a process_group or sharding, got none")
        if not counts:
            if self.features and (both := self.features & {RANKED, "empty_shards"}):
                raise TargetError(f"features: expected ranks with the feature {min(both)}, got none")
            return
        features = self.features or frozenset()
        library = self.library or _library(self.function)
        if library != "torch":
            raise TargetError(f"ranks: expected a torch target with ranks, got library {library!r}")
        if self.gradients is not None:
            raise TargetError("ranks: expected a target that autograd differentiates, got ranks with gradients")
        if self.layout == PACKED:
            raise TargetError("ranks: expected layout 'bhnd' or 'bnhd' with ranks, got layout 'packed'")
        if refused := sorted(features & (UNRANKED - {"strided", "accumulates"})):
            raise TargetError(f"ranks: expected a target without the feature {refused[0]} with ranks, got both")
        if 1 not in counts and "empty_shards" not in features:
            raise TargetError(f"ranks: expected 1 among them without the feature empty_shards, got {counts}")

    @property
    def limits(self) -> Limits:
        """The limits that it declares."""
        return Limits(self.sizes, "right" if self.layout == PACKED else self.padding)

    def resolved(self) -> Target:
        """Return the same target with nothing left to infer, except whether a torch kernel has gradients."""
        library = self.library or _library(self.function)
        features = self.features
        if features is None:
            features = _features(self.function) | {"deterministic", "deterministic_gradients"}
            features |= {"backward"} if self.gradients else set()
        features = features | {"deterministic"} if "batch_invariant" in features else features
        features = features | {"causal"} if "causal_only" in features else features
        derived = {"any_window": self.limits.of("window").takes(0), "limits": bool(self.limits)}
        features = features - derived.keys() | {name for name, holds in derived.items() if holds}
        of_library = _BY_LIBRARY[library] - ({"autograd", "accumulates"} if self.gradients else set())
        features = features - frozenset({"streams"}).union(*_BY_LIBRARY.values()) | of_library
        if self.layout == PACKED:  # the judge packs
            features = features - UNPACKED | {"padding", "packed"}
        features = features - UNRANKED | {RANKED} if self.ranks else features - {RANKED, "empty_shards"}
        features = features | {"asymmetric"} if "unlimited_side" in features else features
        features = features | {"offset"} if "offset_per_row" in features else features
        name = self.name or getattr(self.function, "__name__", type(self.function).__name__)
        return replace(self, library=library, features=features, name=name)


def load_target(spec: str) -> Target:
    """Load the target named by `package.module:callable` or `path/file.py:callable`.

    Raises:
        TargetError: it cannot be found, imported or used; the message is one line.
    """
    loaded = load_attribute(spec)
    return loaded if isinstance(loaded, Target) else Target(loaded)


def load_attribute(spec: str) -> Any:
    """Load what `package.module:attribute` or `path/file.py:attribute` names. Raises TargetError."""
    place, separator, attribute = spec.rpartition(":")
    if not separator or not place or not attribute:
        raise TargetError(f"target: expected module:callable or file.py:callable, got {spec!r}")
    module = _module(place)
    value: Any = module
    for part in attribute.split("."):
        if not hasattr(value, part):
            raise TargetError(f"target: expected a callable {attribute!r} in {place}, got none of that name")
        value = getattr(value, part)
    return value


def _module(place: str) -> ModuleType:
    try:
        if not place.endswith(".py"):
            if "" not in sys.path:
                sys.path.insert(0, "")
            return importlib.import_module(place)
        path = Path(place).resolve()
        if not path.is_file():
            raise TargetError(f"target: expected a file, got {place!r}, which does not exist")
        sys.path.insert(0, str(path.parent))
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules.setdefault(path.stem, module)
        spec.loader.exec_module(module)
        return module
    except TargetError:
        raise
    except BaseException as error:
        reason = " ".join(str(error).split())
        raise TargetError(f"target: cannot import {place}: {type(error).__name__}: {reason}") from error


def _features(function: Callable[..., Any]) -> frozenset[str]:
    """Return the features that a signature claims; `**kwargs` claims none."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return frozenset()
    names = {parameter.name for parameter in parameters if parameter.kind is not parameter.VAR_KEYWORD}
    claimed = [features for name, features in BY_ARGUMENT.items() if name in names]
    return frozenset(feature for features in claimed for feature in features)


def _library(function: Callable[..., Any]) -> str:
    """Return the library that the module of the function uses: torch, else jax, else numpy; torch if none."""
    names = {
        value.__name__.partition(".")[0]
        for value in getattr(inspect.unwrap(function), "__globals__", {}).values()
        if isinstance(value, ModuleType)
    }
    if "torch" in names:
        return "torch"
    return next((library for library in ("jax", "numpy") if library in names), "torch")


def _names(name: str, values: Iterable[str], allowed: Iterable[str] | None) -> tuple[str, ...]:
    """Return the values as a tuple of strings, after a check that all are allowed (None: any)."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise TargetError(f"{name}: expected a collection of names, got {values!r}")
    names = tuple(values)
    wrong = [str(value) for value in names if not isinstance(value, str) or not value]
    wrong = wrong or sorted(set(names) - set(names if allowed is None else allowed))
    if wrong:
        expected = "names" if allowed is None else f"some of {', '.join(allowed)}"
        raise TargetError(f"{name}: expected {expected}, got {', '.join(wrong)}")
    return names
