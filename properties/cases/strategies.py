"""The space of cases, and the Hypothesis strategy for it. Smallest first and nothing filtered: cases shrink well."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from hypothesis import strategies as st

from trueband.properties.cases.case import Case, Positions
from trueband.properties.cases.choices import Choices, HypothesisChoices
from trueband.properties.cases.extensions import EVERY_KIND, extended, kinds_of, possible
from trueband.properties.cases.families import FAMILIES
from trueband.properties.cases.limits import Limits
from trueband.properties.cases.windows import covers

# The field of a case that has a value of its own where the case has the feature.
_FIELDS = {
    "padding": "masked",
    "globals": "global_",
    "separate_globals": "separate_globals",
    "causal": "causal",
    "dilation": "dilation",
    "head_mask": "head_mask",
    "scale": "scale",
}
HEAD_DIMS = (1, 2, 3, 4, 8, 16, 64)
POWERS_OF_4 = (1, 4, 16, 64, 256)
SCALES = (None, 1.0, 0.5, 0.3, 1.5, 24.0)
DILATIONS = ((1, 3), (1, 3), (4, 9))
SHAPES, COMBINED, DENSE, EXTENDED = "shapes", "combined", "dense", "extended"
LONG = (120, 330)  # tokens: past the block sizes of kernels


@dataclass(frozen=True)
class Structure:
    """What cases a check asks for.

    Attributes:
        require: features that every case has, of "padding", "globals", "causal", "dilation", "head_mask", and of
            `extensions.KINDS`.
        without: features that no case has, of the same and "separate_globals", "scale".
        takes: what cases may have of the second edition of the contract, of `extensions.KINDS`.
        tokens: least and most tokens; `long` allows longer ones now and then, past the block sizes of kernels.
        batch: least and most rows of the batch.
        heads: least and most heads.
        dense: the window covers the sequence.
        families: of numbers.
        head_dims: sizes of a head.
        exact_scale: the default scale, 1 / sqrt(head_dim), is a power of two.
        production: where the sizes come from, if from `cases.shapes`: `SHAPES`, of which only the
            least batch and heads of those above are asked then; `COMBINED`, its combinations; `EXTENDED`, those of the
            second edition; `DENSE`, its few dense shapes. "": they do not.
    """

    require: frozenset[str] = frozenset()
    without: frozenset[str] = frozenset()
    takes: frozenset[str] = frozenset()
    tokens: tuple[int, int] = (1, 40)
    long: bool = True
    batch: tuple[int, int] = (1, 3)
    heads: tuple[int, int] = (1, 3)
    dense: bool = False
    families: tuple[str, ...] = tuple(FAMILIES)
    head_dims: tuple[int, ...] = HEAD_DIMS
    exact_scale: bool = False
    production: str = ""

    def suits(self, case: Case) -> bool:
        """Whether the sizes of a case allow the claim."""
        least, most = self.tokens
        of_length = least != most or case.tokens == most
        dense = not self.dense or covers(case.window, case.tokens)
        return of_length and dense and (not self.exact_scale or case.head_dim in POWERS_OF_4)

    def at_most(self, tokens: int) -> Structure:
        """The same with at most so many tokens (as many as it needs, if that is more)."""
        least, most = self.tokens
        return replace(self, tokens=(least, max(least, min(most, tokens))), long=False)

    def check(self, case: Case) -> None:
        """Refuse a case that was not drawn from it, for which the claim may be untrue. More rows and heads are fine.

        Raises:
            ValueError: it names the field.
        """
        given = case.to_dict()
        for feature, name in _FIELDS.items():
            if feature in self.require and name not in given:
                raise ValueError(f"{name}: expected one for this check, got none")
            if feature in self.without and name in given:
                raise ValueError(f"{name}: expected none for this check, got {given[name]!r}")
        kinds = kinds_of(case)
        if beyond := sorted(kinds - self.takes - self.require):
            raise ValueError(f"case: expected none with {beyond[0]} for this check, got one")
        if missing := sorted((self.require & EVERY_KIND) - kinds):
            raise ValueError(f"case: expected one with {missing[0]} for this check, got none")
        if self.production:
            return
        least, most = self.tokens
        if case.tokens < least or (case.tokens > most and not self.long):
            told = f"at least {least}" if self.long else f"{least}..{most}"
            raise ValueError(f"tokens: expected {told} for this check, got {case.tokens}")
        if self.dense and not covers(case.window, case.tokens):
            raise ValueError(f"window: expected at least {case.tokens - 1} for this check, got {case.window}")
        if case.family not in self.families:
            raise ValueError(f"family: expected one of {', '.join(self.families)} for this check, got {case.family!r}")
        if case.head_dim < min(self.head_dims):
            raise ValueError(f"head_dim: expected at least {min(self.head_dims)} for this check, got {case.head_dim}")
        if self.exact_scale and case.head_dim not in POWERS_OF_4:
            raise ValueError(f"head_dim: expected a power of 4 for this check, got {case.head_dim}")


ANY = Structure()
NO_LIMITS = Limits()


def cases(
    dtype: str, features: Collection[str], structure: Structure = ANY, limits: Limits = NO_LIMITS
) -> st.SearchStrategy[Case]:
    """Cases of a structure that a target with these features and limits can serve."""
    return _cases(dtype, frozenset(features), structure, limits)


@st.composite
def _cases(draw: st.DrawFn, dtype: str, features: frozenset[str], structure: Structure, limits: Limits) -> Case:
    return choose_case(HypothesisChoices(draw), dtype, features, structure, limits)


def choose_case(
    choices: Choices, dtype: str, features: Collection[str], structure: Structure = ANY, limits: Limits = NO_LIMITS
) -> Case:
    """One case of a structure that a target with these features and limits can serve."""
    least, most = structure.tokens
    is_long = structure.long and choices.integer((0, 11)) == 11
    tokens = choices.integer(LONG) if is_long else choices.integer((least, min(most, least + 7)), (least, most))
    bare = Case(
        tokens=tokens,
        window=choices.integer((tokens - 1, tokens + 3)) if structure.dense else _window(choices, tokens),
        batch=choices.integer(structure.batch),
        heads=choices.integer(structure.heads),
        head_dim=choices.one_of(
            structure.head_dims[:-1] or structure.head_dims if tokens > 100 else structure.head_dims
        ),
        dtype=dtype,
    )
    dressed_case = dressed(choices, bare, features, structure)
    required = structure.require & EVERY_KIND
    if kinds := (structure.takes | required) & possible(features):
        dressed_case = extended(choices, dressed_case, features, kinds, required)
    return _fitted(dressed_case, structure, limits)


def dressed(choices: Choices, bare: Case, features: Collection[str], structure: Structure = ANY) -> Case:
    """A case with the sizes of another, and with what the structure and the features leave: masks, options, numbers."""

    def has(feature: str) -> bool:
        if feature in structure.require:
            return True
        return feature in features and feature not in structure.without and choices.flag()

    tokens, batch = bare.tokens, bare.batch
    flagged = _few if structure.production else _flagged
    masked = global_ = None
    separate = False
    if has("padding"):
        masked = _rows([_masked(choices, tokens) for _ in range(batch)], "padding" in structure.require)
    causal = "causal" in structure.require or "causal_only" in features
    if not causal and has("globals"):
        global_ = _rows([flagged(choices, tokens) for _ in range(batch)], "globals" in structure.require)
        separate = "separate_globals" in features and "separate_globals" not in structure.without and choices.flag()
    else:
        causal = causal or has("causal")
    dilation: int | tuple[int, ...] = 1
    if has("dilation"):
        dilation = choices.integer(*DILATIONS)
        if "dilation_per_head" in features and choices.flag():
            dilation = tuple(choices.integer(*DILATIONS) for _ in range(bare.heads))
    return bare.replace(
        masked=masked,
        global_=global_,
        separate_globals=separate,
        dilation=dilation,
        causal=causal,
        head_mask=has("head_mask"),
        scale=choices.one_of(SCALES) if "scale" in features and "scale" not in structure.without else None,
        family=choices.one_of(structure.families),
        seed=choices.integer((0, 2**16)),
    )


def _fitted(case: Case, structure: Structure, limits: Limits) -> Case:
    """A case with sizes that a target takes, dense and of an exact scale where there are such."""
    fitted = limits.fitted(case)
    if structure.dense and not covers(fitted.window, fitted.tokens):
        fitted = limits.fitted(fitted.replace(window=fitted.tokens - 1))
    if structure.exact_scale and fitted.head_dim not in POWERS_OF_4:
        taken = [size for size in POWERS_OF_4 if limits.of("head_dim").takes(size)]
        fitted = fitted.replace(head_dim=min(taken, default=fitted.head_dim))
    return fitted


def _window(choices: Choices, tokens: int) -> int:
    """Small windows, windows about the length, and windows about the block sizes of kernels."""
    blocks = [(60, 160)] if tokens > 100 else []
    return choices.integer((0, 4), (0, tokens + 2), *blocks)


def _rows(positions: list[tuple[int, ...]], non_empty: bool) -> Positions:
    """Positions for each row of the batch; `non_empty` asks for at least one in the first row."""
    if non_empty and not positions[0]:
        positions[0] = (0,)
    return tuple(positions)


def _masked(choices: Choices, tokens: int) -> tuple[int, ...]:
    """A padded tail, a padded head, or some positions."""
    kind = choices.one_of(("tail", "head", "some"))
    if kind == "some":
        return choices.subset(tokens, 6)
    count = choices.integer((0, tokens))
    return tuple(range(tokens - count, tokens) if kind == "tail" else range(count))


def _few(choices: Choices, tokens: int) -> tuple[int, ...]:
    """Some of the first, the last and others: a row of a global token costs as much as a hundred others."""
    some = [0, 1, tokens // 2, tokens - 1, choices.integer((0, tokens - 1)), choices.integer((0, tokens - 1))]
    return tuple(sorted({position for position in some if position < tokens and choices.flag()}))


def _flagged(choices: Choices, tokens: int) -> tuple[int, ...]:
    """Some positions, few or many, or all."""
    most = choices.one_of((4, 16, 0))
    return choices.subset(tokens, most) if most else tuple(range(tokens))
