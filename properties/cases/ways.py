"""How one case at size is asked for: layouts of the inputs and of grad_output in memory, and which gradients.

A case does not spell them out: they are digits of its seed, so that they are the same wherever it is rebuilt.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from trueband.properties.cases.backward import GRAD_LAYOUTS, PLAIN_LAYOUTS
from trueband.properties.cases.case import Case

NAMES = ("query", "key", "value")
ALL = "all"
DIGITS: dict[str, tuple[str, ...]] = {
    "layout": ("contiguous", *PLAIN_LAYOUTS, "expanded"),
    "of": (ALL, *NAMES),
    "grad_layout": GRAD_LAYOUTS,
    "wanted": (ALL, *NAMES, *(f"not {name}" for name in NAMES)),
}


@dataclass(frozen=True)
class Way:
    """How a case is asked for.

    Attributes:
        layout: of the inputs, as of `Runner.call`.
        of: "all", or the one input (with what belongs to it of the global tokens) that has this layout.
        grad_layout: of the gradient of the output, as of `Backward`.
        wanted: which gradients are asked for: "all", one input, or all but one.
    """

    layout: str = "contiguous"
    of: str = ALL
    grad_layout: str = "contiguous"
    wanted: str = ALL

    @classmethod
    def of_case(cls, case: Case, strided: bool = True, autograd: bool = True) -> Way:
        """What the seed of a case says, as far as a target can be asked so."""
        rest, found = case.seed, {}
        for name, levels in DIGITS.items():
            rest, digit = divmod(rest, len(levels))
            found[name] = levels[digit]
        if not strided:
            found |= {"layout": "contiguous", "grad_layout": "contiguous"}
        alone = max(case.batch, case.key_heads or case.heads) == 1
        if found["layout"] == "contiguous" or (found["layout"] == "expanded" and alone):
            found |= {"layout": "contiguous", "of": ALL}
        return cls(**found if autograd else {**found, "wanted": ALL})

    def seed(self, number: int) -> int:
        """The seed of a case that is asked for in this way, the more the number."""
        for name, levels in reversed(DIGITS.items()):
            number = number * len(levels) + levels.index(getattr(self, name))
        return number

    def those(self, names: list[str]) -> tuple[str, ...]:
        """The inputs that have the layout."""
        return () if self.of == ALL else tuple(name for name in names if name.removesuffix("_global") == self.of)

    def gradients(self, names: list[str]) -> list[str]:
        """The inputs whose gradients are asked for."""
        without = self.wanted.removeprefix("not ")
        return [
            name
            for name in names
            if self.wanted == ALL or (name.removesuffix("_global") == without) != self.wanted.startswith("not ")
        ]

    def words(self, gradients: bool = False) -> str:
        """In words, for messages; "" for nothing out of the ordinary."""
        of = "" if self.of == ALL else f" {self.of}"
        parts = [] if self.layout == "contiguous" else [f"{self.layout}{of or ' inputs'}"]
        if gradients and self.grad_layout != "contiguous":
            parts.append(f"{self.grad_layout} gradient of the output")
        if gradients and self.wanted != ALL:
            but = self.wanted.removeprefix("not ")
            parts.append(f"gradients of {self.wanted} alone" if but == self.wanted else f"gradients of all but {but}")
        return f" with {', '.join(parts)}" if parts else ""


def plainer(case: Case, name: str) -> Case:
    """The case with the ordinary level of one field of its way, for a failing case to be made simpler."""
    number = case.seed
    for levels in DIGITS.values():
        number //= len(levels)
    return case.replace(seed=replace(Way.of_case(case), **{name: DIGITS[name][0]}).seed(number))
