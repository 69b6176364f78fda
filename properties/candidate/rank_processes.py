"""Ranks as processes of torch.distributed on this machine.

A server is forked before torch has started threads of its own; it forks the ranks. So they start at once, they are
watched as the process of the target is, and they end with it, whatever happens to it.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from multiprocessing.connection import Client, Connection, Listener, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trueband.properties.candidate.errors import CRASHED, CandidateEnded, Raised
from trueband.properties.candidate.rank import Backward, Forward, Rank

if TYPE_CHECKING:
    from torch import Tensor

GRACE = 3.0  # seconds that the other ranks have to answer once one has ended: they may wait for it in a collective
START_SECONDS = 60.0
_DIES_WITH_PARENT = 1  # PR_SET_PDEATHSIG


class Server:
    """The process that forks ranks. There is one for each target.

    Args:
        function: the target.
        backend: of torch.distributed.
        device: of the tensors; of "cuda", rank r has GPU r.
    """

    def __init__(self, function: Callable[..., Any], backend: str, device: str) -> None:
        self._connection, theirs = multiprocessing.Pipe()
        ours = os.getpid()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # other threads of this process hold no lock of ours
            self._pid = os.fork()
        if not self._pid:
            with _ends_here():
                _die_with(ours)
                _serve(theirs, function, backend, device)
        theirs.close()

    def start(self, size: int) -> World:
        """Start a world of so many ranks."""
        folder = tempfile.mkdtemp(prefix="trueband-ranks-")
        listener = Listener(str(Path(folder) / "socket"), family="AF_UNIX", backlog=size)
        try:
            self._connection.send(("start", size, folder))
            connections: dict[int, Connection] = {}
            pids: dict[int, int] = {}
            for _ in range(size):
                connection = listener.accept()
                rank, pids[rank] = connection.recv()
                connections[rank] = connection
            for rank in range(size):
                if not connections[rank].poll(START_SECONDS):
                    raise CandidateEnded(
                        f"rank {rank} of {size}: expected a start within {START_SECONDS:g} s, got none"
                    )
                connections[rank].recv()
        finally:
            listener.close()
            with contextlib.suppress(OSError):
                for left in Path(folder).iterdir():
                    left.unlink()
                Path(folder).rmdir()
        return World(self, [connections[rank] for rank in range(size)], [pids[rank] for rank in range(size)])

    def wait(self, pid: int) -> str:
        """Return how a rank ended, once it has."""
        self._connection.send(("wait", pid, ""))
        code = os.waitstatus_to_exitcode(self._connection.recv())
        return f"signal {-code}" if code < 0 else f"exit code {code}"

    def end(self) -> None:
        """End the server, and with it every rank."""
        self._connection.close()
        with contextlib.suppress(OSError):
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)


class World:
    """The processes of so many ranks."""

    def __init__(self, server: Server, connections: Sequence[Connection], pids: Sequence[int]) -> None:
        self._server, self._connections, self.pids = server, connections, tuple(pids)
        self.alive = True

    def ask(self, requests: Sequence[Forward | Backward]) -> list[dict[str, Tensor]]:
        """Return the answers of all ranks.

        Raises:
            CandidateEnded: a rank raised, returned something else than its result, or ended. The other ranks may wait
                for it: a world of which not all answer is ended.
        """
        for connection, request in zip(self._connections, requests, strict=True):
            with contextlib.suppress(OSError):  # a dead rank is noticed by its missing answer
                connection.send(_packed(request))
        answers: dict[int, Any] = {}
        until = None
        while len(answers) < len(requests):
            open_ones: dict[Any, int] = {
                self._connections[rank]: rank for rank in range(len(requests)) if rank not in answers
            }
            seconds = None if until is None else max(until - time.monotonic(), 0)
            ready: list[Any] = wait([*open_ones], seconds)
            if not ready:
                break
            for connection in ready:
                rank = open_ones[connection]
                try:
                    answers[rank] = connection.recv()
                except (EOFError, OSError):
                    answers[rank] = None
                if not isinstance(answers[rank], dict) and until is None:
                    until = time.monotonic() + GRACE
        dead = [rank for rank, answer in answers.items() if answer is None]
        if dead or len(answers) < len(requests):
            ends = self.end()
            self._connections = ()
            if dead:
                raise CandidateEnded(
                    f"rank {dead[0]} of {len(requests)}: expected an answer, got the end of the process: "
                    f"{ends[dead[0]]}",
                    CRASHED,
                )
        for rank in sorted(answers):
            if isinstance(answers[rank], tuple):
                message, status, traceback, raised = answers[rank]
                raise (Raised if raised else CandidateEnded)(message, status, traceback)
        return [_unpacked(answers[rank]) for rank in range(len(requests))]

    def end(self) -> list[str]:
        """End all ranks and return how each ended."""
        self.alive = False
        time.sleep(0.01)  # for one that is ending by itself
        for connection in self._connections:
            connection.close()
        for pid in self.pids:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        return [self._server.wait(pid) for pid in self.pids]


def _serve(commands: Any, function: Callable[..., Any], backend: str, device: str) -> None:
    """Fork ranks, and wait for them, until the other side closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ours = os.getpid()
    while True:
        try:
            what, number, folder = commands.recv()
        except (EOFError, OSError):
            return
        if what == "wait":
            commands.send(os.waitpid(number, 0)[1])
            continue
        for rank in range(number):
            if not os.fork():
                with _ends_here():
                    _die_with(ours)
                    commands.close()
                    _run_rank(function, backend, device, rank, number, folder)


