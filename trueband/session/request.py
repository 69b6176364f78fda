"""The request of a run of the checks, from the command, pytest, or a call."""

from __future__ import annotations

import os
from argparse import ArgumentTypeError
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import wraps
from inspect import Parameter, signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypedDict, TypeVar

from trueband.session.request_error import RequestError

if TYPE_CHECKING:  # pytest reads this before a target is loaded, whose process must not have the checks
    from trueband.properties.cases.shapes import Shape

OWN_KERNEL = "chunked"
OWN_MODELS = "trueband.witnesses.models:OptimizedModels"
FORMER_MODELS = "trueband.model_witness:OptimizedModels"  # in reproduce lines of earlier versions
SUITES = ("operator", "models", "golden")
TIERS = ("quick", "full", "nightly")
SECRET_BYTES = 6
F = TypeVar("F", bound=Callable[..., Any])


class Options(TypedDict, total=False):
    """The options of a request, beside the targets. `Request` has the meanings and the defaults."""

    tier: str
    cases: int | None
    dtypes: Collection[str] | str | None
    device: str
    seed: int | None
    select: str | None
    expected_failures: Mapping[str, Any] | str | Path | None
    gate: bool
    time_limit: float
    memory_limit: int | None
    shapes: Sequence[Shape | Mapping[str, int]] | str | Path


