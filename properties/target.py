"""A target: a kernel under test, and what it declares it can do. It never declares a tolerance."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from trueband.properties.bounds.precision import DTYPES

FEATURES = {
    "padding": "takes attention_mask",
    "globals": "takes global_attention_mask",
    "separate_globals": "takes query_global, key_global, value_global",
    "causal": "takes causal",
    "dilation": "takes dilation",
    "dilation_per_head": "takes one dilation for each head",
    "head_mask": "takes head_mask",
    "scale": "takes scale",
    "backward": "has gradients",
    "batch_invariant": "a row's result is the same, bit for bit, in every batch",
    "nan_local": "a non-finite value reaches no row that does not attend it",
    "validation": "rejects bad input with the contract's errors",
}
# What a plain callable claims by taking an argument of the contract.
_BY_ARGUMENT = {
    "attention_mask": ("padding",),
    "global_attention_mask": ("globals",),
    "query_global": ("separate_globals",),
    "causal": ("causal",),
    "dilation": ("dilation", "dilation_per_head"),
    "head_mask": ("head_mask",),
    "scale": ("scale",),
}
LIBRARIES = ("torch", "numpy")


class TargetError(ValueError):
    """The target cannot be imported, or declares what does not exist."""


@dataclass(frozen=True)
class Target:
    """A kernel with the contract's signature, and its declarations.

    Attributes:
        function: `function(query, key, value, *, window, ...)` -> output, all (b, h, n, d).
        dtypes: it accepts, of float64, float32, bfloat16, float16.
        features: it has, of `FEATURES`; None: read off its signature.
        library: of the arrays it takes and returns, "torch" or "numpy"; None: torch if its module imports torch.
        gradients: for a numpy kernel, `gradients(query, key, value, grad_output, *, window, ...)` -> {name: array}.
            A torch kernel is differentiated by autograd.
        name: for reports; None: that of the function.
    """

    function: Callable[..., Any]
    dtypes: tuple[str, ...] = ("float32",)
    features: frozenset[str] | None = None
    library: str | None = None
    gradients: Callable[..., Any] | None = None
    name: str | None = field(default=None)

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise TargetError(f"target: expected a callable, got {type(self.function).__name__}")
        object.__setattr__(self, "dtypes", tuple(self.dtypes))
        _known("dtypes", self.dtypes, DTYPES)
        if self.features is not None:
            object.__setattr__(self, "features", frozenset(self.features))
            _known("features", self.features, FEATURES)
        if self.library is not None:
            _known("library", (self.library,), LIBRARIES)

    def resolved(self) -> Target:
        """The same target with nothing left to infer, except whether a torch kernel has gradients."""
        library = self.library or _library(self.function)
        features = self.features
        if features is None:
            features = _features(self.function) | ({"backward"} if self.gradients else set())
        name = self.name or getattr(self.function, "__name__", type(self.function).__name__)
        return replace(self, library=library, features=features, name=name)


def load_target(spec: str) -> Target:
    """The target named by `package.module:callable` or `path/file.py:callable`.

    Raises:
        TargetError: one line that says what cannot be found, imported or used.
    """
    place, separator, attribute = spec.rpartition(":")
    if not separator or not place or not attribute:
        raise TargetError(f"target: expected module:callable or file.py:callable, got {spec!r}")
    module = _module(place)
    found: Any = module
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise TargetError(f"target: expected a callable {attribute!r} in {place}, got none of that name")
        found = getattr(found, part)
    return found if isinstance(found, Target) else Target(found)


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
    """Features that a signature claims; `**kwargs` claims them all."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return frozenset()
    takes_all = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    names = {parameter.name for parameter in parameters}
    claimed = [features for name, features in _BY_ARGUMENT.items() if takes_all or name in names]
    return frozenset(feature for features in claimed for feature in features)


def _library(function: Callable[..., Any]) -> str:
    """torch if the module of the function uses torch, numpy if it uses numpy only, torch if one cannot tell."""
    names = {
        value.__name__.partition(".")[0]
        for value in getattr(inspect.unwrap(function), "__globals__", {}).values()
        if isinstance(value, ModuleType)
    }
    return "numpy" if "numpy" in names and "torch" not in names else "torch"


def _known(name: str, values: Iterable[str], allowed: Iterable[str]) -> None:
    unknown = sorted(set(values) - set(allowed))
    if unknown:
        raise TargetError(f"{name}: expected some of {', '.join(allowed)}, got {', '.join(unknown)}")
