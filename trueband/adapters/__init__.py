"""Kernels of others, and the package's own, as targets of the gate under short names. Each file is one adapter.

An adapter maps the contract's call onto the peer's and adds nothing that the peer should do: its docstring says what it
does add. What the peer fails stands, with the cause, in the file `<name>.json` next to it.
"""

from trueband.adapters.names import SHIPPED, Named, named_targets, resolve

__all__ = ["SHIPPED", "Named", "named_targets", "resolve"]