def positive(text: str) -> int:
    """An int >= 1 of a command line."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise ArgumentTypeError(f"expected an int >= 1, got {text!r}")
    return number


def option(flag: str, meaning: str, metavar: str | None = None, **parsed: Any) -> dict[str, Any]:
    """Declare a field that is an option of command lines, by its flag without dashes."""
    named = {} if metavar is None else {"metavar": metavar}
    return {"flag": flag, "argparse": {"help": meaning, **named, **parsed}}


TIER = """\
how much: quick, 1,500 random cases for each dtype, full, 10,000, or nightly, 100,000 (default: quick)"""
CASES = "random cases for each dtype, instead of the tier's"
DTYPE = "one of float64, float32, bfloat16 and float16, or several with commas (default: all that the target declares)"
SELECT = "checks whose name has EXPR in it; 'a or b', 'not a'"
EXPECTED_FAILURES = """\
known failures, JSON or TOML, {check: reason}: they still run, and one that passes is a failure (default: the file of a
shipped target)"""
GATE = """\
judge by cases that cannot be known in advance: the seed is secret until the end, and a second process is asked, too"""
MEMORY_LIMIT = "that calls may take beyond what the loaded target has (default: no limit)"
SHAPES = """\
sizes that must be checked, however long they take: JSON, a list of {"tokens": 4096, "window": 256, "heads": 12,
"head_dim": 64}"""


@dataclass(frozen=True)
class Request:
    """One run.

    Attributes:
        target: the kernel: a function, a `Target`, an import string, or a name of `trueband targets`.
        suites: some of `SUITES`.
        models: the models: a `ModelTarget`, the import string of a factory, or a name.
        tier: "quick", "full" or "nightly".
        cases: random cases for each dtype, instead of the tier's.
        dtypes: the dtypes to run; None: all that the target declares.
        device: where the kernel runs. Models run on the CPU.
        seed: the seed of the search for cases; None: 0, or a secret one with `gate`.
        select: checks to run: a part of their names, "a or b", "not a"; None: all that apply.
        expected_failures: `{check: reason}`, or the path of a JSON or TOML file of such. They still run; one that
            passes is a failure. None: those of a shipped target.
        gate: judge by cases that cannot be known in advance, and ask a second process of a kernel, too.
        time_limit: seconds for one call of a kernel.
        memory_limit: mebibytes that the calls of a kernel may take beyond what it has when it is loaded; None: any.
        shapes: the shapes of a kernel that must be checked, as `trueband.Shape(tokens, window, heads, head_dim)` or as
            such objects, or the path of a JSON file with a list of them. Other shapes are left out if they take too
            long.
    """

    target: Any = OWN_KERNEL
    suites: tuple[str, ...] = ("operator",)
    models: Any = OWN_MODELS
    tier: str = field(default="quick", metadata=option("tier", TIER, choices=TIERS))
    cases: int | None = field(default=None, metadata=option("cases", CASES, "N", type=positive))
    dtypes: Collection[str] | str | None = field(
        default=None, metadata=option("dtype", DTYPE, "DTYPE", action="append")
    )
    device: str = field(default="cpu", metadata=option("device", "where the target runs, such as cuda (default: cpu)"))
    seed: int | None = field(
        default=None, metadata=option("seed", "seed of the search for cases (default: 0)", "S", type=int)
    )
    select: str | None = field(default=None, metadata=option("select", SELECT, "EXPR"))
    expected_failures: Mapping[str, Any] | str | Path | None = field(
        default=None, metadata=option("expected-failures", EXPECTED_FAILURES, "FILE", type=Path)
    )
    gate: bool = field(default=False, metadata=option("gate", GATE, action="store_true"))
    time_limit: float = field(
        default=60.0, metadata=option("time-limit", "for one call of the target (default: 60)", "SECONDS", type=float)
    )
    memory_limit: int | None = field(default=None, metadata=option("memory-limit", MEMORY_LIMIT, "MIB", type=positive))
    shapes: Sequence[Shape | Mapping[str, int]] | str | Path = field(
        default=(), metadata=option("shapes", SHAPES, "FILE", type=Path)
    )

    def __post_init__(self) -> None:
        if self.gate and self.seed is not None:
            raise RequestError("{seed} cannot be used with {gate}: a gate draws its own seed, which is secret")
        if self.suites == ("models",) and self.device != "cpu":
            raise RequestError("{device}: expected cpu for models, got {value!r}", value=self.device)

    @classmethod
    def of(cls, target: Any, **options: Any) -> Self:
        """The request of a kernel, or of a `ModelTarget`."""
        from trueband.properties.models.target import ModelTarget

        if isinstance(target, ModelTarget):
            return cls(models=target, suites=("models",), **options)
        return cls(target=target, **options)

    def draw_seed(self) -> int:
        """The seed of a run: the one asked for, else 0, and a secret one for a gate."""
        return int.from_bytes(os.urandom(SECRET_BYTES)) if self.gate else self.seed or 0

    @property
    def dtype_names(self) -> tuple[str, ...]:
        """`"float32,float16"` means two names."""
        dtypes = [self.dtypes] if isinstance(self.dtypes, str) else self.dtypes or ()
        return tuple(dict.fromkeys(name for words in dtypes for name in words.split(",") if name))


def add_options(add: Callable[..., Any], prefix: str = "--", **others: Sequence[str]) -> None:
    """Give a parser the options of a request. What is parsed has the name of the field, behind that of the prefix.

    Args:
        add: its method `add_argument`, or what takes the same.
        others: for some fields, other flags than the prefix and their own.
    """
    for option in fields(Request):
        if option.metadata:
            destination = "_".join(filter(None, (prefix.strip("-"), option.name)))
            named = others.get(option.name, (prefix + option.metadata["flag"],))
            add(*named, dest=destination, default=option.default, **option.metadata["argparse"])


def flags(prefix: str = "--", **other: str) -> dict[str, str]:
    """The flag of every field that is an option, for messages."""
    return {option.name: prefix + option.metadata["flag"] for option in fields(Request) if option.metadata} | other


def takes_options(function: F) -> F:
    """Decorate a function that takes `**options`: `help` shows each with its default, and another is a TypeError.

    "{options}" in the docstring becomes what `Request` says of them.
    """
    named = {option.name: option for option in fields(Request) if option.metadata}
    positional = signature(function).parameters.values()
    own = [parameter for parameter in positional if parameter.kind is not Parameter.VAR_KEYWORD]

    @wraps(function)
    def checked(*arguments: Any, **options: Any) -> Any:
        unknown = options.keys() - named.keys() - {parameter.name for parameter in own}
        if unknown:
            names = ", ".join(sorted(unknown))
            raise TypeError(f"{function.__name__}: expected some of {', '.join(named)}, got {names}")
        return function(*arguments, **options)

    parameters = [
        Parameter(option.name, Parameter.KEYWORD_ONLY, default=option.default, annotation=option.type)
        for option in named.values()
    ]
    checked.__signature__ = signature(function).replace(parameters=[*own, *parameters])  # type: ignore[attr-defined]
    checked.__doc__ = (function.__doc__ or "").replace("        {options}\n", _meanings(named))
    return checked  # type: ignore[return-value]


def _meanings(names: Collection[str]) -> str:
    """The lines about these attributes in the docstring of `Request`."""
    lines, kept = (Request.__doc__ or "").partition("Attributes:\n")[2].splitlines(), []
    wanted = False
    for line in lines:
        if line.startswith(" " * 8) and not line.startswith(" " * 9):
            wanted = line.split(":")[0].strip() in names
        if wanted and line.strip():
            kept.append(line)
    return "\n".join(kept) + "\n"
