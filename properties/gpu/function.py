"""The function by which a user hands kernels over: it launches them, on tensors on the CPU."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from trueband.properties.candidate.target import TargetError, load_attribute


def load_function(spec: str, *offered: str) -> Callable[..., Any]:
    """The function named by `module:function` or `file.py:function`.

    Args:
        offered: names of arguments that it may have, but need not.

    Returns:
        a function of these, by name; those that the user's does not take are dropped.

    Raises:
        TargetError: there is no such function, or it needs other arguments.
    """
    function = load_attribute(spec)
    if not callable(function):
        raise TargetError(f"target: expected a function, got {type(function).__name__} at {spec}")
    if type(function).__module__.partition(".")[0] == "triton":
        raise TargetError(f"target: expected a function that launches kernels, got a kernel itself at {spec}")
    parameters = inspect.signature(function).parameters.values()
    needed = [parameter.name for parameter in parameters if _is_needed(parameter) and parameter.name not in offered]
    if needed:
        allowed = f"but {', '.join(offered)}" if offered else ""
        raise TargetError(
            f"target: expected a function without arguments {allowed}".rstrip()
            + f", got {spec}, which needs {', '.join(needed)}"
        )
    taken = {parameter.name for parameter in parameters} & set(offered)
    return lambda **arguments: function(**{name: value for name, value in arguments.items() if name in taken})


def _is_needed(parameter: inspect.Parameter) -> bool:
    variable = (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    return parameter.default is parameter.empty and parameter.kind not in variable
