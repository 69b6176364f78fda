"""Forward pass of the rows of global tokens, which attend every real token with projections of their own.

There are few of them and their rows are long: each row is computed in parts of the sequence, then put together.
"""

import triton
import triton.language as tl

from trueband.optimized.attention.triton.kernels.tiles import add_keys, load_rows, sequence_and_head, store_rows


@triton.jit
def global_rows_forward(
    query,
    key,
    value,
    part_outputs,
    part_log_sums,
    states,
    positions,
    counts,
    query_b,
    query_h,
    query_n,
    key_b,
    key_h,
    key_n,
    value_b,
    value_h,
    value_n,
    heads,
    tokens,
    most,
    blocks,
    parts,
    part_tokens,
    log2_scale,
    HEAD_DIM: tl.constexpr,
    WIDTH: tl.constexpr,
    KEYS: tl.constexpr,
    GLOBALS: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """A block of global rows of one head on the keys of one part of the sequence.

    Args:
        part_outputs: (b, h, parts, most, d) float32, before the weight of the head.
        part_log_sums: (b, h, parts, most) float32; -inf for a part without a real token.
        blocks: the number of blocks of global rows. part_tokens: tokens in a part, a multiple of KEYS.
    """
    program = tl.program_id(0)
    b, h = sequence_and_head(program // (parts * blocks), heads)
    part = program // blocks % parts
    key += b * key_b + h * key_h
    value += b * value_b + h * value_h
    states += b * tokens

    count = tl.load(counts + b)
    places = program % blocks * GLOBALS + tl.arange(0, GLOBALS)
    is_row = places < count
    rows = tl.load(positions + b * most + places, mask=is_row, other=0).to(tl.int64)
    q = load_rows(query + b * query_b + h * query_h, rows, query_n, is_row, HEAD_DIM, WIDTH)
    top = tl.full([GLOBALS], float("-inf"), tl.float32)
    total = tl.zeros([GLOBALS], tl.float32)
    mean = tl.zeros([GLOBALS, WIDTH], tl.float32)

    last = tl.where(program % blocks * GLOBALS < count, tl.minimum((part + 1) * part_tokens, tokens), 0)
    for key_start in range(part * part_tokens, last, KEYS):
        key_rows = key_start + tl.arange(0, KEYS).to(tl.int64)
        is_real = tl.load(states + key_rows, mask=key_rows < tokens, other=0) != 0
        k = load_rows(key, key_rows, key_n, is_real, HEAD_DIM, WIDTH)
        v = load_rows(value, key_rows, value_n, is_real, HEAD_DIM, WIDTH)
        scores = tl.dot(q, tl.trans(k), input_precision=PRECISION) * log2_scale
        scores = tl.where(is_real[None, :], scores, float("-inf"))
        top, total, mean = add_keys(scores, v, top, total, mean, PRECISION)

    empty = top == float("-inf")  # no real token, or a score of -inf: the whole row shows which
    total = tl.where(empty, 1.0, total)
    of_part = ((b * heads + h) * parts + part) * most + places
    store_rows(part_outputs, of_part, HEAD_DIM, is_row, mean / total[:, None], HEAD_DIM, WIDTH)
    tl.store(part_log_sums + of_part, top + tl.math.log2(total), mask=is_row)


@triton.jit
def global_rows_join(
    part_outputs,
    part_log_sums,
    output,
    log_sums,
    positions,
    counts,
    weights,
    output_b,
    output_h,
    output_n,
    heads,
    tokens,
    most,
    blocks,
    parts,
    HEAD_DIM: tl.constexpr,
    WIDTH: tl.constexpr,
    GLOBALS: tl.constexpr,
):
    """Puts the parts of a block of global rows of one head together, into the rows of the output.

    Args:
        output: (b, h, n, d) by strides. log_sums: (b, h, n) float32, whose rows of global tokens are written.
    """
    program = tl.program_id(0)
    b, h = sequence_and_head(program // blocks, heads)
    places = program % blocks * GLOBALS + tl.arange(0, GLOBALS)
    is_row = places < tl.load(counts + b)
    of_head = (b * heads + h) * most
    top = tl.full([GLOBALS], float("-inf"), tl.float32)
    for part in range(0, parts):
        top = tl.maximum(top, tl.load(part_log_sums + of_head * parts + part * most + places, mask=is_row, other=0.0))
    total = tl.zeros([GLOBALS], tl.float32)
    mean = tl.zeros([GLOBALS, WIDTH], tl.float32)
    for part in range(0, parts):
        of_part = of_head * parts + part * most + places
        share = tl.math.exp2(tl.load(part_log_sums + of_part, mask=is_row, other=0.0) - top)
        total += share
        mean += share[:, None] * load_rows(part_outputs, of_part, HEAD_DIM, is_row, HEAD_DIM, WIDTH)
    rows = tl.load(positions + b * most + places, mask=is_row, other=0).to(tl.int64)
    result = mean / total[:, None] * tl.load(weights + h)
    store_rows(output + b * output_b + h * output_h, rows, output_n, is_row, result, HEAD_DIM, WIDTH)
    tl.store(log_sums + (b * heads + h) * tokens + rows, top + tl.math.log2(total), mask=is_row)
