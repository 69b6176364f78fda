"""Campaigns on a cluster of Ray, all on this machine: nodes that die and come late, drivers that stop and go on."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from trueband.cluster.scheduler import PREFIX, SHORT
from trueband.session.campaign_file import read_campaign

pytestmark = pytest.mark.evidence

KERNELS = Path(__file__).with_name("kernel.py")
OF_THE_TESTS = "tb-"  # the folder of the cluster of the tests
CHECKS = ("-k", "single_token or masked_rows_are_zero", "--dtype", "float32")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head node and another one, each with one slot. What they leave in processes and files ends with them."""
    from ray.cluster_utils import Cluster

    folder = tempfile.mkdtemp(prefix=OF_THE_TESTS, dir=SHORT)
    head = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": 100 << 20}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_TMPDIR", folder)
        nodes = Cluster(initialize_head=True, head_node_args=head)
        try:
            yield nodes
        finally:
            nodes.shutdown()
            shutil.rmtree(folder, ignore_errors=True)


def outcomes(path: Path) -> list[Any]:
    """The blocks of a file, in one order, without what the clock says."""
    _, blocks = read_campaign(path)
    assert len({block.key for block in blocks}) == len(blocks)
    return sorted((block.outcome for block in blocks), key=lambda outcome: outcome[:3])


def merged(trueband_here: Callable[..., Any], out: Path, *paths: Path) -> tuple[str, list[Any]]:
    """What `trueband merge` prints and writes, without what the clock says."""
    run = trueband_here("merge", *paths, "--json", out)
    assert run.returncode in (0, 1, 3), run.stderr
    _, *records = (json.loads(line) for line in out.read_text().splitlines())
    for record in records:
        for name in ("seconds", "traceback", "printed"):
            record.pop(name)
    table = run.stdout.partition("\n")[2].rpartition("alarms in")
    return table[0], records


def wait_for(path: Path, blocks: int, process: subprocess.Popen[str]) -> None:
    while not path.exists() or path.read_text().count("\n") <= blocks:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


def test_nothing_is_lost_and_nothing_runs_twice(
    cluster: Any, tmp_path: Path, trueband_here: Callable[..., Any], as_from_a_terminal: Callable[..., list[str]]
) -> None:
    command = ("check", f"{KERNELS}:right", *CHECKS, "--cases", 4000, "--seed", 7)
    file = tmp_path / "ray.jsonl"
    on_ray = [*map(str, command), "--ray", cluster.address, "--json", str(file), "--resume"]
    dies, stays = cluster.add_node(num_cpus=1), cluster.add_node(num_cpus=1)
    process = subprocess.Popen(
        as_from_a_terminal([sys.executable, "-m", "trueband", *on_ray]),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(file, 1, process)
    cluster.remove_node(dies, allow_graceful=False)
    late = cluster.add_node(num_cpus=1)
    wait_for(file, 4, process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, out + err
    assert "0 alarms in" in out
    assert "the same command with --resume goes on" in err
    assert "blocks run again" in err
    before = file.read_text()

    run = trueband_here(*on_ray)
    assert run.returncode == 0, run.stdout + run.stderr
    assert file.read_text().startswith(before)
    assert re.search(rf"^trueband: {before.count(chr(10)) - 1} of \d blocks are in", run.stderr, re.MULTILINE)
    assert "0 alarms in 4,000 cases" in run.stdout
    for node in (stays, late):
        cluster.remove_node(node)

    plain = tmp_path / "plain.jsonl"
    assert trueband_here(*command, "--json", plain, "--resume").returncode == 0
    assert outcomes(file) == outcomes(plain)
    shards = [tmp_path / f"{index}.jsonl" for index in (1, 2)]
    for index, shard in enumerate(shards, 1):
        assert trueband_here(*command, "--json", shard, "--shard", f"{index}/2").returncode == 0
    of_ray = merged(trueband_here, tmp_path / "of-ray", file)
    assert of_ray == merged(trueband_here, tmp_path / "of-plain", plain)
    counts = [
        [(each["check"], each["cases"], each["worst"], each["histogram"]) for each in records]
        for _, records in (of_ray, merged(trueband_here, tmp_path / "of-shards", *shards))
    ]
    assert counts[0] == counts[1]


@pytest.mark.parametrize(("kernel", "code", "status"), [("one_short", 1, "failed"), ("ends", 3, "crashed")])
def test_a_failure_is_a_record_as_in_a_plain_run(
    cluster: Any, tmp_path: Path, trueband_here: Callable[..., Any], kernel: str, code: int, status: str
) -> None:
    command = ("check", f"{KERNELS}:{kernel}", "-k", "mask_decoding", "--dtype", "float32", "--cases", 1500, "--json")
    plain, file = tmp_path / "plain.jsonl", tmp_path / "ray.jsonl"
    assert trueband_here(*command, plain, "--resume").returncode == code
    run = trueband_here(*command, file, "--ray", cluster.address)
    assert run.returncode == code, run.stderr
    assert "run again" not in run.stderr
    of_ray, of_plain = merged(trueband_here, tmp_path / "a", file), merged(trueband_here, tmp_path / "b", plain)
    assert of_ray == of_plain
    assert [record["status"] for record in of_ray[1]] == [status]
    assert "trueband repro " in run.stdout
    assert f"{KERNELS}:{kernel}" in run.stdout


def test_the_first_failure_cancels_the_rest(cluster: Any, tmp_path: Path, trueband_here: Callable[..., Any]) -> None:
    file = tmp_path / "ray.jsonl"
    command = ("check", f"{KERNELS}:one_short", "--dtype", "float32", "--cases", 100_000, "--json", file, "-x")
    run = trueband_here(*command, "-k", "mask_decoding or single_token", "--ray", cluster.address)
    assert run.returncode == 1, run.stderr
    _, blocks = read_campaign(file)
    assert [block.status for block in blocks].count("failed") == 1
    assert len(blocks) < 10


def test_a_kernel_that_does_not_load_is_told_in_a_line(
    cluster: Any, tmp_path: Path, trueband_here: Callable[..., Any]
) -> None:
    (tmp_path / "broken.py").write_text("raise RuntimeError('no such device')")
    run = trueband_here("check", f"{tmp_path}/broken.py:f", "--ray", cluster.address)
    assert run.returncode == 2
    assert "RuntimeError: no such device" in run.stderr
    assert run.stderr.count("\n") == 1


def test_a_local_cluster_leaves_nothing_behind(trueband_here: Callable[..., Any]) -> None:
    before = set(Path(SHORT).glob(f"{PREFIX}*"))
    run = trueband_here("check", f"{KERNELS}:right", *CHECKS, "--cases", 20, "--ray", "auto")
    assert run.returncode == 0, run.stderr
    assert "1 machine, " in run.stderr
    assert set(Path(SHORT).glob(f"{PREFIX}*")) <= before
    assert [name for name in commands_of(os.getpid()) if "raylet" in name or "gcs_server" in name] == []


def commands_of(parent: int) -> list[str]:
    """The commands of the processes that this one has started itself, but for those of the cluster of the tests."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                command = (entry / "cmdline").read_text().replace("\0", " ")
                of = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, ValueError):
                continue
            if of == parent and f"{SHORT}/{OF_THE_TESTS}" not in command:
                found.append(command)
    return found
