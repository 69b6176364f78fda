"""Files of JSON lines, written as results come."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self, TextIO

from trueband import __version__
from trueband.properties.candidate.remote import RemoteRunner
from trueband.properties.results.machine import Machine
from trueband.properties.results.record import to_line
from trueband.properties.running.plan import Plan


def first_line(record: str, machine: Machine, **fields: Any) -> dict[str, Any]:
    """The first line of every file of results: what it is of, and where it was made.

    Args:
        machine: the machine of the process that computed.
    """
    return {"record": record, "trueband": __version__, **fields, "machine": machine}


def run_head(candidate: RemoteRunner, plan: Plan) -> dict[str, Any]:
    """The first line of a kernel's results: what runs where."""
    return first_line(
        "run",
        candidate.machine,
        target=plan.target,
        name=candidate.name,
        library=candidate.library,
        features=sorted(candidate.features),
        dtypes=plan.dtypes,
        device=plan.device,
        cases=plan.cases,
        seed=None if plan.gate else plan.seed,
    )


class JsonLines:
    """A file of JSON lines, `{"record": KIND, ...}`, each on disk as soon as it is written. Without one, nothing."""

    def __init__(self, path: Path | None, stream: TextIO | None = None) -> None:
        """Args:
        path: the path of the file, which is begun anew when the `with` statement begins.
        stream: one that is open, in its place.
        """
        self.path, self._stream, self._opened = path, stream, False
        self._begun = False

    def __enter__(self) -> Self:
        if self.path is not None:
            self._stream, self._opened = self.path.open("w", encoding="utf-8"), True
        return self

    def __exit__(self, *_: object) -> None:
        if self._opened and self._stream is not None:
            self._stream.close()

    def start(self, head: Mapping[str, Any]) -> None:
        """The first line, once: what runs where, see `first_line`."""
        if not self._begun:
            self._begun = True
            self._write(head)

    def write(self, kind: str, values: Mapping[str, Any]) -> None:
        """Write one more line."""
        self._write({"record": kind, **values})

    def _write(self, values: Mapping[str, Any]) -> None:
        if self._stream is not None:
            self._stream.write(to_line(values) + "\n")
            self._stream.flush()


def json_lines(head: Mapping[str, Any], *lines: tuple[str, Mapping[str, Any]]) -> str:
    """The text of a whole file: its first line, then one for each (kind, values)."""
    return "".join(to_line(line) + "\n" for line in (head, *({"record": kind, **values} for kind, values in lines)))
