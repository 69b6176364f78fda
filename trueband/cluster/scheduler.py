"""Jobs as tasks of Ray. The only module that talks to Ray, which is imported when a scheduler is opened."""

from __future__ import annotations

import logging
import os
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from trueband.cluster.driver import Lost

AUTO = "auto"
SHORT = "/tmp"  # Ray puts sockets into its folder, and the path of a socket has 107 characters at most
PREFIX = "trueband-ray-"  # of the folder of a local cluster
ANSWER_SECONDS = 20.0  # a head node that does not answer by then is none
NODE_SECONDS = 300.0  # an autoscaler may have to start a machine first
LOOK = 2.0  # seconds between two looks at the nodes
END_SECONDS = 10.0  # for canceled tasks to end what they have started


@dataclass(frozen=True)
class Resources:
    """What one task takes of its machine."""

    cpus: float = 1.0
    gpus: float = 0.0

    def __str__(self) -> str:
        return f"{self.cpus:g} CPUs and {self.gpus:g} GPUs"

    def fit(self, node: Mapping[str, float]) -> int:
        """How many tasks a machine with these resources runs at the same time."""
        amounts = ((self.cpus, node.get("CPU", 0.0)), (self.gpus, node.get("GPU", 0.0)))
        return min((int(there / each + 1e-9) for each, there in amounts if each), default=1)


class RayScheduler:
    """Runs a function on jobs as tasks of a cluster; see `driver.Scheduler`. Close it, or use it in a `with` statement.

    A lost task is not Ray's to run again: the driver does that, and counts it.
    """

    def __init__(self, address: str, resources: Resources, files: Path, variables: Mapping[str, str]) -> None:
        """Connect to a cluster, or start a local one.

        Args:
            address: HOST:PORT of the head node; "auto": a local cluster, which ends with the scheduler.
            files: a folder that every task starts in, and imports from.
            variables: of the environment of tasks.

        Raises:
            ValueError: Ray is missing, or nothing answers at the address.
        """
        ray = _ray()
        self._resources, self._nodes, self._looked = resources, [0], 0.0
        with ExitStack() as stack:
            told: dict[str, Any] = {"address": _answering(address)}
            if address == AUTO:
                own = tempfile.mkdtemp(prefix=PREFIX, dir=SHORT)  # which goes when the cluster has ended
                stack.callback(shutil.rmtree, own, ignore_errors=True)
                told = {"address": "local", "_temp_dir": own, "include_dashboard": False}
            try:
                ray.init(
                    **told,
                    log_to_driver=False,
                    configure_logging=False,
                    runtime_env={"working_dir": str(files), "env_vars": dict(variables)},
                )
            except (OSError, RuntimeError, ValueError) as error:
                raise ValueError(f"--ray: expected a cluster at {address}, got: {_line(error)}") from error
            stack.callback(ray.shutdown)
            self._ray, self._stack, self._canceled = ray, stack.pop_all(), list[Any]()

    def nodes(self) -> int:
        """How many machines can run a task."""
        self._look()
        return sum(slots > 0 for slots in self._nodes)

    def slots(self) -> int:
        self._look()
        return sum(self._nodes)

    def _look(self) -> None:
        if time.monotonic() - self._looked > LOOK:
            alive = [node for node in self._ray.nodes() if node["Alive"]]
            self._nodes = [self._resources.fit(node["Resources"]) for node in alive]
            self._looked = time.monotonic()

    def bind(self, function: Callable[..., Any], *shared: Any) -> None:
        """What `submit` calls: the function, with these arguments in front of the job. They travel once."""
        remote = self._ray.remote(
            num_cpus=self._resources.cpus, num_gpus=self._resources.gpus, max_retries=0, max_calls=0
        )
        self._function = remote(function)
        self._shared = [self._ray.put(each) for each in shared]

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run one function on any machine, and return what it gave; a lost one runs once more.

        Raises:
            ValueError: no machine can run it for `NODE_SECONDS`, or it is lost again.
        """
        self.bind(function, *arguments)
        for last in (False, True):
            handle, deadline = self.submit(), time.monotonic() + NODE_SECONDS
            while not self.wait([handle], 0.5):
                if not self.slots() and time.monotonic() > deadline:
                    raise ValueError(f"--ray: expected a machine with {self._resources} for a task, got none")
            try:
                return self.result(handle)
            except Lost as error:
                if last:
                    raise ValueError(f"--ray: expected the target to load on a machine, got: {error}") from error
        raise AssertionError

    def submit(self, job: Any = ()) -> Any:
        return self._function.remote(*self._shared, *((job,) if job != () else ()))

    def wait(self, handles: list[Any], seconds: float) -> list[Any]:
        done, _ = self._ray.wait(handles, num_returns=1, timeout=seconds)
        if done and len(handles) > 1:  # what else has ended by now, in one round
            done, _ = self._ray.wait(handles, num_returns=len(handles), timeout=0)
        return list(done)

    def result(self, handle: Any) -> Any:
        errors = self._ray.exceptions
        try:
            return self._ray.get(handle)
        except errors.RuntimeEnvSetupError as error:
            raise ValueError(f"--ray: expected the files to reach the machines, got: {_line(error)}") from error
        except errors.RayTaskError as error:
            raise ValueError(f"--ray: a task failed: {_line(error.cause)}\n{error}") from error
        except errors.RayError as error:  # its node or its worker has gone, or the result with it
            self._looked = 0.0
            raise Lost(_line(error)) from error

    def cancel(self, handle: Any) -> None:
        self._canceled.append(handle)
        self._ray.cancel(handle, force=False)  # not by force: it ends the processes that it has started

    def close(self) -> None:
        """Wait for canceled tasks to end, then leave the cluster; a local one ends."""
        try:
            if self._canceled:
                self._ray.wait(self._canceled, num_returns=len(self._canceled), timeout=END_SECONDS)
        finally:
            self._canceled.clear()
            self._function, self._shared = None, []
            self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _ray() -> Any:
    """Ray, which sends nothing home, is silent, and leaves the variables of devices alone."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise ValueError(f"--ray: expected Ray to be installed ({error}): pip install 'trueband[ray]'") from error
    logging.getLogger("ray").setLevel(logging.ERROR)  # its import sets another level
    return ray


def _answering(address: str) -> str:
    """The address, if a head node answers there. ValueError if none does within `ANSWER_SECONDS`."""
    if address == AUTO:
        return address
    host, separator, port = address.rpartition(":")
    if not (separator and host and port.isdecimal() and int(port) < 2**16) or "/" in address:
        raise ValueError(
            f"--ray: expected {AUTO} or HOST:PORT of a head node, such as 10.0.0.1:6379, got {address!r}; run the "
            "command on a machine of the cluster"
        )
    try:
        with socket.create_connection((host, int(port)), ANSWER_SECONDS):
            pass
    except (OSError, OverflowError) as error:
        raise ValueError(f"--ray: expected a cluster at {address}, got no answer: {_line(error)}") from error
    from ray import _raylet

    client: Any = getattr(_raylet, "GcsClient")  # noqa: B009 - compiled: its names are not told

    told: list[str] = []

    def ask() -> None:
        with suppress(Exception):
            client(address=address)
            told.append(address)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(ANSWER_SECONDS)
    if not told:
        raise ValueError(f"--ray: expected a cluster of Ray at {address}, got something else")
    return address


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
