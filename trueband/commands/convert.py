"""`trueband convert`: checkpoints of RoBERTa, BART and fairseq brought to Longformer, LED and the Hub's form."""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from trueband.commands import exit_codes
from trueband.commands.arguments import Command, Commands, add_command
from trueband.properties.results.verdict import Verdict
from trueband.reports.console import print_line

DESCRIPTION = """\
Convert a checkpoint. The result is read back, and run on short inputs against its source, both in float64. If they
disagree by more than rounding explains, nothing is kept, and the exit code is 1.

  roberta-to-longformer  SOURCE: a folder of the Hub with a RoBERTa or XLM-RoBERTa
  bart-to-led            SOURCE: a folder of the Hub with a BART
  fairseq-to-hub         SOURCE: a checkpoint file (.pt) of a fairseq RoBERTa

Longformer and LED get positions for any length: the learned ones are repeated. The projections of global tokens are
copies of those of all tokens."""

KINDS = ("roberta-to-longformer", "bart-to-led", "fairseq-to-hub")
DEFAULTS = {"roberta-to-longformer": (4096, 512), "bart-to-led": (16384, 1024)}


def add_parser(commands: Commands[Command]) -> None:
    """Register the command."""
    command = add_command(
        commands, "convert", "turn a RoBERTa into a Longformer, or a BART into an LED", DESCRIPTION, run_convert
    )
    command.add_argument("kind", choices=KINDS, metavar="KIND", help=", ".join(KINDS))
    command.add_argument("source", type=Path, metavar="SOURCE", help="folder or file to convert")
    command.add_argument("target", type=Path, metavar="TARGET", help="folder to create; must not exist yet")
    command.add_argument(
        "--max-positions", type=int, metavar="N", help="longest text in tokens (default: 4096; LED 16384)"
    )
    command.add_argument(
        "--attention-window", type=int, metavar="W", help="two-sided window, even (default: 512; LED 1024)"
    )


def run_convert(options: argparse.Namespace) -> int:
    """Convert, check, put in place; the verdicts on stdout.

    Raises:
        ValueError: a source that cannot be read or converted, a target that is there already.
    """
    max_positions, window = _sizes(options)
    if options.target.exists():
        raise ValueError(f"TARGET: expected a folder that does not exist yet, got {options.target}")
    options.target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=options.target.parent, prefix=f".{options.target.name}."))
    try:
        verdicts = _converter(options.kind)(options.source, temporary, max_positions, window)
        for verdict in verdicts:
            print_line(f"{'ok    ' if verdict.passed else 'FAILED'} {verdict}")
        if not all(verdict.passed for verdict in verdicts):
            print_line(f"the result does not give its source's outputs: {options.target} is not made")
            return exit_codes.FAILED
        temporary.chmod(0o755)
        temporary.rename(options.target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    print_line(f"{options.target}: made of {options.source}, with the same outputs")
    return exit_codes.PASSED


def _sizes(options: argparse.Namespace) -> tuple[int, int]:
    """(max positions, two-sided window); 0, 0 where a kind has neither."""
    if options.kind not in DEFAULTS:
        for name in ("max_positions", "attention_window"):
            if getattr(options, name) is not None:
                raise ValueError(f"--{name.replace('_', '-')}: expected none with {options.kind}, got one")
        return 0, 0
    sizes = options.max_positions, options.attention_window
    positions, window = (b if a is None else a for a, b in zip(sizes, DEFAULTS[options.kind], strict=True))
    if positions < 1:
        raise ValueError(f"--max-positions: expected an int >= 1, got {positions}")
    if window < 2 or window % 2:
        raise ValueError(f"--attention-window: expected an even int >= 2 (two-sided), got {window}")
    return positions, window


def _converter(kind: str) -> Callable[[Path, Path, int, int], list[Verdict]]:
    from trueband.hub.convert import convert_bart, convert_fairseq, convert_roberta

    return dict(zip(KINDS, (convert_roberta, convert_bart, convert_fairseq), strict=True))[kind]
