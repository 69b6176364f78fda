"""Writes an adapter to paste for a kernel that does not take the contract's arguments."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from trueband.properties.candidate.packing import ARGUMENTS
from trueband.properties.candidate.synonyms import FILLINGS, Filling, layout_in
from trueband.properties.candidate.target import BY_ARGUMENT, Target, TargetError
from trueband.properties.candidate.target import PACKED as PACKED_LAYOUT

TENSORS = ("query", "key", "value")
SEPARATE = ("query_global", "key_global", "value_global")
OPTIONS = {
    "attention_mask": "None",
    "global_attention_mask": "None",
    **dict.fromkeys(SEPARATE, "None"),
    "dilation": "1",
    "causal": "False",
    "head_mask": "None",
    "scale": "None",
    "offset": "0",
    "segments": "None",
    "softcap": "None",
    "sinks": "None",
    "slopes": "None",
    "return_lse": "False",
}
OF_RANKS = ("offset", "tokens", "group")
PACKED = ("qkv", "qkv_packed", "packed_qkv")
STARTS = "starts"  # how the adapter calls cu_seqlens
# Packs the real tokens of a batch (b, n, h, d).
PACK = """\
    real = torch.ones(query.shape[:2], dtype=torch.bool) if attention_mask is None else attention_mask
    if (~real[:, :-1] & real[:, 1:]).any():
        raise ValueError("attention_mask: expected padding on the right only")
    lengths = real.sum(1)
    starts = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)]).to(torch.int32)""".splitlines()
SIDES = "window if isinstance(window, tuple) else (window, window)"
LIMITS = f"tuple(-1 if side is None else side for side in ({SIDES}))"
BY_PLACE = "by its place: trueband does not know the name {name}"
UNKNOWN = Filling("", "...", "trueband does not know what {name} is: fill it in")

_VARIABLE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_ONLY_BY_PLACE = inspect.Parameter.POSITIONAL_ONLY


def check_signature(target: Target, spec: str) -> None:
    """Check that a target's function can be called with the contract's arguments.

    Args:
        spec: the name under which the target was found.

    Raises:
        TargetError: it cannot; the message contains an adapter to paste.
    """
    signature = signature_of(target)
    if signature is None:
        return
    arguments = [*TENSORS, "window", *_declared(target), *(OF_RANKS if target.ranks else ())]
    try:
        signature.bind(**dict.fromkeys(arguments))
    except TypeError as error:
        if target.ranks:
            raise TargetError(
                f"target: expected a function of query, key, value, *, {', '.join(arguments[3:])}, got "
                f"{spec}{signature}: {error}. docs/ranks.md says what a rank is called with"
            ) from error
        made = adapter(target, signature, spec)
        raise TargetError(
            f"target: expected a function of query, key, value, *, {', '.join(arguments[3:])}, got {spec}{signature}: "
            f"{error}. Paste this below it, or into a file beside it, look at the comments, and {made.then}:\n\n"
            f"{made.source}"
        ) from error


def signature_of(target: Target) -> inspect.Signature | None:
    """Return the signature of a target's function; None where it has none, as some built-in functions."""
    try:
        return inspect.signature(_callee(target.function))
    except (TypeError, ValueError):
        return None


@dataclass(frozen=True)
class Adapter:
    """An adapter that the user can paste.

    Attributes:
        source: its Python source.
        then: what to do with it, in a few words.
    """

    source: str
    then: str


