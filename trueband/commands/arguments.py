"""The registration of a command, which all commands share."""

from __future__ import annotations

import argparse
from collections.abc import Callable

Commands = argparse._SubParsersAction
Command = argparse.ArgumentParser


def add_command(
    commands: Commands[Command],
    name: str,
    summary: str,
    description: str,
    run: Callable[[argparse.Namespace], int] | None = None,
    epilog: str | None = None,
) -> Command:
    """Register a command, its description printed as it stands.

    Args:
        summary: the line of the list of commands.
        run: runs it, and returns the exit code; None for one that has commands of its own.
    """
    command = commands.add_parser(
        name, help=summary, description=description, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    if run is not None:
        command.set_defaults(run=run)
    return command
