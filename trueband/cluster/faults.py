"""Seeded faults on a cluster: each is one task, in the process of its machine."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from trueband.cluster.driver import Driver
from trueband.cluster.files import gather_package
from trueband.cluster.scheduler import RayScheduler, Resources
from trueband.properties.faults.campaign import Row, run_fault
from trueband.starting.threads import single


def cluster_faults(
    names: Sequence[str],
    dtypes: tuple[str, ...] | None,
    tier: str,
    seed: int,
    matrix: bool,
    address: str,
    on_wait: Callable[[], None] = lambda: None,
) -> Iterator[Row]:
    """Rows of faults by name, as they are finished on whichever machine; see `run_faults`.

    Raises:
        ValueError: as of `RayScheduler`; at the end, if a fault was lost with its machine again and again.
    """
    with tempfile.TemporaryDirectory(prefix="trueband-") as folder:
        gather_package(Path(folder))
        with RayScheduler(address, Resources(), Path(folder), single()) as scheduler:
            scheduler.bind(_one, dtypes, tier, seed, matrix)
            driver: Driver[str] = Driver(scheduler)
            for _, row in driver.run(names, on_wait=on_wait):
                yield row
            for name, why in driver.abandoned:
                raise ValueError(f"--ray: fault {name} and {len(driver.abandoned) - 1} others were lost: {why}")


def _one(dtypes: tuple[str, ...] | None, tier: str, seed: int, matrix: bool, name: str) -> Row:
    return run_fault(name, dtypes, tier, seed, matrix)
