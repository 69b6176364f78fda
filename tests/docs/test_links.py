"""Every relative link and anchor of a page leads somewhere. Links to other sites are not followed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = [str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md")]
PAGES = sorted(["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "golden/README.md", *DOCS])
CODE = re.compile(r"^```.*?^```$|`[^`\n]*`", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def anchors(page: str) -> set[str]:
    """Of the headings, spelled as code hosts and the site spell them."""
    found: set[str] = set()
    fenced = re.sub(r"^```.*?^```$", "", page, flags=re.DOTALL | re.MULTILINE)
    for heading in re.findall(r"^#+ (.+)$", fenced, re.MULTILINE):
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        numbered = (f"{slug}-{number}" for number in range(1, len(found) + 2))
        found.add(slug if slug not in found else next(each for each in numbered if each not in found))
    return found


def broken_links(path: Path) -> list[str]:
    """The relative links and images of a page that lead nowhere, with the reason."""
    broken = []
    for link in LINK.findall(CODE.sub("", path.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = path.parent / name if name else path
        if not target.exists():
            broken.append(f"{link}: no such file")
        elif anchor and anchor not in anchors(target.read_text(encoding="utf-8")):
            broken.append(f"{link}: no such heading")
    return broken


@pytest.mark.parametrize("name", PAGES)
def test_every_link_leads_somewhere(name: str) -> None:
    assert broken_links(ROOT / name) == []


@pytest.mark.parametrize(
    ("page", "broken"),
    [
        ("[x](absent.md)", ["absent.md: no such file"]),
        ("![a picture\nin two lines](absent.png)", ["absent.png: no such file"]),
        ("[x](other.md#Exit-codes)", ["other.md#Exit-codes: no such heading"]),
        ("[x](other.md#in-code)", ["other.md#in-code: no such heading"]),
        ("# Here\n[x](#there)", ["#there: no such heading"]),
        ("[x](other.md#exit-codes-2)", ["other.md#exit-codes-2: no such heading"]),
        ("[x](folder/other.md)", ["folder/other.md: no such file"]),
    ],
    ids=["file", "picture", "spelling", "heading in code", "own heading", "one heading too far", "folder"],
)
def test_a_broken_link_is_seen(page: str, broken: list[str], tmp_path: Path) -> None:
    other = "# Exit codes\n\n```sh\n# in code\n```\n\n## Exit `codes`\n"
    (tmp_path / "other.md").write_text(other, encoding="utf-8")
    (tmp_path / "page.md").write_text(page, encoding="utf-8")
    assert broken_links(tmp_path / "page.md") == broken


def test_links_that_are_right(tmp_path: Path) -> None:
    page = "# A b, c: `d_e`\n[1](#a-b-c-d_e) [2](page.md) [3](.) [4](https://example.org/absent) `[5](absent)`\n"
    (tmp_path / "page.md").write_text(page, encoding="utf-8")
    assert broken_links(tmp_path / "page.md") == []


def missing_paths(page: str) -> list[str]:
    """Files of the checkout that a page names and that are not there; one with <name> in it stands for many."""
    named = re.findall(r"`((?:reference|optimized|properties|golden|trueband|tests|docs|\.ci)/[\w./*-]+)`", page)
    return [path for path in named if not any(ROOT.glob(path.rstrip("/")))]


@pytest.mark.parametrize("name", [name for name in PAGES if name != "CHANGELOG.md"])
def test_every_file_that_is_named_is_there(name: str) -> None:
    assert missing_paths((ROOT / name).read_text(encoding="utf-8")) == []


def test_a_file_that_is_not_there_is_seen() -> None:
    page = "`trueband/absent.py` `trueband/api.py` `properties/checks/` `tests/*.py` `tests/*.md` `docs/<name>.md`"
    assert missing_paths(page) == ["trueband/absent.py", "tests/*.md"]


def test_the_readme_is_one_page() -> None:
    assert len((ROOT / "README.md").read_bytes()) <= 8192
