"""The secret seed of the gates of one session of pytest: all workers share it, and it is printed at the end."""

from __future__ import annotations

import sys
from typing import Any

import pytest

_SEED = pytest.StashKey[int]()
_USED = pytest.StashKey[bool]()
NAME = "trueband_gate_seed"


def shared_seed(config: pytest.Config) -> int:
    """The seed; drawn when it is first asked for, by the process that the workers belong to."""
    workerinput: dict[str, Any] | None = getattr(config, "workerinput", None)
    if workerinput is not None:
        return int(workerinput[NAME])
    if _SEED not in config.stash:
        from trueband.session.request import Request

        config.stash[_SEED] = Request(gate=True).draw_seed()
    return config.stash[_SEED]


class SeedOfWorkers:
    """Hooks of pytest-xdist."""

    def pytest_configure_node(self, node: Any) -> None:
        """Hand it to a worker."""
        node.workerinput[NAME] = shared_seed(node.config)

    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """Learn whether the worker has run a gate."""
        if getattr(node, "workeroutput", {}).get(NAME):
            node.config.stash[_USED] = True

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Let a worker say whether there was a gate."""
        output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
        if output is not None:
            output[NAME] = _gate_here(session.config)


def seed_line(config: pytest.Config) -> str:
    """The line that gives the seed when the run is over, or "" without a gate."""
    if not (_gate_here(config) or config.stash.get(_USED, False)):
        return ""
    seed = shared_seed(config)
    return f"trueband: the secret seed was {seed}; the same cases again: seed {seed} (--trueband-seed) without the gate"


def _gate_here(config: pytest.Config) -> bool:
    checks = sys.modules.get("trueband.pytest_checks")
    return checks is not None and checks.gate_here(config)
