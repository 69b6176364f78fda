"""How a model is called: which arguments have a place, what its signature shows, and the form of its answer.

Versions of the Hub's library put different arguments behind the first ones, so these have no place here: a call that
relied on one would mean something else in another version.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch.jit._trace import is_tracing

from trueband.optimized.layers.model_output import ModelOutput

Function = TypeVar("Function", bound=Callable[..., Any])
KEYWORD, REST = inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD


def called_as_on_the_hub(inner: type[torch.nn.Module] | None = None) -> Callable[[Function], Function]:
    """Decorate the `forward` of a model whose first arguments have the places that they have on the Hub.

    The function takes all others by name. `return_dict=False` asks for the answer as a tuple; without it the
    configuration says so, and torch.jit.trace, which takes nothing else.

    Args:
        inner: the model that `**options` of the function are handed on to: the signature shows them by name.
    """

    def decorated(function: Function) -> Function:
        signature = shown(inspect.signature(function), inner)
        names = [name for name, each in signature.parameters.items() if each.kind not in (KEYWORD, REST)][1:]

        @functools.wraps(function)
        def forward(self: Any, *values: Any, return_dict: bool | None = None, **named: Any) -> Any:
            if len(values) > len(names):
                owner = type(self).__name__
                raise TypeError(
                    f"{owner}: expected at most {len(names)} arguments without their names ({', '.join(names)}), as "
                    f"the others have no fixed places on the Hub: name them; got {len(values)}"
                )
            output = function(self, *values, **named)
            if return_dict is None:
                return_dict = self.config.return_dict and not is_tracing()
            return output if return_dict or not isinstance(output, ModelOutput) else output.to_tuple()

        forward.__signature__ = signature  # type: ignore[attr-defined]
        return forward  # type: ignore[return-value]

    return decorated


def shown(signature: inspect.Signature, inner: type[torch.nn.Module] | None) -> inspect.Signature:
    """The signature with the arguments of `inner.forward` by name in place of `**options`, and `return_dict`."""
    parameters = [each for each in signature.parameters.values() if each.kind != REST]
    names = {each.name for each in parameters}
    if inner is not None:
        others = inspect.signature(inner.forward).parameters.values()
        parameters += [each.replace(kind=KEYWORD) for each in others if each.name not in names]
    if all(each.name != "return_dict" for each in parameters):
        parameters.append(inspect.Parameter("return_dict", KEYWORD, default=None, annotation="bool | None"))
    return signature.replace(parameters=parameters)
