"""The audit's page: both languages, nothing loaded, nothing runs; and the verb that writes it."""

from __future__ import annotations

import csv
import json
import random
import re
import shlex
from pathlib import Path

import pytest

from feilun import Workspace, messages
from feilun.cli.app import run
from feilun.data.audit.finding import CODES, Finding, Instance, ShownRow
from feilun.data.audit.inflation import Inflation
from feilun.data.outcome import Notice
from feilun.metrics.scores import Score
from feilun.project.audit_page import AuditReport, render, write
from helpers.page import Page

EVIL = "<script>alert(1)</script><img src=http://evil.example/x onerror=alert(2)>\"'&{{ 7*7 }}"
PARAMS = {
    "contents": 3, "largest": 4, "groups": 2, "test": 1, "validation": 0, "file": "s.csv",
    "questions": 60,
    "accuracy": 0.8, "pairs": ["a → b (3)"], "label": "a", "begin": 0.1, "end": 0.9, "effect": 0.4,
    "known": 0.9, "guess": 0.5, "column": "shop", "token": "x", "where": "start", "covers": 0.4,
    "purity": 0.99, "right": 0.9, "rows": 9, "labels": ["a (3)"], "hopeless": 1, "limit": 50,
    "most": "a", "least": "b", "ratio": 21.0, "reasons": ["empty (1)"], "duplicates": 4,
    "undecided": 1, "p90": 80.0, "longest": 9000, "wanted": 400, "unknown": 0.6, "base": "minilm",
    "main": "han", "shares": ["han 90.0%"], "kinds": ["email 3"], "columns": ["a"],
    "examples": ["plan = x"],
    "askers": ["u7 (900)"], "part": 0.3, "series": ["north (3)"], "own": "day",
    "frequency": "week", "words": ["Oslo (3)"], "usual": "same", "low": "3", "high": "9",
    "values": ["-999"], "value": "0",
}  # fmt: skip


def report(text: str = "word", found: tuple[Finding, ...] | None = None) -> AuditReport:
    """A report with every finding there is."""
    rows = (ShownRow("r1", text, text, "train", "a.csv:7"), ShownRow("r2", "", "b", "test"))
    made = tuple(
        Finding(
            code,
            ("bad", "warn", "info")[at % 3],  # type: ignore[arg-type]
            12_345,
            50_000,
            Notice("audit.basis_all", {"rows": 50_000}),
            PARAMS,
            (Instance(rows, Notice("audit.note_times", {"rows": 5})),),
            Notice("audit.cost_imbalance", {"label": text, "accuracy": 0.5}) if at % 2 else None,
            (f"feilun data clean --merge-label '{text}'",) if at % 2 else (),
        )
        for at, code in enumerate(CODES)
    )
    label = {"label": text, "rows": 5, "share": 0.5, "splits": {"train": 5}, "median_length": 9.0}
    lengths = {"min": 1.0, "p50": 2.0, "mean": 3.0, "p90": 4.0, "p99": 5.0, "max": 6.0}
    audit = {
        "rows": 50_000, "labels": [{**label, "example": text}], "lengths": lengths,
        "tokens": lengths, "truncated": 0.1, "chinese": 0.4, "duplicates": 3, "conflicts": 1,
        "empty": 1, "bad": 2, "warnings": [],
    }  # fmt: skip
    return AuditReport(
        version=text,
        audit=audit,
        findings=made if found is None else found,
        inflation=Inflation(
            20_000, Score(0.95, 0.94, 0.96), Score(0.85, 0.84, 0.86), Score(0.84, 0.83, 0.85)
        ),
        rows=50_000,
        sample=20_000,
        accuracy=0.84,
        added=False,
    )


def test_nothing_is_loaded_and_nothing_runs() -> None:
    page = Page(render(report(EVIL)))
    assert not {"script", "iframe", "object", "embed", "form", "base", "img"} & set(page.tags)
    for name, value in page.attributes:
        assert not name.startswith("on"), name
        if name in {"src", "href", "action", "data", "srcset"}:
            assert value.startswith(("data:", "#")), value
    assert EVIL in "".join(words for _, words in page.words)
    styles = re.findall(r"<style>(.*?)</style>", render(report()), re.DOTALL)
    assert len(styles) == 1
    assert "url(" not in styles[0]
    assert any("default-src 'none'" in value for _, value in page.attributes)


def test_every_finding_is_said_in_both_languages() -> None:
    given = report()
    page = Page(render(given))
    english = " ".join(text for lang, text in page.words if lang.startswith("en"))
    chinese = "".join(text for lang, text in page.words if lang.startswith("zh"))
    for one in given.findings:
        assert one.title("en") in english
        assert one.text("en") in english
        assert one.title("zh") in chinese
        assert one.text("zh") in chinese
        assert one.advice("zh") in chinese
    assert not re.search(r"[\u4e00-\u9fff]", english)
    assert "{" not in english + chinese
    assert "0.950" in english
    assert "0.840" in chinese


@pytest.mark.parametrize("lang", messages.LANGUAGES)
def test_the_language_asked_for_is_shown_first(lang: messages.Language) -> None:
    assert re.findall(r'id="lang-(\w\w)"[^>]* checked', render(report(), lang=lang)) == [lang]
    messages.use(lang)
    assert re.findall(r'id="lang-(\w\w)"[^>]* checked', render(report())) == [lang]