def adapter(target: Target, signature: inspect.Signature, spec: str) -> Adapter:
    """Write a function with the contract's signature that calls the target's function.

    Args:
        signature: the signature of the target's function.
        spec: the name under which the target was found.
    """
    place, _, attribute = spec.rpartition(":")
    name = getattr(target.function, "__name__", attribute)
    name = name if name.isidentifier() else attribute.rpartition(".")[2]
    layout = target.layout if target.layout == "bnhd" else _layout(target.function)
    fillings = list(_fillings(signature, layout))
    varlen = any(filling.value == STARTS for _, filling in fillings)
    if varlen:
        layout = "bnhd"
        fillings = [(each, _in_rows(filling)) for each, filling in _fillings(signature, layout)]
    taken = {filling.argument for _, filling in fillings}
    if taken & set(SEPARATE):
        taken |= set(SEPARATE)
    options = ", ".join(["window", *(f"{option}={default}" for option, default in OPTIONS.items() if option in taken)])
    own = f"{name}_adapter"
    lines = [
        (_passed(parameter, filling), filling.doubt.format(name=parameter.name)) for parameter, filling in fillings
    ]
    body = [f"def {own}(query, key, value, *, {options}):", *_notes(layout, "window" in taken, name, own)]
    body += [*PACK, f"    output = {name}("] if varlen else [f"    return {name}("]
    body += [f"        {line},  # {doubt}" if doubt else f"        {line}," for line, doubt in lines]
    body += ["    )"]
    body += ["    return torch.zeros_like(query).index_put((real,), output)"] if varlen else []
    imports = ["import torch"] if varlen or any("torch." in line for line, _ in lines) else []
    then, of_target = f"check {place}:{own}", target != Target(target.function)
    declared = _declarations(target, layout, [filling for _, filling in fillings])
    if of_target:
        then = f"give it to the trueband.Target in place of {name}"
    elif declared:
        imports.append("import trueband")
        body += ["", "", f"{name}_target = trueband.Target({own}, {declared})"]
        then = f"check {place}:{name}_target"
    module = _module(target.function, place)
    imports += ["", f"from {module} import {name}"] if module else []
    return Adapter("\n".join([*imports, "", "", *body]).strip("\n") + "\n", then)


def _declared(target: Target) -> list[str]:
    """Return the arguments of the contract that a target claims to take by naming its features."""
    features = target.features or frozenset()
    claimed = [name for name, meant in BY_ARGUMENT.items() if features & set(meant)]
    if target.layout == PACKED_LAYOUT:
        claimed = [*ARGUMENTS, *(name for name in claimed if name != "attention_mask")]
    return [*claimed, *(SEPARATE[1:] if SEPARATE[0] in claimed else ())]


def _fillings(signature: inspect.Signature, layout: str) -> Iterator[tuple[inspect.Parameter, Filling]]:
    """Yield the arguments of a kernel that must be passed, or that the contract knows, and how each is filled."""
    parameters = [parameter for parameter in signature.parameters.values() if parameter.kind not in _VARIABLE]
    known = {parameter.name: FILLINGS.get(parameter.name.lower()) for parameter in parameters}
    if any(name.lower() in PACKED for name in known):
        axis = 3 if layout == "bhnd" else 2
        packed = Filling("", f"torch.stack((query, key, value), dim={axis})", "all three in one tensor; mind the axis")
        known |= {name: packed for name in known if name.lower() in PACKED}
    elif not set(TENSORS) <= {filling.argument for filling in known.values() if filling}:
        by_place = [parameter for parameter in parameters if parameter.kind is not inspect.Parameter.KEYWORD_ONLY]
        for parameter, tensor in zip(by_place, TENSORS, strict=False):
            guess = known[parameter.name]
            if guess is None or guess.argument != tensor:
                known[parameter.name] = Filling(tensor, tensor, BY_PLACE)
    if not any(filling.argument == "window" for filling in known.values() if filling):
        unknown = [parameter for parameter in parameters if known[parameter.name] is None]
        likely = [parameter for parameter in unknown if re.search("win|band|radius|local|span", parameter.name.lower())]
        required = [parameter for parameter in unknown if not _has_default(parameter)]
        for parameter in [*likely, *required][:1]:
            known[parameter.name] = Filling("window", "window", BY_PLACE)
    filled: set[str] = set()
    for parameter in parameters:
        filling = known[parameter.name] or UNKNOWN
        again = filling.argument in filled and filling.argument != "window"
        if _has_default(parameter) and ((not filling.argument and not filling.features) or again):
            continue
        filled.add(filling.argument)
        yield parameter, _fitted(filling, parameter, layout)