def _run_rank(function: Callable[..., Any], backend: str, device: str, rank: int, size: int, folder: str) -> None:
    """Join the world and answer until the other side closes."""
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)  # ranks share the machine; and a fork has none of the threads that there were
    connection = Client(str(Path(folder) / "socket"), family="AF_UNIX")
    connection.send((rank, os.getpid()))
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    own = f"cuda:{rank}" if device.partition(":")[0] == "cuda" else device
    if own.startswith("cuda"):
        torch.cuda.set_device(own)
    dist.init_process_group(backend, init_method=f"file://{folder}/store", rank=rank, world_size=size)
    served = Rank(function, dist.group.WORLD, own, f"rank {rank} of {size}")
    connection.send("ready")
    while True:
        try:
            request = connection.recv()
        except (EOFError, OSError):
            return
        try:
            answer: Any = _packed_tensors(served.serve(_unpacked_request(request)))
        except CandidateEnded as error:
            answer = str(error), error.status, error.traceback, isinstance(error, Raised)
        connection.send(answer)


@contextlib.contextmanager
def _ends_here() -> Any:
    """End a forked process where its work ends: it returns to nothing of what it was forked from."""
    code = 1
    try:
        yield
        code = 0
    except BaseException as error:
        os.write(2, f"{type(error).__name__}: {error}\n".encode(errors="replace"))
    finally:
        os._exit(code)


def _die_with(parent: int) -> None:
    """End this process when its parent ends."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_DIES_WITH_PARENT, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _packed_tensors(tensors: dict[str, Tensor]) -> dict[str, Any]:
    """Return tensors as arrays that are sent as they are: numpy has no bfloat16. With whether each has gradients."""
    import torch

    packed = {}
    for name, tensor in tensors.items():
        plain = tensor.detach().to("cpu").contiguous()
        if plain.dtype == torch.bfloat16:
            packed[name] = ("bfloat16", tensor.requires_grad, plain.view(torch.int16).numpy())
        else:
            packed[name] = ("", tensor.requires_grad, plain.numpy())
    return packed


def _unpacked(packed: dict[str, Any]) -> dict[str, Tensor]:
    import torch

    tensors = {}
    for name, (kind, varies, array) in packed.items():
        tensor = torch.from_numpy(np.array(array))
        tensor = tensor.view(torch.bfloat16) if kind else tensor
        tensors[name] = tensor.requires_grad_(varies) if varies else tensor
    return tensors


def _packed(request: Forward | Backward) -> tuple[Any, ...]:
    if isinstance(request, Forward):
        tensors = _packed_tensors(request.tensors)
        return "forward", request.number, tensors, request.options, request.varying, request.shapes, request.late
    return "backward", request.number, _packed_tensors(request.upstream), request.late


def _unpacked_request(message: tuple[Any, ...]) -> Forward | Backward:
    if message[0] == "backward":
        return Backward(message[1], _detached(message[2]), message[3])
    return Forward(message[1], _detached(message[2]), *message[3:])


def _detached(packed: dict[str, Any]) -> dict[str, Tensor]:
    return {name: tensor.detach() for name, tensor in _unpacked(packed).items()}
