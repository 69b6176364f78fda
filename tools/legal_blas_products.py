"""Products in a process that computes with `legal_blas.c`: are they right, and what do their bits depend on?

`LD_PRELOAD=... LEGAL_BLAS=MODE python tools/legal_blas_products.py` prints a line of JSON:
calls: {operation of torch: how often it called the library}; judged: comparisons; wrong: those that failed;
moves: {operation dtype: what made other bits, of "again", "address", "line", "shape", "place", "tile"}.
"""

from __future__ import annotations

import ctypes
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from trueband.properties.bounds.bound import Bound
from trueband.properties.bounds.precision import Precision
from trueband.properties.results.verdict import Verdict, judge

Array = NDArray[Any]
LINE = 64  # bytes
SUMMED = 29
NO_TRANS, TRANS = 111, 112
ROW_MAJOR, COLUMN_MAJOR = 101, 102
LETTERS = {"float32": "s", "float64": "d"}
LIBRARY = ctypes.CDLL(None)  # what the process calls by a name
RANDOM = np.random.default_rng(0)


def judged(got: Any, a: Array, b: Array, alpha: float, beta: float, before: Array, what: str) -> Verdict:
    """alpha * a b + beta * before, whatever the order of the sums: k products, as many sums, and three operations."""
    got = np.asarray(got)
    a, b, before = (each.astype(np.float64) for each in (a, b, before))
    roundings = (a.shape[-1] + 6) * Precision.of(got.dtype.name).accumulator
    size = abs(alpha) * (abs(a) @ abs(b)) + abs(beta) * abs(before)
    bound = Bound({"roundings": roundings / (1 - roundings) * size})
    return judge(got, alpha * (a @ b) + beta * before, bound, f"{what} {got.dtype}")


def numbers(dtype: str, *shape: int) -> Array:
    return RANDOM.standard_normal(shape).astype(dtype)


def within(array: Array, room: int) -> Array:
    """The same matrices as a part of larger ones, of NaN."""
    larger = np.full((*array.shape[:-1], array.shape[-1] + room), np.nan, array.dtype)
    larger[..., : array.shape[-1]] = array
    return larger[..., : array.shape[-1]]


def by_torch(dtype: str) -> Iterator[Verdict]:
    """The operations that are computed by the library, on operands of all layouts."""
    nothing = np.zeros(())
    for m, k, n in [(1, 4, 29), (5, 16, 5), (8, 8, 8), (3, 29, 17), (16, 1, 16), (2, 64, 3), (64, 33, 1), (9, 40, 21)]:
        for turn_a, turn_b, room in itertools.product((False, True), (False, True), (0, 3)):
            a, b, c = numbers(dtype, 3, m, k), numbers(dtype, 3, k, n), numbers(dtype, 3, m, n)
            left, right = (
                torch.from_numpy(within(np.swapaxes(each, 1, 2).copy(), room)).mT
                if turn
                else torch.from_numpy(within(each, room))
                for each, turn in ((a, turn_a), (b, turn_b))
            )
            old = torch.from_numpy(c)
            yield judged(left[0] @ right[0], a[0], b[0], 1, 0, nothing, "mm")
            yield judged(
                torch.addmm(old[0], left[0], right[0], alpha=-0.5, beta=0.75), a[0], b[0], -0.5, 0.75, c[0], "addmm"
            )
            yield judged(left @ right, a, b, 1, 0, nothing, "bmm")
            yield judged(torch.baddbmm(old, left, right, alpha=2, beta=-1), a, b, 2, -1, c, "baddbmm")
            yield judged(left[0] @ right[0, :, 0], a[0], b[0, :, 0], 1, 0, nothing, "mv")
            yield judged(
                torch.addmv(old[0, :, 0], left[0], right[0, :, 0], alpha=3, beta=0.5),
                a[0],
                b[0, :, 0],
                3,
                0.5,
                c[0, :, 0],
                "addmv",
            )
            yield judged(torch.dot(left[0, 0], right[0, :, 0]), a[0, 0], b[0, :, 0], 1, 0, nothing, "dot")