def _fitted(filling: Filling, parameter: inspect.Parameter, layout: str) -> Filling:
    """Adapt a filling to the default, the annotation and the layout of a parameter."""
    value, doubt = filling.value, filling.doubt
    if filling.argument == parameter.name:
        doubt = ""
    pair = isinstance(parameter.default, tuple | list) or "tuple" in str(parameter.annotation).lower()
    features = filling.features
    if filling.argument == "window" and pair:
        value, doubt = SIDES, "(left, right), the token itself not counted"
        features = ("asymmetric",)
        if isinstance(parameter.default, tuple | list) and -1 in parameter.default:
            value, doubt, features = LIMITS, f"{doubt}; -1 is no limit", ("asymmetric", "unlimited_side")
    if filling.required and parameter.default is not None:
        value = filling.required
    heads, tokens = (2, 1) if layout == "bnhd" else (1, 2)
    value = value.format(
        heads=f"query.shape[{heads}]",
        tokens=f"query.shape[{tokens}]",
        longest=f"query.shape[{tokens}]",
        key_heads=f"key.shape[{heads}]",
        groups=f"query.shape[{heads}] // key.shape[{heads}]",
    )
    return replace(filling, value=value, doubt=doubt, features=features)


def _in_rows(filling: Filling) -> Filling:
    """Pass the real tokens of a tensor alone."""
    return replace(filling, value=f"{filling.value}[real]") if filling.value in TENSORS else filling


def _passed(parameter: inspect.Parameter, filling: Filling) -> str:
    return filling.value if parameter.kind is _ONLY_BY_PLACE else f"{parameter.name}={filling.value}"


def _notes(layout: str, windowed: bool, name: str, own: str) -> list[str]:
    """Return the comments on the whole call."""
    notes = []
    if not layout:
        notes.append(f'all are (b, h, n, d); if {name} takes (b, n, h, d), check trueband.Target({own}, layout="bnhd")')
    if not windowed:
        notes.append(f"{name} takes no window: a result without one is not what the contract asks for")
    return [f"    # {note}" for note in notes]


def _declarations(target: Target, layout: str, fillings: list[Filling]) -> str:
    """Return the declarations that trueband could not infer from an adapter in a file of its own."""
    library = target.resolved().library
    arguments = [f'layout="{layout}"'] if layout == "bnhd" else []
    arguments += [f'library="{library}"'] if library != "torch" else []
    arguments += dict.fromkeys(filling.declares for filling in fillings if filling.declares)
    shown = {feature for filling in fillings for feature in filling.features}
    if shown:
        claimed = {feature for filling in fillings for feature in BY_ARGUMENT.get(filling.argument, ())}
        claimed |= {"deterministic", *(() if library == "numpy" else ("backward", "deterministic_gradients"))}
        features = ", ".join(f'"{feature}"' for feature in sorted(shown | claimed))
        arguments.append(f"features={{{features}}}")
    return ", ".join(arguments)


def _has_default(parameter: inspect.Parameter) -> bool:
    return parameter.default is not parameter.empty


def _callee(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return what has a function's arguments: a module's own call takes anything, and passes it to `forward`."""
    callee: Callable[..., Any] = getattr(function, "forward", function)
    return callee


def _layout(function: Callable[..., Any]) -> str:
    """Return the layout that docstring, annotations and source of a kernel show; "" where they show none."""
    function = _callee(function)
    annotations = [str(annotation) for annotation in getattr(function, "__annotations__", {}).values()]
    words = [inspect.getdoc(function) or "", *annotations]
    try:
        source = inspect.getsource(function)
    except (OSError, TypeError):
        source = ""
    words += re.findall(r"^\s*(.+?)=\s*\w+\.(?:shape|size\(\))", source, re.MULTILINE)
    words += re.findall(r"[\"'](b[a-z]{3},.*?)[\"']", source)
    words += re.findall(r"#(.*)", source)
    return next(filter(None, map(layout_in, words)), "")


def _module(function: Callable[..., Any], place: str) -> str:
    """Return the module that the adapter imports the function from; "" where it must stand below the function."""
    if place.endswith(".py"):
        return Path(place).stem if Path(place).stem.isidentifier() else ""
    own = getattr(function, "__module__", None)
    return place if own in (None, "__main__") else str(own)
