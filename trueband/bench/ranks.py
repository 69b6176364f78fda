"""`python -m trueband.bench.ranks`: time and memory of attention with its tokens over processes of this machine.

Each number of ranks is measured in processes of its own. Memory is what the peak of a rank grows by in the calls,
beyond inputs and what was loaded. Time is the least of some calls, from barrier to barrier.
"""

from __future__ import annotations

import argparse
import os
import resource
import socket
import time
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Sizes:
    """What is measured.

    Attributes:
        tokens, heads, head_dim, window: of the sequence, on all ranks together.
        globals_: global tokens, the first ones.
        backward: forward and backward as one, in place of forward.
        calls: how many are timed.
    """

    tokens: int
    heads: int
    head_dim: int
    window: int
    globals_: int
    backward: bool
    calls: int


def measure(ranks: int, sizes: Sizes) -> tuple[float, list[float]]:
    """Return seconds of a call, and the mebibytes of each rank."""
    import torch.multiprocessing

    context = torch.multiprocessing.get_context("spawn")
    results, port = context.SimpleQueue(), _free_port()
    processes = [context.Process(target=_run_rank, args=(rank, ranks, port, sizes, results)) for rank in range(ranks)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    if any(process.exitcode for process in processes):
        raise RuntimeError(f"ranks: expected {ranks} of them to end well, got one that did not")
    found = sorted(results.get() for _ in processes)
    return max(seconds for _, seconds, _ in found), [grown for _, _, grown in found]


def _run_rank(rank: int, ranks: int, port: int, sizes: Sizes, results: Any) -> None:
    import torch
    import torch.distributed as dist

    from trueband.optimized import parallel

    torch.set_num_threads(1)
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=ranks)
    size = -(-sizes.tokens // ranks)
    first, last = min(rank * size, sizes.tokens), min((rank + 1) * size, sizes.tokens)
    shape = (1, sizes.heads, last - first, sizes.head_dim)
    projections = [torch.randn(shape).requires_grad_(sizes.backward) for _ in range(3)]
    flags = (torch.arange(first, last) < sizes.globals_)[None] if sizes.globals_ else None

    def call(tokens: int) -> None:
        own = [tensor[:, :, :tokens] for tensor in projections]
        marked = None if flags is None else flags[:, :tokens]
        output = parallel.band_attention(*own, window=sizes.window, group=None, global_attention_mask=marked)
        if sizes.backward:
            torch.autograd.grad(output, projections, torch.ones_like(output))  # type: ignore[arg-type]

    call(min(256, last - first))  # what is loaded on the first call does not count
    before, times = _peak(), []
    for _ in range(sizes.calls):
        dist.barrier()
        start = time.monotonic()
        call(last - first)
        dist.barrier()
        times.append(time.monotonic() - start)
    results.put((rank, min(times), _peak() - before))
    dist.destroy_process_group()


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def main(arguments: list[str] | None = None) -> None:
    """Print a line for each number of ranks."""
    parser = argparse.ArgumentParser(prog="python -m trueband.bench.ranks", description=__doc__.splitlines()[0])
    for name, default, what in (
        ("tokens", 65536, "tokens of the sequence"),
        ("heads", 4, "heads"),
        ("head-dim", 64, "width of a head"),
        ("window", 256, "one-sided"),
        ("globals", 0, "global tokens"),
        ("calls", 3, "calls that are timed"),
    ):
        parser.add_argument(f"--{name}", type=int, default=default, metavar="N", help=f"{what} (default: {default})")
    parser.add_argument("--backward", action="store_true", help="forward and backward as one (default: forward)")
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2], metavar="R", help="default: 1 2")
    given = parser.parse_args(arguments)
    sizes = Sizes(
        given.tokens, given.heads, given.head_dim, given.window, given.globals, given.backward, max(given.calls, 1)
    )
    print(f"{'ranks':>5} {'seconds':>8}  MiB of each rank")
    for ranks in given.ranks:
        seconds, grown = measure(ranks, sizes)
        print(f"{ranks:>5} {seconds:>8.2f}  {', '.join(f'{each:.0f}' for each in grown)}", flush=True)


if __name__ == "__main__":
    main()