def by_name(dtype: str) -> Iterator[Verdict]:
    """What torch does not ask for, too: operands that must not be read, no products, and steps backwards."""
    letter, real = LETTERS[dtype], {"float32": ctypes.c_float, "float64": ctypes.c_double}[dtype]

    def call(name: str, *arguments: Any) -> Any:
        function = getattr(LIBRARY, name)
        function.restype = real if "dot" in name else None
        given: list[Any] = []
        for each in arguments:
            if isinstance(each, np.ndarray):
                given.append(ctypes.c_void_p(each.ctypes.data))
            elif isinstance(each, (ctypes.c_float, ctypes.c_double)):
                given.append(ctypes.byref(each))
            else:
                given.append(ctypes.c_char_p(each) if isinstance(each, bytes) else ctypes.byref(ctypes.c_int(each)))
        return function(*given)

    for turn_a, turn_b, alpha, beta, k in itertools.product((0, 1), (0, 1), (0.0, -0.5), (0.0, 1.0, 0.75), (0, 1, 13)):
        m, n = 6, 5
        a, b, c = numbers(dtype, m, k), numbers(dtype, k, n), numbers(dtype, m, n)
        given_a, given_b, given_c = (
            within(each.T.copy() if by_columns else each.copy(), 2)
            for each, by_columns in ((a, not turn_a), (b, not turn_b), (c, True))
        )
        if alpha == 0:
            given_a[...] = given_b[...] = np.nan
        if beta == 0:
            given_c[...] = np.nan
        lda, ldb, ldc = (each.strides[0] // each.itemsize for each in (given_a, given_b, given_c))
        call(
            f"{letter}gemm_",
            b"NT"[turn_a : turn_a + 1],
            b"NT"[turn_b : turn_b + 1],
            m,
            n,
            k,
            real(alpha),
            given_a,
            lda,
            given_b,
            ldb,
            real(beta),
            given_c,
            ldc,
        )
        what = f"gemm with alpha {alpha}, beta {beta} of {k} products"
        yield judged(given_c.T, a, b, alpha, beta, c, what)
        yield _untouched(given_c, what)

    for turn, step_x, step_y, alpha, beta in itertools.product((0, 1), (-2, -1, 1, 3), (-3, 1), (0.0, 2.0), (0.0, 0.5)):
        m, n = 7, 11
        a = numbers(dtype, m, n)
        x, y = numbers(dtype, m if turn else n), numbers(dtype, n if turn else m)
        given_a = within(a.T.copy(), 1)
        given_x, given_y = (_stepped(each, step) for each, step in ((x, step_x), (y, step_y)))
        if alpha == 0:
            given_a[...] = given_x[...] = np.nan
        if beta == 0:
            given_y[...] = np.nan
        call(
            f"{letter}gemv_",
            b"NT"[turn : turn + 1],
            m,
            n,
            real(alpha),
            given_a,
            m + 1,
            given_x,
            step_x,
            real(beta),
            given_y,
            step_y,
        )
        what = f"gemv with alpha {alpha}, beta {beta}, steps {step_x} and {step_y}"
        yield judged(_taken(given_y, step_y), a.T if turn else a, x, alpha, beta, y, what)
        if turn == 0 and alpha and beta:
            got = call(f"{letter}dot_", n, given_x, step_x, _stepped(x[::-1].copy(), step_y), step_y)
            yield judged(np.array(got, dtype), x, x[::-1], 1, 0, np.zeros(()), f"dot, steps {step_x} and {step_y}")

    y = numbers(dtype, 4)
    kept = y.copy()
    call(f"{letter}gemv_", b"N", 4, 0, real(1), y, 4, y, 1, real(0.5), kept, 1)
    yield judge(kept, y, Bound({"exact": np.zeros(4)}), "gemv of no products")


def by_batch(dtype: str) -> Iterator[Verdict]:
    """cblas_?gemm_batch: two groups of other shapes, in rows and in columns."""
    real = {"float32": ctypes.c_float, "float64": ctypes.c_double}[dtype]
    function = getattr(LIBRARY, f"cblas_{LETTERS[dtype]}gemm_batch")
    function.restype = None
    shapes, sizes = [(3, 5, 7), (9, 2, 4)], [2, 3]  # m, k, n
    alphas, betas = [0.5, 2.0], [0.25, 0.0]
    for layout, turn_a, turn_b in itertools.product((ROW_MAJOR, COLUMN_MAJOR), (NO_TRANS, TRANS), (NO_TRANS, TRANS)):
        groups = [group for group, size in enumerate(sizes) for _ in range(size)]
        all_a, all_b, all_c = (
            [numbers(dtype, shapes[group][rows], shapes[group][columns]) for group in groups]
            for rows, columns in ((0, 1), (1, 2), (0, 2))
        )

        def given(each: Array, turn: int, layout: int = layout) -> Array:
            return within(each.copy() if (turn == NO_TRANS) == (layout == ROW_MAJOR) else each.T.copy(), 3)

        memory = [
            [given(each, turn) for each in every]
            for every, turn in ((all_a, turn_a), (all_b, turn_b), (all_c, NO_TRANS))
        ]
        pointers = [(ctypes.c_void_p * len(groups))(*(each.ctypes.data for each in every)) for every in memory]
        leading = [[every[groups.index(group)].strides[0] // every[0].itemsize for group in (0, 1)] for every in memory]
        ints = ctypes.c_int * 2
        m, k, n = (ints(*each) for each in zip(*shapes, strict=True))
        function(
            layout,
            ints(turn_a, turn_a),
            ints(turn_b, turn_b),
            m,
            n,
            k,
            (real * 2)(*alphas),
            pointers[0],
            ints(*leading[0]),
            pointers[1],
            ints(*leading[1]),
            (real * 2)(*betas),
            pointers[2],
            ints(*leading[2]),
            2,
            ints(*sizes),
        )
        for group, a, b, c, got in zip(groups, all_a, all_b, all_c, memory[2], strict=True):
            got = got if layout == ROW_MAJOR else got.T
            yield judged(got, a, b, alphas[group], betas[group], c, f"gemm_batch {layout} {turn_a} {turn_b}")


def of_infinities(dtype: str) -> Iterator[Verdict]:
    """0 times infinity is no number, and no sum that holds it is one."""
    a = torch.zeros(6, 40, dtype=getattr(torch, dtype))
    b = torch.full((40, 6), torch.inf, dtype=a.dtype)
    a[0] = 1
    for what, got in (
        ("mm", a @ b),
        ("mv", (a @ b[:, 0])[:, None]),
        ("dot", torch.dot(a[1], b[:, 0])[None, None]),
        ("bmm", torch.stack([a, a]) @ torch.stack([b, b])),
    ):
        plain = got.numpy()
        right = np.isnan(plain)
        if what != "dot":
            right[..., 0, :] = plain[..., 0, :] == np.inf
        yield judge(
            right, np.ones(right.shape), Bound({"exact": np.zeros(right.shape)}), f"{what} of infinities {dtype}"
        )


def at(tensor: Any, offset: int) -> Any:
    """The same numbers, so many bytes after a line of 64."""
    size = tensor.numel() * tensor.element_size()
    raw = torch.empty(size + 2 * LINE, dtype=torch.uint8)
    start = -raw.data_ptr() % LINE + offset
    moved = raw[start : start + size].view(tensor.dtype).view(tensor.shape)
    return moved.copy_(tensor)


def moves(dtype: str) -> dict[str, list[str]]:
    """What makes other bits, of each operation."""
    kind = getattr(torch, dtype)
    step = torch.empty((), dtype=kind).element_size()
    a, b, x = (torch.randn(*shape, dtype=kind) for shape in ((2, 16, SUMMED), (2, SUMMED, 16), (SUMMED,)))
    equal_rows = a[:, :1].expand(2, 16, SUMMED).contiguous()
    operations: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
        "mm": (torch.mm, (a[0], b[0])),
        "bmm": (torch.bmm, (a, b)),
        "mv": (torch.mv, (a[0], x)),
        "dot": (torch.dot, (x, b[0, :, 0].contiguous())),
    }
    smaller: dict[str, Callable[[int], Any]] = {
        "mm": lambda rows: torch.equal(torch.mm(a[0], b[0])[:rows], torch.mm(a[0, :rows], b[0])),
        "bmm": lambda rows: torch.equal(torch.bmm(a, b)[:, :rows], torch.bmm(a[:, :rows], b)),
        "mv": lambda rows: torch.equal(torch.mv(a[0], x)[:rows], torch.mv(a[0, :rows], x)),
    }
    of_equal: dict[str, Callable[[], Any]] = {
        "mm": lambda: torch.mm(equal_rows[0], b[0]),
        "bmm": lambda: torch.bmm(equal_rows, b)[0],
        "mv": lambda: torch.mv(equal_rows[0], x),
    }
    found = {}
    for name, (operation, given) in operations.items():
        placed = [at(each, 0) for each in given]
        first = operation(*placed)
        changed = {"again": any(not torch.equal(operation(*placed), first) for _ in range(12))}
        changed["line"] = any(not torch.equal(operation(*(at(each, 0) for each in given)), first) for _ in range(4))
        changed["address"] = any(
            not torch.equal(operation(*(at(each, offset * (index == i)) for i, each in enumerate(given))), first)
            for index in range(2)
            for offset in range(step, LINE, step)
        )
        if name in smaller:
            changed["shape"] = not all(map(smaller[name], (4, 8, 12)))
            rows = of_equal[name]()
            changed["place"] = any(not torch.equal(rows[0], rows[row]) for row in (1, 2, 3))
            changed["tile"] = any(not torch.equal(rows[row], rows[row + 4]) for row in range(12))
        found[f"{name} {dtype}"] = [what for what, is_so in changed.items() if is_so]
    return found


def _stepped(vector: Array, step: int) -> Array:
    """The vector as BLAS reads it with a step; backwards from the end where it is negative."""
    memory = np.full(1 + (len(vector) - 1) * abs(step), np.nan, vector.dtype)
    memory[:: abs(step)] = vector if step > 0 else vector[::-1]
    return memory


def _taken(memory: Array, step: int) -> Array:
    every = memory[:: abs(step)]
    return every if step > 0 else every[::-1]


def _untouched(part: Array, what: str) -> Verdict:
    """Nothing is written between the columns."""
    assert part.base is not None
    between = np.isnan(part.base[..., part.shape[-1] :])
    return judge(between, np.ones(between.shape), Bound({"exact": np.zeros(between.shape)}), f"beside {what}")


def main() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    calls: Counter[str] = Counter()
    verdicts, before = [], 0
    for each in (each for dtype in LETTERS for each in by_torch(dtype)):
        verdicts.append(each)
        now = LIBRARY.legal_blas_calls()
        calls[each.what] += now - before
        before = now
    verdicts += [each for dtype in LETTERS for part in (of_infinities, by_name, by_batch) for each in part(dtype)]
    print(
        json.dumps(
            {
                "calls": calls,
                "judged": len(verdicts),
                "wrong": [str(each) for each in verdicts if not each.passed],
                "moves": {name: found for dtype in LETTERS for name, found in moves(dtype).items()},
            }
        )
    )


if __name__ == "__main__":
    main()
