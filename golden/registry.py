"""Runners by name: what `Metadata.run` of a golden names is looked up here.

A runner computes the output of a golden with a witness of its context, and judges it:

    @runner("position_ids", form="position_ids")
    def position_ids(golden: Golden, context: Context) -> Outcome: ...

A witness is a callable that takes and returns NumPy arrays, or its import string. Witnesses of one implementation are
grouped by their forms (`trueband.golden.witness` and its siblings say what each form takes and returns).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from trueband.golden.records import CannotRun, Outcome
from trueband.golden.store import Golden
from trueband.golden.witness import resolve

Witness = str | Callable[..., Any]
DTYPES = ("float32", "float64")  # of NumPy runs of weights that are stored as float32


@dataclass(frozen=True)
class Context:
    """The witness and the options that a runner has beside its golden.

    Attributes:
        name: the name of the implementation, for records: "reference", "optimized", an import string.
        witnesses: form -> callable or "module:name", of one implementation.
        dtype: the dtype that the weights are cast to, "float32" or "float64"; None: as they are stored.
        options: the options of the front, for runners that want more, such as a directory.
    """

    name: str
    witnesses: Mapping[str, Witness]
    dtype: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def witness(self, form: str) -> Callable[..., Any]:
        """The callable of a form.

        Raises:
            CannotRun: the implementation has none of this form.
            ValueError: its import string leads nowhere.
        """
        if form not in self.witnesses:
            offered = ", ".join(sorted(self.witnesses)) or "nothing"
            raise CannotRun(f"needs a witness of the form {form!r}; {self.name} offers {offered}")
        return resolve(self.witnesses[form])[1]

    @property
    def run_dtype(self) -> str:
        """The dtype of a NumPy run.

        Raises:
            ValueError: one that is not in DTYPES: printed digits of float32 runs cannot be met in a coarser one.
        """
        if self.dtype is not None and self.dtype not in DTYPES:
            raise ValueError(f"dtype: expected {' or '.join(DTYPES)}, got {self.dtype!r}")
        return self.dtype or DTYPES[0]


Runner = Callable[[Golden, Context], Outcome]

RUNNERS: dict[str, Runner] = {}
FORMS: dict[str, str | None] = {}


def runner(name: str, form: str | None = None) -> Callable[[Runner], Runner]:
    """Register a runner.

    Args:
        name: as `Metadata.run` names it.
        form: the form of the witness that it runs, for choosing; None: it looks for itself.

    Raises:
        ValueError: the name is taken.
    """

    def register(function: Runner) -> Runner:
        if name in RUNNERS:
            raise ValueError(f"name: expected one that no runner has, got {name!r}")
        RUNNERS[name], FORMS[name] = function, form
        return function

    return register
