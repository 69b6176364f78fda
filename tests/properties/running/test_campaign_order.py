"""Which blocks of a campaign count, and in which order, however they have come in."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from trueband.properties.running.campaign import Block, block_keys, counted, left
from trueband.properties.running.plan import Plan


def finished(number: int, status: str = "passed", check: str = "mask_decoding", dtype: str = "float32") -> Block:
    return Block(check, dtype, number, 500, "", 500, int(status != "passed"), 1.0, status=status)


LONG = Plan("target", ("float32", "float64"), 10_000, (), ("single_token", "mask_decoding"), tier="nightly")


def test_blocks_beyond_an_alarm_do_not_count_whenever_they_came() -> None:
    blocks = [finished(4), finished(3, "failed"), finished(0), finished(2), finished(5, "failed"), finished(1)]
    assert [block.number for block in counted(LONG, blocks)] == [0, 1, 2, 3]
    other = [finished(4, dtype="float64"), finished(7, check="single_token")]
    assert {block.key for block in counted(LONG, [*blocks, *other])} >= {block.key for block in other}


@given(st.permutations([finished(n, check=c, dtype=d) for n in (0, 1) for c in LONG.checks for d in LONG.dtypes]))
def test_blocks_count_in_the_order_of_a_run_that_has_one_machine(blocks: list[Block]) -> None:
    assert [block.key for block in counted(LONG, blocks)] == block_keys(LONG)[:8]


def test_what_is_before_an_alarm_is_still_to_be_run() -> None:
    done = [finished(4, "failed"), finished(1), finished(6)]
    numbers = [number for check, dtype, number in left(LONG, done) if (check, dtype) == ("mask_decoding", "float32")]
    assert numbers == [0, 2, 3]
