"""The error of a request that cannot be fulfilled, in the caller's own words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class RequestError(ValueError):
    """An argument of a request is wrong, or two of them conflict.

    The message names arguments in braces, "{seed} cannot be used with {gate}": a call knows them by their names, a
    command line by its options.
    """

    def __init__(self, message: str, **values: Any) -> None:
        """Args:
        values: other things that the message has in braces.
        """
        self._message, self._values = message, values
        super().__init__(self.named({}))

    def named(self, names: Mapping[str, str]) -> str:
        """The message with these names of arguments; an argument that has none keeps its own."""
        return self._message.format_map(_Names({**names, **self._values}))


class _Names(dict[str, Any]):
    def __missing__(self, name: str) -> str:
        return name
