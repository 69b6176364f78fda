"""Finds out which sizes a kernel raises for: a missing declaration is one line, not a failure of every check."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from trueband.properties.cases.limits import Limits, Sizes

# The survey starts from the first of these that gives a result, and changes one size at a time.
BASES = (
    {"batch": 1, "heads": 2, "tokens": 8, "head_dim": 4, "window": 2},
    {"batch": 1, "heads": 2, "tokens": 16, "head_dim": 16, "window": 4},
    {"batch": 1, "heads": 2, "tokens": 64, "head_dim": 64, "window": 16},
    {"batch": 2, "heads": 4, "tokens": 128, "head_dim": 64, "window": 64},
    {"batch": 2, "heads": 8, "tokens": 256, "head_dim": 128, "window": 128},
)
AWKWARD = {
    "batch": (1, 17),
    "heads": (1, 3, 64),
    "tokens": (1, 33, 1025),
    "head_dim": (1, 80, 256),
    "window": (0, 1, 33, 5000),
}
VALUES = {
    "batch": (1, 2, 3, 4, 5, 8, 17),
    "heads": (1, 2, 3, 4, 5, 6, 8, 12, 16, 32, 64),
    "tokens": (
        1,
        2,
        3,
        4,
        5,
        7,
        8,
        12,
        15,
        16,
        17,
        24,
        31,
        32,
        33,
        48,
        63,
        64,
        65,
        96,
        100,
        127,
        128,
        129,
        192,
        256,
        257,
        512,
        1024,
        1025,
    ),
    "head_dim": (1, 2, 3, 4, 5, 8, 12, 16, 20, 24, 32, 40, 48, 64, 72, 80, 96, 100, 128, 160, 192, 256),
    "window": (0, 1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 128, 200, 256, 512, 1024, 5000),
}

# The error that a call of these sizes raises, "" where it gives a result; True pads on the left.
Ask = Callable[[dict[str, int], bool], str]


def survey(ask: Ask, declared: Limits, padding: bool) -> tuple[Limits, str]:
    """Return the limits of a kernel that it does not declare, and the first error that shows them; ({}, "") for none.

    Args:
        ask: see `Ask`.
        padding: whether the kernel takes attention_mask.
    """
    base = next((sizes for sizes in map(declared_sizes(declared), BASES) if not ask(sizes, False)), None)
    if base is None:
        return Limits(), ""  # it always raises: that says nothing about sizes
    undeclared, first = {}, ""
    for name, awkward in AWKWARD.items():
        tried = [value for value in awkward if declared.of(name).takes(value)]
        error = next(filter(None, (ask({**base, name: value}, False) for value in tried)), "")
        if not error:
            continue
        values = [value for value in VALUES[name] if declared.of(name).takes(value)]
        taken = {value for value in values if not ask({**base, name: value}, False)} | {base[name]}
        undeclared[name] = sizes_of(sorted(taken), [value for value in values if value not in taken])
        first = first or error
    left = ask(base, True) if padding and declared.padding == "any" else ""
    return Limits(undeclared, "right" if left else "any"), first or left


def declared_sizes(declared: Limits) -> Callable[[dict[str, int]], dict[str, int]]:
    """Return a function that moves sizes to the nearest ones that a kernel declares to take."""
    return lambda sizes: {name: declared.fit(name, value) for name, value in sizes.items()}


def sizes_of(taken: Sequence[int], refused: Sequence[int]) -> Sizes:
    """Return the plainest description of the sizes that are taken and refused."""
    low, high = min(taken), max(taken)
    for multiple in (1, 2, 4, 8, 16, 32, 64, 128):
        wrong = [value for value in refused if value % multiple == 0]  # that the multiple alone would take
        if all(value % multiple == 0 for value in taken) and not any(low < value < high for value in wrong):
            least = low if any(value < low for value in wrong) else None
            return Sizes(least, high if any(value > high for value in wrong) else None, multiple)
    return Sizes(only=tuple(taken))


def merged(declared: Limits, undeclared: Limits) -> Limits:
    """Join the declared limits with the undeclared ones."""
    padding = "right" if "right" in (declared.padding, undeclared.padding) else "any"
    return Limits({**declared.sizes, **undeclared.sizes}, padding)


def to_declare(undeclared: Limits) -> str:
    """Return the arguments of a Target that declare these limits."""
    entries = ", ".join(f'"{name}": {_written(sizes)}' for name, sizes in undeclared.sizes.items())
    parts = [f"sizes={{{entries}}}"] if entries else []
    return ", ".join([*parts, *(['padding="right"'] if undeclared.padding == "right" else [])])


def _written(sizes: Sizes) -> str:
    fields = {name: tuple(value) if isinstance(value, list) else value for name, value in sizes.to_dict().items()}
    fields = {name: value for name, value in fields.items() if (name, value) != ("multiple", 1)}
    return f"Sizes({', '.join(f'{name}={value}' for name, value in fields.items())})"
