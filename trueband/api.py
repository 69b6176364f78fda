"""`trueband.check`: the gate as one call."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Unpack

from trueband.properties.candidate.target import Target
from trueband.properties.results.record import Record
from trueband.session.request import Options, Request, takes_options

if TYPE_CHECKING:
    from trueband.properties.models.target import ModelTarget


@takes_options
def check(target: str | Target | ModelTarget | Callable[..., Any], **options: Unpack[Options]) -> list[Record]:
    """Check a kernel, or models, against the contract, as `trueband check` does.

    Args:
        target: a function with the contract's signature, a `trueband.Target`, or words of the command line: an import
            string (`module:name`, `file.py:name`) or a name of `trueband targets`. It runs in a process of its own,
            and so has to have a name in a module or a file; a script calls this under `if __name__ == "__main__":`.
            Or a `trueband.ModelTarget`, whose models run in this process.
        {options}

    Returns:
        One record for each check and dtype, of models for each architecture. `record.passed` says whether all is as
        it should be, `record.message` what is wrong, `record.reproduce` is a shell line that shows it again. The
        records of a gate contain its seed.

    Raises:
        ValueError: an argument, or the target, cannot be used; the message says why.
        TypeError: there is no such argument.
    """
    _not_while_loading()
    from trueband.session.run import Run

    with Run(Request.of(target, **options)) as run:
        records = list(run.records())
    return [replace(record, seed=run.seed) for record in records]


def _not_while_loading() -> None:
    # Before anything of the checks is imported, which the process of a target must not have.
    main = getattr(sys.modules.get("__main__"), "__spec__", None)
    if main is not None and main.name == "trueband.properties.candidate.worker":
        raise RuntimeError(
            "trueband.check was called while the file of the target was being imported: put the call under "
            'if __name__ == "__main__":'
        )
