"""What `--ray` refuses, each in one line, before any work."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trueband.cluster import scheduler

KERNEL = f"{Path(__file__).with_name('kernel.py')}:right"


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ((KERNEL, "--ray", "auto", "--gate"), "--gate cannot be used with --ray: its seed is secret"),
        (("--ray", "auto"), "--ray: expected a TARGET or --suite operator"),
        (("--suite", "models", "--ray", "auto"), "--suite cannot be used with --ray"),
        ((KERNEL, "--gpus-per-task", "1"), "--gpus-per-task and --cpus-per-task need --ray ADDRESS"),
        ((KERNEL, "--ray", "auto", "--resume"), "--resume needs --json FILE"),
        ((KERNEL, "--ray", "ray://head:10001"), "--ray: expected auto or HOST:PORT of a head node"),
        ((KERNEL, "--ray", "head"), "--ray: expected auto or HOST:PORT of a head node"),
        ((KERNEL, "--ray", "head:99999"), "--ray: expected auto or HOST:PORT of a head node"),
        ((KERNEL, "--ray", ""), "--ray: expected auto or HOST:PORT of a head node, got ''"),
        (("none.py:f", "--ray", "auto"), "target: expected a file, got 'none.py', which does not exist"),
    ],
)
def test_refused(trueband_here: Callable[..., Any], options: tuple[str, ...], told: str) -> None:
    run = trueband_here("check", *options)
    assert run.returncode == 2
    assert told in run.stderr
    assert run.stderr.count("\n") == 1


@pytest.mark.parametrize("amount", ["-1", "nan", "many"])
def test_an_amount_is_a_number(trueband_here: Callable[..., Any], amount: str) -> None:
    run = trueband_here("check", KERNEL, "--ray", "auto", "--gpus-per-task", amount)
    assert run.returncode == 2
    assert f"expected a number >= 0, got '{amount}'" in run.stderr


def test_without_ray_the_extra_is_named(trueband_here: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    run = trueband_here("check", KERNEL, "--ray", "auto")
    assert run.returncode == 2
    assert "pip install 'trueband[ray]'" in run.stderr
    assert run.stderr.count("\n") == 1


def test_an_address_where_nothing_listens(trueband_here: Callable[..., Any]) -> None:
    address = f"127.0.0.1:{free_port()}"
    run = trueband_here("check", KERNEL, "--ray", address)
    assert run.returncode == 2
    assert f"--ray: expected a cluster at {address}, got no answer" in run.stderr
    assert run.stderr.count("\n") == 1


def test_an_address_that_is_no_cluster(trueband_here: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "ANSWER_SECONDS", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as server:  # takes calls, and never says a word
        address = f"127.0.0.1:{server.getsockname()[1]}"
        run = trueband_here("check", KERNEL, "--ray", address)
    assert run.returncode == 2
    assert f"--ray: expected a cluster of Ray at {address}, got something else" in run.stderr
