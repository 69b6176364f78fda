"""A finding of the sanitizer: where in the source, which tensor, which element, which programs."""

from __future__ import annotations

import dataclasses
import linecache
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Self

KINDS = {
    "out-of-bounds load": "an active lane reads memory that is no element of the tensor",
    "out-of-bounds store": "an active lane writes memory that is no element of the tensor",
    "out-of-bounds atomic": "an active lane changes memory that is no element of the tensor",
    "unwritten read": "an element is read that nothing has written since it was allocated",
    "missing other": "what a load without `other` puts into inactive lanes, which is undefined, changes the result",
    "write/write race": "two programs write the same element; a GPU runs them in any order, or at once",
    "read/write race": "one program reads what another writes; a GPU runs them in any order, or at once",
    "lane race": "two lanes of one store write different values into the same element",
}


@dataclass(frozen=True)
class Place:
    """A place in the source of a kernel.

    Attributes:
        file, line, function: where the access is.
        callers: "file:line in function" of the functions that called it, up to the kernel.
    """

    file: str
    line: int
    function: str
    callers: tuple[str, ...] = ()

    def __str__(self) -> str:
        return place_text(self.file, self.line, self.function)

    @property
    def source(self) -> str:
        """The line, as it stands in the file."""
        return linecache.getline(self.file, self.line).strip()

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The place of a parsed JSON object."""
        return cls(values["file"], values["line"], values["function"], tuple(values["callers"]))


def place_text(file: str, line: int, function: str) -> str:
    """ "file:line in function"; the file as seen from the working folder, if it lies there."""
    path = Path(file)
    short = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return f"{short}:{line} in {function}"


def place(own: str, foreign: str) -> Place:
    """Return the place in the source of the kernel that is being interpreted.

    Args:
        own: folder of the sanitizer and of what mends the interpreter; the frame `run_programs` of it stands between
            the kernel and who launched it.
        foreign: folder of triton, whose frames are not the user's.
    """
    frames = []
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        is_own = code.co_filename.startswith(own)
        if is_own and code.co_name == "run_programs":
            break
        if not is_own and not code.co_filename.startswith((foreign, "<")):
            frames.append((code.co_filename, frame.f_lineno, code.co_name))
        frame = frame.f_back
    if not frames:
        return Place("<unknown>", 0, "<unknown>")
    return Place(*frames[0], tuple(place_text(*level) for level in frames[1:]))


@dataclass(frozen=True)
class Finding:
    """A fault that was seen.

    Attributes:
        kind: one of `KINDS`.
        kernel: its name.
        launch: how many launches there had been, this one counted.
        place: the place of the access.
        tensor: name of the argument; "name[1]" for a member of a tuple. Of "missing other": the tensor that changes.
        dtype, shape: those of the tensor.
        index: the index of the first element concerned; beyond the shape, or negative, where there is none.
        lanes: of the access, that are concerned; of "missing other": elements that change, 0 if not their content
            changes but which of them are accessed (of no tensor: whether the launch ends well).
        program, grid: which program it was, of how many, along the three axes.
        other_program, other_place: those of the access it conflicts with, if any.
        times: how often the same was seen, at this place and this tensor.
        unwrapped: the element that lies 2^32 elements behind `index`, if there is one: an int32 offset has wrapped.
    """

    kind: str
    kernel: str
    launch: int
    place: Place
    tensor: str
    dtype: str
    shape: tuple[int, ...]
    index: tuple[int, ...]
    lanes: int
    program: tuple[int, ...]
    grid: tuple[int, ...]
    other_program: tuple[int, ...] | None = None
    other_place: Place | None = None
    times: int = 1
    unwrapped: tuple[int, ...] | None = None

    @property
    def key(self) -> tuple[str, str, str, int, str]:
        """The key that findings of one fault share."""
        return self.kind, self.kernel, self.place.file, self.place.line, self.tensor

    def again(self, times: int) -> Finding:
        """The same finding, seen more often."""
        return dataclasses.replace(self, times=self.times + times)

    def __str__(self) -> str:
        lines = [
            f"{self.kind.upper()} in {self.kernel}, launch {self.launch}: {KINDS[self.kind]}",
            f"  where    {self.place}",
            *([f"           {self.place.source}"] if self.place.source else []),
            *(f"           called from {caller}" for caller in self.place.callers),
            *self._what(),
            f"  program  {self.program} of {self.grid}",
        ]
        if self.other_program is not None:
            lines.append(f"  other    program {self.other_program}, at {self.other_place}")
        if self.times > 1:
            lines.append(f"  seen     {self.times:,} times")
        return "\n".join(lines)

    def _what(self) -> list[str]:
        tensor = f"{self.tensor}, {self.dtype} {list(self.shape)}"
        if self.kind == "missing other" and not self.lanes:
            return [f"  changes  which elements of {tensor} are accessed" if self.tensor else "  changes  how it ends"]
        unit = "elements" if self.kind == "missing other" else "lanes"
        more = f", the first of {self.lanes:,} {unit}" if self.lanes > 1 else ""
        label = "changes" if self.kind == "missing other" else "tensor "
        lines = [f"  {label}  {tensor}", f"  element  {list(self.index)}{more}"]
        if self.unwrapped is not None:
            wanted = list(self.unwrapped)
            lines.append(f"           an int32 offset has wrapped: in int64 it would be that of element {wanted}")
        return lines

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The finding of a parsed JSON object."""
        fields: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
        }
        fields["place"] = Place.from_dict(values["place"])
        if values["other_place"] is not None:
            fields["other_place"] = Place.from_dict(values["other_place"])
        return cls(**fields)