def test_links_lead_somewhere() -> None:
    page = Page(render(report()))
    ids = {value for name, value in page.attributes if name == "id"}
    links = {value[1:] for name, value in page.attributes if name == "href" and value[0] == "#"}
    assert links
    assert links <= ids


def test_nothing_found_is_good_news() -> None:
    page = render(report(found=()))
    Page(page)
    assert messages.t("audit.badge_good") in page
    assert messages.t("audit.section_mend") not in page


def test_the_files_hold_the_same(tmp_path: Path) -> None:
    given = report()
    write(given, tmp_path / "audit" / "a")
    assert sorted(f.name for f in (tmp_path / "audit").iterdir()) == ["a.html", "a.json"]
    raw = json.loads((tmp_path / "audit" / "a.json").read_text("utf-8"))
    assert [Finding.from_json(one) for one in raw["findings"]] == list(given.findings)
    assert Inflation.from_json(raw["flattery"]) == given.inflation
    assert raw["findings"][0]["zh"]["title"] == given.findings[0].title("zh")


def _file(folder: Path) -> Path:
    file = folder / "reviews.csv"
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["review", "score"])
        for at in range(60):
            writer.writerow([f"{'lovely' if at % 2 else 'awful'} tea number {at * 7919}", at % 2])
        writer.writerow(["lovely tea number 7919", 1])
        writer.writerow(["call me at 13812345678", 0])
    return file


def test_a_file_is_looked_at_and_nothing_is_added(workspace_dir: Path, tmp_path: Path) -> None:
    with Workspace(workspace_dir) as workspace:
        project = workspace.init("reviews", task="text-classification")
        found = project.audit(_file(tmp_path))
        assert isinstance(found, AuditReport)
        assert workspace.store.catalog.latest_data("reviews") is None
        codes = {one.code: one for one in found.findings}
        assert codes["exact_duplicates"].mend == (f"feilun data add {tmp_path / 'reviews.csv'}",)
        assert codes["personal"].mend == ("feilun data clean --mask phone",)
        assert found.page is not None
        Page(found.page.read_text("utf-8"))
        assert "13812345678" not in found.page.read_text("utf-8")
        shown = " ".join(note for table in found.tables() for note in table.notes)
        assert "feilun data clean --mask phone" in shown
        assert str(found.page) in shown
        assert json.loads(json.dumps(found.to_json()))["findings"][0]["text"]


def test_a_version_is_looked_at(workspace_dir: Path, tmp_path: Path) -> None:
    with Workspace(workspace_dir) as workspace:
        workspace.init("other", task="text-classification")
        project = workspace.init("reviews", task="text-classification")
        project.add(_file(tmp_path))
        found = project.audit()
        assert isinstance(found, AuditReport)
        codes = {one.code: one for one in found.findings}
        assert codes["left_out"].params["duplicates"] == 1
        # With two projects a command says which one it mends.
        assert codes["personal"].mend == ("feilun data clean --project reviews --mask phone",)
        assert found.page is not None
        assert found.page.parent == workspace_dir / "reviews" / "audit"
        quick = project.audit(quick=True)
        assert not isinstance(quick, AuditReport)
        assert quick.audit["rows"] == found.audit["rows"] == 61


@pytest.mark.slow
def test_every_command_that_is_named_mends(
    workspace_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the real command line, one after the other: what was found is gone afterwards."""
    draw = random.Random(0)
    texts = ["".join(draw.choices("bcdfghjklmnp", k=30)) for _ in range(60)]
    rows = [(text, "ok" if at % 2 else "bad") for at, text in enumerate(texts)]
    rows += [(texts[0][:-1] + "!", "bad"), (texts[1] + "?", "bad"), ("....", "ok")]
    rows += [("x y " * 1000, "bad"), ("mail a@b.example.com now", "ok")]
    rows += [(f"{text[::-1]}", "OK") for text in texts[:3]]
    file = tmp_path / "a.csv"
    file.write_text("text,label\n" + "".join(f"{a},{b}\n" for a, b in rows), "utf-8")
    shared = ["--workspace", str(workspace_dir)]
    assert run(["init", "reviews", "--task", "text-classification", *shared]) == 0
    assert run(["data", "add", str(file), *shared]) == 0
    with Workspace(workspace_dir) as workspace:
        found = workspace.project("reviews").audit()
    assert isinstance(found, AuditReport)
    mends = {one.code: one.mend for one in found.findings if one.mend}
    assert {"near_duplicates", "near_conflicts", "empty", "long", "personal", "alike_labels"} <= {
        *mends
    }
    for command in dict.fromkeys(c for code in mends for c in mends[code]):
        words = shlex.split(command)
        if words[:3] == ["feilun", "data", "clean"]:
            assert run([*words[1:], *shared]) == 0, command
    with Workspace(workspace_dir) as workspace:
        after = workspace.project("reviews").audit()
    assert isinstance(after, AuditReport)
    assert not set(mends) & {one.code for one in after.findings}
    capsys.readouterr()
