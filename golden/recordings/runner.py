"""The runner of recorded taps: weights fetched, every stage of a witness fed its recorded input, judged by sigma."""

from __future__ import annotations

from trueband.golden.at_hand import weights
from trueband.golden.recordings.recording import RUN, entering, judge_taps
from trueband.golden.records import CannotRun, Outcome
from trueband.golden.registry import Context, runner
from trueband.golden.store import Golden
from trueband.properties.results.verdict import Verdict


@runner(RUN, form=RUN)
def run_taps(golden: Golden, context: Context) -> Outcome:
    """Taps of weights that anybody can fetch; a recording of a user's model needs its directory."""
    metadata = golden.metadata
    if metadata.checkpoint is None:
        raise CannotRun(
            "taps of a model that is not published: trueband golden verify FILE --checkpoint DIR, with the folder of "
            "that model"
        )
    witness = context.witness(RUN)
    state = weights(golden, context).state
    computed = witness(
        metadata.model_class,
        metadata.details["config"],
        dict(state),
        golden.inputs,
        entering(golden),
        context.dtype or "float32",
    )
    return outcome_of(computed["wiring"], judge_taps(golden, computed["taps"], computed["dtype"]))


def outcome_of(wiring: list[str], verdicts: list[Verdict]) -> Outcome:
    """The first stage that is wired wrong or fails; where all pass, the one that is closest to its bound."""
    if wiring:
        return Outcome(False, wiring[0])
    failed = next((verdict for verdict in verdicts if not verdict.passed), None)
    return Outcome.of(failed) if failed is not None else Outcome.worst(verdicts)
