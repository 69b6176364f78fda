"""The reports of a run: the page, the histogram of errors, the summary for GitHub, and files that are never half."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from trueband.properties.candidate.remote import RemoteRunner
from trueband.properties.cases.case import Case
from trueband.properties.results import histogram
from trueband.properties.results.record import Record
from trueband.properties.running.evidence import gather
from trueband.reports.junit import write_junit
from trueband.reports.page import page
from trueband.reports.pictures import pictures
from trueband.reports.step_summary import step_summary
from trueband.reports.summary import headline
from trueband.reports.whole_file import write_whole

KERNELS = Path(__file__).with_name("array_kernels.py")
OF_TORCH = Path(__file__).with_name("kernels.py")  # which have gradients
VOID = {"meta"}
IMPLIED = {"tr", "td", "th", "thead", "dt", "dd"}  # HTML closes these by itself


class Page(HTMLParser):
    """Elements of a page, checked to be closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID | IMPLIED:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in IMPLIED:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def record(check: str, status: str = "passed", **fields: object) -> Record:
    return Record("operator", check, "a claim", "k.py:f", "float32", "cpu", status, 3, 0.5, **fields)  # type: ignore[arg-type]


def test_the_page_of_a_wrong_kernel(tmp_path: Path) -> None:
    report, summary = tmp_path / "report.html", tmp_path / "summary.md"
    made = subprocess.run(
        [
            sys.executable,
            "-m",
            "trueband",
            "check",
            f"{OF_TORCH}:window_one_short",
            "--cases",
            "40",
            "--html",
            str(report),
            "-k",
            "mask_decoding or matches_reference or single_token or gradients_match",
        ],
        capture_output=True,
        text=True,
        env={**os.environ, "GITHUB_STEP_SUMMARY": str(summary)},
    )
    assert made.returncode == 1, made.stdout + made.stderr
    text = report.read_text(encoding="utf-8")
    read = Page(text)
    told = " ".join(read.text)
    assert "3 of 4 checks FAILED" in told
    assert "row 0 sees the keys [0] instead of [0, 1]" in told
    assert """trueband repro '{"check":"mask_decoding","case":{"tokens":2,"window":1}}'""" in told
    assert "2 differences: row 0, key 1: not seen; row 1, key 0: not seen." in told
    called = "tokens 2, window 1, heads 1, head_dim 32, queries 0, keys 1, one-hot values"
    assert f"Called with {called}." in told
    assert f"  called     with {called}\n" in made.stdout
    assert "error/bound of the gradients" in told
    assert ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}) in read.seen
    assert "prefers-color-scheme:dark" in text
    assert "@media print" in text
    # Nothing from outside, nothing that runs, and every link leads somewhere on the page.
    names = {attributes.get("id") for _, attributes in read.seen}
    assert {tag for tag, _ in read.seen}.isdisjoint({"script", "link", "img", "iframe", "object"})
    for _, attributes in read.seen:
        assert "src" not in attributes
        href = attributes.get("href")
        assert href is None or (href.startswith("#") and href[1:] in names)
        for name in (attributes.get("aria-labelledby") or "").split():
            assert name in names
    assert text.count("<svg role") == text.count("<title id=") == text.count("<desc id=")
    assert "url(" not in text
    assert "@import" not in text
    lines = summary.read_text(encoding="utf-8")
    assert "| mask_decoding [float32] | row 0 sees the keys [0] instead of [0, 1]" in lines
    assert "| operator | float32 | 1 | 3 | 0 |" in lines


def test_what_gave_no_answer_is_told_apart_from_wrong_numbers() -> None:
    killed = record("one", "out of memory", message="killed (out of memory?)", case={"tokens": 1})
    assert headline([killed, record("two", "failed"), record("three")]).startswith(
        "2 of 3 checks FAILED, 1 of them without an answer (1 out of memory): "
    )
    assert headline([record("two", "failed")]).startswith("1 of 1 checks FAILED: ")
    assert headline([record("one")], planned=3).startswith("1 checks passed, 2 of 3 did not run: ")
    assert headline([record("one")], planned=1).startswith("all 1 checks passed: ")


def test_what_a_kernel_says_cannot_break_the_page() -> None:
    evil = "</b><script>alert(1)</script> & ]]> | <img src=x>"
    records = [record("one", "failed", message=evil, case={"tokens": 1}), record("two", "expected", reason=evil)]
    text = page(records, {"target": evil, "numpy": evil}, {})
    read = Page(text)
    assert {tag for tag, _ in read.seen}.isdisjoint({"script", "img"})
    assert " ".join(read.text).count(evil) >= 3
    assert "<script>" not in step_summary(records, "k.py:f")


def test_a_junit_file_tells_what_was_called(tmp_path: Path) -> None:
    called = {"batch": 1, "tokens": 2, "window": 0, "heads": 1, "head_dim": 1, "arrays": ["queries 0"]}
    write_junit(
        tmp_path / "junit.xml", [record("one", "failed", message="wrong", case={"tokens": 1}, called=(called,))]
    )
    assert "called with tokens 2, window 0, heads 1, head_dim 1, queries 0\n" in (tmp_path / "junit.xml").read_text()


