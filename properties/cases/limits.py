"""What a kernel does not take, as it declares: sizes that are too small, too large or between, padding on the left."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from trueband.properties.cases.windows import limited, mapped

if TYPE_CHECKING:  # the process of a target reads this, and must not have what knows the answers
    from trueband.properties.cases.case import Case
    from trueband.properties.cases.inputs import Inputs

# The sizes of a call, and the least of the contract.
LEAST = {"batch": 1, "heads": 1, "tokens": 1, "head_dim": 1, "window": 0, "dilation": 1, "globals": 0}
PADDING = ("any", "right")
# Sizes that kernels are made for, and that nobody takes for special.
ROUND = (8, 16, 24, 32, 48, 64, 80, 96, 112, 128, 160, 192, 256, 320, 512, 1000)


class NotTaken(Exception):
    """A call that the candidate declares not to take. It was not asked."""


def _is_size(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and bool(value >= 0)


@dataclass(frozen=True)
class Sizes:
    """The values of one size that a kernel takes; all that the contract allows, where nothing is said.

    Attributes:
        least, most: of them.
        multiple: they are multiples of it.
        only: they are these; nothing else may be said then.
    """

    least: int | None = None
    most: int | None = None
    multiple: int = 1
    only: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.only is not None:
            if (self.least, self.most, self.multiple) != (None, None, 1):
                raise ValueError(f"only: expected nothing beside it, got {self!r}")
            if isinstance(self.only, str) or not isinstance(self.only, Iterable):
                raise ValueError(f"only: expected some ints, got {self.only!r}")
            object.__setattr__(self, "only", tuple(sorted(set(self.only))))
            if not self.only or any(not _is_size(each) for each in self.only):
                raise ValueError(f"only: expected some ints >= 0, got {self.only!r}")
            object.__setattr__(self, "only", tuple(map(int, self.only)))
        for name in ("least", "most"):
            value = getattr(self, name)
            if value is not None and not _is_size(value):
                raise ValueError(f"{name}: expected an int >= 0, got {value!r}")
            object.__setattr__(self, name, value if value is None else int(value))
        if not _is_size(self.multiple) or self.multiple < 1:
            raise ValueError(f"multiple: expected an int >= 1, got {self.multiple!r}")
        object.__setattr__(self, "multiple", int(self.multiple))
        if self.least is not None and self.most is not None and self.fit(self.least) is None:
            raise ValueError(f"most: expected a size between {self.least} and it, got {self.most}")

    def takes(self, value: int) -> bool:
        """Whether a size is one of them."""
        if self.only is not None:
            return value in self.only
        above = self.least is None or value >= self.least
        return above and (self.most is None or value <= self.most) and value % self.multiple == 0

    def fit(self, value: int) -> int | None:
        """The least of them that is not below a size; the largest, where all are below; None where there is none."""
        if self.only is not None:
            return min((each for each in self.only if each >= value), default=self.only[-1])
        wanted = max(value, self.least or 0)
        up = -(-wanted // self.multiple) * self.multiple
        if self.most is None or up <= self.most:
            return up
        down = self.most // self.multiple * self.multiple
        return down if down >= (self.least or 0) else None

    def beside(self, least: int) -> list[int]:
        """Sizes from `least` on that are not among them: next to some that are, between, half and twice as much."""
        if self.only is not None:
            of = self.only
            near = {(low + high) // 2 for low, high in itertools.pairwise(of)} | {of[0] // 2, 2 * of[-1]}
        else:
            first = self.fit(least)
            of = tuple(each for each in (first, self.least, self.most) if each is not None)
            near = {self.multiple // 2, self.multiple * 3 // 2}
            near |= {self.least // 2} if self.least is not None else set()
            near |= {self.most + self.multiple, 2 * self.most} if self.most is not None else set()
        near |= {each + step for each in of for step in (-1, 1)}
        return self._outside(near, least)

    def beyond(self, least: int, most: int) -> list[int]:
        """More sizes that are not among them, from `least` to `most`: multiples of smaller tiles, round numbers, one
        more and one less, and times 1/2, 3/2, 4 and 10 of each.
        """
        of = {*ROUND, *(self.only or (each for each in (self.least, self.most, self.multiple) if each is not None))}
        of |= {times * self.multiple + self.multiple // 2 for times in (2, 10)}
        near = {each + step for each in of for step in (-1, 0, 1)}
        near |= {each * halves // 2 for each in of for halves in (1, 3, 8, 20)}
        return [each for each in self._outside(near, least) if each <= most]

    def _outside(self, values: Iterable[int], least: int) -> list[int]:
        return sorted(each for each in set(values) if each >= least and not self.takes(each))

    def to_dict(self) -> dict[str, Any]:
        """What is said, as JSON has it."""
        said = {"least": self.least, "most": self.most, "multiple": self.multiple, "only": self.only}
        return {
            name: list(each) if isinstance(each, tuple) else each for name, each in said.items() if each is not None
        }

    def __str__(self) -> str:
        if self.only is not None:
            return " or ".join(filter(None, [", ".join(map(str, self.only[:-1])), str(self.only[-1])]))
        told = [f"multiples of {self.multiple}"] if self.multiple > 1 else []
        told += [f"from {self.least} on"] if self.least is not None else []
        told += [f"up to {self.most}"] if self.most is not None else []
        return " ".join(told) or "any"


EVERY = Sizes()


@dataclass(frozen=True)
class Limits:
    """What a kernel declares that it takes.

    Attributes:
        sizes: by name, some of `LEAST`; of the others it takes every one.
        padding: "any": attention_mask may be False anywhere; "right": only behind all real tokens.
    """

    sizes: Mapping[str, Sizes] = field(default_factory=dict)
    padding: str = "any"

    def __post_init__(self) -> None:
        if not isinstance(self.sizes, Mapping):
            raise ValueError(f"sizes: expected {{name: Sizes}}, got {type(self.sizes).__name__}")
        for name, each in self.sizes.items():
            if name not in LEAST:
                raise ValueError(f"sizes: expected some of {', '.join(LEAST)}, got {name!r}")
            if not isinstance(each, Sizes):
                raise ValueError(f"sizes: expected a Sizes for {name}, got {each!r}")
            fitting = each.fit(LEAST[name])
            if fitting is None or fitting < LEAST[name]:
                raise ValueError(f"sizes: expected one of at least {LEAST[name]} for {name}, got {each}")
        if self.padding not in PADDING:
            raise ValueError(f"padding: expected one of {', '.join(PADDING)}, got {self.padding!r}")

    def __bool__(self) -> bool:
        """Whether anything is declared."""
        return bool(self.sizes) or self.padding != "any"

    def of(self, name: str) -> Sizes:
        """The values of one size."""
        return self.sizes.get(name, EVERY)

    def fit(self, name: str, value: int) -> int:
        """The value of a size that is taken and next to the wanted one, from above where there is one."""
        fitting = self.of(name).fit(max(value, LEAST[name]))
        assert fitting is not None
        return fitting

    def fitted(self, case: Case) -> Case:
        """A case with sizes that are taken. What lies behind its sequence then is masked, where it has masks."""
        if not self:
            return case
        tokens, batch = self.fit("tokens", case.tokens), self.fit("batch", case.batch)
        resized = case.with_size("heads", self.fit("heads", case.heads)).with_size("tokens", tokens)
        resized = resized.with_size("batch", batch)
        dilation = case.dilation
        heads = resized.heads
        each = dilation if isinstance(dilation, tuple) else (dilation,) * case.heads
        fitting = tuple(self.fit("dilation", each[head % len(each)]) for head in range(heads))
        masked, flagged = (
            None
            if rows is None
            else tuple(tuple(i for i in rows[row % len(rows)] if i < tokens) for row in range(batch))
            for rows in (case.masked, case.global_)
        )
        if masked is not None:
            behind = tuple(range(case.tokens, tokens))
            masked = tuple((*row, *behind) for row in masked)
            if self.padding == "right":
                masked = tuple(tuple(range(tokens - len(row), tokens)) for row in masked)
        if flagged is not None and "globals" in self.sizes:
            flagged = tuple(self._as_many(row, tokens) for row in flagged)
        return resized.replace(
            window=mapped(case.window, lambda limit: self.fit("window", limit)),
            head_dim=self.fit("head_dim", case.head_dim),
            dilation=fitting if isinstance(dilation, tuple) else fitting[0],
            masked=masked,
            global_=flagged,
        )

    def _as_many(self, row: tuple[int, ...], tokens: int) -> tuple[int, ...]:
        """As many flagged positions as are taken."""
        count = min(self.fit("globals", len(row)), tokens)
        more = [i for i in range(tokens) if i not in row]
        return tuple(sorted([*row, *more][:count]))

    def covering(self, tokens: int) -> int:
        """The least window that is taken and covers a sequence. NotTaken where there is none."""
        window = self.fit("window", tokens)
        if window < tokens - 1:
            raise NotTaken(f"window {tokens}")
        return window

    def refuses(self, inputs: Inputs) -> str:
        """What of a call the kernel does not take, in a few words; "" where it takes all."""
        if not self:
            return ""
        for name, value in sizes_of(inputs):
            if not self.of(name).takes(value):
                return f"{name} {value}"
        return "padding that is not on the right" if self.padding == "right" and not right_padded(inputs) else ""

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"sizes": {name: each.to_dict() for name, each in self.sizes.items()}, "padding": self.padding}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        return cls({name: Sizes(**each) for name, each in values["sizes"].items()}, values["padding"])

    def told(self) -> list[str]:
        """A few words for each declaration."""
        of_sizes = [f"{name}: {each}" for name, each in self.sizes.items()]
        return [*of_sizes, *(["padding on the right only"] if self.padding == "right" else [])]


def sizes_of(inputs: Inputs) -> list[tuple[str, int]]:
    """Every size of a call, by name; those that are one for each head or row are there more than once."""
    batch, heads, _, head_dim = inputs.shape
    tokens = inputs.arrays["key"].shape[2]
    found = [("batch", batch), ("heads", heads), ("tokens", tokens), ("head_dim", head_dim)]
    found += [("window", limit) for limit in limited(inputs.options["window"])]
    dilation = inputs.options.get("dilation", 1)
    found += [("dilation", each) for each in (dilation if isinstance(dilation, tuple) else (dilation,))]
    flagged = inputs.arrays.get("global_attention_mask")
    if flagged is not None:
        found += [("globals", int(count)) for count in flagged.sum(axis=1)]
    return found


def right_padded(inputs: Inputs) -> bool:
    """Whether no masked token stands before a real one."""
    mask = inputs.arrays.get("attention_mask")
    return mask is None or not bool((~mask[:, :-1] & mask[:, 1:]).any())
