"""`trueband.check`: the gate as one call."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trueband.gate import cheating_record, settle_seed
from trueband.import_string import import_string
from trueband.properties.production.shapes import Shape
from trueband.properties.record import Record
from trueband.properties.remote import CandidateCheating
from trueband.properties.target import Target

if TYPE_CHECKING:
    from trueband.properties.models.target import ModelTarget


def check(
    target: str | Target | ModelTarget | Callable[..., Any],
    *,
    tier: str = "quick",
    cases: int | None = None,
    dtypes: Collection[str] | None = None,
    device: str = "cpu",
    seed: int | None = None,
    select: str | None = None,
    expected_failures: Mapping[str, Any] | str | Path | None = None,
    gate: bool = False,
    time_limit: float = 60.0,
    shapes: Sequence[Shape | Mapping[str, int]] = (),
) -> list[Record]:
    """Check a kernel, or models, against the contract, as `trueband check` does.

    Args:
        target: a function with the contract's signature, a `trueband.Target`, or words of the command line: an import
            string (`module:name`, `file.py:name`) or a name of `trueband targets`. It runs in a process of its own,
            and so has to have a name in a module or a file; a script calls this under `if __name__ == "__main__":`.
            Or a `trueband.ModelTarget`, whose models run in this process.
        tier: "quick", "full" or "nightly".
        cases: random cases for each dtype, instead of the tier's.
        dtypes: to run; None: all that the target declares.
        device: where the target runs; models: "cpu".
        seed: of the search for cases; None: 0, or a secret one with `gate`.
        select: checks to run: a part of their names, "a or b", "not a"; None: all that apply.
        expected_failures: `{check: reason}`, or the path of a JSON or TOML file of such. They still run; one that
            passes is a failure.
        gate: judge by cases that nobody can know before, and ask a second process of a kernel, too. The records tell
            the seed.
        time_limit: seconds for one call of a kernel.
        shapes: that must be checked, as `trueband.Shape(tokens, window, heads, head_dim)` or objects of these; of the
            others, what takes a kernel too long is left out. None for models.

    Returns:
        One record for each check and dtype, of models for each architecture. `record.passed` tells whether all is as
        it should be, `record.message` what is wrong, `record.reproduce` is a shell line that shows it again.

    Raises:
        ValueError: an argument, or the target, cannot be used; the message says why.
    """
    _not_while_loading()
    from trueband.asked import Asked
    from trueband.opened_models import opened_class

    settled = settle_seed(seed, gate)
    try:
        asked = Asked(tier, cases, dtypes, device, settled, select, expected_failures, time_limit, gate, shapes)
        with opened_class(target)(target, asked) as opened:
            records = list(opened.run_all())
    except CandidateCheating as error:
        records = [cheating_record(import_string(target), device, str(error))]
    return [replace(record, seed=settled) for record in records]


def _not_while_loading() -> None:
    # Before anything of the checks is imported, which the process of a target must not have.
    main = getattr(sys.modules.get("__main__"), "__spec__", None)
    if main is not None and main.name == "trueband.properties.worker":
        raise RuntimeError(
            "trueband.check was called while the file of the target was being imported: put the call under "
            'if __name__ == "__main__":'
        )