@pytest.mark.evidence
def test_pictures_tell_a_right_kernel_from_a_wrong_one() -> None:
    """Of one case with padding and a global token; the masked key that is read takes half of the weight."""
    case = Case(tokens=5, window=1, masked=((4,),), global_=((0,),), family="normal")
    with RemoteRunner(f"{OF_TORCH}:right") as right:
        shown = gather(right, case, gradients=True)
    assert shown is not None
    assert not shown.alarming
    assert shown.decoded is not None
    assert np.array_equal(shown.decoded, shown.expected)
    assert set(shown.gradients) == {"query", "key", "value"}
    found = {}
    for kernel in ("window_one_short", "global_key_twice", "reads_padding"):
        with RemoteRunner(f"{KERNELS}:{kernel}") as wrong:
            found[kernel] = gather(wrong, case)
    assert all(each is not None and each.alarming for each in found.values())
    short, twice, padded = found.values()
    assert short is not None
    assert twice is not None
    assert padded is not None
    assert short.decoded is not None
    assert twice.decoded is not None
    assert (short.decoded[2, 1], short.expected[2, 1]) == (0, 1)
    assert twice.decoded.max() == 2
    assert padded.weighs_wrong.any()
    assert not shown.weighs_wrong.any()


def test_a_kernel_that_dies_or_is_too_long_leaves_a_page() -> None:
    with RemoteRunner(f"{KERNELS}:dies") as candidate:
        failed = record("mask_decoding", "crashed", message="it died", case={"tokens": 2, "window": 1})
        drawn = pictures([failed], candidate)
        assert "exit code 7" in drawn["mask_decoding", "float32"].remark
        assert gather(candidate, Case(tokens=65, window=1)) is None
    Page(page([failed], {"target": "k.py:f"}, drawn))


def test_the_histogram_counts_every_case_once() -> None:
    import trueband

    for each in trueband.check(f"{KERNELS}:right", cases=60, select="matches_reference or mask_decoding"):
        assert sum(each.histogram) == each.cases
        assert each.histogram[-1] == 0
        assert each.worst_case is not None
        assert each.histogram[histogram.bin_of(each.worst)] >= 1
    (wrong,) = trueband.check(f"{KERNELS}:window_one_short", cases=60, select="matches_reference")
    assert wrong.histogram[-1] == 1  # the first that failed; shrinking it is not counted


@pytest.mark.parametrize(
    ("ratio", "name"),
    [
        (0.0, "0"),
        (1e-9, "0 to 1e-06"),
        (1e-6, "0 to 1e-06"),
        (0.1, "0.056 to 0.1"),
        (0.11, "0.1 to 0.18"),
        (1.0, "0.56 to 1"),
        (1.0000001, "> 1"),
        (float("inf"), "> 1"),
    ],
)
def test_the_bins(ratio: float, name: str) -> None:
    assert histogram.name_of(histogram.bin_of(ratio)) == name
    assert len(set(map(histogram.name_of, range(histogram.BINS)))) == histogram.BINS


def test_histograms_of_other_bins_are_refused() -> None:
    one = [0] * histogram.BINS
    one[3] = 2
    assert histogram.add([one, (), one])[3] == 4
    with pytest.raises(ValueError, match=f"histogram: expected {histogram.BINS} bins, got 2"):
        histogram.add([one, [1, 2]])


def test_the_summary_has_failures_first_and_counts() -> None:
    records = [
        record("right"),
        record("wrong", "failed", message="a | b", case={"tokens": 2}),
        record("known", "expected"),
    ]
    text = step_summary(records, "k.py:f")
    assert "| wrong [float32] | a \\| b |" in text
    assert "| operator | float32 | 1 | 1 | 1 | 9 | 0 |" in text
    assert text.index("wrong") < text.index("operator")
    assert "✅" in step_summary(records[:1], "k.py:f")


def test_a_full_disk_leaves_the_file_that_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.html"
    write_whole(path, "before")

    def full(self: Path, *_: object, **__: object) -> int:
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space"):
        write_whole(path, "after")
    assert path.read_text(encoding="utf-8") == "before"
    assert [each.name for each in tmp_path.iterdir()] == ["report.html"]


def test_a_summary_that_cannot_be_written_changes_no_verdict(tmp_path: Path) -> None:
    made = subprocess.run(
        [sys.executable, "-m", "trueband", "check", f"{KERNELS}:right", "--cases", "6", "-k", "single_token"],
        capture_output=True,
        text=True,
        env={**os.environ, "GITHUB_STEP_SUMMARY": str(tmp_path / "no" / "file")},
    )
    assert made.returncode == 0
    assert re.search("GITHUB_STEP_SUMMARY: expected a file to append to, got", made.stderr)
