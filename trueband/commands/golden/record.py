"""`trueband golden record MODEL_DIR --inputs FILE --out FILE`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from trueband.commands import exit_codes
from trueband.commands.arguments import Command, Commands, add_command
from trueband.commands.golden.diff import machine_of, print_apart
from trueband.golden.recordings.rows import MOST
from trueband.hub.record import Made, Request, record
from trueband.reports.console import print_line
from trueband.reports.json_lines import first_line

DESCRIPTION = f"""\
Record what every layer of a model gives on inputs of yours, to find out later whether it still does: with another
version of torch, on another device, in another dtype. MODEL_DIR holds config.json and weights, as transformers or
save_pretrained write them: LED, Longformer, RoBERTa or XLM-RoBERTa. The class under "architectures" names the head that
is recorded; a class that this package does not have means no head.

--inputs is a JSON object of padded lists, or a safetensors file:
  {{"input_ids": [[0, 9064, 42, 2], [0, 713, 2, 1]], "attention_mask": [[1, 1, 1, 1], [1, 1, 1, 0]]}}
with global_attention_mask for Longformer and LED, decoder_input_ids and decoder_attention_mask for LED, and for a
decoder with cross-attention encoder_hidden_states and encoder_attention_mask. For multiple choice each text is a list
of choices. Other arguments, such as inputs_embeds, are refused.

The recording stores, for each stage (embeddings, layers, pooler, logits): its input (all rows), the float64 reference's
output at selected rows, how far a correct implementation may be off there in float64, float32, bfloat16 and float16,
and the optimized model's output. Nothing is written if that is out of its bound. Weights are not stored, but their
sha256 is. Check the recording with

  trueband golden verify FILE --checkpoint MODEL_DIR
  trueband golden diff OLD NEW

The cost: the model runs once in float64 (8 bytes for each weight). The reference computes the selected rows only, in
NumPy, in about (rows x tokens + tokens x width) x width steps for each layer. {MOST} rows of 4,096 tokens take some
minutes for a model of base size; --rows all is for short texts. The file holds 4 bytes for each token, channel and
stage: 512 tokens, 768 channels, 14 stages are 22 MB. A text a little longer than the largest window shows all that a
long one does."""


def add_record(actions: Commands[Command]) -> None:
    """Register the action."""
    command = add_command(actions, "record", "record the layers of a model of yours", DESCRIPTION, run_record)
    add = command.add_argument
    add("folder", type=Path, metavar="MODEL_DIR", help="config.json and weights")
    add("--inputs", type=Path, required=True, metavar="FILE", help="ids and masks, JSON or safetensors")
    add("--out", type=Path, required=True, metavar="FILE", help="file to write, *.safetensors")
    add("--dtype", help="of the optimized model (default: as the weights are stored)")
    add("--device", help="of the optimized model, e.g. cuda (default: cpu)")
    add(
        "--rows",
        metavar="ROWS",
        help="input rows to keep, --rows=0,1,-1 or all (default: ends, pads, globals, "
        f"edges of windows and some between, {MOST} at most)",
    )
    add("--why", metavar="TEXT", help="reason to replace an existing file; kept in the file")
    add("--json", action="store_true", help="print one JSON object")


def run_record(options: argparse.Namespace) -> int:
    """Record and report; progress on stderr."""
    request = Request(
        options.folder, options.inputs, options.out, options.dtype, options.device, options.rows, options.why
    )
    made = record(request, lambda line: print(f"golden record: {line}", file=sys.stderr, flush=True))
    report_json(made, options.out) if options.json else report(made, options.out)
    return exit_codes.PASSED if made.passed else exit_codes.FAILED


def report(made: Made, out: Path) -> None:
    """Print for a reader."""
    for line in made.wiring:
        print_line(f"FAILED  {line}")
    for verdict in made.verdicts:
        print_line(f"{'ok' if verdict.passed else 'FAILED'} {verdict.ratio:8.2g}  {verdict.what}")
        if not verdict.passed:
            print_line(f"             {verdict}")
    print_line("A number is the largest error of the optimized model, in units of the bound.")
    if made.old is not None:
        print_line("")
        version = {**machine_of(made.old), **made.old.metadata.details}.get("torch")
        with_torch = f" (recorded with torch {version})" if version else ""
        print_line(f"old against new{with_torch}{': ' + made.incomparable if made.incomparable else ''}")
        print_apart(made.apart)
    if not made.passed:
        print_line(f"nothing written: the optimized model is not within its bounds; {out} is as it was")
        return
    rows = sum(len(made.golden.arrays[name]) for name in ("rows", "decoder_rows") if name in made.golden.arrays)
    print_line(f"{out}: {len(made.verdicts)} taps at {rows} rows, {out.stat().st_size / 1e6:.2f} MB")


def report_json(made: Made, out: Path) -> None:
    """Print as JSON."""
    line = first_line(
        "recording",
        machine_of(made.golden),
        file=str(out),
        written=made.passed,
        wiring=made.wiring,
        taps=[verdict.to_dict() for verdict in made.verdicts],
        why=made.golden.metadata.why,
        old_against_new=[tap.to_dict() for tap in made.apart],
        incomparable=made.incomparable,
    )
    print(json.dumps(line))
