"""Where the choices that make a case come from: Hypothesis, which shrinks them, or a plain random generator.

The space of cases is written once, against `Choices`. A search draws from it through Hypothesis. A campaign draws
through `RandomChoices`: much faster, and the same with every version of Hypothesis.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol, TypeVar

from hypothesis import strategies as st

Chosen = TypeVar("Chosen")


class Choices(Protocol):
    """Makes one choice after the other; the first of what is offered is the simplest."""

    def integer(self, *ranges: tuple[int, int]) -> int:
        """An int of one of the ranges, ends included."""

    def flag(self) -> bool:
        """True or False."""

    def one_of(self, options: Sequence[Chosen]) -> Chosen:
        """One of the options."""

    def subset(self, size: int, most: int) -> tuple[int, ...]:
        """At most so many of 0..size-1, in order."""


@dataclass(frozen=True)
class HypothesisChoices:
    """Choices of one example of Hypothesis."""

    draw: Callable[[st.SearchStrategy[Any]], Any]

    def integer(self, *ranges: tuple[int, int]) -> int:
        number: int = self.draw(_integers(ranges))
        return number

    def flag(self) -> bool:
        truth: bool = self.draw(st.booleans())
        return truth

    def one_of(self, options: Sequence[Chosen]) -> Chosen:
        option: Chosen = self.draw(_options(tuple(options)))
        return option

    def subset(self, size: int, most: int) -> tuple[int, ...]:
        return tuple(sorted(self.draw(_sets(size, most))))


@dataclass(frozen=True)
class RandomChoices:
    """Choices of a seeded generator of the standard library."""

    random: random.Random

    def integer(self, *ranges: tuple[int, int]) -> int:
        return self.random.randint(*self.random.choice(ranges))

    def flag(self) -> bool:
        return self.random.random() < 1 / 2

    def one_of(self, options: Sequence[Chosen]) -> Chosen:
        return self.random.choice(options)

    def subset(self, size: int, most: int) -> tuple[int, ...]:
        return tuple(sorted(self.random.sample(range(size), self.random.randint(0, min(size, most)))))


@cache
def _options(options: tuple[Any, ...]) -> st.SearchStrategy[Any]:
    return st.sampled_from(options)  # a new one for each choice would be examined by Hypothesis each time


@cache
def _integers(ranges: tuple[tuple[int, int], ...]) -> st.SearchStrategy[int]:
    return st.one_of([st.integers(*each) for each in ranges])


@cache
def _sets(size: int, most: int) -> st.SearchStrategy[set[int]]:
    return st.sets(st.integers(0, size - 1), max_size=most)
