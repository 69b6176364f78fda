"""The kernels, one idea each. Importing a module of this folder imports triton.

Letters and units that all of them share:

- A token's state is 0 (masked), 1 (local) or 2 (global); `states` is (b, n) int8.
- `positions` (b, most) int32 holds the positions of each row's global tokens, in order; `counts` (b,) how many.
- Scores are in units of log2: s = log2(e) * scale * q.k, so that a probability is exp2(s - log_sum).
- A dilated window is a plain window on a strip (tokens r, r + dilation, ...): a program works on one strip, and
  counts its tokens in steps along it.
- Tiles are WIDTH wide, the next power of two of the head's HEAD_DIM; what lies beyond is 0 and is never stored.
- Sums are float32, in an order that depends on the shape of one sequence alone; no program adds to another's memory.
"""
