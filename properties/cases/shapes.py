"""Sizes of a call: one shape, a file of them, and those of published models."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

from trueband.properties.cases.limits import LEAST, Limits


@dataclass(frozen=True)
class Shape:
    """Sizes of a call.

    Attributes:
        tokens, window, heads, head_dim, batch: sizes; the window is one-sided.
        name: of the model it belongs to, for reports.
    """

    tokens: int
    window: int
    heads: int = 1
    head_dim: int = 64
    batch: int = 1
    name: str = ""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "name":
                if not isinstance(value, str):
                    raise ValueError(f"name: expected a string, got {value!r}")
            elif not isinstance(value, int) or isinstance(value, bool) or value < LEAST[field.name]:
                raise ValueError(f"{field.name}: expected an int >= {LEAST[field.name]}, got {value!r}")

    @property
    def numbers(self) -> int:
        """Elements of one input."""
        return self.batch * self.heads * self.tokens * self.head_dim

    @property
    def pairs(self) -> int:
        """Scores within the windows: what a kernel that works in blocks computes."""
        return self.batch * self.heads * self.tokens * min(2 * self.window + 1, self.tokens)

    def fitted(self, limits: Limits) -> Shape:
        """The next shape that a target takes."""
        sizes = asdict(self) | {name: limits.fit(name, getattr(self, name)) for name in SIZES}
        return Shape(**sizes)

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {name: value for name, value in asdict(self).items() if value != ""}

    @classmethod
    def from_dict(cls, values: Any) -> Self:
        """ValueError for anything but an object with the fields of a shape, tokens and window at least."""
        known = [field.name for field in fields(cls)]
        if not isinstance(values, Mapping) or not {"tokens", "window"} <= set(values) <= set(known):
            raise ValueError(
                f"shape: expected an object of {', '.join(known)}, tokens and window at least, got {values}"
            )
        return cls(**values)

    def __str__(self) -> str:
        heads = f"{self.heads} head{'s' if self.heads > 1 else ''} of {self.head_dim}"
        rows = f", batch {self.batch}" if self.batch > 1 else ""
        return f"{self.tokens:,} tokens, {heads}, window {self.window:,}{rows}{f' ({self.name})' if self.name else ''}"


SIZES = ("tokens", "window", "heads", "head_dim", "batch")

# Published models: name, heads, head_dim, one-sided window, tokens. Sources: their configurations on the Hub.
MODELS = (
    ("Longformer base", 12, 64, 256, (512, 4096)),
    ("Longformer large", 16, 64, 256, (512, 4096)),
    ("LED base", 12, 64, 512, (1024, 16384)),
    ("LED large", 16, 64, 512, (1024, 16384)),
    ("XLM-R base", 12, 64, 511, (512,)),
    ("XLM-R large", 16, 64, 511, (512,)),
    ("ModernBERT base", 12, 64, 64, (1024, 8192)),
    ("ModernBERT large", 16, 64, 64, (1024, 8192)),
    ("Mistral 7B", 32, 128, 4096, (8192,)),
    ("Gemma 2 9B", 16, 256, 4096, (8192,)),
    ("Gemma 3 4B", 8, 256, 1024, (4096,)),
    ("Phi-3 mini", 32, 96, 2047, (4096,)),
    ("gpt-oss 20B", 64, 64, 128, (4096,)),
    ("Danube 1.8B", 32, 80, 4096, (16384,)),
    # No models: other sizes of heads.
    ("heads of 72", 16, 72, 64, (1024, 4096)),
    ("heads of 32", 8, 32, 64, (512, 2048)),
)


def of_models(most_tokens: int, most_numbers: int, most_pairs: int) -> list[Shape]:
    """The shapes of published models, cut to lengths of so many numbers of an input and pairs of row and key."""
    found = []
    for name, heads, head_dim, window, lengths in MODELS:
        for length in lengths:
            tokens = min(length, most_tokens, most_numbers // (heads * head_dim))
            while Shape(tokens, window, heads, head_dim).pairs > most_pairs:
                tokens = tokens * 7 // 8
            found.append(Shape(tokens, window, heads, head_dim, name=name if tokens == length else f"{name}, cut"))
    return list(dict.fromkeys(found))


def read_shapes(path: Path) -> list[Shape]:
    """The shapes of a JSON file: a list of objects, or one object on each line.

    Raises:
        ValueError: one line that names the file. OSError: it cannot be read.
    """
    text = path.read_text(encoding="utf-8")
    try:
        lines = [line for line in text.splitlines() if line.strip()]
        found = shapes_of(json.loads(text) if text.lstrip().startswith("[") else [json.loads(line) for line in lines])
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: expected a JSON list of shapes, got something else: {error}") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if not found:
        raise ValueError(f"{path}: expected at least one shape, got none")
    return found


def shapes_of(listed: Sequence[Any]) -> list[Shape]:
    """Shapes of shapes or objects. ValueError for anything else."""
    if not isinstance(listed, Sequence) or isinstance(listed, str):
        raise ValueError(f"shapes: expected a list of shapes, got {listed!r}")
    return [each if isinstance(each, Shape) else Shape.from_dict(each) for each in listed]


def demanded(listed: Sequence[Shape], limits: Limits) -> list[Shape]:
    """Shapes that must be checked. ValueError for one that the target declares not to take."""
    for shape in listed:
        if shape.fitted(limits) != shape:
            raise ValueError(f"shapes: expected shapes that the target takes, got {shape}")
    return list(listed)
